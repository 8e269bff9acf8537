"""Between functions of pytrees and flat functions: what the public transformations share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.array import Array, from_numpy
from tracejit.core.errors import DTypeError, ShapeError, StructureError
from tracejit.core.keyarray import WORDS, key_leaves
from tracejit.core.pytree import (
    KeyPath,
    PyTreeDef,
    equality_errors,
    keystr,
    tree_flatten,
    tree_flatten_with_path,
    tree_unflatten,
)
from tracejit.core.scalars import PYTHON_SCALARS
from tracejit.core.tracer import Tracer, get_aval
from tracejit.core.treedef import is_whole
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import float0, is_inexact
from tracejit.transforms.jvp import instantiate_zero
from tracejit.transforms.stage import check_outputs, function_name

__all__ = [
    "FlatFunction",
    "argument_avals",
    "array_or_tracer",
    "bind_positions",
    "check_callable",
    "derivative_of",
    "leaf_path",
    "materialize",
    "named_like",
    "normal_argnums",
    "positions_of",
]


class FlatFunction:
    """A function of pytrees as one of flat sequences.

    Parameters
    ----------
    fun : callable
        Takes the arguments whose structure is `treedef`.
    treedef : PyTreeDef
        The structure of the tuple of its arguments.
    has_aux : bool
        Whether `fun` returns ``(result, aux)``.  Traced leaves of ``aux`` are returned behind
        the leaves of the result.

    Attributes
    ----------
    out_treedef : PyTreeDef
        The structure of the result, once called.
    count : int
        The number of leaves of the result, once called.
    """

    def __init__(self, fun: Callable[..., Any], treedef: PyTreeDef, has_aux: bool = False) -> None:
        self._fun = fun
        self._treedef = treedef
        self._has_aux = has_aux
        self.out_treedef: PyTreeDef
        self.count = 0
        self._result: Any = None
        self._aux_treedef: PyTreeDef
        self._aux_leaves: list[Any] = []

    def __call__(self, *leaves: Any) -> list[Any]:
        """Call the function with flat arguments."""
        result = self._fun(*tree_unflatten(self._treedef, leaves))
        if self._has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise StructureError(
                    f"with has_aux=True, {function_name(self._fun)} must return a pair "
                    f"(result, aux); got {kind_of(result)}"
                    + (f" of length {len(result)}" if isinstance(result, tuple) else "")
                )
            result, aux = result
            self._aux_leaves, self._aux_treedef = tree_flatten(aux)
        outs, self.out_treedef = tree_flatten(result)
        check_outputs(self._fun, result, outs)
        self.count = len(outs)
        self._result = tree_unflatten(self.out_treedef, [None] * self.count)
        return [*outs, *(x for x in self._aux_leaves if isinstance(x, Tracer))]

    def result(self, leaves: Sequence[Any]) -> Any:
        """Return the result whose leaves are the first of `leaves`."""
        return tree_unflatten(self.out_treedef, map(array_or_tracer, leaves[: self.count]))

    def aux(self, leaves: Sequence[Any]) -> Any:
        """Return ``aux``, its traced leaves taken from `leaves`."""
        traced = iter(leaves[self.count :])
        found = [next(traced) if isinstance(x, Tracer) else x for x in self._aux_leaves]
        return tree_unflatten(self._aux_treedef, found)


def kind_of(x: Any) -> str:
    """Return what a value is, for messages: the type of an array, or the class."""
    return f"an array, {x.aval}" if isinstance(x, (Array, Tracer)) else type(x).__name__


def check_callable(name: str, fun: Any, what: str = "the first argument") -> None:
    """Raise StructureError unless `fun` is a function."""
    if not callable(fun):
        raise StructureError(
            f"{name}: {what} must be a function; got {kind_of(fun)}"
        )


def argument_avals(
    name: str,
    fun: Callable[..., Any],
    positions: Sequence[int],
    trees: Sequence[Any],
    kwargs: dict[str, Any] | None = None,
    remedy: str = "",
    aval_of: Callable[[Any], ShapedArray] = get_aval,
) -> list[ShapedArray]:
    """Return the avals of the leaves of arguments.

    Parameters
    ----------
    name : str
        The transformation, for messages.
    fun : callable
        Whose arguments they are.
    positions : sequence of int
        Which positional arguments `trees` are.
    trees : sequence of pytrees
        The positional arguments.
    kwargs : dict, optional
        The arguments given by keyword.
    remedy : str
        What to do about a leaf that is no array.
    aval_of : callable
        Gives the aval of a leaf, or raises DTypeError.

    Raises
    ------
    DTypeError
        If a leaf is no array; names its key path.
    """
    named = kwargs or {}
    try:
        return [aval_of(x) for x in tree_flatten((tuple(trees), named))[0]]
    except DTypeError:
        pass
    given: list[tuple[int | str, Any]] = [*zip(positions, trees, strict=True), *named.items()]
    for key, tree in given:
        for path, x in tree_flatten_with_path(tree)[0]:
            try:
                aval_of(x)
            except DTypeError as error:
                where = f"{key}{keystr(path)}"
                if isinstance(key, int):
                    where = leaf_path(fun, key, path)
                got = type(x).__name__
                if isinstance(x, np.ndarray):
                    got = str(error).partition("\n")[0]
                raise DTypeError(
                    f"{name}: {where} must be an array or a scalar; got {got}{remedy}"
                ) from None
    raise AssertionError("one leaf is no array")


def array_or_tracer(x: Any) -> Any:
    """Return a scalar as an Array; what is one, or a Tracer, as it is."""
    if isinstance(x, (Array, Tracer)):
        return x
    return from_numpy(x, weak=type(x) in PYTHON_SCALARS)


def materialize(t: Any) -> Any:
    """Return a (co)tangent for the user: zeros for Zero, of dtype float0 for integers."""
    if isinstance(t, Zero):
        aval = t.aval
        if not is_inexact(aval.dtype):
            return np.zeros(aval.shape, float0)
    return array_or_tracer(instantiate_zero(t))


def normal_argnums(name: str, argnums: Any) -> int | tuple[int, ...]:
    """Return `argnums` as an int or a tuple of ints.

    Raises
    ------
    StructureError
        If it is no int and no sequence of ints.
    """
    if isinstance(argnums, (int, np.integer)):
        return int(argnums)
    if isinstance(argnums, Sequence) and all(isinstance(n, (int, np.integer)) for n in argnums):
        return tuple(int(n) for n in argnums)
    raise StructureError(
        f"{name}: argnums must be an int or a sequence of ints; got {argnums!r}"
    )


def positions_of(
    name: str, argnums: int | Sequence[int], count: int, param: str = "argnums"
) -> tuple[int, ...]:
    """Return the positions that `argnums` names, counted from 0.

    Raises
    ------
    StructureError
        If one is none of the `count` positional arguments.
    """
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for number in numbers:
        if not isinstance(number, (int, np.integer)):
            raise StructureError(
                f"{name}: {param} must be an int or a sequence of ints; got {argnums!r}"
            )
        if not -count <= number < count:
            raise StructureError(
                f"{name}: {param}={argnums!r} names argument {number}, but the function was "
                f"called with {count} positional argument{'s' * (count != 1)}; arguments "
                f"given by keyword cannot be named by {param}"
            )
    found = tuple(int(number) % count for number in numbers)
    if len(set(found)) != len(found):
        twice = next(n for n in found if found.count(n) > 1)
        raise StructureError(f"{name}: {param}={argnums!r} names argument {twice} twice")
    return found


def bind_positions(
    fun: Callable[..., Any], positions: Sequence[int], args: Sequence[Any], kwargs: dict[str, Any]
) -> Callable[..., Any]:
    """Return `fun` as a function of the arguments at `positions`, the others being given."""
    if not kwargs and tuple(positions) == tuple(range(len(args))):
        return fun

    @functools.wraps(fun, updated=())
    def of_chosen(*chosen: Any) -> Any:
        every = list(args)
        for position, x in zip(positions, chosen, strict=True):
            every[position] = x
        return fun(*every, **kwargs)

    return of_chosen


def leaf_path(fun: Callable[..., Any], position: int, path: KeyPath) -> str:
    """Return how a leaf of a positional argument is called: ``params['w'] (argument 0)``."""
    try:
        names = list(inspect.signature(fun).parameters.values())
        named = names[position].kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )
        name = names[position].name if named else ""
    except (TypeError, ValueError, IndexError):
        name = ""
    if not name:
        return f"argument {position}{keystr(path)}"
    return f"{name}{keystr(path)} (argument {position})"


def named_like(prefix: str, fun: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return a decorator: what it makes is documented as `fun` and named ``prefix_fun``."""

    check_callable(prefix, fun)

    def decorate(transformed: Any) -> Any:
        functools.update_wrapper(transformed, fun, updated=())
        transformed.__name__ = f"{prefix}_{function_name(fun)}"
        return transformed

    return decorate


def derivative_of(what: str, x: Any, primal: ShapedArray, where: Callable[[], str]) -> Any:
    """Check a tangent or cotangent against its primal; return it, or Zero.

    Python scalars take the dtype of the primal.

    Parameters
    ----------
    what : str
        "jvp: the tangent", for messages.
    x : array
        The tangent.
    primal : ShapedArray
        What it belongs to.
    where : callable
        Gives the name of the leaf.
    """
    try:
        aval = get_aval(x)
    except DTypeError:
        raise DTypeError(
            f"{what} of {where()} must be an array or a scalar; got {type(x).__name__}"
        ) from None
    if aval.shape != primal.shape:
        raise ShapeError(
            f"{what} of {where()} must have the shape of its primal, {primal.shape}; "
            f"got {aval.shape}"
        )
    if not is_inexact(primal.dtype):
        if aval.dtype is not float0:
            raise DTypeError(
                f"{what} of {where()} must have dtype float0, since the primal has dtype "
                f"{primal.dtype}; got {aval.dtype}. Write numpy.zeros(shape, "
                "tracejit.dtypes.float0)"
            )
        return Zero(primal)
    if aval.dtype is primal.dtype:
        return x
    if aval.weak and type(x) in PYTHON_SCALARS and type(x) is not complex:
        return primal.dtype.type(x)
    raise DTypeError(
        f"{what} of {where()} must have the dtype of its primal, {primal.dtype}; got {aval.dtype}"
    )


def flatten_like(name: str, what: str, tree: Any, like: Any, treedef: PyTreeDef) -> list[Any]:
    """Return the leaves of `tree`, whose structure must be `treedef`, that of `like`.

    Raises
    ------
    StructureError
        Naming the first path where they differ.
    """
    leaves, found = tree_flatten(tree)
    if found == treedef:
        return leaves
    if treedef.has_whole:
        # What belongs to keys is of dtype float0 and has their shape, not that of their words.
        seen, as_seen = tree_flatten(tree, is_whole)
        if as_seen == tree_flatten(like, is_whole)[1]:
            return list(map(_of_words, seen, key_leaves(treedef)))
    path, got, wanted = (equality_errors(tree, like) or [((), str(found), str(treedef))])[0]
    raise StructureError(
        f"{name}: {what} must have the same structure; at {keystr(path) or 'the root'} there is "
        f"{got} where {wanted} is needed"
    )


def _of_words(x: Any, is_key: bool) -> Any:
    if is_key and isinstance(x, np.ndarray) and x.dtype == float0:
        return np.zeros((*x.shape, WORDS), float0)
    return x


def paths_of(tree: Any) -> list[KeyPath]:
    """Return the key paths of the leaves of `tree`."""
    return [path for path, _ in tree_flatten_with_path(tree)[0]]
