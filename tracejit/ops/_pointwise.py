"""What pointwise primitives have in common: shapes, batching, and forms of derivative rules.

Operands of a pointwise primitive have equal shapes, except that operands of rank 0 stretch: a
scalar needs no broadcast.  Dtypes are made equal by whoever binds (``tracejit.numpy``).

``add`` is defined here, below :mod:`tracejit.ops.arithmetic`, because every derivative rule
sums the contributions of its operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ops.shape import broadcast_in_dim, transpose, unbroadcast

__all__ = [
    "NOT_LINEAR",
    "add",
    "batch_pointwise",
    "define_pointwise",
    "jvp_linear",
    "jvp_per_operand",
    "jvp_zero",
    "move_axis",
    "pointwise_shape",
]

NOT_LINEAR = "it is not linear, so it is never transposed"

DtypeRule = Callable[..., np.dtype[Any]]


def pointwise_shape(name: str, dtype: DtypeRule) -> Callable[..., ShapedArray]:
    """Return a shape rule: the one shape of the operands of rank > 0, and ``dtype(*dtypes)``."""

    def rule(*avals: ShapedArray, **params: Any) -> ShapedArray:
        shape: tuple[int, ...] = ()
        for aval in avals:
            if aval.shape and aval.shape != shape:
                if shape:
                    raise ShapeError(
                        f"{name}: the operands must have equal shapes (or rank 0); "
                        f"got {', '.join(str(a.shape) for a in avals)}"
                    )
                shape = aval.shape
        return ShapedArray(shape, dtype(*[a.dtype for a in avals], **params))

    return rule


def same_dtype(name: str, accepts: Callable[[np.dtype[Any]], bool], what: str) -> DtypeRule:
    """Return a dtype rule: all operands have one dtype, which `accepts`; so has the result."""

    def rule(*dtypes: np.dtype[Any], **params: Any) -> np.dtype[Any]:
        del params
        first = dtypes[0]
        if any(d is not first for d in dtypes) or not accepts(first):
            raise DTypeError(
                f"{name}: the operands must have one {what} dtype; "
                f"got {', '.join(str(d) for d in dtypes)}"
            )
        return first

    return rule


def move_axis(x: Any, source: int, destination: int) -> Any:
    """Move one axis of `x`, the others keeping their order."""
    if source == destination:
        return x
    order = [a for a in range(get_aval(x).ndim) if a != source]
    order.insert(destination, source)
    return transpose(x, order)


def batch_pointwise(primitive: Callable[[], Primitive]) -> Callable[..., Any]:
    """Return the batching rule of a pointwise primitive (given lazily, for ``define``)."""

    def rule(operands: Sequence[Any], axes: Sequence[int | None], **params: Any) -> Any:
        avals = [get_aval(x) for x in operands]
        lanes, to = next(
            (a.shape[axis], axis) for a, axis in zip(avals, axes, strict=True) if axis is not None
        )
        ranks = [
            a.ndim - (axis is not None) for a, axis in zip(avals, axes, strict=True)
        ]
        rank = max(ranks)
        if any(r != rank for r, axis in zip(ranks, axes, strict=True) if axis is not None):
            to = 0
        out = []
        for x, aval, axis, r in zip(operands, avals, axes, ranks, strict=True):
            if axis is None:
                if r:  # an unbatched array meets a batched one: stretch it along the lanes
                    shape = (*aval.shape[:to], lanes, *aval.shape[to:])
                    x = broadcast_in_dim(x, shape, [d for d in range(rank + 1) if d != to])
            elif r == rank:
                x = move_axis(x, axis, to)
            else:  # a batch of scalars meets arrays
                full = next(
                    (a.shape[:b] + a.shape[b + 1 :] if b is not None else a.shape)
                    for a, b, q in zip(avals, axes, ranks, strict=True)
                    if q == rank
                )
                x = broadcast_in_dim(x, (*full[:to], lanes, *full[to:]), [to])
            out.append(x)
        p = primitive()
        result = p.bind(*out, **params)
        return (result, [to] * len(result)) if p.multiple else (result, to)

    return rule


def sum_tangents(terms: Sequence[Any], out: Any) -> Any:
    """Return the sum of tangents at the shape of `out`, or Zero of its aval."""
    aval = get_aval(out)
    total = None
    for term in terms:
        if isinstance(term, Zero):
            continue
        total = term if total is None else add(total, term)
    if total is None:
        return Zero(aval)
    if get_aval(total).shape != aval.shape:
        total = broadcast_in_dim(total, aval.shape, [])
    return total


def jvp_per_operand(
    primitive: Callable[[], Primitive], *terms: Callable[..., Any] | None
) -> Callable[..., Any]:
    """Return a jvp rule from one term an operand.

    Parameters
    ----------
    primitive : callable returning Primitive
        The primitive itself, lazily.
    *terms : callable or None
        ``term(t, out, *operands, **params)`` is the contribution of the tangent ``t`` of that
        operand, at any shape that stretches to that of ``out``; ``None`` where the derivative
        is zero.
    """

    def rule(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
        out = primitive().bind(*primals, **params)
        parts = [
            term(t, out, *primals, **params)
            for term, t in zip(terms, tangents, strict=True)
            if term is not None and not isinstance(t, Zero)
        ]
        return out, sum_tangents(parts, out)

    return rule


def jvp_linear(primitive: Callable[[], Primitive]) -> Callable[..., Any]:
    """Return the jvp rule of a primitive that is linear in its one operand."""

    def rule(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
        p = primitive()
        return p.bind(*primals, **params), p.bind(*tangents, **params)

    return rule


def jvp_zero(primitive: Callable[[], Primitive]) -> Callable[..., Any]:
    """Return the jvp rule of a primitive that is piecewise constant, or has integer results."""

    def rule(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
        del tangents
        p = primitive()
        out = p.bind(*primals, **params)
        if p.multiple:
            return out, [Zero(get_aval(o)) for o in out]
        return out, Zero(get_aval(out))

    return rule


def define_pointwise(
    name: str,
    *,
    impl: Callable[..., Any] | str,
    dtype: DtypeRule,
    jvp: Sequence[Callable[..., Any] | None] | Callable[..., Any] | str,
    transpose: Callable[..., Any] | str = NOT_LINEAR,
    lower: Callable[..., Any] | str | None = None,
    compiled_from: int | None = None,
) -> Primitive:
    """Define a pointwise primitive.

    Parameters
    ----------
    name : str
        Its name, and that of its scalar operation unless `lower` says otherwise.
    impl : callable
        ``impl(xp, *arrays, **params)``; the name of a function of `xp` may be given instead.
    dtype : callable
        ``dtype(*dtypes, **params)``: checks the operands and returns the dtype of the result.
    jvp : sequence of (callable or None), callable, or str
        One term an operand as for :func:`jvp_per_operand`; or a rule; or why there is none.
    transpose, lower : callable or str
        As for :func:`tracejit.core.primitive.define`; by default ``k.pointwise(name, *loaders)``.
    compiled_from : int, optional
        See :class:`tracejit.core.primitive.Primitive`.
    """

    def itself() -> Primitive:
        return primitive

    if isinstance(impl, str):
        function = impl

        def by_name(xp: Any, *arrays: Any, **params: Any) -> Any:
            return getattr(xp, function)(*arrays, **params)

        impl = by_name

    def lower_by_name(k: Any, *loaders: Any, **params: Any) -> Any:
        del params
        return k.pointwise(name, *loaders)

    primitive = define(
        name,
        compiled_from=compiled_from,
        impl=impl,
        shape=pointwise_shape(name, dtype),
        jvp=jvp
        if callable(jvp) or isinstance(jvp, str)
        else jvp_per_operand(itself, *jvp),
        transpose=transpose,
        batch=batch_pointwise(itself),
        lower=lower or lower_by_name,
    )
    return primitive


def _any_dtype(dtype: np.dtype[Any]) -> bool:
    return dtype.names is None


def _add_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    out = add(*primals)
    return out, sum_tangents(tangents, out)


def _add_transpose(ct: Any, x: Any, y: Any) -> tuple[Any, Any]:
    return tuple(  # type: ignore[return-value]
        unbroadcast(ct, o.aval.shape) if isinstance(o, Linear) else None for o in (x, y)
    )


def add(x: Any, y: Any) -> Any:
    """Add two arrays elementwise.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one dtype
        The operands; bool adds as logical or.

    Returns
    -------
    Array, the shape and dtype of the operands
        The sum.
    """
    return add_p.bind(x, y)


add_p = define_pointwise(
    "add",
    impl="add",
    dtype=same_dtype("add", _any_dtype, "computable"),
    jvp=_add_jvp,
    transpose=_add_transpose,
)
