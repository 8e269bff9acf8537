"""Polynomials, as coefficients from the highest power down: NumPy's old interface.

Leading zeros stay, since how many there are depends on values; `trim_leading_zeros` takes them
off where values are known.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_complex, is_inexact
from tracejit.numpy.linalg import svd
from tracejit.numpy.logic import greater
from tracejit.numpy.manipulation import concatenate
from tracejit.numpy.numeric import convolve, real
from tracejit.numpy.products import diag, matmul
from tracejit.numpy.promotion import (
    array_of,
    as_inexact,
    beside,
    cast,
    common_inexact,
    concrete_value,
    host_value,
    known,
    operand,
    promote_operands,
)
from tracejit.numpy.reductions import max as max_of
from tracejit.numpy.reductions import sum as sum_of
from tracejit.numpy.searching import where
from tracejit.numpy.ufuncs import (
    absolute,
    add,
    conj,
    multiply,
    negative,
    sqrt,
    subtract,
    true_divide,
)
from tracejit.ops.eig import eig
from tracejit.ops.shape import full, reshape
from tracejit.ops.slicing import pad

__all__ = [
    "F64", "poly", "polyadd", "polyder", "polydiv", "polyfit", "polyint", "polymul", "polysub",
    "polyval", "roots",
]  # fmt: skip

F64 = DTYPES["f64"]


def _coefficients(name: str, p: Any) -> Any:
    x = array_of(p)
    if get_aval(x).ndim > 1:
        raise ShapeError(f"{name}: coefficients have rank 1; got shape {get_aval(x).shape}")
    return reshape(x, (get_aval(x).size,))


def _pair(name: str, a: Any, b: Any) -> list[Any]:
    xs = promote_operands([operand(a), operand(b)])
    return [_coefficients(name, x) for x in xs]


def _trimmed(p: Any) -> Any:
    """Return known coefficients without leading zeros, the last one kept."""
    value = np.asarray(known(p, "trim_leading_zeros=True", "Leave the leading zeros."))
    found = np.flatnonzero(value)
    return p[int(found[0]) if found.size else value.size - 1 :]


def polyval(p: Any, x: Any, *, unroll: int = 16) -> Any:
    """As :func:`numpy.polyval`, by Horner's rule, whatever `unroll`."""
    del unroll
    coefficients, at = promote_operands([operand(p), operand(x)])
    coefficients = array_of(coefficients)
    out = multiply(at, get_aval(at).dtype.type(0))
    for i in range(get_aval(coefficients).shape[0]):
        out = add(multiply(out, at), coefficients[i])
    return array_of(out)


def _aligned(name: str, a1: Any, a2: Any) -> list[Any]:
    xs = _pair(name, a1, a2)
    length = max(get_aval(x).size for x in xs)
    return [pad(x, get_aval(x).dtype.type(0), [(length - get_aval(x).size, 0, 0)]) for x in xs]


def polyadd(a1: Any, a2: Any) -> Any:
    """As :func:`numpy.polyadd`."""
    return add(*_aligned("polyadd", a1, a2))


def polysub(a1: Any, a2: Any) -> Any:
    """As :func:`numpy.polysub`."""
    return subtract(*_aligned("polysub", a1, a2))


def polymul(a1: Any, a2: Any, *, trim_leading_zeros: bool = False) -> Any:
    """As :func:`numpy.polymul`, which trims leading zeros of the factors first.

    Parameters
    ----------
    a1, a2 : array_like, shapes (n,) and (m,)
        The coefficients.
    trim_leading_zeros : bool
        Whether to do that; needs known values.
    """
    x, y = _pair("polymul", a1, a2)
    if trim_leading_zeros:
        x, y = _trimmed(x), _trimmed(y)
    if not get_aval(x).size or not get_aval(y).size:
        return full((1,), 0, get_aval(x).dtype)
    return convolve(x, y)


def polydiv(u: Any, v: Any, *, trim_leading_zeros: bool = False) -> tuple[Any, Any]:
    """As :func:`numpy.polydiv`: the quotient and the remainder.

    Parameters
    ----------
    u, v : array_like, shapes (n,) and (m,)
        The coefficients; the first of `v` must not be 0.
    trim_leading_zeros : bool
        Whether to take the leading zeros off the remainder, as NumPy does; needs known values.
        Without it the remainder has ``m - 1`` coefficients, one at least.
    """
    xs = promote_operands([operand(u), operand(v), 0.0])[:2]
    x, y = (_coefficients("polydiv", p) for p in xs)
    n, m = get_aval(x).size, get_aval(y).size
    if not n or not m:
        raise ShapeError("polydiv: the coefficients must not be empty")
    if n < m:
        quotient, rest = full((1,), 0, get_aval(x).dtype), x
    else:
        factors = []
        for k in range(n - m + 1):
            factor = true_divide(x[k], y[0])
            factors.append(factor)
            x = x.at[k : k + m].set(subtract(x[k : k + m], multiply(factor, y)))
        quotient = concatenate([reshape(array_of(f), (1,)) for f in factors])
        rest = x[n - m + 1 :] if m > 1 else x[n - 1 :]
    if trim_leading_zeros:
        size = max_of(absolute(rest))
        rest = _trimmed(where(greater(absolute(rest), 1e-14 * size), rest, 0))
    return quotient, rest


def polyder(p: Any, m: int = 1) -> Any:
    """As :func:`numpy.polyder`."""
    if m < 0:
        raise ShapeError(f"polyder: the order must not be negative; got {m}")
    x = _coefficients("polyder", p)
    for _ in range(int(m)):
        n = get_aval(x).size
        if n <= 1:
            return multiply(x[:0], np.zeros(0, np.int64))
        x = multiply(x[:-1], np.arange(n - 1, 0, -1))
    return x


def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """As :func:`numpy.polyint`."""
    m = int(m)
    if m < 0:
        raise ShapeError(f"polyint: the order must not be negative; got {m}")
    x = _coefficients("polyint", p)
    if not m:
        return x
    constants = full((m,), 0, F64) if k is None else _coefficients("polyint", k)
    if get_aval(constants).size not in (1, m):
        raise ShapeError(
            f"polyint: k must have one element, or one an integration ({m}); "
            f"got {get_aval(constants).size}"
        )
    for i in range(m):
        one = constants[i if get_aval(constants).size > 1 else 0]
        x = true_divide(x, np.arange(get_aval(x).size, 0, -1))
        x, one = promote_operands([x, one])
        x = concatenate([x, reshape(one, (1,))])
    return x


def poly(seq_of_zeros: Any) -> Any:
    """As :func:`numpy.poly`: from zeros, or of a square matrix.

    Complex zeros of which each has its conjugate give real coefficients only where values are
    known.
    """
    zeros = array_of(seq_of_zeros)
    shape = get_aval(zeros).shape
    if len(shape) == 2 and shape[0] == shape[1] and shape[0]:
        zeros = eig(zeros, right=False)[0]
    elif len(shape) != 1:
        raise ShapeError(f"poly: zeros, or a square matrix; got shape {shape}")
    zeros = reshape(zeros, (get_aval(zeros).size,))
    own = get_aval(zeros).dtype
    zeros = zeros if is_inexact(own) and own.itemsize >= 4 else cast(zeros, F64)
    if not get_aval(zeros).size:
        return array_of(1.0)
    dtype = get_aval(zeros).dtype
    one = full((1,), 1, dtype)
    out = one
    for i in range(get_aval(zeros).size):
        out = convolve(out, concatenate([one, negative(zeros[i : i + 1])]))
    value = host_value(zeros)
    if is_complex(dtype) and value is not None:
        value = np.asarray(value)
        if np.all(np.sort(value) == np.sort(value.conjugate())):
            return real(out)
    return out


def roots(p: Any, *, strip_zeros: bool = True) -> Any:
    """As :func:`numpy.roots`: the eigenvalues of the companion matrix, always complex.

    Parameters
    ----------
    p : array_like, shape (n,)
        The coefficients.
    strip_zeros : bool
        Whether zeros at both ends are taken off first, which needs known values.  Without it
        the first coefficient must not be 0.
    """
    x = array_of(p)
    if get_aval(x).ndim != 1:
        raise ShapeError(f"roots: coefficients have rank 1; got shape {get_aval(x).shape}")
    behind = 0
    if strip_zeros:
        value = np.asarray(
            known(x, "roots()", "Give strip_zeros=False; the first coefficient must not be 0.")
        )
        found = np.flatnonzero(value)
        if not found.size:
            return beside(x, np.zeros(0))
        behind = value.size - 1 - int(found[-1])
        x = x[int(found[0]) : int(found[-1]) + 1]
    x = as_inexact(x) if is_inexact(get_aval(x).dtype) else cast(x, F64)
    wide = DTYPES["c64"] if get_aval(x).dtype in (DTYPES["f32"], DTYPES["c64"]) else DTYPES["c128"]
    zeros = full((behind,), 0, wide)
    n = get_aval(x).size
    if n < 2:
        return zeros
    below = diag(full((n - 2,), 1, get_aval(x).dtype), -1)
    first = reshape(negative(true_divide(x[1:], x[0])), (1, n - 1))
    companion = concatenate([first, below[1:]], 0)
    return concatenate([cast(eig(companion, right=False)[0], wide), zeros])


def polyfit(
    x: Any,
    y: Any,
    deg: int,
    rcond: float | None = None,
    full: bool = False,
    w: Any = None,
    cov: Any = False,
) -> Any:
    """As :func:`numpy.polyfit`: least squares by singular values.

    Differentiable in `x`, `y` and `w`.
    """
    degree = int(deg)
    at, of = (array_of(v) for v in (x, y))
    dtype = common_inexact([at, of, 0.0])[0]
    at, of = cast(at, dtype), cast(of, dtype)
    count, rank = get_aval(at).size, get_aval(of).ndim
    if degree < 0:
        raise ShapeError(f"polyfit: the degree must not be negative; got {degree}")
    if get_aval(at).ndim != 1 or not count:
        raise ShapeError(f"polyfit: x must have rank 1, and elements; got {get_aval(at).shape}")
    if rank not in (1, 2) or get_aval(of).shape[0] != count:
        raise ShapeError(
            f"polyfit: y must have shape ({count},) or ({count}, k); got {get_aval(of).shape}"
        )
    limit = count * np.finfo(dtype).eps if rcond is None else rcond
    powers = [array_of(np.ones(count, dtype))]
    for _ in range(degree):
        powers.append(multiply(powers[-1], at))
    lhs = concatenate([reshape(v, (count, 1)) for v in reversed(powers)], 1)
    if w is not None:
        weights = array_of(w)
        if get_aval(weights).shape != (count,):
            raise ShapeError(f"polyfit: w must have shape ({count},); got {get_aval(weights)}")
        lhs = multiply(lhs, weights[:, None])
        of = multiply(of, weights[:, None] if rank == 2 else weights)
    scale = sqrt(sum_of(multiply(lhs, conj(lhs)), 0))
    lhs = true_divide(lhs, scale)
    u, s, vh = svd(lhs, full_matrices=False)
    kept = greater(s, multiply(s[0], limit))
    inverse = where(kept, true_divide(1.0, where(kept, s, 1.0)), 0.0)
    inner = matmul(conj(u.T), of)
    inner = multiply(inner, inverse[:, None] if rank == 2 else inverse)
    solution = matmul(conj(vh.T), inner)
    found = true_divide(solution, scale[:, None] if rank == 2 else scale)
    residual = subtract(of, matmul(lhs, solution))
    squares = sum_of(real(multiply(residual, conj(residual))), 0)
    if full:
        many = concrete_value(sum_of(kept))
        number = sum_of(kept, dtype=DTYPES["i32"])
        if count <= degree + 1 or (many is not None and int(many) <= degree):
            squares = array_of(np.zeros(0, dtype))
        else:
            squares = reshape(squares, (get_aval(squares).size,))
        return found, squares, number, s, limit
    if cov:
        v = conj(vh.T)
        base = matmul(multiply(v, multiply(inverse, inverse)), vh)
        base = true_divide(base, multiply(scale[:, None], scale[None, :]))
        if cov == "unscaled":
            return found, base[..., None] if rank == 2 else base
        if count <= degree + 1:
            raise ShapeError(
                f"polyfit: the covariance needs more than {degree + 1} points to be scaled; "
                f'got {count}; or give cov="unscaled"'
            )
        factor = true_divide(squares, count - degree - 1)
        return found, multiply(base[..., None], factor) if rank == 2 else multiply(base, factor)
    return found
