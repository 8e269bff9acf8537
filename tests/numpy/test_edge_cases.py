# ruff: noqa: E501, SIM905  (names are listed in lines)
"""The shared edge cases for every function of one or two arrays, in every dtype, against NumPy.

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
