"""Taylor mode against nested forward mode, closed forms, and itself under transformations."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
import tracejit.scipy.special
from tracejit import lax
from tracejit.core.errors import DTypeError, MissingRuleError, ShapeError, StructureError
from tracejit.core.primitive import PRIMITIVES, define, jvp
from tracejit.experimental.jet import jet
from tracejit.ir.program import sub_programs
from tracejit.ops import (
    contraction,
    convert,
    convolution,
    cumulative,
    factorizations,
    indexing,
    linalg,
    sorting,
    special,
    spectral,
)
from tracejit.ops.eig import eig
from tracejit.ops.sparse import csr_matmul
from tracejit.ops.triangular import triangular_solve
from tracejit.transforms.dce import dce

ORDER = 5
RNG = np.random.default_rng(3)


def nested(fun: Callable[..., Any], primals: Any, series: Any, order: int) -> list[Any]:
    """Return the derivatives along the curve by forward mode in forward mode."""

    def curve(t: Any) -> Any:
        points = [
            x + sum(t ** (k + 1) * (c / math.factorial(k + 1)) for k, c in enumerate(terms))
            for x, terms in zip(primals, series, strict=True)
        ]
        return fun(*points)

    found = []
    for _ in range(order):
        curve = (lambda g: lambda t: tracejit.jvp(g, (t,), (1.0,))[1])(curve)
        found.append(np.asarray(curve(0.0)))
    return found


def compare(fun: Callable[..., Any], *primals: Any, order: int = ORDER, rtol: float = 1e-9) -> None:
    series = [
        [0.3 * RNG.standard_normal(np.shape(x)).astype(np.asarray(x).dtype) for _ in range(order)]
        for x in primals
    ]
    for terms, x in zip(series, primals, strict=True):
        if np.iscomplexobj(x):
            terms[:] = [c + 0.2j * RNG.standard_normal(np.shape(x)) for c in terms]
    out, found = jet(fun, primals, series)
    np.testing.assert_allclose(out, fun(*primals), rtol=1e-12)
    for k, wanted in enumerate(nested(fun, primals, series, order)):
        np.testing.assert_allclose(
            found[k],
            wanted,
            rtol=rtol,
            atol=rtol * (1 + abs(wanted).max()),
            err_msg=f"{k=}",
        )


P = RNG.uniform(0.5, 1.5, (2, 3))
S = RNG.uniform(-0.8, 0.8, (2, 3))
Q = RNG.uniform(0.5, 1.5, (2, 3))
Z = S + 1j * P
SQUARE = np.eye(3) * 3 + RNG.uniform(-1, 1, (3, 3))
MASK = np.array([[True, False, True], [False, True, True]])
ROWS = np.array([[1], [0], [1]])

NEAR_ZERO = """
abs asin acos atan sin cos tan sinh cosh tanh asinh atanh exp exp2 expm1 erf erfc erf_inv
logistic neg sign floor ceil trunc round erf_inv_of_uniform
"""
POSITIVE = """
log log1p log2 log10 sqrt rsqrt cbrt lgamma digamma gamma loggamma spence expi exp1 erfcx erfi dawsn
si ci fresnel_s fresnel_c bessel_i0 bessel_i0e bessel_i1 bessel_i1e bessel_j0 bessel_j1 bessel_k0
bessel_k0e bessel_k1 bessel_k1e bessel_y0 bessel_y1
"""
OF_TWO = """
add sub mul div hypot atan2 max min pow rem copysign nextafter xlogy xlog1py beta betaln poch
owens_t
"""

OF_COMPLEX = """
exp log sin cos tanh sqrt abs sign integer_pow mul div pow tan
"""


def _bind(name: str, **params: Any) -> Callable[..., Any]:
    return lambda *xs: PRIMITIVES[name].bind(*xs, **params)


def _scatter(name: str) -> tuple[Any, ...]:
    combine = getattr(indexing, name)
    return (lambda x, u: combine(x, np.array([[1], [0]]), u, (0,), (0,), unique=True), P, Q)


TABLE: dict[str, tuple[Any, ...]] = {
    **{name: (_bind(name), S) for name in NEAR_ZERO.split()},
    **{name: (_bind(name), P) for name in
       POSITIVE.split()},
    **{name: (_bind(name), P, Q) for name in
       OF_TWO.split()},
    "acosh": (_bind("acosh"), P + 1),
    "integer_pow": (lambda x: _bind("integer_pow", n=3)(x) + _bind("integer_pow", n=-2)(x), P),
    "polygamma": (lambda x: special.polygamma(x, 2), P),
    "binom": (lambda n, k: _bind("binom")(n + 2, k), P, Q),
    "zeta": (lambda q: _bind("zeta")(2.5, q), P),
    "ndtri": (_bind("ndtri"), P / 2),
    "ellipk": (_bind("ellipk"), P / 2),
    "ellipe": (_bind("ellipe"), P / 2),
    **{name: (lambda x, name=name: _bind(name)(1.5, x), P) for name in
       ("hyp0f1", *(f"bessel_{n}" for n in ("iv", "ive", "jv", "kv", "kve", "yv")))},
    "expn": (lambda x: _bind("expn")(2.0, x), P),
    "gammainc": (_bind("gammainc"), P, Q),
    "gammaincc": (_bind("gammaincc"), P, Q),
    "gammaincinv": (lambda a, p: _bind("gammaincinv")(a, p / 2), P, Q),
    "gammainccinv": (lambda a, p: _bind("gammainccinv")(a, p / 2), P, Q),
    "betainc": (lambda a, b: _bind("betainc")(a, b, 0.3), P, Q),
    "betaincinv": (lambda a, b: _bind("betaincinv")(a, b, 0.3), P, Q),
    "hyp1f1": (lambda x: _bind("hyp1f1")(0.5, 1.5, x), P),
    "hyp2f1": (lambda x: _bind("hyp2f1")(0.5, 0.7, 1.5, x), P / 2),
    "wofz": (lambda x: lax.real(_bind("wofz")(lax.complex(x, x))), S),
    "sph_harm_y": (lambda x: lax.real(_bind("sph_harm_y")(3.0, 1.0, x, x)), S),
    "fma": (_bind("fma"), S, P, Q),
    "clamp": (lambda x: lax.clamp(-0.5, x, 0.5), S),
    "select": (lambda x, y: lax.select(MASK, x, y), S, P),
    "is_finite": (lambda x: x * lax.is_finite(x), S),
    "stop_gradient": (lambda x: x * tracejit.stop_gradient(x), S),
    "device_put": (lambda x: tracejit.device_put(x) ** 2, S),
    "real": (lambda z: lax.real(z) * 2, Z),
    "imag": (lambda z: lax.imag(z) * 2, Z),
    "conj": (lambda z: lax.conj(z) * z, Z),
    "complex": (lambda x, y: lax.complex(x, y) ** 2, S, P),
    "convert_element_type": (lambda x: convert.convert_element_type(x, np.dtype("c16")) ** 2, S),
    "broadcast_in_dim": (lambda x: lax.broadcast_in_dim(x, (4, 2, 3), (1, 2)), S),
    "reshape": (lambda x: tnp.reshape(x, (3, 2)), S),
    "transpose": (tnp.transpose, S),
    "reduce_sum": (lambda x: tnp.sum(x**2, axis=0), S),
    "reduce_max": (lambda x: tnp.max(x, axis=1), S),
    "reduce_min": (lambda x: tnp.min(x, axis=1), S),
    "reduce_prod": (lambda x: tnp.prod(x, axis=1), P),
    "slice": (lambda x: x[:, ::2], S),
    "pad": (lambda x, y: lax.pad(x, y[0, 0], ((1, 0, 1), (0, 2, 0))), S, P),
    "concatenate": (lambda x, y: tnp.concatenate([x, y], axis=1), S, P),
    "flip": (lambda x: tnp.flip(x, 1), S),
    "sliding_windows": (lambda x: convolution.sliding_windows(x, (1,), (2,)), S),
    "overlap_add": (lambda x: convolution.overlap_add(x, (0,), (4,)), S),
    "gather": (lambda x: indexing.gather(x, ROWS, (0,), (1, 3), (0,)), S),
    "dynamic_slice": (lambda x: lax.dynamic_slice(x, (1, 0), (1, 2)), S),
    "dynamic_update_slice": (lambda x, y: lax.dynamic_update_slice(x, y[:1, :2], (1, 1)), S, P),
    "sort": (lambda x: sorting.sort([x, x**2], 1, 1)[1], S),
    "cumsum": (lambda x: tnp.cumsum(x, axis=1), S),
    "cumprod": (lambda x: tnp.cumprod(x, axis=1), P),
    "cummax": (lambda x: cumulative.cummax(x, 1), S),
    "cummin": (lambda x: cumulative.cummin(x, 1), S),
    "cumlogsumexp": (lambda x: cumulative.cumlogsumexp(x, 1), S),
    "dot_general": (lambda x, y: contraction.dot_general(x, y, (((1,), (1,)), ((), ()))), S, P),
    "csr_matmul": (
        lambda a, x: csr_matmul(a[0], np.arange(a.shape[1]) % 2, np.array([0, a.shape[1]]), x),
        SQUARE,
        P,
    ),
    "lu_solve": (linalg.solve, SQUARE, P.T.copy()),
    "triangular_solve": (triangular_solve, SQUARE, P),
    "cholesky": (lambda a: factorizations.cholesky(a @ a.T), SQUARE),
    "lu": (lambda a: factorizations.lu(a)[0], SQUARE),
    "qr": (lambda a: factorizations.qr(a)[1], SQUARE),
    "eig": (lambda a: tnp.real(eig(a)[0]), SQUARE + np.diag(np.arange(len(SQUARE)))),
    "eigh": (lambda a: spectral.eigh(a)[0], SQUARE + SQUARE.T),
    "fft": (lambda a: tnp.real(tnp.fft.rfft(a, axis=0)) ** 2, SQUARE),
    "svd": (lambda a: spectral.svd(a)[1], SQUARE),
    "slogdet": (lambda a: linalg.slogdet(a)[1], SQUARE),
    **{name: _scatter(name) for name in
       ("scatter", "scatter_add", "scatter_max", "scatter_min", "scatter_mul")},
    "call": (tracejit.jit(lambda x: tnp.sin(x) * x), S),
    "checkpoint": (tracejit.checkpoint(lambda x: tnp.sin(x) * x), S),
    "cond": (lambda x: lax.cond(x[0, 0] > 5, tnp.sin, lambda x: x**2 * tnp.exp(x), x), S),
    "scan": (lambda x: lax.scan(lambda c, r: (tnp.sin(c) * r, c * r), 0.5, x[0])[1], S),
    "while_loop": (lambda x: lax.while_loop(lambda c: c[0] < 3,
                   lambda c: (c[0] + 1, tnp.sin(c[1]) * x), (0, x))[1], S),
    "psum": (lambda x: tracejit.vmap(lambda r: r * lax.psum(r, "i"), axis_name="i")(x), S),
}  # fmt: skip

NOT_HERE = {
    # Compared in test_collectives; they are nothing but moves or choices along a named axis.
    "all_gather", "all_to_all", "pmax", "pmin", "ppermute", "psum_scatter",
    # Their operands or results have no series.
    "argmax", "argmin", "bitcast_convert_type", "eq", "ge", "gt", "is_inf", "is_nan", "le", "lt",
    "ne",
    # Has one derivative.
    "complex_digamma",
}  # fmt: skip

DOUBLING = {
    "gamma", "beta", "poch", "binom", "ellipk", "ellipe", "expn", "sph_harm_y",
    "gammainc", "gammaincc", "gammaincinv", "gammainccinv", "betainc", "betaincinv",
    *(name for name in TABLE if name.startswith("bessel_")),
}  # fmt: skip
"""Their derivatives are given by themselves and one more such function: the cost doubles."""


HARD = (
    "eigh", "svd", "slogdet", "reduce_prod", "cumprod", "cholesky", "lu", "qr", "eig",
)  # fmt: skip
"""Compared to a lower order, for nested derivatives take long."""


@pytest.mark.parametrize("name", TABLE)
def test_every_primitive(name: str) -> None:
    fun, *primals = TABLE[name]
    order = 2 if "inc" in name else 4 if name in HARD else ORDER
    compare(fun, *primals, order=order, rtol=1e-8)


@pytest.mark.parametrize("name", [name for name in TABLE if name not in DOUBLING])
def test_cost_grows_like_a_polynomial(name: str) -> None:
    fun, *primals = TABLE[name]

    def count(program: Any) -> int:
        inner = [sub for eq in program.equations for _, sub in sub_programs(eq.params)]
        return len(program.equations) + sum(map(count, inner))

    counts = []
    for order in (4, 8):
        series = [[x] * order for x in primals]
        program = tracejit.make_program(lambda *args: jet(fun, args[:-1], args[-1]))
        counts.append(count(dce(program(*primals, series))))
    assert counts[1] < 8 * counts[0]  # 16 times and more if it doubled with each order


def test_the_table_is_complete() -> None:
    package = importlib.import_module("tracejit.ops")
    for found in pkgutil.walk_packages(package.__path__, "tracejit.ops."):
        importlib.import_module(found.name)
    ours = [
        name
        for name, primitive in PRIMITIVES.items()
        if primitive in jvp and jvp[primitive].__module__.startswith("tracejit.ops.")
    ]
    missing = sorted(set(ours) - set(TABLE) - NOT_HERE)
    assert not missing, f"no row in the table of jet: {missing}"


COMPLEX = [
    "exp",
    "log",
    "sin",
    "cos",
    "tanh",
    "sqrt",
    "abs",
    "sign",
    "integer_pow",
    "mul",
    "div",
    "pow",
    "tan",
]


@pytest.mark.parametrize("name", OF_COMPLEX.split())
def test_complex(name: str) -> None:
    count = {"mul": 2, "div": 2, "pow": 2}.get(name, 1)
    params = {"n": -3} if name == "integer_pow" else {}
    compare(_bind(name, **params), *[Z, Z.conj() + 0.3][:count], order=4, rtol=1e-8)


# ------------------------------------------------------------------------------ closed forms


def test_derivatives_of_elementary_functions() -> None:
    along = [1.0] + [0.0] * 7
    x = 0.7
    for fun, wanted in (
        (tnp.exp, [math.exp(x)] * 8),
        (tnp.sin, [math.sin(x + k * math.pi / 2) for k in range(1, 9)]),
        (tnp.log, [(-1) ** (k + 1) * math.factorial(k - 1) / x**k for k in range(1, 9)]),
        (lambda x: 1 / x, [(-1) ** k * math.factorial(k) / x ** (k + 1) for k in range(1, 9)]),
        (lambda x: x**3, [3 * x**2, 6 * x, 6.0, 0, 0, 0, 0, 0]),
    ):
        np.testing.assert_allclose(jet(fun, (x,), (along,))[1], wanted, rtol=1e-12, atol=1e-12)


def test_powers_at_zero_are_finite() -> None:
    terms = jet(lambda x: x**3, (0.0,), ([1.0, 0.0, 0.0, 0.0],))[1]
    np.testing.assert_array_equal(terms, [0, 0, 6, 0])
    terms = jet(lambda x: lax.pow(x, 3.0), (0.0,), ([1.0, 0.0, 0.0],))[1]
    np.testing.assert_array_equal(terms, [0, 0, 6])


def test_coefficients_without_factorials() -> None:
    out, terms = jet(tnp.exp, (0.0,), ([1.0, 0.0, 0.0, 0.0],), factorial_scaled=False)
    np.testing.assert_allclose([out, *terms], [1 / math.factorial(k) for k in range(5)])


def test_solution_of_an_ode_by_its_own_series() -> None:
    """y' = y (1 - y): each jet gives one more derivative of the solution, the logistic function."""
    y, terms = 0.5, [0.25]
    for _ in range(6):
        rate, more = jet(lambda y: y * (1 - y), (y,), (terms,))
        terms = [rate, *more]
    wanted = jet(lambda x: 1 / (1 + tnp.exp(-x)), (0.0,), ([1.0] + [0.0] * 6,))[1]
    np.testing.assert_allclose(terms, wanted, atol=1e-12)


# ---------------------------------------------------------------------------- structure


def test_pytrees_in_and_out() -> None:
    def fun(p: Any, x: Any) -> Any:
        return {"y": p["w"] * x, "z": (x**2, tnp.arange(3))}

    p, x = {"w": 2.0}, np.array([1.0, 2.0, 3.0])
    out, terms = jet(fun, (p, x), ([{"w": 1.0}, {"w": 0.0}], [np.ones(3), np.zeros(3)]))
    np.testing.assert_allclose(out["y"], 2 * x)
    np.testing.assert_allclose(terms["y"], [x + 2, 2 * np.ones(3)])
    np.testing.assert_allclose(terms["z"][0], [2 * x, 2 * np.ones(3)])
    assert len(terms["z"][1]) == 2


def test_what_does_not_depend_has_zero_terms() -> None:
    out, terms = jet(lambda x: tnp.ones(2), (1.0,), ([1.0, 0.0],))
    np.testing.assert_array_equal(terms, np.zeros((2, 2)))
    np.testing.assert_array_equal(out, [1, 1])


def test_python_may_branch_on_values() -> None:
    terms = jet(lambda x: x**2 if x > 0 else -x, (3.0,), ([1.0, 0.0],))[1]
    np.testing.assert_allclose(terms, [6, 2])


def _pendulum(x: Any) -> Any:
    def step(i: Any, state: Any) -> Any:
        q, p = state
        p = p - 0.1 * tnp.sin(q)
        return q + 0.1 * p, p

    return lax.fori_loop(0, 10, step, (x, tnp.zeros_like(x)))[0]


def test_loops() -> None:
    compare(_pendulum, np.array([0.3, 1.0]))
    compare(lambda x: lax.fori_loop(0, (x[0] > 0) + 3, lambda i, y: tnp.sin(y) + x, x), P[0])
    compare(lambda x: lax.map(lambda r: lax.cond(r > 1, tnp.exp, tnp.cos, r), x), P[0])
    compare(lambda x: lax.scan(lambda c, r: (c * r, c), x[0], x, reverse=True)[0], P)


def test_newton_solve_in_a_while_loop() -> None:
    def root(a: Any) -> Any:  # x e^x = a
        def improve(state: Any) -> Any:
            x, _ = state
            move = (x * tnp.exp(x) - a) / (tnp.exp(x) * (1 + x))
            return x - move, tnp.sum(abs(move))

        x, _ = lax.while_loop(lambda s: s[1] > 1e-14, improve, (a, tnp.ones(())))
        # The derivatives settle one step after each other: one step for an order or two.
        for _ in range(3):
            x, _ = improve((x, 0.0))
        return x

    w = 0.5671432904097838  # the omega constant: the root at a = 1
    first = 1 / (math.exp(w) * (1 + w))
    second = -math.exp(-2 * w) * (w + 2) / (1 + w) ** 3
    third = math.exp(-3 * w) * (2 * w**2 + 8 * w + 9) / (1 + w) ** 5
    found = jet(root, (1.0,), ([1.0, 0.0, 0.0],))
    np.testing.assert_allclose([found[0], *found[1]], [w, first, second, third], rtol=1e-10)


def test_rules_of_users() -> None:
    @tracejit.custom_jvp
    def stable(x: Any) -> Any:
        return tnp.log1p(tnp.exp(x))

    stable.defjvp(lambda p, t: (stable(p[0]), t[0] / (1 + tnp.exp(-p[0]))))

    @tracejit.custom_vjp
    def backward(x: Any) -> Any:
        return tnp.sin(x)

    backward.defvjp(lambda x: (backward(x), tnp.cos(x)), lambda cos, ct: (ct * cos,))
    for fun in (stable, backward, tracejit.jit(lambda x: stable(x) * backward(x))):
        compare(fun, S[0], order=4)
    compare(lambda x: lax.fori_loop(0, 3, lambda i, y: stable(y) * x, x), S[0], order=4)
    through = tracejit.custom_jvp(lambda x: tnp.floor(x))
    through.defjvp(lambda p, t: (through(p[0]), t[0]))  # the rule counts, not what it is for
    np.testing.assert_array_equal(jet(through, (1.5,), ([2.0, 3.0],))[1], [2, 3])


def test_collectives() -> None:
    shift = [(0, 1), (1, 0)]
    for inside in (
        lambda r: lax.ppermute(r * r, "i", shift),
        lambda r: lax.all_gather(tnp.sin(r), "i")[0] * r,
        lambda r: lax.pmax(r, "i") * r,
        lambda r: lax.pmin(r * r, "i"),
    ):
        compare(tracejit.vmap(inside, axis_name="i"), S, order=3)


# --------------------------------------------------------------------- other transformations


def _highest(x: Any, v: Any) -> Any:
    return jet(_field, (x,), ([v, 0 * v, 0 * v],))[1][2]


def _field(x: Any) -> Any:
    return tnp.tanh(x) * tnp.exp(x) + x**4 / (1 + x**2)


def test_inside_jit_and_vmap() -> None:
    x, v = S[0], P[0]
    wanted = nested(_field, (x,), ([v, 0 * v, 0 * v],), 3)[2]
    np.testing.assert_allclose(_highest(x, v), wanted, rtol=1e-10)
    np.testing.assert_allclose(tracejit.jit(_highest)(x, v), wanted, rtol=1e-10)
    np.testing.assert_allclose(tracejit.vmap(_highest)(x, v), wanted, rtol=1e-10)
    np.testing.assert_allclose(
        tracejit.vmap(tracejit.jit(_highest), in_axes=(0, None))(x, v[0]),
        [_highest(xi, v[0]) for xi in x],
        rtol=1e-10,
    )


def test_gradient_of_a_jet() -> None:
    x = S[0]
    v = np.ones_like(x)
    fourth = nested(_field, (x,), ([v, 0 * v, 0 * v, 0 * v],), 4)[3]
    for fun in (_highest, tracejit.jit(_highest)):
        found = tracejit.grad(lambda x, fun=fun: tnp.sum(fun(x, v)))(x)
        np.testing.assert_allclose(found, fourth, rtol=1e-9)
    tangent = tracejit.jvp(lambda x: _highest(x, v), (x,), (v,))[1]
    np.testing.assert_allclose(tangent, fourth, rtol=1e-9)


def test_jet_of_gradient_and_of_jet() -> None:
    x = 0.4
    compare(tracejit.grad(lambda x: tnp.sin(x) * x**3), x, order=3)
    compare(tracejit.vmap(tracejit.grad(lambda x: _pendulum(x[None])[0])), S[0], order=3)

    def inner(x: Any) -> Any:
        return jet(tnp.sin, (x,), ([1.0, 0.0],))[1][1]

    outer = jet(inner, (x,), ([1.0, 0.0],))[1]
    np.testing.assert_allclose(outer, [-math.cos(x), math.sin(x)], rtol=1e-12)


def test_agrees_with_jax() -> None:
    jax = pytest.importorskip("jax")
    from jax.experimental.jet import jet as theirs

    with jax.enable_x64(True):
        series = [[0.3, -0.2, 0.1, 0.4], [0.1, 0.2, 0.0, -0.3]]
        wanted = theirs(lambda x, y: jax.numpy.exp(x * y) / y, (0.5, 1.2), series)
    found = jet(lambda x, y: tnp.exp(x * y) / y, (0.5, 1.2), series)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-6)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-5)


# ---------------------------------------------------------------------------------- errors

WRONG: Any = 3
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "lengths": (
        lambda: jet(tnp.add, (1.0, 2.0), ([1.0], [1.0, 2.0])),
        StructureError,
        "the series of all arguments must have one length, .* got lengths 1, 2",
    ),
    "no terms": (lambda: jet(tnp.sin, (1.0,), ([],)), StructureError, "that is not 0"),
    "counts": (lambda: jet(tnp.sin, (1.0,), ()), StructureError, "1 primals and 0 series"),
    "no tuple": (lambda: jet(tnp.sin, WRONG, ([1.0],)), StructureError, "must be a tuple or list"),
    "shape": (
        lambda: jet(lambda x: x["w"], ({"w": np.ones(3)},), ([{"w": np.ones(2)}],)),
        ShapeError,
        r"term 0 of the series of x\['w'\] \(argument 0\) must have the shape .* \(3,\)",
    ),
    "structure": (
        lambda: jet(lambda x: x["w"], ({"w": 1.0},), ([{"v": 1.0}],)),
        StructureError,
        "primals and terms 0 of the series must have the same structure",
    ),
    "integers": (
        lambda: jet(tnp.sin, (np.arange(3),), ([np.ones(3)],)),
        DTypeError,
        r"argument 0.* has dtype int64; primals must be floating",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    call, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        call()


def test_a_primitive_without_a_rule_is_named_with_its_line() -> None:
    name = "opaque_for_the_test_of_jet"
    opaque = PRIMITIVES.get(name) or define(
        name,
        impl=lambda xp, x: x,
        shape=lambda x: x,
        jvp="nobody knows what it does",
        transpose="it is not linear",
        batch="it has no axes",
        lower="it is not compiled",
    )

    def fun(x: Any) -> Any:
        return opaque.bind(x) * 2  # the line

    for called in (fun, tracejit.jit(fun)):
        with pytest.raises(MissingRuleError, match=rf"(?s){name}.*nobody knows.*fun.*the line"):
            jet(called, (1.0,), ([1.0, 0.0],))
    del PRIMITIVES[name]


def test_a_callback_is_named_with_its_line() -> None:
    def fun(x: Any) -> Any:
        return tracejit.pure_callback(np.sin, x, x) * 2  # the line

    for called in (fun, tracejit.jit(fun)):
        with pytest.raises(MissingRuleError, match=r"(?s)pure_callback.*fun.*the line"):
            jet(called, (np.ones(2),), ([np.ones(2), np.ones(2)],))
