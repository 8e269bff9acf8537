"""Discrete Fourier transforms along any axes.

Staged, a backend answers them as it can: on the CPU by code of its own.  Eager ones run in
pocketfft, those on a GPU in cuFFT.

Every transform is linear.  Cotangents pair without conjugation (see
:mod:`tracejit.ops.complex_numbers`), so the matrix of a complex transform is its own transpose.
A transform between real and halved complex arrays has one of the other kind as its transpose, at
the same cost: with the weights m, 2 where an element of the half stands for its mirror image too
and 1 where it is its own::

    rfft^T(c)  = irfft(conj(c) / m)        irfft^T(y) = m conj(rfft(y))

each with its scale left as it is, which is to exchange the norms ``backward`` and ``forward``.

References
----------
M. Reinecke, pocketfft, https://gitlab.mpcdf.mpg.de/mtr/pocketfft.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.primitive import Primitive, define
from tracejit.core.settings import current_settings
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import complex_of, is_complex, is_float, real_of
from tracejit.ops.arithmetic import mul
from tracejit.ops.complex_numbers import conj, real
from tracejit.ops.constant import iota, scalar_like
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import eq, select
from tracejit.ops.shape import broadcast_in_dim

__all__ = ["KINDS", "fft", "swapped_norm"]

KINDS = ("FFT", "IFFT", "RFFT", "IRFFT")
NORMS = {"backward": "forward", "ortho": "ortho", "forward": "backward"}
"""What scales a transform, and what the opposite transform by the same factor."""

SMALLEST_SHARED = 1 << 15
"""Elements from which a transform is worth threads."""

Axes = tuple[int, ...]


def swapped_norm(norm: str) -> str:
    """Return the norm by which the opposite transform scales as this one does.

    Raises
    ------
    ShapeError
        If it is none of ``backward``, ``ortho`` and ``forward``.
    """
    if norm not in NORMS:
        raise ShapeError(f'fft: norm must be "backward", "ortho" or "forward"; got {norm!r}')
    return NORMS[norm]


def fft(
    x: Any, kind: str, lengths: Sequence[int], axes: Sequence[int], norm: str = "backward"
) -> Any:
    """Transform along some axes.

    Parameters
    ----------
    x : Array, any shape
        The operand: complex64 or complex128, and real instead for ``FFT`` and ``IFFT``, where the
        result is complex all the same; float32 or float64 for ``RFFT``.
    kind : str
        ``FFT``, ``IFFT``, ``RFFT`` (of a real array, the half of the result from which the rest
        follows) or ``IRFFT`` (its inverse).
    lengths : sequence of int
        Of the transform along each of the axes; for ``IRFFT`` the last is that of the result.
    axes : sequence of int, distinct
        In the order of `lengths`; the last is the halved one.
    norm : str, optional
        What is divided by the number of elements: ``backward`` the inverse, ``forward`` the
        other, ``ortho`` both by its root.

    Returns
    -------
    Array, the shape of `x` except along the halved axis
        The transform, in the precision of `x`.

    Raises
    ------
    ShapeError
        If lengths, axes and the shape do not fit, or a length is 0.
    DTypeError
        If the dtype does not fit the kind.
    """
    params = {"kind": kind, "lengths": tuple(lengths), "axes": tuple(axes), "norm": norm}
    return fft_p.bind(x, **params)


def _fft_shape(x: ShapedArray, *, kind: str, lengths: Axes, axes: Axes, norm: str) -> ShapedArray:
    if kind not in KINDS:
        raise ShapeError(f"fft: the kind must be one of {', '.join(KINDS)}; got {kind!r}")
    swapped_norm(norm)
    if len(axes) != len(lengths) or len(set(axes)) != len(axes) or not axes:
        raise ShapeError(
            f"fft: distinct axes, at least one, and a length for each; got axes {axes} and "
            f"lengths {lengths}"
        )
    if not all(0 <= a < x.ndim for a in axes):
        raise ShapeError(f"fft: the axes must be within rank {x.ndim}; got {axes}")
    if any(n < 1 for n in lengths):
        raise ShapeError(
            f"fft: a transform needs at least one point along each axis; got {lengths}"
        )
    wanted = {"RFFT": "float32 or float64", "IRFFT": "complex64 or complex128"}.get(
        kind, "float32, float64, complex64 or complex128"
    )
    wide_float = is_float(x.dtype) and x.dtype.itemsize > 2
    if not ((wide_float and kind != "IRFFT") or (is_complex(x.dtype) and kind != "RFFT")):
        raise DTypeError(f"fft: {kind} takes {wanted}; got {x.dtype}")
    half = lengths[-1] // 2 + 1
    needed = (*lengths[:-1], half if kind == "IRFFT" else lengths[-1])
    got = tuple(x.shape[a] for a in axes)
    if got != needed:
        raise ShapeError(f"fft: {kind} of lengths {lengths} needs {needed} along {axes}; got {got}")
    if kind == "IRFFT":
        return ShapedArray(_put(x.shape, axes[-1], lengths[-1]), real_of(x.dtype))
    shape = _put(x.shape, axes[-1], half) if kind == "RFFT" else x.shape
    return ShapedArray(shape, x.dtype if is_complex(x.dtype) else complex_of(x.dtype))


def _put(shape: Axes, axis: int, length: int) -> Axes:
    return (*shape[:axis], length, *shape[axis + 1 :])


def _fft_impl(xp: Any, x: Any, *, kind: str, lengths: Axes, axes: Axes, norm: str) -> Any:
    aval = ShapedArray(x.shape, x.dtype)
    out = _fft_shape(aval, kind=kind, lengths=lengths, axes=axes, norm=norm)
    if not math.prod(out.shape):
        return xp.zeros(out.shape, out.dtype)
    transform = f"{kind.lower()}n"
    if xp.__name__ != "numpy":
        found = getattr(xp.fft, transform)(x, s=lengths, axes=axes, norm=norm)
    else:
        # Imported when the first transform runs: it takes longer than all of tracejit.
        library = importlib.import_module("scipy.fft")
        shared = x.size >= SMALLEST_SHARED and x.ndim > 1
        workers = current_settings().num_threads if shared else 1
        found = getattr(library, transform)(x, s=lengths, axes=axes, norm=norm, workers=workers)
    return found.astype(out.dtype, copy=False)


def _fft_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    return fft_p.bind(*primals, **params), fft_p.bind(*tangents, **params)


def _weights(ct: Any, axis: int, length: int, mirrored: float) -> Any:
    """Return, in the shape and dtype of `ct`, `mirrored` where an element stands for two."""
    aval = get_aval(ct)
    dtype = real_of(aval.dtype)
    k = iota((aval.shape[axis],), 0, "int64")
    one, two = dtype.type(1), dtype.type(mirrored)
    weights = select(eq(k, scalar_like(k, 0)), one, two)
    if length % 2 == 0:
        weights = select(eq(k, scalar_like(k, length // 2)), one, weights)
    return broadcast_in_dim(convert_element_type(weights, aval.dtype), aval.shape, (axis,))


def _fft_transpose(
    ct: Any, x: Any, *, kind: str, lengths: Axes, axes: Axes, norm: str
) -> tuple[Any]:
    if kind == "RFFT":
        halves = mul(conj(ct), _weights(ct, axes[-1], lengths[-1], 0.5))
        return (fft(halves, "IRFFT", lengths, axes, swapped_norm(norm)),)
    if kind == "IRFFT":
        out = conj(fft(ct, "RFFT", lengths, axes, swapped_norm(norm)))
        return (mul(out, _weights(out, axes[-1], lengths[-1], 2.0)),)
    out = fft(ct, kind, lengths, axes, norm)
    return (out if is_complex(x.aval.dtype) else real(out),)


def _fft_batch(
    operands: Sequence[Any], batched: Sequence[int | None], *, axes: Axes, **params: Any
) -> tuple[Any, int]:
    (x,), (b,) = operands, batched
    assert b is not None
    return fft_p.bind(x, axes=tuple(a + (a >= b) for a in axes), **params), b


fft_p: Primitive = define(
    "fft",
    impl=_fft_impl,
    shape=_fft_shape,
    jvp=_fft_jvp,
    transpose=_fft_transpose,
    batch=_fft_batch,
    lower="run by the library of transforms through the counted callback",
)
