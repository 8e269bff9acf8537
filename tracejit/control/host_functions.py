"""Functions of the user as functions of flat host arrays: what callbacks hold as a param."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.array import Array, host_array
from tracejit.core.errors import DTypeError, ShapeError, StructureError
from tracejit.core.pytree import (
    PyTreeDef,
    equality_errors,
    keystr,
    tree_flatten,
    tree_flatten_with_path,
    tree_unflatten,
)
from tracejit.core.scalars import PYTHON_SCALARS
from tracejit.core.source import current_source, describe
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import promote
from tracejit.transforms.stage import function_name

__all__ = ["HostFunction", "Lanes"]


class HostFunction:
    """A function of the user, made one of flat host arrays; equal to one that does the same.

    Parameters
    ----------
    name : str
        What the user called, for messages.
    callback : callable
        The function.
    takes : PyTreeDef
        The structure of ``(args, kwargs)``.
    given : tuple of bool
        Which leaves of these are operands.
    fixed : tuple
        The other leaves, None in place of an operand.
    returns : PyTreeDef or None
        The structure of the result; None if it is ignored.
    """

    __slots__ = ("_key", "callback", "fixed", "given", "name", "returns", "source", "takes")

    returns: Any

    def __init__(
        self,
        name: str,
        callback: Callable[..., Any],
        takes: PyTreeDef,
        given: tuple[bool, ...],
        fixed: tuple[Any, ...],
        returns: PyTreeDef | None,
    ) -> None:
        if not callable(callback):
            raise StructureError(
                f"{name}: the first argument must be a function; got {type(callback).__name__}"
            )
        self.name = name
        self.callback = callback
        self.takes = takes
        self.given = given
        self.fixed = fixed
        self.returns = returns
        self.source = current_source()
        types = tuple(map(type, fixed))  # 1 is not True
        self._key: Any = (name, callback, takes, given, types, fixed, returns)
        try:
            hash(self._key)
        except TypeError:  # equal to itself alone
            self._key = (id(self),)

    @property
    def __name__(self) -> str:
        return function_name(self.callback)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HostFunction) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __call__(
        self, arrays: Sequence[np.ndarray[Any, Any]], avals: Sequence[ShapedArray]
    ) -> list[np.ndarray[Any, Any]]:
        """Call it on copies of arrays; return new arrays of the types `avals`."""
        # The arrays may lie in memory that is soon used for something else.
        copies = iter([np.array(x, order="C") for x in arrays])
        leaves = [
            next(copies) if given else x for x, given in zip(self.fixed, self.given, strict=True)
        ]
        args, kwargs = tree_unflatten(self.takes, leaves)
        result = self.callback(*args, **kwargs)
        if self.returns is None:
            return []
        found, treedef = tree_flatten(result)
        if treedef != self.returns:
            wanted = tree_unflatten(self.returns, [0] * len(avals))
            path, got, needed = next(
                iter(equality_errors(result, wanted)), ((), str(treedef), str(self.returns))
            )
            raise StructureError(
                f"{self._about(path)}: the structure promised is {needed}; it returned {got}"
                f"{self._line()}"
            )
        return [
            self._checked(n, x, aval) for n, (x, aval) in enumerate(zip(found, avals, strict=True))
        ]

    def _checked(self, n: int, x: Any, aval: ShapedArray) -> np.ndarray[Any, Any]:
        """Return a result as a new array, if it is one of `aval`."""
        value = host_array(x) if isinstance(x, Array) else np.asarray(x)
        weak = PYTHON_SCALARS.get(type(x))
        if weak is not None and promote([(aval.dtype, False), (weak.dtype, True)])[0] is aval.dtype:
            value = np.asarray(x, aval.dtype)
        if value.shape == aval.shape and value.dtype == aval.dtype:
            return np.array(value, order="C")
        numbered = tree_unflatten(self.returns, range(self.returns.num_leaves))
        about = self._about(tree_flatten_with_path(numbered)[0][n][0])
        if value.shape != aval.shape:
            raise ShapeError(
                f"{about}: the shape promised in result_shape_dtypes is {aval.shape}; it returned "
                f"shape {value.shape}{self._line()}"
            )
        raise DTypeError(
            f"{about}: the dtype promised in result_shape_dtypes is {aval.dtype}; it returned "
            f"{value.dtype}. Return x.astype({str(aval.dtype)!r}), or promise another"
            f"{self._line()}"
        )

    def _about(self, path: Any) -> str:
        return f"{self.name}: the result{keystr(path)} of {self.__name__}"

    def _line(self) -> str:
        where = describe(self.source)
        return f"\n  promised at {where}" if where else ""


class Lanes:
    """A function of host arrays called for one lane after another; its results are stacked.

    Parameters
    ----------
    function : HostFunction or Lanes
        What to call.
    size : int
        The number of lanes.
    batched : tuple of bool
        Which operands have a leading axis of lanes.
    """

    __slots__ = ("_key", "batched", "function", "size")

    def __init__(
        self, function: HostFunction | Lanes, size: int, batched: tuple[bool, ...]
    ) -> None:
        self.function = function
        self.size = size
        self.batched = batched
        self._key = (function, size, batched)

    @property
    def __name__(self) -> str:
        return self.function.__name__

    @property
    def name(self) -> str:
        """What the user called."""
        return self.function.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lanes) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __call__(
        self, arrays: Sequence[np.ndarray[Any, Any]], avals: Sequence[ShapedArray]
    ) -> list[np.ndarray[Any, Any]]:
        """Call it for every lane; `avals` are the types of the stacked results."""
        outs = [np.empty(a.shape, a.dtype) for a in avals]
        each = [a.update(shape=a.shape[1:]) for a in avals]
        for lane in range(self.size):
            operands = [x[lane] if b else x for x, b in zip(arrays, self.batched, strict=True)]
            for out, value in zip(outs, self.function(operands, each), strict=True):
                out[lane] = value
        return outs
