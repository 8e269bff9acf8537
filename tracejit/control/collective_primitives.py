"""The primitives of collectives, and what they are along the axis of their batching.

The rules in :data:`tracejit.transforms.batching.axis_rules` turn a collective into an operation on
the lanes; all others carry it along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import StructureError
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear
from tracejit.ir.avals import ShapedArray
from tracejit.ops._pointwise import NOT_LINEAR, jvp_linear, move_axis
from tracejit.ops.arithmetic import div, mul
from tracejit.ops.constant import iota, scalar_like
from tracejit.ops.convert import convert_element_type
from tracejit.ops.indexing import take_axis
from tracejit.ops.logical import eq
from tracejit.ops.reduction import reduce_max, reduce_min
from tracejit.ops.shape import broadcast_in_dim, reduce_sum, zeros_like_aval
from tracejit.ops.slicing import concatenate
from tracejit.transforms.batching import axis_rules

__all__ = [
    "all_gather_p",
    "all_to_all_p",
    "axis_index_p",
    "pmax_p",
    "pmin_p",
    "ppermute_p",
    "psum_p",
    "psum_scatter_p",
]

RESOLVED = "vmap turns it into an operation along its axis before anything is compiled"


def _unbound(name: str) -> Callable[..., Any]:
    def impl(xp: Any, *arrays: Any, axis_name: Any, **params: Any) -> Any:
        raise StructureError(
            f"{name}: the axis {axis_name!r} is not that of a vmap around this call"
        )

    return impl


def _same(x: ShapedArray, **params: Any) -> ShapedArray:
    return x.strong()


def _moved(primitive: Callable[[], Primitive]) -> Callable[..., Any]:
    """Return the batching rule, for an axis without the name, of what keeps the shape."""

    def rule(operands: Sequence[Any], axes: Sequence[int], **params: Any) -> tuple[Any, int]:
        return primitive().bind(operands[0], **params), axes[0]

    return rule


def _reduction(
    primitive: Callable[[], Primitive], reduce: Callable[..., Any], repeated: bool
) -> Callable[..., Any]:
    """Return the rule of a reduction over the lanes along their own axis.

    The names that are left are reduced by the batchings around.
    """

    def rule(
        lanes: int, operands: Sequence[Any], axes: Sequence[int | None], *, axis_name: Any
    ) -> tuple[Any, None]:
        (x,), (axis,) = operands, axes
        if axis is not None:
            x = reduce(x, (axis,))
        elif repeated:
            x = mul(x, scalar_like(x, lanes))
        return (x if axis_name is None else primitive().bind(x, axis_name=axis_name)), None

    return rule


def _psum_transpose(ct: Any, x: Linear, *, axis_name: Any) -> tuple[Any]:
    return (psum_p.bind(ct, axis_name=axis_name),)


def _extreme_jvp(primitive: Callable[[], Primitive]) -> Callable[..., Any]:
    def rule(primals: Sequence[Any], tangents: Sequence[Any], *, axis_name: Any) -> tuple[Any, Any]:
        (x,), (dx,) = primals, tangents
        out = primitive().bind(x, axis_name=axis_name)
        at = convert_element_type(eq(x, out), get_aval(x).dtype)
        total = psum_p.bind(mul(dx, at), axis_name=axis_name)
        return out, div(total, psum_p.bind(at, axis_name=axis_name))

    return rule


psum_p: Primitive = define(
    "psum",
    impl=_unbound("psum"),
    shape=_same,
    jvp=jvp_linear(lambda: psum_p),
    transpose=_psum_transpose,
    batch=_moved(lambda: psum_p),
    lower=RESOLVED,
)
axis_rules[psum_p] = _reduction(lambda: psum_p, reduce_sum, repeated=True)
pmax_p: Primitive = define(
    "pmax",
    impl=_unbound("pmax"),
    shape=_same,
    jvp=_extreme_jvp(lambda: pmax_p),
    transpose=NOT_LINEAR,
    batch=_moved(lambda: pmax_p),
    lower=RESOLVED,
)
axis_rules[pmax_p] = _reduction(lambda: pmax_p, reduce_max, repeated=False)
pmin_p: Primitive = define(
    "pmin",
    impl=_unbound("pmin"),
    shape=_same,
    jvp=_extreme_jvp(lambda: pmin_p),
    transpose=NOT_LINEAR,
    batch=_moved(lambda: pmin_p),
    lower=RESOLVED,
)
axis_rules[pmin_p] = _reduction(lambda: pmin_p, reduce_min, repeated=False)


def _gathered(x: ShapedArray, *, axis_name: Any, axis: int, size: int) -> ShapedArray:
    return x.update(shape=(*x.shape[:axis], size, *x.shape[axis:]))


def _gather_transpose(ct: Any, x: Linear, **params: Any) -> tuple[Any]:
    return (psum_scatter_p.bind(ct, **params),)


def _gather_batch(
    operands: Sequence[Any], axes: Sequence[int], *, axis: int, **params: Any
) -> tuple[Any, int]:
    (x,), (batch,) = operands, axes
    x = move_axis(x, batch, 0)
    return all_gather_p.bind(x, axis=axis + 1, **params), 0


def _gather_rule(
    lanes: int, operands: Sequence[Any], axes: Sequence[int | None], *, axis: int, **params: Any
) -> tuple[Any, None]:
    (x,), (batch,) = operands, axes
    if batch is not None:
        return move_axis(x, batch, axis), None
    shape = get_aval(x).shape
    new = (*shape[:axis], lanes, *shape[axis:])
    return broadcast_in_dim(x, new, [n for n in range(len(new)) if n != axis]), None


all_gather_p: Primitive = define(
    "all_gather",
    impl=_unbound("all_gather"),
    shape=_gathered,
    jvp=jvp_linear(lambda: all_gather_p),
    transpose=_gather_transpose,
    batch=_gather_batch,
    lower=RESOLVED,
)
axis_rules[all_gather_p] = _gather_rule


def _scattered(x: ShapedArray, *, axis_name: Any, axis: int, size: int) -> ShapedArray:
    return x.update(shape=(*x.shape[:axis], *x.shape[axis + 1 :]))


def _scatter_transpose(ct: Any, x: Linear, **params: Any) -> tuple[Any]:
    return (all_gather_p.bind(ct, **params),)


def _scatter_batch(
    operands: Sequence[Any], axes: Sequence[int], *, axis: int, **params: Any
) -> tuple[Any, int]:
    (x,), (batch,) = operands, axes
    x = move_axis(x, batch, 0)
    return psum_scatter_p.bind(x, axis=axis + 1, **params), 0


def _scatter_rule(
    lanes: int, operands: Sequence[Any], axes: Sequence[int | None], *, axis: int, **params: Any
) -> tuple[Any, int]:
    (x,), (batch,) = operands, axes
    if batch is None:
        return mul(x, scalar_like(x, lanes)), axis
    at = axis + (axis >= batch)
    return reduce_sum(x, (batch,)), at - (batch < at)


psum_scatter_p: Primitive = define(
    "psum_scatter",
    impl=_unbound("psum_scatter"),
    shape=_scattered,
    jvp=jvp_linear(lambda: psum_scatter_p),
    transpose=_scatter_transpose,
    batch=_scatter_batch,
    lower=RESOLVED,
)
axis_rules[psum_scatter_p] = _scatter_rule


def _exchanged(
    x: ShapedArray, *, axis_name: Any, split: int, concat: int, size: int
) -> ShapedArray:
    rest = (*x.shape[:split], *x.shape[split + 1 :])
    return x.update(shape=(*rest[:concat], size, *rest[concat:]))


def _exchange_transpose(
    ct: Any, x: Linear, *, split: int, concat: int, **params: Any
) -> tuple[Any]:
    return (all_to_all_p.bind(ct, split=concat, concat=split, **params),)


def _exchange_batch(
    operands: Sequence[Any], axes: Sequence[int], *, split: int, concat: int, **params: Any
) -> tuple[Any, int]:
    (x,), (batch,) = operands, axes
    x = move_axis(x, batch, 0)
    return all_to_all_p.bind(x, split=split + 1, concat=concat + 1, **params), 0


def _exchange_rule(
    lanes: int,
    operands: Sequence[Any],
    axes: Sequence[int | None],
    *,
    split: int,
    concat: int,
    **params: Any,
) -> tuple[Any, int]:
    (x,), (batch,) = operands, axes
    if batch is None:
        shape = get_aval(x).shape
        x, batch = broadcast_in_dim(x, (lanes, *shape), range(1, len(shape) + 1)), 0
    x = move_axis(x, batch, 0)
    # The part that is split off becomes the lanes, the lanes become an axis of the result.
    x = move_axis(x, split + 1, 0)
    return move_axis(x, 1, concat + 1), 0


all_to_all_p: Primitive = define(
    "all_to_all",
    impl=_unbound("all_to_all"),
    shape=_exchanged,
    jvp=jvp_linear(lambda: all_to_all_p),
    transpose=_exchange_transpose,
    batch=_exchange_batch,
    lower=RESOLVED,
)
axis_rules[all_to_all_p] = _exchange_rule


def _permute_transpose(ct: Any, x: Linear, *, axis_name: Any, perm: Any) -> tuple[Any]:
    back = tuple((b, a) for a, b in perm)
    return (ppermute_p.bind(ct, axis_name=axis_name, perm=back),)


def _permute_rule(
    lanes: int, operands: Sequence[Any], axes: Sequence[int | None], *, axis_name: Any, perm: Any
) -> tuple[Any, int]:
    (x,), (batch,) = operands, axes
    if batch is None:
        shape = get_aval(x).shape
        x, batch = broadcast_in_dim(x, (lanes, *shape), range(1, len(shape) + 1)), 0
    x = move_axis(x, batch, 0)
    # One lane of zeros more, from which lanes read that nobody sends to.
    aval = get_aval(x)
    nothing = zeros_like_aval(aval.update(shape=(1, *aval.shape[1:])))
    source = {b: a for a, b in perm}
    order = np.array([source.get(n, lanes) for n in range(lanes)])
    return take_axis(concatenate([x, nothing], 0), order, 0), 0


ppermute_p: Primitive = define(
    "ppermute",
    impl=_unbound("ppermute"),
    shape=_same,
    jvp=jvp_linear(lambda: ppermute_p),
    transpose=_permute_transpose,
    batch=_moved(lambda: ppermute_p),
    lower=RESOLVED,
)
axis_rules[ppermute_p] = _permute_rule


def _index_shape(*, axis_name: Any, size: int) -> ShapedArray:
    return ShapedArray((), "int64")


def _index_rule(
    lanes: int, operands: Sequence[Any], axes: Sequence[Any], *, axis_name: Any, size: int
) -> tuple[Any, int]:
    return iota((lanes,), 0, "int64"), 0


axis_index_p: Primitive = define(
    "axis_index",
    impl=_unbound("axis_index"),
    shape=_index_shape,
    jvp="it has no operand",
    transpose="it has no operand",
    batch="it has no operand",
    lower=RESOLVED,
)
axis_rules[axis_index_p] = _index_rule
