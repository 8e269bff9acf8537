"""vmap: a function of one sample as one of many."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError, StructureError
from tracejit.core.keyarray import key_leaves
from tracejit.core.pytree import KeyPath, flatten_axes, keystr, tree_flatten, tree_unflatten
from tracejit.core.tracer import get_aval
from tracejit.transforms.batching import batch_flat, force_axis
from tracejit.transforms.flat import (
    FlatFunction,
    array_or_tracer,
    leaf_path,
    named_like,
    paths_of,
)

__all__ = ["vmap"]


def vmap(
    fun: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
    spmd_axis_name: Any = None,
    sum_match: bool = False,
) -> Callable[..., Any]:
    """Return a function that maps `fun` over axes of its arguments.

    Nothing is looped: each operation becomes one on all samples.

    Parameters
    ----------
    fun : callable
        Sees one sample.
    in_axes : int, None, or tuple of such pytrees
        Which axis of each positional argument is mapped; None for one that all samples share.
        A tuple has one entry an argument, each a pytree prefix of it.  Negative axes count from
        the end.  Keyword arguments are mapped over axis 0.
    out_axes : int, None, or pytree of such
        Where the axis of the samples is in the results, a prefix of their structure; None for a
        result that is the same for all samples.
    axis_name : hashable, optional
        The name of the axis, for collectives.
    axis_size : int, optional
        The number of samples; needed if no argument is mapped.
    spmd_axis_name, sum_match
        Only as they are by default: they steer JAX's partitioning of arrays over a mesh of
        devices, which does not exist here.

    Returns
    -------
    callable
        Takes and returns arrays with the additional axis.

    Raises
    ------
    StructureError
        If `fun` is no function, `axis_size` no number, or `in_axes` or `out_axes` does not fit;
        names the key path.
    ShapeError
        If an axis is out of range, or the sizes of the mapped axes differ: lists them all.
    """
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if in_axes is not None and (
        not isinstance(in_axes, (int, tuple)) or isinstance(in_axes, bool)
    ):
        raise StructureError(
            "vmap: in_axes must be an int, None, or a tuple with one entry a positional "
            f"argument; got {type(in_axes).__name__}: {in_axes!r}"
        )

    if spmd_axis_name is not None or sum_match:
        raise StructureError(
            "vmap: spmd_axis_name and sum_match are not supported: they name axes of a mesh of "
            "devices that a program is partitioned over, and there is none here. Use axis_name for "
            "collectives over the samples"
        )
    if axis_size is not None and (
        not isinstance(axis_size, (int, np.integer)) or axis_size < 0
    ):
        raise StructureError(
            f"vmap: axis_size must be the number of samples, an int >= 0; got {axis_size!r}"
        )

    @named_like("vmap", fun)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise StructureError(
                f"vmap: in_axes has {len(in_axes)} entries, one a positional argument; the "
                f"function was called with {len(args)}"
            )
        leaves, treedef = tree_flatten((args, kwargs))
        positional = tree_flatten(args)[1]
        axes = [
            *_axes("vmap: in_axes", positional, in_axes),
            *[0] * (len(leaves) - positional.num_leaves),
        ]

        def called(number: int) -> str:
            kind, first, *rest = paths_of((args, kwargs))[number]
            if kind.idx == 1:
                return f"{first.key}{keystr(tuple(rest))}"
            return leaf_path(fun, first.idx, tuple(rest))

        shown = _shapes(leaves, axes, key_leaves(treedef), called)
        axes, size = _size(axis_size, shown, axes, called)

        def of_pair(args: Any, kwargs: Any) -> Any:
            return fun(*args, **kwargs)

        of_pair.__name__ = getattr(fun, "__name__", "fun")
        flat = FlatFunction(of_pair, treedef)
        outs, natural = batch_flat(flat, size, axes, leaves, axis_name)
        wanted = _axes("vmap: out_axes", flat.out_treedef, out_axes)
        found = []
        keys = key_leaves(flat.out_treedef)
        for number, (x, axis, to) in enumerate(zip(outs, natural, wanted, strict=True)):
            called_so = functools.partial(_result, flat, number)
            found.append(_placed(x, axis, to, size, keys[number], called_so))
        return tree_unflatten(flat.out_treedef, found)

    made: Callable[..., Any] = mapped
    return made


def _axes(name: str, treedef: Any, axes: Any) -> list[int | None]:
    try:
        found = flatten_axes(name, treedef, axes)
    except ValueError as error:
        raise StructureError(str(error)) from None
    for axis in found:
        if axis is not None and (not isinstance(axis, int) or isinstance(axis, bool)):
            raise StructureError(f"{name} must hold ints and None; got {axis!r}")
    return found


def _shapes(
    leaves: Sequence[Any],
    axes: Sequence[int | None],
    keys: Sequence[bool],
    called: Callable[[int], str],
) -> list[tuple[int, ...]]:
    """Return the shapes of arguments; of keys without the axis of their words."""
    found: list[tuple[int, ...]] = []
    for number, (x, axis, is_key) in enumerate(zip(leaves, axes, keys, strict=True)):
        if axis is None:
            found.append(())
            continue
        try:
            shape = get_aval(x).shape
        except DTypeError:
            raise DTypeError(
                f"vmap: {called(number)} must be an array to be mapped over; got "
                f"{type(x).__name__}. Use in_axes=None for what all samples share"
            ) from None
        found.append(shape[:-1] if is_key else shape)
    return found


def _size(
    axis_size: int | None,
    shapes: Sequence[tuple[int, ...]],
    axes: Sequence[int | None],
    called: Callable[[int], str],
) -> tuple[list[int | None], int]:
    """Return the axes, counted from 0, and the one size of all mapped axes."""
    found: list[int | None] = []
    sizes: dict[int, int] = {}
    for number, (shape, axis) in enumerate(zip(shapes, axes, strict=True)):
        if axis is None:
            found.append(None)
            continue
        if not -len(shape) <= axis < len(shape):
            raise ShapeError(
                f"vmap: {called(number)} has shape {shape}, so it has no axis {axis} to map over"
                + ("; use in_axes=None for it to share it" if not shape else "")
            )
        found.append(axis % len(shape))
        sizes[number] = shape[axis]
    if axis_size is None and not sizes:
        raise ShapeError(
            "vmap: no argument is mapped (in_axes is None throughout), so the number of samples "
            "is not known; pass axis_size"
        )
    size = next(iter(sizes.values())) if axis_size is None else axis_size
    if any(other != size for other in sizes.values()):
        lines = [
            f"  {called(number)} of shape {shapes[number]}: axis "
            f"{found[number]} has size {length}"
            for number, length in sizes.items()
        ]
        given = f" and axis_size={axis_size}" if axis_size is not None else ""
        raise ShapeError(
            f"vmap: the mapped axes{given} must have one size; got\n" + "\n".join(lines)
        )
    return found, size


def _result(flat: FlatFunction, number: int) -> str:
    path: KeyPath = paths_of(tree_unflatten(flat.out_treedef, range(flat.count)))[number]
    return f"result{keystr(path)}"


def _placed(
    x: Any,
    axis: int | None,
    to: int | None,
    size: int,
    is_key: bool,
    called: Callable[[], str],
) -> Any:
    if to is None:
        if axis is not None:
            raise ShapeError(
                f"vmap: {called()} differs from sample to sample, so its entry of out_axes "
                "cannot be None"
            )
        return array_or_tracer(x)
    rank = get_aval(x).ndim + (axis is None) - is_key
    if not -rank <= to < rank:
        raise ShapeError(
            f"vmap: {called()} has rank {rank} with the axis of the samples; out_axes puts that "
            f"at {to}"
        )
    return force_axis(x, axis, to % rank, size)
