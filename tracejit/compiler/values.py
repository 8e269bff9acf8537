"""Values: what a block of a program keeps in memory, and the items that write it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tracejit.ir.avals import ShapedArray
from tracejit.ir.plan import Note
from tracejit.ir.program import Equation, Source

if TYPE_CHECKING:
    from tracejit.compiler.loaders import Loader, LoopBuilder

__all__ = ["Block", "Item", "Opaque", "Task", "Value"]


class Value:
    """A contiguous array in memory.

    Attributes
    ----------
    aval : ShapedArray
        Its shape and dtype.
    kind : {"input", "constant", "temporary"}
        Who owns it: the caller of the block, the program, or the block.
    number : int
        Which input or constant.
    base : Value
        The value whose memory it shares (a reshaped array is the same memory); itself if none.
    """

    __slots__ = ("aval", "base", "kind", "number")

    aval: ShapedArray
    base: Value
    kind: str
    number: int

    def __init__(
        self,
        aval: ShapedArray,
        kind: str = "temporary",
        number: int = -1,
        base: Value | None = None,
    ) -> None:
        self.aval = aval
        self.kind = base.kind if base is not None else kind
        self.number = base.number if base is not None else number
        self.base = base.base if base is not None else self

    def __repr__(self) -> str:
        return f"{self.kind}{self.number if self.number >= 0 else ''}:{self.aval}"


@dataclass(eq=False)
class Task:
    """Compute `loader` at every index and store it in `value`.  Tasks are grouped into kernels.

    `reduces` says that the loader is a reduction (its expressions hold a ``reduce`` at the root);
    `sources` are the lines of all equations that were fused into it.
    """

    value: Value
    loader: Loader
    reduces: bool
    sources: tuple[Source, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The domain."""
        return self.value.aval.shape


@dataclass(eq=False)
class Opaque:
    """An equation that is not a loop nest: a library call, a callback, or control flow."""

    equation: Equation
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    bodies: tuple[Block, ...] = ()


@dataclass(eq=False)
class Group:
    """Tasks that become one kernel.

    `drafts` and `reads` are filled in when it is known what its kernels are if all results are
    stored, and what these read.
    """

    tasks: list[Task]
    drafts: list[Any] | None = None
    reads: set[Value] | None = None


Item = Group | Opaque


@dataclass(eq=False)
class Block:
    """A Program as values and items: the form in which memory is planned.

    Attributes
    ----------
    inputs, outputs : list of Value
        The signature; an output may be an input or a constant.
    k : LoopBuilder
        The builder that the loaders of its tasks belong to.
    items : list of Item
        In order.
    constants : list of (Value, array)
        Captured arrays and literals that had to live in memory.
    notes : list of Note
        Decisions, for ``explain``.
    """

    inputs: list[Value]
    k: LoopBuilder
    items: list[Any] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    constants: list[tuple[Value, Any]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
