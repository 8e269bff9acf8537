"""Look at a function without computing: its Program, the shapes of its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.pytree import tree_unflatten
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.transforms.batching import naming
from tracejit.transforms.flat import argument_avals, check_callable, positions_of
from tracejit.transforms.stage import function_name, stage_tree

__all__ = ["ShapeDtypeStruct", "abstract_leaf", "eval_shape", "make_program"]


class ShapeDtypeStruct:
    """The shape and dtype of an array that need not exist.

    Parameters
    ----------
    shape : sequence of int
        Lengths of the axes.
    dtype : dtype-like
        Element type.
    weak_type : bool
        Whether the dtype yields to others (NEP 50).
    """

    __slots__ = ("aval",)

    def __init__(self, shape: Sequence[int], dtype: Any, *, weak_type: bool = False) -> None:
        self.aval = ShapedArray(tuple(shape), dtype, weak_type)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.aval.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.aval.size

    @property
    def weak_type(self) -> bool:
        """Whether the dtype yields to others."""
        return self.aval.weak

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a ShapeDtypeStruct of rank 0")
        return self.shape[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShapeDtypeStruct) and self.aval is other.aval

    def __hash__(self) -> int:
        return hash(self.aval)

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={self.dtype}{weak})"


def abstract_leaf(x: Any) -> ShapedArray:
    """Return the aval of an array, a ShapeDtypeStruct, or what else has a shape and a dtype."""
    if isinstance(x, ShapeDtypeStruct):
        return x.aval
    if isinstance(x, ShapedArray):
        return x
    return get_aval(x)


def _struct(aval: ShapedArray) -> ShapeDtypeStruct:
    return ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak)


def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the shapes and dtypes of the results of a function, computing nothing.

    Parameters
    ----------
    fun : callable
        The function.
    *args, **kwargs : pytrees of arrays or ShapeDtypeStruct
        Its arguments; only shapes and dtypes count.

    Returns
    -------
    pytree of ShapeDtypeStruct
        The structure of the result of `fun`.
    """
    check_callable("eval_shape", fun)
    argument_avals(
        "eval_shape", fun, range(len(args)), args, kwargs, aval_of=abstract_leaf
    )
    program, treedef = stage_tree(fun, args, kwargs, aval_of=abstract_leaf)
    return tree_unflatten(treedef, map(_struct, program.out_avals))


def make_program(
    fun: Callable[..., Any],
    static_argnums: int | Sequence[int] = (),
    axis_env: Sequence[tuple[Any, int]] | None = None,
    return_shape: bool = False,
) -> Callable[..., Any]:
    """Return a function that traces `fun` and returns its Program, to be looked at.

    Parameters
    ----------
    fun : callable
        The function.
    static_argnums : int or sequence of int
        The positional arguments that are not traced.
    axis_env : sequence of (hashable, int), optional
        Names and sizes of axes that collectives in `fun` may name.
    return_shape : bool
        Whether to return also the pytree of :class:`ShapeDtypeStruct` of the result.

    Returns
    -------
    callable
        Takes the arguments of `fun` (ShapeDtypeStruct among them); returns the
        :class:`~tracejit.ir.program.Program`.

    Notes
    -----
    ``make_jaxpr`` is the same under JAX's name.
    """

    check_callable("make_program", fun)

    def make(*args: Any, **kwargs: Any) -> Any:
        fixed = positions_of("make_program", static_argnums, len(args), "static_argnums")

        traced = [i for i in range(len(args)) if i not in fixed]
        argument_avals(
            "make_program",
            fun,
            traced,
            [args[i] for i in traced],
            kwargs,
            "; or make it static: static_argnums=...",
            abstract_leaf,
        )

        def of_traced(*given: Any, **kwargs: Any) -> Any:
            rest = iter(given)
            return fun(*(x if i in fixed else next(rest) for i, x in enumerate(args)), **kwargs)

        with naming(axis_env or ()):
            program, treedef = stage_tree(
                of_traced,
                [args[i] for i in traced],
                kwargs,
                name=function_name(fun),
                aval_of=abstract_leaf,
            )
        if not return_shape:
            return program
        return program, tree_unflatten(treedef, map(_struct, program.out_avals))

    return make
