"""What a backend of the host may do for the calls of jitted functions: answer them natively."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from tracejit.ir.avals import ShapedArray

__all__ = ["FastCalls", "Node", "Result"]


class Node(NamedTuple):
    """An argument of a signature, or a part of one; or a part of a result.

    Attributes
    ----------
    kind : str
        ``"array"``, ``"ndarray"``, ``"float"``, ``"int"``, ``"bool"``, ``"none"``, ``"tuple"``,
        ``"list"``, ``"dict"`` or ``"holder"``; the leaves of a result are ``"array"``.
    key : object
        Of an array its ``(type, aval)``; of an ndarray its ``(dtype, shape)``; of a dict the tuple
        of its keys, which are strings; of a holder, an object of one slot, its type and the name
        of the slot; else None.
    items : tuple of Node
        What it holds.
    """

    kind: str
    key: Any = None
    items: tuple[Node, ...] = ()


class Result(NamedTuple):
    """One output: its type, shape and dtype, and what returns a new buffer for it."""

    aval: ShapedArray
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    allocator: Callable[[], Any]


class FastCalls(Protocol):
    """Has calls of objects go to native code first, and to Python if that does not know them.

    What native code knows is a list of *records*, one a signature.
    """

    def prepare(self, function: Any) -> None:
        """Have calls of an object go to native code first; it has no records yet.

        Its type is one of :func:`tracejit.backend.heap_type.callable_subclass`.
        """

    def record(
        self,
        arguments: Sequence[Node],
        result: Node,
        outputs: Sequence[Result],
        executable: Any,
        anywhere: bool,
    ) -> Any | None:
        """Return the record of a signature, or None if its calls are left to Python.

        Parameters
        ----------
        arguments : sequence of Node
            By position; their leaves are the inputs of the executable.
        result : Node
            Its leaves are the outputs, in order.
        outputs : sequence of Result
            What is made for them.
        executable : Executable
            Of this backend.
        anywhere : bool
            Whether the default device does not matter.
        """

    def install(self, function: Any, records: Sequence[Any]) -> None:
        """Make these the records of an object, the first one tried first."""
