"""Shape primitives: the same elements in other places, and the sum that transposes copying.

Every one is linear.  ``reduce_sum`` stands here, at the bottom of the ladder, because it is the
transpose of ``broadcast_in_dim``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import ShapeError
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_float

__all__ = [
    "broadcast_in_dim",
    "expand_dims",
    "full",
    "reduce_sum",
    "reshape",
    "squeeze",
    "transpose",
    "unbroadcast",
    "zeros_like_aval",
]

Index = tuple[Any, ...]
Loader = Callable[[Index], Any]


def _linear_jvp(primitive: Callable[[], Primitive]) -> Callable[..., Any]:
    def rule(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
        p = primitive()
        return p.bind(*primals, **params), p.bind(*tangents, **params)

    return rule


# ------------------------------------------------------------------------------- transpose


def transpose(x: Any, permutation: Sequence[int]) -> Any:
    """Permute the axes of an array.

    Axis ``i`` of the result is axis ``permutation[i]`` of `x`.

    Parameters
    ----------
    x : Array, shape (d[0], ..., d[n-1]), any dtype
        The operand.
    permutation : sequence of int, length n
        Each of ``0 .. n-1`` once.

    Returns
    -------
    Array, shape (d[permutation[0]], ..., d[permutation[n-1]]), dtype of `x`
        The permuted array.

    Raises
    ------
    ShapeError
        If `permutation` is not a permutation of the axes of `x`.

    See Also
    --------
    numpy.transpose : the same, with negative axes and a default.
    """
    permutation = tuple(permutation)
    if permutation == tuple(range(len(permutation))) == tuple(range(get_aval(x).ndim)):
        return x
    return transpose_p.bind(x, permutation=permutation)


def _inverse(permutation: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort(permutation))


def _transpose_shape(x: ShapedArray, *, permutation: tuple[int, ...]) -> ShapedArray:
    if sorted(permutation) != list(range(x.ndim)):
        raise ShapeError(
            f"transpose: permutation must name each axis of shape {x.shape} once; "
            f"got {permutation}"
        )
    return x.update(shape=tuple(x.shape[i] for i in permutation))


def _transpose_batch(
    operands: Sequence[Any], axes: Sequence[int], *, permutation: tuple[int, ...]
) -> tuple[Any, int]:
    (x,), (batch,) = operands, axes
    # The batch axis stays where it is; the others close round it.
    others = [axis + (axis >= batch) for axis in permutation]
    return transpose(x, [*others[:batch], batch, *others[batch:]]), batch


def _transpose_lower(k: Any, x: Loader, *, permutation: tuple[int, ...]) -> Loader:
    del k
    source = _inverse(permutation)
    return lambda index: x(tuple(index[i] for i in source))


transpose_p: Primitive = define(
    "transpose",
    impl=lambda xp, x, *, permutation: xp.transpose(x, permutation),
    shape=_transpose_shape,
    jvp=_linear_jvp(lambda: transpose_p),
    transpose=lambda ct, x, *, permutation: (transpose(ct, _inverse(permutation)),),
    batch=_transpose_batch,
    lower=_transpose_lower,
)


# ------------------------------------------------------------------------ broadcast_in_dim


def broadcast_in_dim(x: Any, shape: Sequence[int], axes: Sequence[int]) -> Any:
    """Copy an array along new or length-1 axes.

    Parameters
    ----------
    x : Array, shape (d[0], ..., d[n-1]), any dtype
        The operand.
    shape : sequence of int
        The shape of the result.
    axes : sequence of int, length n, increasing
        Axis ``i`` of `x` becomes axis ``axes[i]`` of the result; its length is 1 or the same.

    Returns
    -------
    Array, shape `shape`, dtype of `x`
        The copies.

    Raises
    ------
    ShapeError
        If the axes are not increasing or the lengths do not fit.
    """
    shape, axes = tuple(shape), tuple(axes)
    aval = get_aval(x)
    if aval.shape == shape and axes == tuple(range(aval.ndim)):
        return x
    return broadcast_in_dim_p.bind(x, shape=shape, axes=axes)


def _broadcast_shape(
    x: ShapedArray, *, shape: tuple[int, ...], axes: tuple[int, ...]
) -> ShapedArray:
    increasing = all(a < b for a, b in itertools.pairwise(axes))
    fits = (
        len(axes) == x.ndim
        and increasing
        and all(0 <= a < len(shape) for a in axes)
        and all(d in (1, shape[a]) for d, a in zip(x.shape, axes, strict=True))
    )
    if not fits:
        raise ShapeError(
            f"broadcast_in_dim: cannot copy shape {x.shape} into {shape} by axes {axes}; each "
            "axis must be named once, in order, with length 1 or that of the result"
        )
    return x.update(shape=shape)


def _broadcast_impl(xp: Any, x: Any, *, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    spread = [1] * len(shape)
    for axis, length in zip(axes, np.shape(x), strict=True):
        spread[axis] = length
    return xp.broadcast_to(xp.reshape(x, spread), shape)


def _broadcast_transpose(
    ct: Any, x: Any, *, shape: tuple[int, ...], axes: tuple[int, ...]
) -> tuple[Any]:
    del shape
    new = [a for a in range(get_aval(ct).ndim) if a not in axes]
    stretched = [
        a for a, d in zip(axes, x.aval.shape, strict=True) if d == 1 and get_aval(ct).shape[a] != 1
    ]
    summed = reduce_sum(ct, [*new, *stretched])
    return (reshape(summed, x.aval.shape),)


def _broadcast_batch(
    operands: Sequence[Any],
    batch_axes: Sequence[int],
    *,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
) -> tuple[Any, int]:
    (x,), (batch,) = operands, batch_axes
    order = [batch, *(a for a in range(get_aval(x).ndim) if a != batch)]
    x = transpose(x, order)
    lanes = get_aval(x).shape[0]
    return broadcast_in_dim(x, (lanes, *shape), [0, *(a + 1 for a in axes)]), 0


def _broadcast_lower(
    k: Any, x: Any, *, shape: tuple[int, ...], axes: tuple[int, ...]
) -> Loader:
    lengths = x.aval.shape

    def load(index: Index) -> Any:
        return x(
            tuple(
                k.zero if d == 1 and shape[a] != 1 else index[a]
                for a, d in zip(axes, lengths, strict=True)
            )
        )

    return load


broadcast_in_dim_p: Primitive = define(
    "broadcast_in_dim",
    impl=_broadcast_impl,
    shape=_broadcast_shape,
    jvp=_linear_jvp(lambda: broadcast_in_dim_p),
    transpose=_broadcast_transpose,
    batch=_broadcast_batch,
    lower=_broadcast_lower,
)


def full(shape: Sequence[int], value: Any, dtype: Any) -> Any:
    """Return an array of one value, recorded as one broadcast of a scalar.

    Parameters
    ----------
    shape : sequence of int
        The shape of the result.
    value : scalar
        A Python or NumPy scalar.
    dtype : dtype-like
        The dtype of the result.
    """
    scalar = np.asarray(value).astype(dtype)[()]
    return broadcast_in_dim_p.bind(scalar, shape=tuple(shape), axes=())


def zeros_like_aval(aval: ShapedArray) -> Any:
    """Return zeros of the shape and dtype of `aval`."""
    return full(aval.shape, 0, aval.dtype)


# --------------------------------------------------------------------------------- reshape


def reshape(x: Any, shape: Sequence[int]) -> Any:
    """Give an array another shape, the elements in row-major order.

    Parameters
    ----------
    x : Array, any shape and dtype
        The operand.
    shape : sequence of int
        The shape of the result, of the same size.

    Returns
    -------
    Array, shape `shape`, dtype of `x`

    Raises
    ------
    ShapeError
        If the sizes differ.
    """
    shape = tuple(shape)
    if get_aval(x).shape == shape:
        return x
    return reshape_p.bind(x, shape=shape)


def expand_dims(x: Any, axis: int) -> Any:
    """Insert an axis of length 1 before `axis` (0 to rank)."""
    shape = get_aval(x).shape
    return reshape(x, (*shape[:axis], 1, *shape[axis:]))


def squeeze(x: Any, axes: Sequence[int]) -> Any:
    """Remove axes of length 1."""
    shape = get_aval(x).shape
    if any(shape[a] != 1 for a in axes):
        raise ShapeError(f"squeeze: axes {tuple(axes)} of shape {shape} must have length 1")
    return reshape(x, [d for a, d in enumerate(shape) if a not in axes])


def _reshape_shape(x: ShapedArray, *, shape: tuple[int, ...]) -> ShapedArray:
    result = x.update(shape=shape)
    if result.size != x.size:
        raise ShapeError(
            f"reshape: the sizes must be equal; got shape {x.shape} ({x.size} elements) "
            f"for {shape} ({result.size})"
        )
    return result


def _reshape_batch(
    operands: Sequence[Any], axes: Sequence[int], *, shape: tuple[int, ...]
) -> tuple[Any, int]:
    (x,), (batch,) = operands, axes
    rank = get_aval(x).ndim
    x = transpose(x, [batch, *(a for a in range(rank) if a != batch)])
    return reshape(x, (get_aval(x).shape[0], *shape)), 0


def _reshape_lower(k: Any, x: Any, *, shape: tuple[int, ...]) -> Loader:
    return lambda index: x(k.reshape_index(index, shape, x.aval.shape))


reshape_p: Primitive = define(
    "reshape",
    impl=lambda xp, x, *, shape: xp.reshape(x, shape),
    shape=_reshape_shape,
    jvp=_linear_jvp(lambda: reshape_p),
    transpose=lambda ct, x, *, shape: (reshape(ct, x.aval.shape),),
    batch=_reshape_batch,
    lower=_reshape_lower,
)


# ------------------------------------------------------------------------------ reduce_sum


def reduce_sum(x: Any, axes: Sequence[int]) -> Any:
    """Sum over axes.

    Parameters
    ----------
    x : Array, any shape, numeric dtype
        The operand.
    axes : sequence of int
        The axes to sum over, each once.

    Returns
    -------
    Array, the other axes in order, dtype of `x`
        The sums; 0 where an axis has length 0.  Floating sums are blocked, so their error
        grows with the logarithm of the length.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.
    """
    axes = tuple(sorted(axes))
    if not axes:
        return x
    return reduce_sum_p.bind(x, axes=axes)


def reduced_shape(name: str, x: ShapedArray, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of `x` without `axes`, checking them."""
    if len(set(axes)) != len(axes) or not all(0 <= a < x.ndim for a in axes):
        raise ShapeError(
            f"{name}: axes must be distinct and within rank {x.ndim} of shape {x.shape}; got {axes}"
        )
    return tuple(d for a, d in enumerate(x.shape) if a not in axes)


def batch_reduction(primitive: Callable[[], Primitive]) -> Callable[..., Any]:
    """Return the batching rule of a reduction with a param ``axes``."""

    def rule(
        operands: Sequence[Any], batch_axes: Sequence[int], *, axes: tuple[int, ...], **params: Any
    ) -> tuple[Any, int]:
        (x,), (batch,) = operands, batch_axes
        inner = tuple(a + (a >= batch) for a in axes)
        out = primitive().bind(x, axes=inner, **params)
        return out, batch - sum(a < batch for a in inner)

    return rule


def _sum_impl(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    if is_float(x.dtype) and x.dtype.itemsize == 2:  # as kernels: in float32, rounded once
        return xp.sum(x.astype(np.float32), axis=axes).astype(x.dtype)
    return xp.sum(x, axis=axes, dtype=x.dtype)


def _sum_transpose(ct: Any, x: Any, *, axes: tuple[int, ...]) -> tuple[Any]:
    kept = [a for a in range(x.aval.ndim) if a not in axes]
    return (broadcast_in_dim(ct, x.aval.shape, kept),)


reduce_sum_p: Primitive = define(
    "reduce_sum",
    impl=_sum_impl,
    shape=lambda x, *, axes: x.update(shape=reduced_shape("reduce_sum", x, axes)),
    jvp=_linear_jvp(lambda: reduce_sum_p),
    transpose=_sum_transpose,
    batch=batch_reduction(lambda: reduce_sum_p),
    lower=lambda k, x, *, axes: k.reduce("add", x, axes),
)


def unbroadcast(x: Any, shape: tuple[int, ...]) -> Any:
    """Sum `x` to `shape`: the transpose of the stretching of a scalar operand."""
    aval = get_aval(x)
    if aval.shape == shape:
        return x
    if shape:
        raise ShapeError(f"unbroadcast: only scalars stretch; got {aval.shape} for {shape}")
    return reduce_sum(x, range(aval.ndim))
