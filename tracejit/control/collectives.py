"""Collectives: operations between the lanes of a ``vmap`` whose axis has a name.

A collective is a primitive with a param ``axis_name``.  The batching that owns the name turns it
into an operation along its axis (:data:`tracejit.transforms.batching.axis_rules`); every other
interpretation carries it along.  Where a shape depends on the number of lanes, that is a param.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.control.collective_primitives import (
    all_gather_p,
    all_to_all_p,
    axis_index_p,
    pmax_p,
    pmin_p,
    ppermute_p,
    psum_p,
    psum_scatter_p,
)
from tracejit.core.errors import ShapeError, StructureError
from tracejit.core.pytree import tree_map
from tracejit.core.tracer import get_aval
from tracejit.ops._pointwise import add
from tracejit.ops.arithmetic import div, mul
from tracejit.ops.constant import scalar_like
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import eq, select
from tracejit.ops.shape import broadcast_in_dim, full, reshape, zeros_like_aval
from tracejit.transforms.batching import named_axes

__all__ = [
    "all_gather",
    "all_to_all",
    "axis_index",
    "axis_size",
    "pbroadcast",
    "pmax",
    "pmean",
    "pmin",
    "ppermute",
    "pshuffle",
    "psum",
    "psum_scatter",
    "pswapaxes",
]


def axis_size(axis_name: Any) -> int:
    """Return the number of lanes along a named axis (or the product over a tuple of them).

    Raises
    ------
    StructureError
        If no ``vmap`` around the call has the name.
    """
    size = 1
    for name in _names(axis_name):
        sizes = dict(named_axes())
        if name not in sizes:
            known = ", ".join(repr(n) for n in sizes) or "none"
            raise StructureError(
                f"there is no axis named {name!r} here (named axes: {known}); call the function "
                f"under vmap(..., axis_name={name!r})"
            )
        size *= sizes[name]
    return size


def _names(axis_name: Any) -> tuple[Any, ...]:
    return tuple(axis_name) if isinstance(axis_name, (tuple, list)) else (axis_name,)


def _name(axis_name: Any) -> Any:
    """Return a checked, hashable name or tuple of names."""
    axis_size(axis_name)
    return tuple(axis_name) if isinstance(axis_name, (tuple, list)) else axis_name


def _no_groups(groups: Any) -> None:
    if groups is not None:
        raise NotImplementedError(
            "axis_index_groups is not supported: reshape the axis into two and name both"
        )


def _one_name(axis_name: Any, what: str) -> Any:
    names = _names(axis_name)
    if len(names) != 1:
        raise StructureError(f"{what} goes along one named axis; got {axis_name!r}")
    return _name(names[0])


# -------------------------------------------------------------------------------- reductions


def psum(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """Sum over the lanes of a named axis.

    Parameters
    ----------
    x : pytree of arrays
        Each lane's.
    axis_name : hashable or tuple of hashables
        Of the ``vmap`` around.
    axis_index_groups : None
        Groups of lanes are not supported.

    Returns
    -------
    pytree of arrays
        The sums, the same in every lane.  A Python number gives a Python number.

    Raises
    ------
    StructureError
        If no ``vmap`` around has the name.
    """
    _no_groups(axis_index_groups)
    name = _name(axis_name)

    def one(leaf: Any) -> Any:
        if type(leaf) in (int, float, complex):
            return leaf * axis_size(name)
        if get_aval(leaf).dtype.kind == "b":
            leaf = convert_element_type(leaf, "int64")
        return psum_p.bind(leaf, axis_name=name)

    return tree_map(one, x)


def pmean(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """Mean over the lanes of a named axis.  See :func:`psum`."""
    _no_groups(axis_index_groups)
    count = axis_size(axis_name)

    def one(leaf: Any) -> Any:
        total = psum(leaf, axis_name)
        if isinstance(total, (int, float, complex)):
            return total / count
        if get_aval(total).dtype.kind in "iub":
            total = convert_element_type(total, "float64")
        return div(total, scalar_like(total, count))

    return tree_map(one, x)


def pmax(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """Maximum over the lanes of a named axis; nan if a lane has nan.  See :func:`psum`."""
    _no_groups(axis_index_groups)
    name = _name(axis_name)
    return tree_map(lambda leaf: pmax_p.bind(leaf, axis_name=name), x)


def pmin(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """Minimum over the lanes of a named axis; nan if a lane has nan.  See :func:`psum`."""
    _no_groups(axis_index_groups)
    name = _name(axis_name)
    return tree_map(lambda leaf: pmin_p.bind(leaf, axis_name=name), x)


def pbroadcast(x: Any, axis_name: Any, source: int) -> Any:
    """Return the value of the lane `source` in every lane."""
    _one_name(axis_name, "pbroadcast")
    lane = axis_index(axis_name)

    def one(leaf: Any) -> Any:
        zero = zeros_like_aval(get_aval(leaf))
        here = eq(lane, full((), source, "int64"))
        return psum(select(broadcast_in_dim(here, get_aval(leaf).shape, ()), leaf, zero), axis_name)

    return tree_map(one, x)


# --------------------------------------------------------------------------------- movements


def all_gather(
    x: Any, axis_name: Any, *, axis_index_groups: Any = None, axis: int = 0, tiled: bool = False
) -> Any:
    """Gather the values of all lanes.

    Parameters
    ----------
    x : pytree of arrays, shape (d[0], ..., d[n-1])
        Each lane's.
    axis_name : hashable
        Of the ``vmap`` around.
    axis_index_groups : None
        Groups of lanes are not supported.
    axis : int, optional
        Where the lanes go in the result.
    tiled : bool, optional
        Whether they are concatenated along `axis` instead of being stacked.

    Returns
    -------
    pytree of arrays
        The same in every lane.
    """
    _no_groups(axis_index_groups)
    name = _one_name(axis_name, "all_gather")
    lanes = axis_size(name)

    def one(leaf: Any) -> Any:
        rank = get_aval(leaf).ndim
        at = _axis(axis, rank if tiled else rank + 1, "all_gather")
        if not tiled:
            return all_gather_p.bind(leaf, axis_name=name, axis=at, size=lanes)
        return _merge(all_gather_p.bind(leaf, axis_name=name, axis=at, size=lanes), at)

    return tree_map(one, x)


def psum_scatter(
    x: Any,
    axis_name: Any,
    *,
    scatter_dimension: int = 0,
    axis_index_groups: Any = None,
    tiled: bool = False,
) -> Any:
    """Sum over the lanes, of which each keeps its part of an axis.

    Parameters
    ----------
    x : pytree of arrays
        Each lane's; the length of `scatter_dimension` is the number of lanes (a multiple of it if
        `tiled`).
    axis_name : hashable
        Of the ``vmap`` around.
    scatter_dimension : int, optional
        The axis that is shared out.
    axis_index_groups : None
        Groups of lanes are not supported.
    tiled : bool, optional
        Whether the axis stays, with its length divided by the number of lanes.
    """
    _no_groups(axis_index_groups)
    name = _one_name(axis_name, "psum_scatter")
    lanes = axis_size(name)

    def one(leaf: Any) -> Any:
        shape = get_aval(leaf).shape
        at = _axis(scatter_dimension, len(shape), "psum_scatter")
        _divides(lanes, shape[at], tiled, "psum_scatter", at)
        if tiled:
            leaf = _split(leaf, at, lanes)
        return psum_scatter_p.bind(leaf, axis_name=name, axis=at, size=lanes)

    return tree_map(one, x)


def all_to_all(
    x: Any,
    axis_name: Any,
    split_axis: int,
    concat_axis: int,
    *,
    axis_index_groups: Any = None,
    tiled: bool = False,
) -> Any:
    """Exchange an axis with the lanes: lane i gets part i of every lane.

    Parameters
    ----------
    x : pytree of arrays
        Each lane's; the length of `split_axis` is the number of lanes (a multiple of it if
        `tiled`).
    axis_name : hashable
        Of the ``vmap`` around.
    split_axis, concat_axis : int
        The axis that is shared out, and where the lanes go.
    axis_index_groups : None
        Groups of lanes are not supported.
    tiled : bool, optional
        Whether the parts are concatenated along `concat_axis` instead of being stacked.
    """
    _no_groups(axis_index_groups)
    name = _one_name(axis_name, "all_to_all")
    lanes = axis_size(name)

    def one(leaf: Any) -> Any:
        shape = get_aval(leaf).shape
        split = _axis(split_axis, len(shape), "all_to_all")
        concat = _axis(concat_axis, len(shape), "all_to_all")
        _divides(lanes, shape[split], tiled, "all_to_all", split)
        if not tiled:
            return all_to_all_p.bind(leaf, axis_name=name, split=split, concat=concat, size=lanes)
        # The lanes' axis stands before the axis into which it is merged.
        apart = _split(leaf, split, lanes)
        out = all_to_all_p.bind(apart, axis_name=name, split=split, concat=concat, size=lanes)
        return _merge(out, concat)

    return tree_map(one, x)


def ppermute(x: Any, axis_name: Any, perm: Sequence[tuple[int, int]]) -> Any:
    """Send values between lanes.

    Parameters
    ----------
    x : pytree of arrays
        Each lane's.
    axis_name : hashable
        Of the ``vmap`` around.
    perm : sequence of (source, target)
        No source and no target twice.  A lane that is no target gets zeros.
    """
    name = _one_name(axis_name, "ppermute")
    lanes = axis_size(name)
    pairs = tuple((int(a), int(b)) for a, b in perm)
    sources, targets = [a for a, _ in pairs], [b for _, b in pairs]
    distinct = len(set(sources)) == len(sources) and len(set(targets)) == len(targets)
    if not distinct or not all(0 <= n < lanes for n in (*sources, *targets)):
        raise StructureError(
            f"ppermute: sources and targets must be distinct lanes from 0 to {lanes - 1}; got "
            f"{list(pairs)}"
        )
    return tree_map(lambda leaf: ppermute_p.bind(leaf, axis_name=name, perm=pairs), x)


def pshuffle(x: Any, axis_name: Any, perm: Sequence[int]) -> Any:
    """Permute lanes: lane i gets the value of lane ``perm[i]``."""
    lanes = axis_size(axis_name)
    if sorted(perm) != list(range(lanes)):
        raise StructureError(
            f"pshuffle: perm must be a permutation of 0 .. {lanes - 1}; got {list(perm)}"
        )
    return ppermute(x, axis_name, [(source, n) for n, source in enumerate(perm)])


def pswapaxes(x: Any, axis_name: Any, axis: int, *, axis_index_groups: Any = None) -> Any:
    """Swap the lanes with an axis of the same length."""
    return all_to_all(x, axis_name, axis, axis, axis_index_groups=axis_index_groups)


def axis_index(axis_name: Any) -> Any:
    """Return the number of the lane, an int64; lanes of a tuple of axes in row-major order."""
    index: Any = full((), 0, "int64")
    for name in _names(axis_name):
        lanes = axis_size(name)
        here = axis_index_p.bind(axis_name=name, size=lanes)
        index = add(mul(index, scalar_like(index, lanes)), here)
    return index


def _axis(axis: int, rank: int, what: str) -> int:
    if not -rank <= axis < rank:
        raise ShapeError(f"{what}: axis {axis} is out of range for rank {rank}")
    return axis % rank


def _divides(lanes: int, length: int, tiled: bool, what: str, axis: int) -> None:
    if (length % lanes if tiled else length != lanes) or not lanes:
        wanted = f"a multiple of {lanes}" if tiled else str(lanes)
        raise ShapeError(
            f"{what}: axis {axis} must have length {wanted}, for there are {lanes} lanes; got "
            f"{length}"
        )


def _split(x: Any, axis: int, parts: int) -> Any:
    shape = get_aval(x).shape
    return reshape(x, (*shape[:axis], parts, shape[axis] // parts, *shape[axis + 1 :]))


def _merge(x: Any, axis: int) -> Any:
    shape = get_aval(x).shape
    return reshape(x, (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))
