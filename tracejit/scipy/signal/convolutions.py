"""Convolutions and correlations, directly or by Fourier transforms.

The direct method is a sum of shifted windows, written out over the weights so that it is one
kernel; with many weights a reduction of windows if their rows are short, else a loop over blocks of
weights.
"""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.control.loops import fori_loop
from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_complex, is_inexact
from tracejit.numpy import fft
from tracejit.numpy.padding import pad as pad_by
from tracejit.numpy.promotion import (
    arrays_of,
    cast,
    normal_axes,
    operand,
    promote_operands,
    stretch,
)
from tracejit.ops.arithmetic import add, mul, round_, sub
from tracejit.ops.complex_numbers import complex_, conj, imag, real
from tracejit.ops.constant import scalar_like
from tracejit.ops.convolution import sliding_windows
from tracejit.ops.shape import broadcast_in_dim, full, reduce_sum, reshape
from tracejit.ops.slicing import flip, pad, slice_
from tracejit.ops.windows import dynamic_slice

__all__ = ["convolve", "convolve2d", "correlate", "correlate2d", "fftconvolve"]

MOST_UNROLLED = 64
"""Weights up to which a direct convolution is one expression."""

SHORT_ROW = 16
"""Weights in a row of a window, below which more of them are reduced at once."""

BLOCK = 32
"""Weights that one trip of the loop applies, of more than these."""

TRANSFORM_COST = 250
"""Products that a direct convolution computes while transforms move one element."""

CALL_COST = 500_000
"""Products that it computes while the transforms are called."""

MODES = ("full", "same", "valid")
BOUNDARIES = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}
Shape = tuple[int, ...]


def _operands(name: str, in1: Any, in2: Any, mode: str, inexact: bool = False) -> list[Any]:
    if mode not in MODES:
        raise ShapeError(f"{name}: mode must be full, same or valid; got {mode!r}")
    both = [operand(in1), operand(in2)]
    x, k = arrays_of(promote_operands(both, inexact=inexact, bool_as=DTYPES["i64"]))
    if get_aval(x).ndim != get_aval(k).ndim:
        raise ShapeError(
            f"{name}: both operands of one rank; got shapes {get_aval(x).shape} and "
            f"{get_aval(k).shape}"
        )
    return [x, k]


def _output(name: str, x: Shape, k: Shape, mode: str, axes: Sequence[int]) -> tuple[Shape, Shape]:
    """Return where the result starts within the full convolution, and its shape."""
    pairs = zip(x, k, strict=True)
    starts = [0] * len(x)
    sizes = [
        n if a in axes else np.broadcast_shapes((n,), (m,))[0] for a, (n, m) in enumerate(pairs)
    ]
    if mode == "valid":
        larger = [x[a] >= k[a] for a in axes], [x[a] <= k[a] for a in axes]
        if not any(map(all, larger)):
            raise ShapeError(
                f"{name}: mode='valid' needs one operand at least as long as the other along "
                f"every axis; got shapes {x} and {k}"
            )
    for a in axes:
        whole = x[a] + k[a] - 1
        if mode == "full":
            sizes[a] = whole
        elif mode == "same":
            starts[a], sizes[a] = (k[a] - 1) // 2, x[a]
        else:
            starts[a] = min(x[a], k[a]) - 1
            sizes[a] = whole - 2 * starts[a]
    return tuple(starts), tuple(sizes)


# -------------------------------------------------------------------------------- directly


def _direct(x: Any, k: Any, starts: Shape, sizes: Shape) -> Any:
    """Return a part of the full convolution as sums of products."""
    aval = get_aval(x)
    if is_complex(aval.dtype):
        (xr, xi), (kr, ki) = (real(x), imag(x)), (real(k), imag(k))
        parts = [_direct(a, b, starts, sizes) for a, b in ((xr, kr), (xi, ki), (xr, ki), (xi, kr))]
        return complex_(sub(parts[0], parts[1]), add(parts[2], parts[3]))
    if not aval.size or not get_aval(k).size or not math.prod(sizes):
        return full(sizes, 0, aval.dtype)
    if get_aval(k).size > aval.size:
        x, k = k, x
    lengths, taps = get_aval(x).shape, get_aval(k).shape
    config = [
        (m - 1 - low, low + size - n, 0)
        for m, low, size, n in zip(taps, starts, sizes, lengths, strict=True)
    ]
    x, k = pad(x, scalar_like(x, 0), config), flip(k, range(len(taps)))
    if math.prod(taps) <= MOST_UNROLLED:
        return _unrolled(x, k, sizes, None)
    if len(taps) > 1 and taps[-1] < SHORT_ROW:
        axes = tuple(range(len(taps)))
        windows = sliding_windows(x, axes, taps)
        inner = tuple(range(len(taps), 2 * len(taps)))
        weights = broadcast_in_dim(k, get_aval(windows).shape, inner)
        return reduce_sum(mul(windows, weights), inner)
    return _looped(x, k, sizes)


def _unrolled(x: Any, k: Any, sizes: Shape, out: Any) -> Any:
    """Return `out` plus the sum of the windows of `x`, each times its weight."""
    for place in itertools.product(*map(range, get_aval(k).shape)):
        window = slice_(x, place, [p + n for p, n in zip(place, sizes, strict=True)])
        weight = reshape(slice_(k, place, [p + 1 for p in place]), ())
        term = mul(window, weight)
        out = term if out is None else add(out, term)
    return out


def _looped(x: Any, k: Any, sizes: Shape) -> Any:
    """Apply the weights in blocks of a row: neighbours along the last axis."""
    *leading, last = get_aval(k).shape
    out = full(sizes, 0, get_aval(x).dtype)
    # Rows of whole blocks, then what is left of each row.  No weights of 0 are made up, for they
    # would turn infinities into NaN.
    whole = last // BLOCK * BLOCK
    for first, width, blocks in ((0, BLOCK, whole // BLOCK), (whole, last - whole, 1)):
        if not width or not blocks:
            continue
        counts = [*leading, blocks]

        def body(i: Any, out: Any, first: int = first, width: int = width,
                 counts: list[int] = counts) -> Any:  # fmt: skip
            place: list[Any] = []
            for count in reversed(counts):
                place.insert(0, i % count)
                i = i // count
            place[-1] = place[-1] * width + first
            reach = [*sizes[:-1], sizes[-1] + width - 1]
            windows = dynamic_slice(x, place, reach)
            weights = dynamic_slice(k, place, [*(1 for _ in leading), width])
            return _unrolled(windows, weights, sizes, out)

        out = fori_loop(0, math.prod(counts), body, out)
    return out


# ------------------------------------------------------------------- by Fourier transforms


def _transformed(x: Any, k: Any, starts: Shape, sizes: Shape, axes: Sequence[int]) -> Any:
    xs, ks = get_aval(x).shape, get_aval(k).shape
    # A length of 1 only stretches.
    axes = [a for a in axes if xs[a] != 1 and ks[a] != 1]
    if not math.prod(xs) or not math.prod(ks):
        return full(sizes, 0, get_aval(x).dtype)
    if not axes:
        return _cut(mul(*_stretched(x, k)), starts, sizes)
    complex_valued = is_complex(get_aval(x).dtype)
    lengths = [_fast(xs[a] + ks[a] - 1, not complex_valued) for a in axes]
    if complex_valued:
        product = mul(*_stretched(*(fft.fftn(v, lengths, axes) for v in (x, k))))
        out = fft.ifftn(product, lengths, axes)
    else:
        product = mul(*_stretched(*(fft.rfftn(v, lengths, axes) for v in (x, k))))
        out = fft.irfftn(product, lengths, axes)
    return _cut(out, starts, sizes)


def _cut(x: Any, starts: Shape, sizes: Shape) -> Any:
    return slice_(x, starts, [a + n for a, n in zip(starts, sizes, strict=True)])


def _stretched(x: Any, k: Any) -> tuple[Any, Any]:
    shape = np.broadcast_shapes(get_aval(x).shape, get_aval(k).shape)
    x, k = (stretch(v, shape) for v in (x, k))
    return x, k


def _fast(length: int, real_valued: bool) -> int:
    library = importlib.import_module("scipy.fft")
    return int(library.next_fast_len(length, real_valued))


def _by_transforms_is_faster(x: Shape, k: Shape, sizes: Shape) -> bool:
    direct = math.prod(sizes) * min(math.prod(x), math.prod(k))
    moved = math.prod(n + m - 1 for n, m in zip(x, k, strict=True))
    return direct > TRANSFORM_COST * moved + CALL_COST


# ------------------------------------------------------------------------------- functions


def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    """As :func:`scipy.signal.fftconvolve`; integers are convolved in double precision."""
    x, k = _operands("fftconvolve", in1, in2, mode, inexact=True)
    where = normal_axes("fftconvolve", axes, get_aval(x).ndim)
    starts, sizes = _output("fftconvolve", get_aval(x).shape, get_aval(k).shape, mode, where)
    return _transformed(x, k, starts, sizes, where)


def convolve(
    in1: Any, in2: Any, mode: str = "full", method: str = "auto", precision: Any = None
) -> Any:
    """As :func:`scipy.signal.convolve`.

    Parameters
    ----------
    in1, in2 : Array, of one rank
        The operands.
    mode : str, optional
        ``full``; ``same``, its middle in the shape of `in1`; ``valid``, what needs no zeros.
    method : str, optional
        ``direct``, ``fft``, or what is estimated to be faster; ``auto`` does not transform
        integers.
    precision : optional
        Accepted for compatibility.

    Raises
    ------
    ShapeError
        If the ranks differ, or the mode or the method is not known.
    """
    del precision
    return _convolved("convolve", in1, in2, mode, method)


def _convolved(name: str, in1: Any, in2: Any, mode: str, method: str) -> Any:
    if method not in ("auto", "direct", "fft"):
        raise ShapeError(f"{name}: method must be auto, direct or fft; got {method!r}")
    x, k = _operands(name, in1, in2, mode)
    (xs, dtype), ks = (get_aval(x).shape, get_aval(x).dtype), get_aval(k).shape
    axes = range(len(xs))
    starts, sizes = _output(name, xs, ks, mode, axes)
    if method == "auto":
        faster = is_inexact(dtype) and _by_transforms_is_faster(xs, ks, sizes)
        method = "fft" if faster else "direct"
    if method == "direct":
        return _direct(x, k, starts, sizes)
    if is_inexact(dtype):
        return cast(_transformed(x, k, starts, sizes, axes), dtype)
    x, k = (cast(v, DTYPES["f64"]) for v in (x, k))
    return cast(round_(_transformed(x, k, starts, sizes, axes)), dtype)


def correlate(
    in1: Any, in2: Any, mode: str = "full", method: str = "auto", precision: Any = None
) -> Any:
    """As :func:`scipy.signal.correlate`: a convolution with `in2` reversed and conjugated.

    See :func:`convolve` for the arguments.
    """
    del precision
    return _convolved("correlate", in1, _reversed(in2), mode, method)


def _reversed(k: Any) -> Any:
    (k,) = arrays_of([operand(k)])
    return conj(flip(k, range(get_aval(k).ndim)))


def convolve2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0,
    precision: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.signal.convolve2d`: directly, with what `boundary` says outside `in1`.

    Parameters
    ----------
    in1, in2 : Array, of rank 2
        The operands.
    mode : str, optional
        As in :func:`convolve`.
    boundary : str, optional
        ``fill`` (with `fillvalue`), ``wrap`` or ``symm``.
    fillvalue : scalar, optional
        What is outside with ``fill``.
    precision : optional
        Accepted for compatibility.

    Raises
    ------
    ShapeError
        If the operands are not of rank 2, or the mode or the boundary is not known.
    """
    del precision
    return _in_plane("convolve2d", in1, in2, mode, boundary, fillvalue)


def correlate2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0,
    precision: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.signal.correlate2d`; see :func:`convolve2d` for the arguments."""
    del precision
    return _in_plane("correlate2d", in1, _reversed(in2), mode, boundary, fillvalue)


def _in_plane(name: str, in1: Any, in2: Any, mode: str, boundary: str, fillvalue: Any) -> Any:
    x, k = _operands(name, in1, in2, mode)
    xs, ks = get_aval(x).shape, get_aval(k).shape
    if len(xs) != 2:
        raise ShapeError(f"{name}: operands of rank 2; got shapes {xs} and {ks}")
    if boundary not in BOUNDARIES:
        raise ShapeError(f"{name}: boundary must be fill, wrap or symm; got {boundary!r}")
    starts, sizes = _output(name, xs, ks, mode, (0, 1))
    if mode == "same" and name == "correlate2d":
        starts = tuple(m // 2 for m in ks)  # of two middles the other, as in SciPy
    plain = boundary == "fill" and isinstance(fillvalue, (int, float)) and fillvalue == 0
    if mode == "valid" or plain:
        return _direct(x, k, starts, sizes)
    width = [
        (m - 1 - low, low + size - n) for m, low, size, n in zip(ks, starts, sizes, xs, strict=True)
    ]
    how: dict[str, Any] = {"constant_values": fillvalue} if boundary == "fill" else {}
    x = pad_by(x, width, BOUNDARIES[boundary], **how)
    return _direct(x, k, tuple(m - 1 for m in ks), sizes)
