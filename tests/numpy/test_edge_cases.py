# ruff: noqa: E501, SIM905  (names are listed in lines)
"""The shared edge cases for every function of arrays, in every dtype, against NumPy.

Rank 0, no elements, zeros of both signs, infinities, NaN, the ends of the integers.  Where NumPy
raises, an error is due; where it does not, its dtype, shape and values.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit.core.errors import TracejitError

RNG = np.random.default_rng(3)
BASE = RNG.normal(size=(2, 3, 4)) * 3
DTYPES = "? b h i q B H I Q e f d F D".split()
INTEGERS = tuple("bhiqBHIQ")

ONE = """absolute abs fabs sign square negative positive sqrt cbrt reciprocal conjugate conj floor ceil
trunc fix rint exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh tanh
arcsinh arccosh arctanh asin acos atan asinh acosh atanh degrees radians deg2rad rad2deg isnan isinf
isfinite isposinf isneginf isreal iscomplex signbit logical_not invert bitwise_not bitwise_invert
bitwise_count real imag angle nan_to_num sinc around round zeros_like ones_like modf frexp spacing i0
sum prod mean std var max min amax amin any all nansum nanprod nanmax nanmin nanmean nanvar nanstd
argmax argmin nanargmax nanargmin cumsum cumprod nancumsum nancumprod cumulative_sum cumulative_prod
sort argsort median nanmedian ptp count_nonzero unique nonzero flatnonzero argwhere diff ediff1d
ravel flip sort_complex trapezoid unwrap packbits unpackbits average histogram histogram_bin_edges
trim_zeros iscomplexobj isrealobj copy unique_all unique_counts unique_inverse min_scalar_type
real_if_close diag tril triu transpose squeeze atleast_1d atleast_2d atleast_3d asarray asanyarray
ascontiguousarray roots poly ndim shape size matrix_transpose permute_dims""".split()
TWO = """add subtract multiply true_divide divide floor_divide remainder mod fmod power pow float_power
maximum minimum fmax fmin arctan2 atan2 hypot copysign nextafter logaddexp logaddexp2 heaviside ldexp
equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor bitwise_and
bitwise_or bitwise_xor left_shift bitwise_left_shift right_shift bitwise_right_shift isclose gcd lcm
divmod array_equal array_equiv outer kron inner dot vdot isin union1d setdiff1d setxor1d intersect1d
append allclose""".split()

# Where we differ on purpose: (name, dtypes, cases), and why.
DIFFERENT: list[tuple[str, Any, str]] = [
    ("reciprocal", INTEGERS, "s3"),  # 1 / 0 of integers is whatever C gives
    ("spacing", "b", "s"),  # NumPy answers for -128 what holds for 128
    ("cumprod", "e", "3"),  # summed in float32, so that nothing overflows on the way
    ("nancumprod", "e", "3"),
    ("sort", "efd", "s"),  # zeros of both signs are equal, and stay in their order
    ("nanmedian", "efd", "s"),
    ("unwrap", INTEGERS, "s3"),  # differences of integers do not wrap around
    ("histogram", "FD", "s3"),  # complex numbers have no order; NumPy warns
    ("histogram_bin_edges", "FD", "s3"),
    ("roots", "?bhiqBHIQefdFD", "s"),  # always complex; NaN where NumPy raises
    ("poly", "efdFD", "s"),  # NaN stays NaN
    ("i0", "efd", "s"),  # infinite at infinity, where NumPy has NaN
    ("clip", "efd", "s"),  # zeros of both signs are equal
    ("apply_along_axis", DTYPES, "E"),  # nothing to apply to is no error
    ("apply_over_axes", DTYPES, "0"),  # a rank of 0 has no axis 0, nor -1
    ("repeat", DTYPES, "0"),
    ("take", DTYPES, "0"),
    ("isscalar", DTYPES, "0"),  # arrays of rank 0 stand for NumPy's scalars too
    ("histogram2d", "efFD", "E"),  # the edges of nothing have the dtype of the elements
    ("gradient", DTYPES, "E"),
    ("polyval", DTYPES, "E"),  # no coefficients
    ("polyfit", DTYPES, "0"),  # NaN where NumPy raises
]
# Python scalars are weak in every function; in these NumPy makes arrays of them first.
STRONG_SCALARS = {"outer", "kron", "inner", "dot", "vdot", "append"}


def special(code: str) -> np.ndarray[Any, Any]:
    d = np.dtype(code)
    if d.kind == "b":
        return np.array([True, False, True])
    if d.kind == "u":
        most = np.iinfo(d).max
        return np.array([0, 1, 2, 7, most, most - 1], d)
    if d.kind == "i":
        return np.array([0, 1, -1, 3, -7, np.iinfo(d).max, np.iinfo(d).min], d)
    r = np.array([0.0, -0.0, 1, -1, 0.5, -2.5, 3, np.inf, -np.inf, np.nan])
    if d.kind == "f":
        return r.astype(d)
    return np.concatenate([r + 0j, 1j * r[:7], (r + 1j)[:7], (1 - 2j) * r[2:7]]).astype(d)


def cases(code: str) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    values = special(code)
    yield "s", values
    yield "0", values[2:3].reshape(())
    yield "E", np.zeros((2, 0, 3), code)
    x = np.abs(BASE) if code in "BHIQ" else BASE
    yield "3", (x + 1j * x[::-1] if code in "FD" else x).astype(code)


def difference(ours: Any, theirs: Any) -> str:
    if isinstance(theirs, (tuple, list)):
        if len(ours) != len(theirs):
            return f"{len(ours)} results, NumPy has {len(theirs)}"
        return "".join(difference(a, b) for a, b in zip(ours, theirs, strict=True))
    w, g = np.asarray(theirs), np.asarray(ours)
    if g.dtype != w.dtype:
        return f"dtype {g.dtype}, NumPy has {w.dtype}"
    if g.shape != w.shape:
        return f"shape {g.shape}, NumPy has {w.shape}"
    if w.dtype.kind not in "fc":
        return "" if (g == w).all() else f"{g}, NumPy has {w}"
    near = 8 * np.finfo(w.dtype).eps
    if not np.allclose(g, w, rtol=near, atol=near, equal_nan=True):
        return f"{g}, NumPy has {w}"
    zero = w == 0
    if w.dtype.kind == "f" and (np.signbit(g)[zero] != np.signbit(w)[zero]).any():
        return f"signs of zeros in {g}, NumPy has {w}"
    return ""


def compare(name: str, *args: Any, **how: Any) -> str:
    refused: Any = None
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            theirs = getattr(np, name)(*args, **how)
        except (TypeError, ValueError, IndexError, OverflowError, np.linalg.LinAlgError) as error:
            refused = error
        try:
            ours = getattr(tnp, name)(*args, **how)
        except (TracejitError, TypeError, ValueError, OverflowError) as error:
            return "" if refused is not None else f"raises {error!r}"
        return difference(ours, theirs) if refused is None else f"gives {ours!r}; NumPy: {refused}"


def is_different(name: str, code: str, case: str) -> bool:
    return any(name == n and code in codes and case in which for n, codes, which in DIFFERENT)


@pytest.mark.parametrize("name", ONE)
def test_of_one_array(name: str) -> None:
    how = {"kind": "stable"} if name == "argsort" else {}
    found = {
        (code, case): compare(name, x, **how)
        for code in DTYPES
        for case, x in cases(code)
        if not is_different(name, code, case)
    }
    assert not {k: v for k, v in found.items() if v}


@pytest.mark.parametrize("name", TWO)
def test_of_two_arrays(name: str) -> None:
    found = {}
    for code in DTYPES:
        for case, x in cases(code):
            found[code, case] = compare(name, x, x[::-1] if x.ndim else x)
            if name not in STRONG_SCALARS:
                found[code, case, "int"] = compare(name, x, 2)
                if code in "efdFD":
                    found[code, case, "float"] = compare(name, x, 1.5)
        for other in ("f", "h"):
            found[code, other] = compare(name, special(code)[:3], np.array([1, 2, 3], other))
    assert not {k: v for k, v in found.items() if v}


# --------------------------------------------------------------------- calls with more than arrays


def flat(x: Any) -> Any:
    return x.reshape(-1)


def square(x: Any) -> Any:
    return x.reshape(-1)[:4].reshape(2, 2) if x.size > 3 else x.reshape(-1, 1)


# Of NumPy or ours, and an array: what is compared.
CALLS: dict[str, Any] = {
    "apply_along_axis": lambda n, x: n.apply_along_axis(lambda v: v[::-1], -1, x),
    "apply_over_axes": lambda n, x: n.apply_over_axes(n.any, x, [0]),
    "argpartition": lambda n, x: n.take_along_axis(x, n.argpartition(x, 0), -1)[..., :1],
    "array": lambda n, x: (n.array(x, ndmin=2), n.array(x, n.complex128)),
    "array_split": lambda n, x: n.array_split(x, 2, -1),
    "asarray_chkfinite": lambda n, x: n.asarray_chkfinite(x),
    "astype": lambda n, x: (n.astype(x, n.complex64), n.astype(x, n.bool_)),
    "bincount": lambda n, x: n.bincount(flat(x) % 5),
    "block": lambda n, x: n.block([[x, x], [x, x]]),
    "broadcast_arrays": lambda n, x: tuple(n.broadcast_arrays(x, 1)),
    "broadcast_shapes": lambda n, x: n.broadcast_shapes(x.shape, (1, 1)),
    "broadcast_to": lambda n, x: (n.broadcast_to(x, (2, *x.shape)), n.broadcast_to(x, (1,))),
    "can_cast": lambda n, x: (n.can_cast(x.dtype, "f4"), n.can_cast("i4", x.dtype)),
    "choose": lambda n, x: n.choose(np.zeros(x.shape, int), [x, 0]),
    "clip": lambda n, x: (n.clip(x, 0, 1), n.clip(x, None, 1), n.clip(x, 1, 0)),
    "column_stack": lambda n, x: n.column_stack([x, x]),
    "common_type": lambda n, x: n.common_type(x),
    "compress": lambda n, x: (n.compress([False, True], x, -1), n.compress([True], x)),
    "concat": lambda n, x: n.concat([x, x]),
    "concatenate": lambda n, x: (n.concatenate([x, x], -1), n.concatenate([x, x], None)),
    "convolve": lambda n, x: n.convolve(flat(x), [1, 2]),
    "corrcoef": lambda n, x: n.corrcoef(x),
    "correlate": lambda n, x: n.correlate(flat(x), [1, 2], "full"),
    "cov": lambda n, x: n.cov(x),
    "cross": lambda n, x: n.cross(x[..., :3], x[..., -3:]),
    "delete": lambda n, x: (n.delete(x, 0, -1), n.delete(x, [0, 1])),
    "diag_indices_from": lambda n, x: n.diag_indices_from(square(x)),
    "diagflat": lambda n, x: n.diagflat(x, 1),
    "diagonal": lambda n, x: (n.diagonal(x), n.diagonal(x, 5), n.diagonal(x, -1, -1, 0)),
    "digitize": lambda n, x: n.digitize(x, [0, 1]),
    "dsplit": lambda n, x: n.dsplit(x, 1),
    "dstack": lambda n, x: n.dstack([x, x]),
    "einsum": lambda n, x: (n.einsum("...->...", x), n.einsum("i...->...", x)),
    "einsum_path": lambda n, x: n.einsum_path("i...,i...", x, x)[0],
    "empty_like": lambda n, x: n.empty_like(x).shape,
    "expand_dims": lambda n, x: (n.expand_dims(x, -1), n.expand_dims(x, (0, -1))),
    "extract": lambda n, x: n.extract(x == x, x),
    "fill_diagonal": lambda n, x: filled_diagonal(n, square(x)),
    "fliplr": lambda n, x: n.fliplr(x),
    "flipud": lambda n, x: n.flipud(x),
    "frombuffer": lambda n, x: n.frombuffer(np.asarray(x).tobytes(), x.dtype),
    "fromiter": lambda n, x: n.fromiter(flat(x).tolist(), x.dtype),
    "full": lambda n, x: n.full((2, *x.shape), x),
    "full_like": lambda n, x: (n.full_like(x, 1), n.full_like(x, x)),
    "geomspace": lambda n, x: n.geomspace(1, 1 + n.isfinite(x), 3),
    "gradient": lambda n, x: n.gradient(x),
    "histogram2d": lambda n, x: n.histogram2d(flat(x), flat(x), 2),
    "histogramdd": lambda n, x: n.histogramdd(flat(x), 2)[0],
    "hsplit": lambda n, x: n.hsplit(x, 1),
    "hstack": lambda n, x: n.hstack([x, x]),
    "insert": lambda n, x: (n.insert(x, 0, 1, -1), n.insert(x, [0, 1], 1), n.insert(x, 0, x[:1], 0)),
    "interp": lambda n, x: (n.interp(x, [0, 1], [2, 3]), n.interp(x, [0, 1], [2, 3], period=2)),
    "isscalar": lambda n, x: n.isscalar(x),
    "iterable": lambda n, x: n.iterable(x),
    "ix_": lambda n, x: n.ix_(flat(x).astype(int), flat(x) == flat(x)),
    "lexsort": lambda n, x: n.lexsort((x, x[::-1])),
    "linspace": lambda n, x: (n.linspace(x, 1, 3), n.linspace(0, x, 2, False, axis=-1)),
    "logspace": lambda n, x: n.logspace(0, n.isfinite(x), 3, base=2),
    "matmul": lambda n, x: n.matmul(x, n.swapaxes(x, 0, -1)),
    "matvec": lambda n, x: n.matvec(x, x[0, 0]),
    "meshgrid": lambda n, x: tuple(n.meshgrid(x, [1, 2])),
    "moveaxis": lambda n, x: n.moveaxis(x, 0, -1),
    "nanpercentile": lambda n, x: n.nanpercentile(x, 30, method="nearest"),
    "nanquantile": lambda n, x: n.nanquantile(x, 0.3, method="lower"),
    "pad": lambda n, x: tuple(n.pad(x, 1, m) for m in ("constant", "edge", "reflect", "wrap")),
    "partition": lambda n, x: n.partition(x, 0)[..., :1],
    "percentile": lambda n, x: n.percentile(x, 30, -1, method="nearest"),
    "piecewise": lambda n, x: n.piecewise(x, [x == x], [1, 0]),
    "polyadd": lambda n, x: n.polyadd(flat(x), [1]),
    "polyder": lambda n, x: n.polyder(flat(x)),
    "polyfit": lambda n, x: n.polyfit(np.arange(flat(x).size), n.isfinite(flat(x)), 1).shape,
    "polyint": lambda n, x: n.polyint(flat(x)),
    "polysub": lambda n, x: n.polysub(flat(x), [1]),
    "polyval": lambda n, x: (n.polyval([1, 2], x), n.polyval(flat(x), np.array(2))),
    "put_along_axis": lambda n, x: n.take_along_axis(x, np.zeros((1,) * x.ndim, int), -1),
    "quantile": lambda n, x: n.quantile(x, 0.3, method="higher"),
    "repeat": lambda n, x: (n.repeat(x, 2), n.repeat(x, 2, -1)),
    "require": lambda n, x: n.require(x, n.complex128),
    "reshape": lambda n, x: (n.reshape(x, -1), n.reshape(x, (1, *x.shape), order="F")),
    "resize": lambda n, x: n.resize(x, (3, 2)),
    "result_type": lambda n, x: (n.result_type(x, 1.0), n.result_type(x, n.int16)),
    "roll": lambda n, x: (n.roll(x, 1), n.roll(x, (1, -1), (0, -1))),
    "rollaxis": lambda n, x: n.rollaxis(x, -1),
    "rot90": lambda n, x: (n.rot90(x), n.rot90(x, -1)),
    "searchsorted": lambda n, x: n.searchsorted(n.sort(flat(x)), flat(x), "right"),
    "select": lambda n, x: n.select([x == x], [x], 0),
    "split": lambda n, x: n.split(x, 1, -1),
    "stack": lambda n, x: n.stack([x, x], -1),
    "swapaxes": lambda n, x: n.swapaxes(x, 0, -1),
    "take": lambda n, x: (n.take(x, [0, -1]), n.take(x, 0, -1)),
    "take_along_axis": lambda n, x: n.take_along_axis(x, np.zeros((1,) * x.ndim, int), -1),
    "tensordot": lambda n, x: n.tensordot(x[:1], x[:1], 0),
    "tile": lambda n, x: (n.tile(x, 2), n.tile(x, (2, 1, 1, 1))),
    "trace": lambda n, x: n.trace(x),
    "tril_indices_from": lambda n, x: n.tril_indices_from(square(x)),
    "triu_indices_from": lambda n, x: n.triu_indices_from(square(x), 1),
    "unique_values": lambda n, x: n.sort(n.unique_values(x)),
    "unstack": lambda n, x: n.unstack(x),
    "vander": lambda n, x: n.vander(flat(x), 2),
    "vecdot": lambda n, x: n.vecdot(x, x),
    "vecmat": lambda n, x: n.vecmat(x[:, :, 0], n.swapaxes(x, 1, 2)[:, :1].swapaxes(1, 2)),
    "vsplit": lambda n, x: n.vsplit(x, 1),
    "vstack": lambda n, x: n.vstack([x, x]),
    "where": lambda n, x: (n.where(x == x, x, 1), n.where(x)),
}
# Of shapes, numbers, text or files, or in place: each in another test of this folder.
NOT_OF_ARRAYS = set(
    """__array_namespace_info__ arange array2string array_repr array_str bartlett base_repr binary_repr
    blackman diag_indices empty eye finfo format_float_positional format_float_scientific from_dlpack
    fromfile fromfunction frompyfunc fromregex fromstring genfromtxt get_printoptions hamming hanning
    identity iinfo indices isdtype issubdtype kaiser load loadtxt mask_indices mintypecode
    ndenumerate ones place polydiv polymul printoptions promote_types put putmask ravel_multi_index
    save savetxt savez savez_compressed set_printoptions tri tril_indices triu_indices typename
    unravel_index vectorize zeros""".split()
)


def filled_diagonal(n: Any, x: Any) -> Any:
    if n is tnp:
        return tnp.fill_diagonal(x, 1, inplace=False)
    out = x.copy()
    np.fill_diagonal(out, 1)
    return out


def outcome(call: Any, n: Any, x: Any) -> Any:
    try:
        return call(n, x)
    except (TracejitError, TypeError, ValueError, IndexError, OverflowError, KeyError) as error:
        return error


@pytest.mark.parametrize("name", CALLS)
def test_of_more_than_arrays(name: str) -> None:
    found, compared = {}, 0
    for code in DTYPES:
        for case, x in cases(code):
            if is_different(name, code, case):
                continue
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = outcome(CALLS[name], np, x)
                ours = outcome(CALLS[name], tnp, tnp.asarray(x))
            if isinstance(theirs, Exception):
                found[code, case] = "" if isinstance(ours, Exception) else f"NumPy: {theirs!r}"
            elif isinstance(ours, Exception):
                found[code, case] = f"raises {ours!r}"
            else:
                found[code, case] = difference(ours, theirs)
                compared += 1
    assert not {k: v for k, v in found.items() if v}
    assert compared >= 5  # or the call is wrong


def test_every_function_of_arrays_is_in_a_table() -> None:
    callables = {n for n in tnp.__all__ if callable(getattr(tnp, n))}
    classes = {n for n in callables if isinstance(getattr(tnp, n), type)}
    dtypes = {n for n in callables if hasattr(getattr(tnp, n), "dtype")}
    assert callables - classes - dtypes - set(ONE) - set(TWO) - set(CALLS) == NOT_OF_ARRAYS
