"""Reading and writing at places that are data: gather, and the family of scatters.

One form serves indexing by arrays, ``take``, ``take_along_axis`` and their batches.  ``indices``
has shape ``(lanes..., batch..., len(axes))``: each of its vectors says where, along `axes` of the
operand, a window starts.  Windows are read to, or written from, an array of shape ``(lanes...,
batch..., window...)``; a window has every axis of the operand in order but those `collapsed`, along
which its length is 1.  The first `lanes` axes of all operands are walked together; axes are
numbered from the first after them.  ``vmap`` adds a lane or an axis to the window, and no rule
needs more.

Out of range: ``"clip"`` moves a window inside, ``"fill"`` reads a value and ``"drop"`` writes
nothing, where a window does not lie inside as a whole; ``"promise_in_bounds"`` is as safe as
``"clip"``.  Negative indices are out of range: callers wrap them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import MissingRuleError
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES
from tracejit.ops._placement import (
    fill_value,
    gather_impl,
    gather_shape,
    scatter_impl,
    scatter_shape,
    window_sizes,
)
from tracejit.ops._pointwise import NOT_LINEAR, move_axis, sum_tangents
from tracejit.ops.arithmetic import div, mul
from tracejit.ops.constant import iota, scalar_like
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import eq, ne, or_, select
from tracejit.ops.shape import broadcast_in_dim, full, reshape, transpose, zeros_like_aval

__all__ = [
    "gather",
    "scatter",
    "scatter_add",
    "scatter_max",
    "scatter_min",
    "scatter_mul",
    "take_along_axis",
    "take_axis",
    "to_lanes",
]

Axes = tuple[int, ...]
Index = tuple[Any, ...]
I64 = DTYPES["i64"]


# ---------------------------------------------------------------------------------- gather


def gather(
    x: Any,
    indices: Any,
    axes: Sequence[int],
    sizes: Sequence[int],
    collapsed: Sequence[int] = (),
    lanes: int = 0,
    mode: str = "clip",
    fill: Any = None,
) -> Any:
    """Read windows that start where `indices` says.

    Parameters
    ----------
    x : Array, shape (lanes..., d[0], ..., d[n-1]), any dtype
        The operand.
    indices : Array, shape (lanes..., batch..., len(axes)), integer
        The starts of the windows along `axes`; 0 along the others.
    axes : sequence of int
        Axes of `x`, numbered after the lanes, each once.
    sizes : sequence of int, length n
        The lengths of a window; at most those of `x`.
    collapsed : sequence of int, optional
        Axes of length 1 that are left out of the result.
    lanes : int, optional
        How many leading axes `x` and `indices` share.
    mode : {"clip", "fill", "promise_in_bounds"}, optional
        What is read out of range; see the module.
    fill : scalar, optional
        What ``"fill"`` reads; by default NaN, the least signed or greatest unsigned integer, True.

    Returns
    -------
    Array, shape (lanes..., batch..., window...), dtype of `x`

    Raises
    ------
    ShapeError
        If the lanes, axes or lengths do not fit.
    DTypeError
        If `indices` are not integers.
    """
    return gather_p.bind(
        x,
        indices,
        axes=tuple(axes),
        sizes=tuple(sizes),
        collapsed=tuple(sorted(collapsed)),
        lanes=lanes,
        mode=mode,
        fill=np.asarray(fill).item() if mode == "fill" and fill is not None else None,
    )


def take_axis(x: Any, indices: Any, axis: int, mode: str = "clip", fill: Any = None) -> Any:
    """Read slices of one axis: ``numpy.take`` without negative indices.

    Parameters
    ----------
    x : Array, rank >= 1, any dtype
        The operand.
    indices : Array, any shape, integer
        Which slices.
    axis : int
        From 0 to rank - 1.
    mode, fill
        As for :func:`gather`.

    Returns
    -------
    Array, the shape of `x` with the axes of `indices` in place of `axis`, dtype of `x`
    """
    shape = get_aval(x).shape
    rank, batch = len(shape), get_aval(indices).ndim
    sizes = (*shape[:axis], 1, *shape[axis + 1 :])
    indices = reshape(indices, (*get_aval(indices).shape, 1))
    out = gather(x, indices, (axis,), sizes, (axis,), 0, mode, fill)
    before = range(batch, batch + axis)
    return transpose(out, [*before, *range(batch), *range(batch + axis, batch + rank - 1)])


def take_along_axis(x: Any, indices: Any, axis: int, mode: str = "clip", fill: Any = None) -> Any:
    """Read along one axis at indices of their own for every place along the others.

    Parameters
    ----------
    x : Array, rank >= 1, any dtype
        The operand.
    indices : Array, the shape of `x` but for `axis`, integer
        The indices along `axis`; negative ones are out of range.
    axis : int
        From 0 to rank - 1.
    mode, fill
        As for :func:`gather`.

    Returns
    -------
    Array, shape of `indices`, dtype of `x`
    """
    lanes = get_aval(x).ndim - 1
    indices = move_axis(indices, axis, lanes)
    indices = reshape(indices, (*get_aval(indices).shape, 1))
    out = gather(move_axis(x, axis, lanes), indices, (0,), (1,), (0,), lanes, mode, fill)
    return move_axis(out, lanes, axis)


def _gather_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    x, indices = primals
    out = gather_p.bind(x, indices, **params)
    t = tangents[0]
    if isinstance(t, Zero):
        return out, Zero(get_aval(out))
    fill = 0 if params["mode"] == "fill" else None
    return out, gather_p.bind(t, indices, **{**params, "fill": fill})


def _gather_transpose(
    ct: Any,
    x: Any,
    indices: Any,
    *,
    axes: Axes,
    sizes: Axes,
    collapsed: Axes,
    lanes: int,
    mode: str,
    fill: Any,
) -> tuple[Any, None]:
    del sizes, fill
    mode = "drop" if mode == "fill" else mode
    zeros = zeros_like_aval(x.aval)
    return scatter_add(zeros, indices, ct, axes, collapsed, lanes, mode), None


def _gather_batch(
    operands: Sequence[Any],
    batch_axes: Sequence[int | None],
    *,
    axes: Axes,
    sizes: Axes,
    collapsed: Axes,
    lanes: int,
    mode: str,
    fill: Any,
) -> tuple[Any, int]:
    (x, indices), (bx, bi) = operands, batch_axes
    if bx is not None and bi is not None:
        (x, indices), _ = to_lanes(operands, batch_axes)
        return gather(x, indices, axes, sizes, collapsed, lanes + 1, mode, fill), 0
    if bi is not None:  # one more axis of the batch
        indices = move_axis(indices, bi, lanes)
        return gather(x, indices, axes, sizes, collapsed, lanes, mode, fill), lanes
    assert bx is not None
    sizes = (get_aval(x).shape[bx], *sizes)  # one more axis of the window
    x = move_axis(x, bx, lanes)
    axes, collapsed = _after_new_axis(axes), _after_new_axis(collapsed)
    out = gather(x, indices, axes, sizes, collapsed, lanes, mode, fill)
    return out, get_aval(indices).ndim - 1


def _after_new_axis(axes: Axes) -> Axes:
    return tuple(a + 1 for a in axes)


def _gather_lower(
    k: Any,
    x: Any,
    indices: Any,
    *,
    axes: Axes,
    sizes: Axes,
    collapsed: Axes,
    lanes: int,
    mode: str,
    fill: Any,
) -> Any:
    dtype, shape = x.aval.dtype, x.aval.shape[lanes:]
    front = indices.aval.ndim - 1
    stored = k.stored(x)

    def load(index: Index) -> Any:
        window = iter(index[front:])
        at = [k.zero if a in collapsed else next(window) for a in range(len(shape))]
        inside = None
        for j, a in enumerate(axes):
            start = indices((*index[:front], k.add_index(k.zero, j)))
            room = shape[a] - sizes[a]
            at[a] = k.add_index(at[a], k.data_index(start, 0, room))
            if mode == "fill":
                start = k.apply_convert(start, I64)
                for op, bound in (("ge", 0), ("le", room)):
                    test = k.apply(op, start, k.scalar(bound, I64))
                    inside = test if inside is None else k.apply("and", inside, test)
        value = stored((*index[:lanes], *at))
        if inside is None:
            return value
        return k.apply("select", inside, value, k.scalar(fill_value(fill, dtype), dtype))

    return load


gather_p: Primitive = define(
    "gather",
    impl=gather_impl,
    shape=gather_shape,
    jvp=_gather_jvp,
    transpose=_gather_transpose,
    batch=_gather_batch,
    lower=_gather_lower,
)


# -------------------------------------------------------------------------------- scatters


def scatter(
    x: Any,
    indices: Any,
    updates: Any,
    axes: Sequence[int],
    collapsed: Sequence[int] = (),
    lanes: int = 0,
    mode: str = "drop",
    unique: bool = False,
) -> Any:
    """Replace windows that start where `indices` says; the last of several to one place wins.

    Parameters
    ----------
    x : Array, shape (lanes..., d[0], ..., d[n-1]), any dtype
        The operand.
    indices : Array, shape (lanes..., batch..., len(axes)), integer
        The starts of the windows along `axes`; 0 along the others.
    updates : Array, shape (lanes..., batch..., window...), dtype of `x`
        The windows.
    axes : sequence of int
        Axes of `x`, numbered after the lanes, each once.
    collapsed : sequence of int, optional
        Axes of `x` that the windows leave out; their length along them is 1.
    lanes : int, optional
        How many leading axes the operands share.
    mode : {"drop", "clip", "promise_in_bounds"}, optional
        What is done out of range; see the module.
    unique : bool, optional
        A promise that no place is written twice: derivatives cost less.

    Returns
    -------
    Array, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If the lanes, axes or lengths do not fit.
    DTypeError
        If `indices` are not integers, or the dtypes of `x` and `updates` differ.
    """
    return _scatter(scatter_p, x, indices, updates, axes, collapsed, lanes, mode, unique)


def scatter_add(
    x: Any,
    indices: Any,
    updates: Any,
    axes: Sequence[int],
    collapsed: Sequence[int] = (),
    lanes: int = 0,
    mode: str = "drop",
    unique: bool = False,
) -> Any:
    """Add windows where `indices` says, repeated places too.  See :func:`scatter`.

    float16 and bfloat16 are summed in float32 and rounded once.
    """
    return _scatter(scatter_add_p, x, indices, updates, axes, collapsed, lanes, mode, unique)


def scatter_mul(
    x: Any,
    indices: Any,
    updates: Any,
    axes: Sequence[int],
    collapsed: Sequence[int] = (),
    lanes: int = 0,
    mode: str = "drop",
    unique: bool = False,
) -> Any:
    """Multiply by windows where `indices` says, repeated places too.  See :func:`scatter`.

    The derivative in `updates` needs the promise `unique`.
    """
    return _scatter(scatter_mul_p, x, indices, updates, axes, collapsed, lanes, mode, unique)


def scatter_min(
    x: Any,
    indices: Any,
    updates: Any,
    axes: Sequence[int],
    collapsed: Sequence[int] = (),
    lanes: int = 0,
    mode: str = "drop",
    unique: bool = False,
) -> Any:
    """Take the least of the operand and the windows at every place.  See :func:`scatter_max`."""
    return _scatter(scatter_min_p, x, indices, updates, axes, collapsed, lanes, mode, unique)


def scatter_max(
    x: Any,
    indices: Any,
    updates: Any,
    axes: Sequence[int],
    collapsed: Sequence[int] = (),
    lanes: int = 0,
    mode: str = "drop",
    unique: bool = False,
) -> Any:
    """Take the greatest of the operand and the windows at every place.  See :func:`scatter`.

    What ties for the extreme shares the derivative equally.
    """
    return _scatter(scatter_max_p, x, indices, updates, axes, collapsed, lanes, mode, unique)


def _scatter(
    primitive: Primitive,
    x: Any,
    indices: Any,
    updates: Any,
    axes: Sequence[int],
    collapsed: Sequence[int],
    *rest: Any,
) -> Any:
    axes, collapsed = tuple(axes), tuple(sorted(collapsed))
    params = dict(zip(("lanes", "mode", "unique"), rest, strict=True))
    return primitive.bind(x, indices, updates, axes=axes, collapsed=collapsed, **params)


READ_MODE = {"drop": "fill", "clip": "clip", "promise_in_bounds": "promise_in_bounds"}


def _read_back(
    x: Any, indices: Any, updates: ShapedArray, fill: Any, params: dict[str, Any]
) -> Any:
    """Gather from `x` what a scatter of `updates` writes; `fill` where it writes nothing."""
    front = get_aval(indices).ndim - 1
    collapsed, lanes = params["collapsed"], params["lanes"]
    sizes = window_sizes(get_aval(x).shape, updates.shape, front, collapsed, lanes)
    mode = READ_MODE[params["mode"]]
    return gather(x, indices, params["axes"], sizes, collapsed, lanes, mode, fill)


def _aval(x: Any) -> ShapedArray:
    return x.aval if isinstance(x, Linear) else get_aval(x)


def _instantiate(t: Any) -> Any:
    return zeros_like_aval(t.aval) if isinstance(t, Zero) else t


def _jvp_jointly(primitive: Callable[[], Primitive]) -> Callable[..., Any]:
    """Return the jvp rule of a scatter that is linear in operand and updates together."""

    def rule(
        primals: Sequence[Any], tangents: Sequence[Any], **params: Any
    ) -> tuple[Any, Any]:
        x, indices, updates = primals
        out = primitive().bind(x, indices, updates, **params)
        t, _, tu = tangents
        if isinstance(t, Zero) and isinstance(tu, Zero):
            return out, Zero(get_aval(out))
        return out, primitive().bind(_instantiate(t), indices, _instantiate(tu), **params)

    return rule


def _scatter_transpose(
    ct: Any, x: Any, indices: Any, updates: Any, **params: Any
) -> tuple[Any, None, Any]:
    ct_x = ct_updates = None
    aval = _aval(updates)
    if isinstance(x, Linear):
        zeros = zeros_like_aval(aval.strong())
        ct_x = scatter_p.bind(ct, indices, zeros, **params)
    if isinstance(updates, Linear):
        ct_updates = _read_back(ct, indices, aval, 0, params)
        if not params["unique"]:
            # An update that a later one overwrote has no part in the result.
            numbers = reshape(iota((aval.size,), 0, I64), aval.shape)
            nobody = full(_aval(x).shape, -1, I64)
            winners = scatter_p.bind(nobody, indices, numbers, **params)
            won = eq(_read_back(winners, indices, aval, -1, params), numbers)
            ct_updates = select(won, ct_updates, scalar_like(ct_updates, 0))
    return ct_x, None, ct_updates


def _scatter_add_transpose(
    ct: Any, x: Any, indices: Any, updates: Any, **params: Any
) -> tuple[Any, None, Any]:
    ct_updates = None
    if isinstance(updates, Linear):
        ct_updates = _read_back(ct, indices, updates.aval, 0, params)
    return (ct if isinstance(x, Linear) else None), None, ct_updates


def _scatter_mul_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[Any, Any]:
    x, indices, updates = primals
    t, _, tu = tangents
    out = scatter_mul_p.bind(x, indices, updates, **params)
    terms = []
    if not isinstance(t, Zero):
        terms.append(scatter_mul_p.bind(t, indices, updates, **params))
    if not isinstance(tu, Zero):
        if not params["unique"]:
            raise MissingRuleError(
                "there is no derivative of scatter_mul in updates that may meet at one place; "
                "pass unique=True (unique_indices=True) if they never do"
            )
        factors = _read_back(x, indices, get_aval(updates), 0, params)
        zeros = zeros_like_aval(get_aval(out).strong())
        terms.append(scatter_add_p.bind(zeros, indices, mul(tu, factors), **params))
    return out, sum_tangents(terms, out)


def _scatter_mul_transpose(
    ct: Any, x: Any, indices: Any, updates: Any, **params: Any
) -> tuple[Any, None, None]:
    if isinstance(updates, Linear):
        raise MissingRuleError("scatter_mul is transposed with respect to its operand only")
    del x
    return scatter_mul_p.bind(ct, indices, updates, **params), None, None


def _scatter_extreme_jvp(primitive: Callable[[], Primitive]) -> Callable[..., Any]:
    def rule(
        primals: Sequence[Any], tangents: Sequence[Any], **params: Any
    ) -> tuple[Any, Any]:
        x, indices, updates = primals
        out = primitive().bind(x, indices, updates, **params)
        if all(isinstance(t, Zero) for t in tangents):
            return out, Zero(get_aval(out))
        t, _, tu = (_instantiate(t) for t in tangents)
        dtype, zero = get_aval(out).dtype, scalar_like(out, 0)
        kept = or_(eq(x, out), ne(x, x))
        placed = eq(updates, _read_back(out, indices, get_aval(updates), 0, params))
        count = scatter_add_p.bind(
            convert_element_type(kept, dtype),
            indices,
            convert_element_type(placed, dtype),
            **params,
        )
        total = scatter_add_p.bind(
            select(kept, t, zero), indices, select(placed, tu, zero), **params
        )
        return out, div(total, count)

    return rule


def _scatter_batch(primitive: Callable[[], Primitive]) -> Callable[..., Any]:
    def rule(
        operands: Sequence[Any],
        batch_axes: Sequence[int | None],
        *,
        axes: Axes,
        collapsed: Axes,
        lanes: int,
        **params: Any,
    ) -> tuple[Any, int]:
        x, indices, updates = operands
        bx, bi, bu = batch_axes
        if bi is not None:
            moved, _ = to_lanes(operands, batch_axes)
            params = {"axes": axes, "collapsed": collapsed, "lanes": lanes + 1, **params}
            return primitive().bind(*moved, **params), 0
        count = next(get_aval(v).shape[b] for v, b in ((x, bx), (updates, bu)) if b is not None)
        x = _with_axis(x, bx, lanes, count)  # one more axis of the window
        updates = _with_axis(updates, bu, get_aval(indices).ndim - 1, count)
        axes, collapsed = _after_new_axis(axes), _after_new_axis(collapsed)
        params = {"axes": axes, "collapsed": collapsed, "lanes": lanes, **params}
        return primitive().bind(x, indices, updates, **params), lanes

    return rule


def _with_axis(x: Any, axis: int | None, to: int, count: int) -> Any:
    """Move a batch axis, or copy along a new one."""
    if axis is not None:
        return move_axis(x, axis, to)
    shape = get_aval(x).shape
    old = [a + (a >= to) for a in range(len(shape))]
    return broadcast_in_dim(x, (*shape[:to], count, *shape[to:]), old)


def to_lanes(operands: Sequence[Any], axes: Sequence[int | None]) -> tuple[list[Any], int]:
    """Move the batch axis of every operand to the front, copying what has none; and its length."""
    count = next(get_aval(x).shape[b] for x, b in zip(operands, axes, strict=True) if b is not None)
    return [_with_axis(x, b, 0, count) for x, b in zip(operands, axes, strict=True)], count


def _define_scatter(
    name: str, function: str, jvp: Callable[..., Any], transpose: Callable[..., Any] | str
) -> Primitive:
    primitive: Primitive = define(
        name,
        impl=scatter_impl(function),
        shape=scatter_shape(name),
        jvp=jvp,
        transpose=transpose,
        batch=_scatter_batch(lambda: primitive),
        lower="run by the array library, through the counted callback",
    )
    return primitive


scatter_p: Primitive = _define_scatter(
    "scatter", "set", _jvp_jointly(lambda: scatter_p), _scatter_transpose
)
scatter_add_p: Primitive = _define_scatter(
    "scatter_add", "add", _jvp_jointly(lambda: scatter_add_p), _scatter_add_transpose
)
scatter_mul_p: Primitive = _define_scatter(
    "scatter_mul", "multiply", _scatter_mul_jvp, _scatter_mul_transpose
)
scatter_min_p: Primitive = _define_scatter(
    "scatter_min", "minimum", _scatter_extreme_jvp(lambda: scatter_min_p), NOT_LINEAR
)
scatter_max_p: Primitive = _define_scatter(
    "scatter_max", "maximum", _scatter_extreme_jvp(lambda: scatter_max_p), NOT_LINEAR
)
