"""jacfwd, jacrev and hessian: derivatives along all directions at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError
from tracejit.core.keyarray import KEY_DTYPE, key_leaves
from tracejit.core.pytree import tree_flatten, tree_unflatten
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import float0, is_complex, is_float, is_inexact
from tracejit.ops.constant import iota
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import eq
from tracejit.ops.shape import reshape
from tracejit.transforms.batching import batch_flat, force_axis
from tracejit.transforms.derivatives import check_input, check_real_output, in_bytes
from tracejit.transforms.flat import (
    FlatFunction,
    argument_avals,
    bind_positions,
    leaf_path,
    materialize,
    named_like,
    normal_argnums,
    paths_of,
    positions_of,
)
from tracejit.transforms.jvp import jvp_flat
from tracejit.transforms.linearize import vjp_flat
from tracejit.transforms.partial_eval import bounded_memory

__all__ = ["hessian", "jacfwd", "jacobian", "jacrev"]

Argnums = int | Sequence[int]


def _basis(aval: ShapedArray) -> Any:
    """Return the unit arrays of `aval`, along a new leading axis."""
    count = aval.size
    rows, columns = (iota((count, count), axis, "int64") for axis in (0, 1))
    return reshape(convert_element_type(eq(rows, columns), aval.dtype), (count, *aval.shape))


def jacfwd(
    fun: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """Return a function that evaluates the Jacobian of `fun`, column by column (forward mode).

    Good for more outputs than inputs.

    Parameters
    ----------
    fun : callable
        Takes and returns pytrees of arrays.
    argnums : int or sequence of int
        The positional arguments to differentiate by: real, or complex with `holomorphic`.
    has_aux : bool
        Whether `fun` returns ``(result, aux)``.
    holomorphic : bool
        Whether `fun` is promised to be holomorphic.

    Returns
    -------
    callable
        Takes the arguments of `fun`; returns the structure of its result, each leaf replaced by
        the structure of the argument (a tuple of such if `argnums` is a sequence), with leaves
        of shape ``(*out.shape, *in.shape)``; or with `has_aux` a pair of that and ``aux``.
    """

    return _jacfwd("jacfwd", fun, argnums, has_aux, holomorphic)


def _jacfwd(
    name: str, fun: Callable[..., Any], argnums: Argnums, has_aux: bool, holomorphic: bool
) -> Callable[..., Any]:
    argnums = normal_argnums(name, argnums)

    @named_like(name, fun)
    def jacobian_columns(*args: Any, **kwargs: Any) -> Any:
        positions = positions_of(name, argnums, len(args))
        chosen = tuple(args[i] for i in positions)
        for position, tree in zip(positions, chosen, strict=True):
            _check_forward_input(name, fun, position, tree, holomorphic)
        leaves, treedef = tree_flatten(chosen)
        flat = FlatFunction(bind_positions(fun, positions, args, kwargs), treedef, has_aux)
        avals = [get_aval(x) for x in leaves]
        columns = []  # one an input: its block of each output
        outs: list[Any] = []
        for number, aval in enumerate(avals):

            def pushed(direction: Any, number: int = number) -> Sequence[Any]:
                tangents = [direction if i == number else Zero(a) for i, a in enumerate(avals)]
                values, found = jvp_flat(flat, leaves, tangents)
                for x in values[: flat.count]:
                    _check_forward_output(name, get_aval(x), holomorphic)
                return [*values, *map(materialize, found[: flat.count])]

            both, axes = batch_flat(pushed, aval.size, [0], [_basis(aval)])
            values = len(both) - flat.count
            outs = both[:values]
            block = []
            for out, t, axis in zip(outs, both[values:], axes[values:], strict=False):
                shape = get_aval(out).shape
                last = force_axis(t, axis, len(shape), aval.size)
                block.append(reshape(last, (*shape, *aval.shape)))
            columns.append(block)
        if not leaves:
            outs = flat()
        per_out = [
            _chosen(tree_unflatten(treedef, [block[i] for block in columns]), argnums)
            for i in range(flat.count)
        ]
        result = tree_unflatten(flat.out_treedef, per_out)
        return (result, flat.aux(outs)) if has_aux else result

    made: Callable[..., Any] = jacobian_columns
    return made


def _chosen(trees: Any, argnums: Argnums) -> Any:
    return trees[0] if isinstance(argnums, int) else trees


def _check_forward_input(
    name: str, fun: Callable[..., Any], position: int, tree: Any, holomorphic: bool
) -> None:
    avals = argument_avals(name, fun, [position], [tree])
    keys = key_leaves(tree_flatten(tree)[1])
    for number, (aval, is_key) in enumerate(zip(avals, keys, strict=True)):
        if (is_complex if holomorphic else is_float)(aval.dtype):
            continue
        dtype: Any = KEY_DTYPE if is_key else aval.dtype
        where = leaf_path(fun, position, paths_of(tree)[number])
        wanted = (
            "with holomorphic=True inputs must be complex"
            if holomorphic
            else "inputs must be floating (for complex ones use holomorphic=True, or jvp)"
        )
        raise DTypeError(f"{name}: {where} has dtype {dtype}; {wanted}")


def _check_forward_output(name: str, aval: ShapedArray, holomorphic: bool) -> None:
    if holomorphic:
        check_real_output(name, aval, holomorphic)
    elif not is_inexact(aval.dtype):
        raise DTypeError(f"{name}: the outputs must be floating or complex; got {aval.dtype}")


def _varies(aval: ShapedArray) -> bool:
    """Whether derivatives by arrays of `aval` are arrays (not float0)."""
    return is_inexact(aval.dtype)


def jacrev(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    memory: int | str | None = None,
) -> Callable[..., Any]:
    """Return a function that evaluates the Jacobian of `fun`, row by row (reverse mode).

    Good for more inputs than outputs.

    Parameters
    ----------
    fun, argnums, has_aux, holomorphic
        As for :func:`jacfwd`; inputs may be complex, outputs must be real unless `holomorphic`.
    allow_int : bool
        Whether to allow integer leaves; their derivative has dtype float0.
    memory : int or str, optional
        As for :func:`value_and_grad`.

    Returns
    -------
    callable
        As for :func:`jacfwd`.
    """

    return _jacrev("jacrev", fun, argnums, has_aux, holomorphic, allow_int, memory)


def _jacrev(
    name: str,
    fun: Callable[..., Any],
    argnums: Argnums,
    has_aux: bool,
    holomorphic: bool,
    allow_int: bool = False,
    memory: int | str | None = None,
) -> Callable[..., Any]:
    budget = in_bytes(name, memory)
    argnums = normal_argnums(name, argnums)

    @named_like(name, fun)
    def jacobian_rows(*args: Any, **kwargs: Any) -> Any:
        positions = positions_of(name, argnums, len(args))
        chosen = tuple(args[i] for i in positions)
        for position, tree in zip(positions, chosen, strict=True):
            check_input(name, fun, position, tree, holomorphic, allow_int)
        leaves, treedef = tree_flatten(chosen)
        flat = FlatFunction(bind_positions(fun, positions, args, kwargs), treedef, has_aux)
        with bounded_memory(budget):
            outs, pullback = vjp_flat(flat, leaves)
        inputs = [get_aval(x) for x in leaves]
        avals = [get_aval(x) for x in outs]
        per_out = []
        for number, aval in enumerate(avals[: flat.count]):
            check_real_output(name, aval, holomorphic)

            def pulled(direction: Any, number: int = number) -> Sequence[Any]:
                seeds = [direction if i == number else Zero(a) for i, a in enumerate(avals)]
                found = pullback(seeds)
                return [materialize(ct) for ct, x in zip(found, inputs, strict=True) if _varies(x)]

            cts, axes = batch_flat(pulled, aval.size, [0], [_basis(aval)])
            rows = []
            found = iter(zip(cts, axes, strict=True))
            for x in inputs:
                shape = (*aval.shape, *x.shape)
                if not _varies(x):
                    rows.append(np.zeros(shape, float0))
                    continue
                ct, axis = next(found)
                rows.append(reshape(force_axis(ct, axis, 0, aval.size), shape))
            per_out.append(_chosen(tree_unflatten(treedef, rows), argnums))
        result = tree_unflatten(flat.out_treedef, per_out)
        return (result, flat.aux(outs)) if has_aux else result

    made: Callable[..., Any] = jacobian_rows
    return made


jacobian = jacrev


def hessian(
    fun: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """Return a function that evaluates the second derivatives of `fun` (forward over reverse).

    Parameters
    ----------
    fun, argnums, has_aux, holomorphic
        As for :func:`jacfwd`.

    Returns
    -------
    callable
        Takes the arguments of `fun`; returns the structure of the result, in it that of the
        argument, in it that of the argument again, with leaves of shape
        ``(*out.shape, *in.shape, *in.shape)``.
    """
    rows = _jacrev("hessian", fun, argnums, has_aux, holomorphic)
    return _jacfwd("hessian", rows, argnums, has_aux, holomorphic)
