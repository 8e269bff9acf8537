"""``associative_scan``: all prefixes of an associative operation, in logarithmic depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracejit.control.carried import avals_of, check_structure, check_types
from tracejit.core.errors import ShapeError
from tracejit.core.pytree import tree_flatten, tree_unflatten
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ops.shape import reshape
from tracejit.ops.slicing import concatenate, flip, slice_
from tracejit.transforms.stage import function_name

__all__ = ["associative_scan"]


def associative_scan(
    fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """Combine the elements along an axis from the first to each.

    Element ``i`` of the result is ``fn(...fn(fn(e[0], e[1]), e[2])..., e[i])``.  It is computed
    in about ``2 log2(n)`` applications of `fn` to many elements at once, which bracket the
    operands otherwise: `fn` must be associative.

    Parameters
    ----------
    fn : callable
        Takes two trees like `elems`, of any equal length along `axis`, and combines them element
        by element; returns such a tree.
    elems : pytree of arrays, one length along `axis`
        The elements.
    reverse : bool
        Whether to go from the last element to the first.
    axis : int
        The axis.

    Returns
    -------
    pytree of arrays
        The structure, shapes and dtypes of `elems`.

    Raises
    ------
    ShapeError
        If the lengths differ, or an element has no such axis; names the leaf.
    ShapeError, DTypeError, StructureError
        If `fn` changes a shape, a dtype or the structure.

    References
    ----------
    Blelloch, Prefix sums and their applications, 1990.
    """
    what = f"associative_scan: the result of {function_name(fn)}"
    leaves, avals, treedef, names = avals_of("elems", elems)
    if not leaves:
        return elems
    lengths = []
    for aval, name in zip(avals, names, strict=True):
        if not -aval.ndim <= axis < aval.ndim:
            raise ShapeError(f"associative_scan: {name} of shape {aval.shape} has no axis {axis}")
        lengths.append(aval.shape[axis])
    if len(set(lengths)) > 1:
        listed = ", ".join(f"{n} of shape {a.shape}" for n, a in zip(names, avals, strict=True))
        raise ShapeError(f"associative_scan: one length along axis {axis} is needed; got {listed}")
    axes = [axis % aval.ndim for aval in avals]

    def combine(first: Sequence[Any], second: Sequence[Any]) -> list[Any]:
        result = fn(tree_unflatten(treedef, first), tree_unflatten(treedef, second))
        outs, found = tree_flatten(result)
        check_structure(what, found, treedef)
        check_types(what, names, [_strong(x) for x in first], [_strong(x) for x in outs])
        return outs

    xs = [flip(x, [a]) for x, a in zip(leaves, axes, strict=True)] if reverse else leaves
    outs = _prefixes(combine, xs, axes)
    if reverse:
        outs = [flip(x, [a]) for x, a in zip(outs, axes, strict=True)]
    return tree_unflatten(treedef, outs)


def _strong(x: Any) -> ShapedArray:
    return get_aval(x).strong()


def _part(xs: Sequence[Any], axes: Sequence[int], start: int, stop: int, step: int) -> list[Any]:
    """Return ``start:stop:step`` along the axis of each array."""
    out = []
    for x, a in zip(xs, axes, strict=True):
        shape = get_aval(x).shape
        starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
        starts[a], limits[a], strides[a] = start, stop, step
        out.append(slice_(x, starts, limits, strides))
    return out


def _prefixes(
    combine: Callable[[Sequence[Any], Sequence[Any]], list[Any]],
    xs: Sequence[Any],
    axes: Sequence[int],
) -> list[Any]:
    length = get_aval(xs[0]).shape[axes[0]]
    if length < 2:
        return list(xs)
    # Pairs combined give the prefixes that end at odd places; one more element the even ones.
    half = length // 2
    odd = _prefixes(
        combine,
        combine(_part(xs, axes, 0, 2 * half, 2), _part(xs, axes, 1, 2 * half, 2)),
        axes,
    )
    first = _part(xs, axes, 0, 1, 1)
    count = (length - 1) // 2
    if not count:
        even = first
    else:
        later = combine(_part(odd, axes, 0, count, 1), _part(xs, axes, 2, length, 2))
        even = [concatenate(pair, a) for *pair, a in zip(first, later, axes, strict=True)]
    return [_alternate(e, o, a) for e, o, a in zip(even, odd, axes, strict=True)]


def _alternate(even: Any, odd: Any, axis: int) -> Any:
    """Return the elements of `even` and `odd` in turn; `even` may have one more."""
    shape, count = get_aval(even).shape, get_aval(odd).shape[axis]
    apart = (*shape[:axis], count, 1, *shape[axis + 1 :])
    both = [reshape(x, apart) for x in (*_part([even], [axis], 0, count, 1), odd)]
    pairs = reshape(concatenate(both, axis + 1), (*shape[:axis], 2 * count, *shape[axis + 1 :]))
    if shape[axis] == count:
        return pairs
    return concatenate([pairs, *_part([even], [axis], count, count + 1, 1)], axis)
