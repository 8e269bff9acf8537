"""Taylor rules: what is linear term by term, what is bilinear by convolution, and recurrences.

Notation: a series is the list of its coefficients ``[x_0, x_1, ...]``, values or Zero.  The
recurrences are those of Griewank and Walther, table 13.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracejit.core.primitive import PRIMITIVES, Primitive
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.dtypes import is_complex
from tracejit.ops._pointwise import sum_tangents
from tracejit.ops.arithmetic import (
    div,
    div_p,
    integer_pow,
    integer_pow_p,
    mul,
    mul_p,
    neg,
    sqrt,
    sqrt_p,
    sub,
)
from tracejit.ops.complex_numbers import abs_p, conj, sign_p
from tracejit.ops.constant import scalar_like
from tracejit.ops.contraction import dot_general_p
from tracejit.ops.hyperbolic import cosh, cosh_p, sinh, sinh_p, tanh, tanh_p
from tracejit.ops.linalg import lu_solve, lu_solve_p
from tracejit.ops.matrices import stacked_product, swap_last, triangle
from tracejit.ops.sparse import csr_matmul, csr_matmul_p
from tracejit.ops.special import logistic, logistic_p
from tracejit.ops.transcendental import (
    cos,
    cos_p,
    exp,
    exp_p,
    log,
    pow_,
    pow_p,
    sin,
    sin_p,
    tan,
    tan_p,
)
from tracejit.ops.triangular import triangular_solve_p
from tracejit.transforms.taylor import Terms, by_derivative, scaled, taylor_rules, term_by_term

__all__ = ["LINEAR"]

LINEAR = """
add broadcast_in_dim clamp complex concatenate conj convert_element_type copysign cummax cummin
cumsum device_put dynamic_slice dynamic_update_slice flip gather imag max min neg overlap_add pad
real reduce_max reduce_min reduce_sum rem reshape scatter scatter_add select slice sliding_windows
sort sub transpose
"""
"""Primitives that are linear, perhaps in pieces, in all that has derivatives."""

for _name in LINEAR.split():
    taylor_rules[PRIMITIVES[_name]] = term_by_term(PRIMITIVES[_name])


def _of_real(primitive: Primitive) -> Callable[..., Any]:
    """Return the rule of a primitive that is linear in pieces for real numbers."""
    in_pieces = term_by_term(primitive)

    def rule(order: int, primals: Sequence[Any], terms: Sequence[Terms], **params: Any) -> Any:
        if is_complex(get_aval(primals[0]).dtype):
            return by_derivative(primitive, order, primals, terms, params)
        return in_pieces(order, primals, terms, **params)

    return rule


taylor_rules[abs_p] = _of_real(abs_p)
taylor_rules[sign_p] = _of_real(sign_p)


# -------------------------------------------------------------------------------- products

Series = list[Any]
Product = Callable[[Any, Any], Any]


def _times(x: Any, y: Any, product: Callable[[Any, Any], Any] = mul) -> Any:
    """Return a product, None if a factor is Zero."""
    return None if isinstance(x, Zero) or isinstance(y, Zero) else product(x, y)


def _sum(terms: Sequence[Any], like: Any) -> Any:
    """Return the sum of what is not None, at the shape of `like`."""
    return sum_tangents([t for t in terms if t is not None], like)


def _less(x: Any, y: Any, like: Any) -> Any:
    """Return ``x - y`` at the shape of `like`; both may be Zero."""
    return _sum([x, y if isinstance(y, Zero) else neg(y)], like)


def _convolved(
    x: Series,
    y: Series,
    k: int,
    like: Any,
    product: Callable[[Any, Any], Any] = mul,
    first: int = 0,
) -> Any:
    """Return ``sum x_j y_{k-j}`` from ``j = first`` to k."""
    return _sum([_times(x[j], y[k - j], product) for j in range(first, k + 1)], like)


def _bilinear(primitive: Primitive) -> Callable[..., Any]:
    def rule(
        order: int, primals: Sequence[Any], terms: Sequence[Terms], **params: Any
    ) -> tuple[Any, Terms]:
        def product(x: Any, y: Any) -> Any:
            return primitive.bind(x, y, **params)

        x, y = ([p, *t] for p, t in zip(primals, terms, strict=True))
        out = product(*primals)
        return out, [_convolved(x, y, k, out, product) for k in range(1, order + 1)]

    return rule


taylor_rules[mul_p] = _bilinear(mul_p)
taylor_rules[dot_general_p] = _bilinear(dot_general_p)


def _csr_matmul(
    order: int, primals: Sequence[Any], terms: Sequence[Terms]
) -> tuple[Any, Terms]:
    data, indices, indptr, x = primals

    def product(data: Any, x: Any) -> Any:
        return csr_matmul(data, indices, indptr, x)

    out, datas, xs = product(data, x), [data, *terms[0]], [x, *terms[3]]
    return out, [_convolved(datas, xs, k, out, product) for k in range(1, order + 1)]


taylor_rules[csr_matmul_p] = _csr_matmul


def _quotient(order: int, x: Series, y: Series) -> Series:
    """Return ``z = x / y`` from ``x_k = sum z_j y_{k-j}``."""
    z = [div(x[0], y[0])]
    for k in range(1, order + 1):
        rest = _less(x[k], _convolved([*z, Zero(get_aval(z[0]))], y, k, z[0]), z[0])
        z.append(rest if isinstance(rest, Zero) else div(rest, y[0]))
    return z


def _div(order: int, primals: Sequence[Any], terms: Sequence[Terms]) -> tuple[Any, Terms]:
    x, y = ([p, *t] for p, t in zip(primals, terms, strict=True))
    z = _quotient(order, x, y)
    return z[0], z[1:]


def _integer_pow(
    order: int, primals: Sequence[Any], terms: Sequence[Terms], *, n: int
) -> tuple[Any, Terms]:
    """By products, so that it holds where the base is 0."""
    base = [primals[0], *terms[0]]
    out = integer_pow(base[0], n)

    def product(x: Series, y: Series) -> Series:
        return [mul(x[0], y[0]), *(_convolved(x, y, k, out) for k in range(1, order + 1))]

    power: Series | None = None
    left = abs(n)
    while left:
        if left % 2:
            power = base if power is None else product(power, base)
        left //= 2
        if left:
            base = product(base, base)
    if power is None:
        return out, [Zero(get_aval(out))] * order
    if n < 0:
        zeros = [Zero(get_aval(out))] * order
        power = _quotient(order, [scalar_like(out, 1), *zeros], power)
    return out, power[1:]


taylor_rules[div_p] = _div
taylor_rules[integer_pow_p] = _integer_pow


# ------------------------------------------------------- functions by differential equations


def _integrated(slopes: Series, x: Series, k: int, like: Any) -> Any:
    """Return ``y_k`` of ``y' = slope x'``: ``(1 / k) sum j x_j slope_{k-j}``."""
    weighted = [x[0], *(scaled(t, j / k) for j, t in enumerate(x[1:], 1))]
    return _sum([_times(weighted[j], slopes[k - j]) for j in range(1, k + 1)], like)


def _grown(order: int, start: Any, x: Series) -> Series:
    """Return ``y' = y x'`` from ``y_0 = start``: the exponential."""
    y = [start]
    for k in range(1, order + 1):
        y.append(_integrated(y, x, k, start))
    return y


def _exp(order: int, primals: Sequence[Any], terms: Sequence[Terms]) -> tuple[Any, Terms]:
    y = _grown(order, exp(primals[0]), [primals[0], *terms[0]])
    return y[0], y[1:]


def _pair(
    f: Callable[[Any], Any], g: Callable[[Any], Any], f_sign: int, g_sign: int
) -> Callable[..., Any]:
    """Return the rule of `f` of a pair with ``f' = f_sign g``, ``g' = g_sign f``."""

    def rule(order: int, primals: Sequence[Any], terms: Sequence[Terms]) -> tuple[Any, Terms]:
        x = [primals[0], *terms[0]]
        ys, zs = [f(x[0])], [g(x[0])]
        for k in range(1, order + 1):
            y, z = _integrated(zs, x, k, ys[0]), _integrated(ys, x, k, ys[0])
            ys.append(scaled(y, f_sign))
            zs.append(scaled(z, g_sign))
        return ys[0], ys[1:]

    return rule


def _of_itself(
    f: Callable[[Any], Any], slope: Callable[[Any], Any], linear: int, square: int
) -> Callable[..., Any]:
    """Return the rule of ``y = f(x)`` with ``y' = slope(y) x'``.

    There ``slope(y) = constant + linear y + square y^2``.
    """

    def rule(order: int, primals: Sequence[Any], terms: Sequence[Terms]) -> tuple[Any, Terms]:
        x = [primals[0], *terms[0]]
        y = [f(x[0])]
        slopes = [slope(y[0])]
        for k in range(1, order + 1):
            y.append(_integrated(slopes, x, k, y[0]))
            parts = [scaled(_convolved(y, y, k, y[0]), square)]
            if linear:
                parts.append(scaled(y[k], linear))
            slopes.append(_sum(parts, y[0]))
        return y[0], y[1:]

    return rule


def _one(x: Any) -> Any:
    return scalar_like(x, 1)


taylor_rules[exp_p] = _exp
taylor_rules[sin_p] = _pair(sin, cos, 1, -1)
taylor_rules[cos_p] = _pair(cos, sin, -1, 1)
taylor_rules[sinh_p] = _pair(sinh, cosh, 1, 1)
taylor_rules[cosh_p] = _pair(cosh, sinh, 1, 1)
taylor_rules[tan_p] = _of_itself(tan, lambda y: sub(mul(y, y), neg(_one(y))), 0, 1)
taylor_rules[tanh_p] = _of_itself(tanh, lambda y: mul(sub(_one(y), y), sub(_one(y), neg(y))), 0, -1)
taylor_rules[logistic_p] = _of_itself(logistic, lambda y: mul(y, sub(_one(y), y)), 1, -1)


def _sqrt(order: int, primals: Sequence[Any], terms: Sequence[Terms]) -> tuple[Any, Terms]:
    """From ``x_k = sum y_j y_{k-j}``."""
    y = [sqrt(primals[0])]
    twice = scaled(y[0], 2)
    for k in range(1, order + 1):
        inner = _sum([_times(y[j], y[k - j]) for j in range(1, k)], y[0])
        rest = _less(terms[0][k - 1], inner, y[0])
        y.append(rest if isinstance(rest, Zero) else div(rest, twice))
    return y[0], y[1:]


def _pow(order: int, primals: Sequence[Any], terms: Sequence[Terms]) -> tuple[Any, Any]:
    """``exp(y log(x))`` if the exponent moves; its derivatives, finite at 0, if it does not."""
    x, y = primals
    if all(isinstance(t, Zero) for t in terms[1]):
        return by_derivative(pow_p, order, primals, terms, {})
    out = pow_(x, y)

    def compute() -> Terms:
        base = [log(x), *_log_terms(order, [x, *terms[0]])]
        power = [y, *terms[1]]
        exponent = [_convolved(base, power, k, out) for k in range(1, order + 1)]
        return _grown(order, out, [out, *exponent])[1:]

    return out, compute


def _log_terms(order: int, x: Series) -> Terms:
    """Return the terms of ``y = log(x)`` from ``x y' = x'``."""
    speed = [scaled(t, k) for k, t in enumerate(x[1:], 1)]
    if all(isinstance(t, Zero) for t in speed):
        return speed
    found: Series = []
    for k in range(order):
        inner = _sum([_times(found[j], x[k - j]) for j in range(k)], x[0])
        rest = _less(speed[k], inner, x[0])
        found.append(rest if isinstance(rest, Zero) else div(rest, x[0]))
    return [scaled(t, 1 / k) for k, t in enumerate(found, 1)]


taylor_rules[sqrt_p] = _sqrt
taylor_rules[pow_p] = _pow


# ------------------------------------------------------------------------------- matrices


def _solved(
    order: int, a: Series, b: Series, known: Callable[[Any], Any], product: Callable[..., Any]
) -> tuple[Any, Terms]:
    """From ``b_k = sum a_j x_{k-j}``."""
    x = [known(b[0])]
    for k in range(1, order + 1):
        rest = _less(b[k], _convolved(a, x, k, x[0], product, first=1), x[0])
        x.append(rest if isinstance(rest, Zero) else known(rest))
    return x[0], x[1:]


def _lu_solve(
    order: int, primals: Sequence[Any], terms: Sequence[Terms], trans: bool
) -> tuple[Any, Terms]:
    matrix, factors, permutation, right = primals

    def known(rest: Any) -> Any:
        return lu_solve(matrix, factors, permutation, rest, trans)

    def product(x: Any, y: Any) -> Any:
        return stacked_product(swap_last(x) if trans else x, y)

    return _solved(order, [matrix, *terms[0]], [right, *terms[3]], known, product)


def _triangular_solve(
    order: int, primals: Sequence[Any], terms: Sequence[Terms], **how: bool
) -> tuple[Any, Terms]:
    matrix, right = primals

    def known(rest: Any) -> Any:
        return triangular_solve_p.bind(matrix, rest, **how)

    def product(x: Any, y: Any) -> Any:
        x = triangle(x, how["lower"], strict=how["unit"])
        x = swap_last(x) if how["trans"] else x
        x = conj(x) if how["conjugate"] else x
        return stacked_product(x, y) if how["left"] else stacked_product(y, x)

    return _solved(order, [matrix, *terms[0]], [right, *terms[1]], known, product)


taylor_rules[lu_solve_p] = _lu_solve
taylor_rules[triangular_solve_p] = _triangular_solve
