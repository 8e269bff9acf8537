"""Windows of arrays: slices, padding, joining, reversing.

``roll`` is no primitive: it is a concatenation of two slices, whose pieces the compiler turns into
branch-free boxes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ops._pointwise import jvp_linear, move_axis
from tracejit.ops.arithmetic import sub
from tracejit.ops.logical import select
from tracejit.ops.shape import broadcast_in_dim, reduce_sum, zeros_like_aval

__all__ = [
    "concatenate",
    "flip",
    "pad",
    "roll_axis",
    "slice_",
]

Index = tuple[Any, ...]
Loader = Callable[[Index], Any]
PadConfig = tuple[tuple[int, int, int], ...]


# ----------------------------------------------------------------------------------- slice


def slice_(
    x: Any, starts: Sequence[int], limits: Sequence[int], strides: Sequence[int] | None = None
) -> Any:
    """Take a window with fixed bounds.

    Parameters
    ----------
    x : Array, shape (d[0], ..., d[n-1]), any dtype
        The operand.
    starts, limits : sequence of int, length n
        Element ``i`` of axis ``a`` is element ``starts[a] + i * strides[a]``, below ``limits[a]``.
    strides : sequence of int, length n, optional
        At least 1; 1 by default.

    Returns
    -------
    Array, shape (ceil((limits[a] - starts[a]) / strides[a]), ...), dtype of `x`

    Raises
    ------
    ShapeError
        If a window does not lie within its axis.
    """
    shape = get_aval(x).shape
    starts, limits = tuple(starts), tuple(limits)
    strides = (1,) * len(shape) if strides is None else tuple(strides)
    if starts == (0,) * len(shape) and limits == shape and strides == (1,) * len(shape):
        return x
    return slice_p.bind(x, starts=starts, limits=limits, strides=strides)


def _slice_shape(
    x: ShapedArray, *, starts: tuple[int, ...], limits: tuple[int, ...], strides: tuple[int, ...]
) -> ShapedArray:
    if not len(starts) == len(limits) == len(strides) == x.ndim:
        raise ShapeError(
            f"slice: one start, limit and stride for each axis of shape {x.shape}; "
            f"got starts {starts}, limits {limits}, strides {strides}"
        )
    for d, a, b, step in zip(x.shape, starts, limits, strides, strict=True):
        if not (0 <= a <= b <= d and step >= 1):
            raise ShapeError(
                f"slice: 0 <= start <= limit <= length and stride >= 1 on each axis of shape "
                f"{x.shape}; got starts {starts}, limits {limits}, strides {strides}"
            )
    return x.update(
        shape=tuple(-((a - b) // s) for a, b, s in zip(starts, limits, strides, strict=True))
    )


def _slice_impl(
    xp: Any, x: Any, *, starts: tuple[int, ...], limits: tuple[int, ...], strides: tuple[int, ...]
) -> Any:
    del xp
    return x[tuple(slice(a, b, s) for a, b, s in zip(starts, limits, strides, strict=True))]


def _slice_transpose(
    ct: Any, x: Any, *, starts: tuple[int, ...], limits: tuple[int, ...], strides: tuple[int, ...]
) -> tuple[Any]:
    del limits
    config = []
    for d, n, a, s in zip(x.aval.shape, get_aval(ct).shape, starts, strides, strict=True):
        covered = (n - 1) * s + 1 if n else 0
        config.append((a, d - a - covered, s - 1 if n else 0))
    return (pad(ct, np.zeros((), x.aval.dtype)[()], config),)


def _slice_batch(
    operands: Sequence[Any],
    axes: Sequence[int],
    *,
    starts: tuple[int, ...],
    limits: tuple[int, ...],
    strides: tuple[int, ...],
) -> tuple[Any, int]:
    (x,), (b,) = operands, axes
    lanes = get_aval(x).shape[b]
    return slice_(
        x,
        (*starts[:b], 0, *starts[b:]),
        (*limits[:b], lanes, *limits[b:]),
        (*strides[:b], 1, *strides[b:]),
    ), b


def _slice_lower(
    k: Any,
    x: Loader,
    *,
    starts: tuple[int, ...],
    limits: tuple[int, ...],
    strides: tuple[int, ...],
) -> Loader:
    del limits
    return lambda index: x(
        tuple(
            [
                k.add_index(k.scale_index(i, s), a)
                for i, a, s in zip(index, starts, strides, strict=True)
            ]
        )
    )


slice_p: Primitive = define(
    "slice",
    impl=_slice_impl,
    shape=_slice_shape,
    jvp=jvp_linear(lambda: slice_p),
    transpose=_slice_transpose,
    batch=_slice_batch,
    lower=_slice_lower,
)


# ------------------------------------------------------------------------------------- pad


def pad(x: Any, value: Any, config: Sequence[tuple[int, int, int]]) -> Any:
    """Surround an array with a value, and put it between elements.

    Parameters
    ----------
    x : Array, shape (d[0], ..., d[n-1]), any dtype
        The operand.
    value : Array, shape (), dtype of `x`
        What is put in.
    config : sequence of (low, high, interior), length n
        For each axis, how many are put before and after (negative: that many are taken off) and
        between neighbours.

    Returns
    -------
    Array, shape (low + max(d + (d - 1) * interior, 0) + high, ...), dtype of `x`

    Raises
    ------
    ShapeError
        If the config does not fit the rank, an interior is negative, or a length would be.
    """
    config = tuple((int(a), int(b), int(c)) for a, b, c in config)
    if all(c == (0, 0, 0) for c in config) and len(config) == get_aval(x).ndim:
        return x
    return pad_p.bind(x, value, config=config)


def _pad_length(d: int, low: int, high: int, interior: int) -> int:
    return low + high + (d + (d - 1) * interior if d else 0)


def _pad_shape(x: ShapedArray, value: ShapedArray, *, config: PadConfig) -> ShapedArray:
    if value.shape != () or value.dtype != x.dtype:
        raise ShapeError(f"pad: the value must be a scalar of dtype {x.dtype}; got {value!r}")
    lengths = [_pad_length(d, *c) for d, c in zip(x.shape, config, strict=False)]
    if len(config) != x.ndim or any(c[2] < 0 for c in config) or any(n < 0 for n in lengths):
        raise ShapeError(
            f"pad: (low, high, interior >= 0) for each axis of shape {x.shape}, leaving lengths "
            f">= 0; got {config}"
        )
    return x.update(shape=tuple(lengths))


def _pad_impl(xp: Any, x: Any, value: Any, *, config: PadConfig) -> Any:
    shape = tuple(_pad_length(d, *c) for d, c in zip(x.shape, config, strict=True))
    out = xp.full(shape, value, x.dtype)
    source, target = [], []
    for d, n, (low, _, interior) in zip(x.shape, shape, config, strict=True):
        step = interior + 1
        first = max(0, -(low // step)) if low < 0 else 0  # the first element at a place >= 0
        last = min(d, (n - low + step - 1) // step)
        count = max(0, last - first)
        source.append(slice(first, first + count))
        at = low + first * step
        target.append(slice(at, at + count * step, step) if count else slice(0, 0))
    out[tuple(target)] = x[tuple(source)]
    return out


def _pad_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, config: PadConfig
) -> tuple[Any, Any]:
    x, value = primals
    t, tv = tangents
    out = pad(x, value, config)
    t = zeros_like_aval(get_aval(x)) if isinstance(t, Zero) else t
    tv = zeros_like_aval(get_aval(value)) if isinstance(tv, Zero) else tv
    return out, pad(t, tv, config)


def _pad_transpose(ct: Any, x: Any, value: Any, *, config: PadConfig) -> tuple[Any, Any]:
    unpad = [(-low, -high, 0) for low, high, _ in config]
    zero = np.zeros((), get_aval(ct).dtype)[()]
    inner = pad(ct, zero, unpad)
    shape = get_aval(inner).shape
    ct_x = slice_(inner, (0,) * len(shape), shape, [c[2] + 1 for c in config])
    ct_value = None
    if isinstance(value, Linear):
        axes = range(get_aval(ct).ndim)
        ct_value = sub(reduce_sum(ct, axes), reduce_sum(ct_x, axes))
    return (ct_x if isinstance(x, Linear) else None), ct_value


def _pad_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, config: PadConfig
) -> tuple[Any, int]:
    (x, value), (b, bv) = operands, axes
    if bv is None:
        assert b is not None
        return pad(x, value, (*config[:b], (0, 0, 0), *config[b:])), b
    lanes = get_aval(value).shape[0]
    if b is None:
        x = broadcast_in_dim(x, (lanes, *get_aval(x).shape), range(1, get_aval(x).ndim + 1))
    else:
        x = move_axis(x, b, 0)
    # A value for each lane: pad with zeros, and put the value where there is padding.
    config = ((0, 0, 0), *config)
    aval = get_aval(x)
    inside = pad(np.ones(aval.shape, bool), np.False_, config)
    zero = np.zeros((), aval.dtype)[()]
    padded = pad(x, zero, config)
    filling = broadcast_in_dim(value, get_aval(padded).shape, [0])
    return select(inside, padded, filling), 0


def _pad_lower(k: Any, x: Any, value: Loader, *, config: PadConfig) -> Loader:
    lengths = x.aval.shape

    def load(index: Index) -> Any:
        conditions, inner = [], []
        for i, d, (low, _, interior) in zip(index, lengths, config, strict=True):
            moved = k.add_index(i, -low)
            conditions.append((moved, 0, d + (d - 1) * interior if d else 0))
            inner.append(moved)

        def within() -> Any:
            at = [
                i if not c[2] else k.floordiv_index(i, c[2] + 1)
                for i, c in zip(inner, config, strict=True)
            ]
            if not any(c[2] for c in config):
                return x(tuple(at))
            on = [
                (k.mod_index(i, c[2] + 1), 0, 1)
                for i, c in zip(inner, config, strict=True)
                if c[2]
            ]
            return k.inside(on, lambda: x(tuple(at)), lambda: value(()))

        return k.inside(conditions, within, lambda: value(()))

    return load


pad_p: Primitive = define(
    "pad",
    impl=_pad_impl,
    shape=_pad_shape,
    jvp=_pad_jvp,
    transpose=_pad_transpose,
    batch=_pad_batch,
    lower=_pad_lower,
)


# ----------------------------------------------------------------------------- concatenate


def concatenate(operands: Sequence[Any], axis: int) -> Any:
    """Join arrays along an axis.

    Parameters
    ----------
    operands : sequence of Array, equal shapes but for `axis`, one dtype
        The pieces, in order; at least one.
    axis : int
        From 0 to rank - 1.

    Returns
    -------
    Array, the lengths along `axis` added, dtype of the operands

    Raises
    ------
    ShapeError
        If the shapes or the axis do not fit.
    """
    if len(operands) == 1:
        return operands[0]
    return concatenate_p.bind(*operands, axis=axis)


def _concatenate_shape(*xs: ShapedArray, axis: int) -> ShapedArray:
    shapes = [x.shape for x in xs]
    first = shapes[0]
    if not 0 <= axis < len(first):
        raise ShapeError(f"concatenate: axis must be within shape {first}; got {axis}")
    rest = {(*sh[:axis], *sh[axis + 1 :]) for sh in shapes}
    if len(rest) > 1 or any(len(sh) != len(first) for sh in shapes):
        raise ShapeError(
            f"concatenate: the shapes must be equal but for axis {axis}; got "
            f"{', '.join(map(str, shapes))}"
        )
    if len({x.dtype for x in xs}) > 1:
        raise DTypeError(
            f"concatenate: the operands must have one dtype; got {[str(x.dtype) for x in xs]}"
        )
    length = sum(sh[axis] for sh in shapes)
    return xs[0].update(shape=(*first[:axis], length, *first[axis + 1 :]))


def _concatenate_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, axis: int
) -> tuple[Any, Any]:
    tangents = [zeros_like_aval(t.aval) if isinstance(t, Zero) else t for t in tangents]
    return concatenate(primals, axis), concatenate(tangents, axis)


def _concatenate_transpose(ct: Any, *operands: Any, axis: int) -> tuple[Any, ...]:
    shape = get_aval(ct).shape
    out = []
    at = 0
    for x in operands:
        length = get_aval(x).shape[axis] if not isinstance(x, Linear) else x.aval.shape[axis]
        starts = [0] * len(shape)
        limits = list(shape)
        starts[axis], limits[axis] = at, at + length
        out.append(slice_(ct, starts, limits) if isinstance(x, Linear) else None)
        at += length
    return tuple(out)


def _concatenate_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, axis: int
) -> tuple[Any, int]:
    lanes = next(
        get_aval(x).shape[b] for x, b in zip(operands, axes, strict=True) if b is not None
    )
    moved = []
    for x, b in zip(operands, axes, strict=True):
        aval = get_aval(x)
        if b is None:
            x = broadcast_in_dim(x, (lanes, *aval.shape), range(1, aval.ndim + 1))
        else:
            x = move_axis(x, b, 0)
        moved.append(x)
    return concatenate(moved, axis + 1), 0


def _concatenate_lower(k: Any, *xs: Any, axis: int) -> Loader:
    ends = list(itertools.accumulate(x.aval.shape[axis] for x in xs))

    def load(index: Index) -> Any:
        i = index[axis]

        def piece(n: int) -> Any:
            first = ends[n] - xs[n].aval.shape[axis]

            def here() -> Any:
                return xs[n]((*index[:axis], k.add_index(i, -first), *index[axis + 1 :]))

            if n == len(xs) - 1:
                return here()
            return k.inside([(i, first, ends[n])], here, lambda: piece(n + 1))

        return piece(0)

    return load


concatenate_p: Primitive = define(
    "concatenate",
    impl=lambda xp, *xs, axis: xp.concatenate(xs, axis),
    shape=_concatenate_shape,
    jvp=_concatenate_jvp,
    transpose=_concatenate_transpose,
    batch=_concatenate_batch,
    lower=_concatenate_lower,
)


# ------------------------------------------------------------------------------------ flip


def flip(x: Any, axes: Sequence[int]) -> Any:
    """Reverse the order of elements along axes.

    Parameters
    ----------
    x : Array, any shape and dtype
        The operand.
    axes : sequence of int
        From 0 to rank - 1, each once.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.
    """
    axes = tuple(sorted(axes))
    return flip_p.bind(x, axes=axes) if axes else x


def _flip_shape(x: ShapedArray, *, axes: tuple[int, ...]) -> ShapedArray:
    if len(set(axes)) != len(axes) or not all(0 <= a < x.ndim for a in axes):
        raise ShapeError(f"flip: distinct axes within rank {x.ndim} of {x.shape}; got {axes}")
    return x.update()


def _flip_lower(k: Any, x: Any, *, axes: tuple[int, ...]) -> Loader:
    shape = x.aval.shape
    return lambda index: x(
        tuple(
            [
                k.add_index(k.scale_index(i, -1), shape[a] - 1) if a in axes else i
                for a, i in enumerate(index)
            ]
        )
    )


flip_p: Primitive = define(
    "flip",
    impl=lambda xp, x, *, axes: xp.flip(x, axes),
    shape=_flip_shape,
    jvp=jvp_linear(lambda: flip_p),
    transpose=lambda ct, x, *, axes: (flip(ct, axes),),
    batch=lambda xs, bs, *, axes: (flip(xs[0], [a + (a >= bs[0]) for a in axes]), bs[0]),
    lower=_flip_lower,
)


def roll_axis(x: Any, shift: int, axis: int) -> Any:
    """Shift the elements along one axis, those that fall off coming back at the other end.

    Parameters
    ----------
    x : Array, any shape and dtype
        The operand.
    shift : int
        How far, in either direction.
    axis : int
        From 0 to rank - 1.
    """
    shape = get_aval(x).shape
    length = shape[axis]
    shift = shift % length if length else 0
    if shift == 0:
        return x

    def window(start: int, limit: int) -> Any:
        starts, limits = [0] * len(shape), list(shape)
        starts[axis], limits[axis] = start, limit
        return slice_(x, starts, limits)

    return concatenate([window(length - shift, length), window(0, length - shift)], axis)
