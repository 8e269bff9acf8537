"""Functions in LLVM text with loops and branches, whose values are carried by phis.

No pass runs over the text, so what is written is what runs, but for the choice of instructions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracejit_llvm.text import Code, Module, integers, vector

__all__ = ["Function", "Kernel", "module_text"]

Typed = tuple[str, str]
"""A type and a value."""


class Function(Code):
    """A function of a module, that grows at its end.

    Parameters
    ----------
    module : Module
        Where it stands.
    name : str
        Its name.
    parameters : sequence of (type, name)
        What it takes.
    result : str, optional
        The type of its result.
    internal : bool, optional
        Whether only this module calls it.
    """

    __slots__ = ("head", "result")

    def __init__(
        self,
        module: Module,
        name: str,
        parameters: Sequence[Typed],
        result: str = "void",
        internal: bool = True,
    ) -> None:
        super().__init__(module, "entry")
        self.result = result
        linkage = "internal " if internal else ""
        typed = ", ".join(f"{kind} {value}" for kind, value in parameters)
        self.head = f"define {linkage}{result} @{name}({typed}) nounwind {{\nentry:"
        module.definitions[name] = ""  # its place

    def end(self, value: str = "") -> None:
        """Return from the function, and put it into the module."""
        self.line(f"ret {self.result} {value}".rstrip())
        name = self.head.split("@")[1].split("(")[0]
        self.module.definitions[name] = "\n".join([self.head, *self.lines, "}"])

    # ------------------------------------------------------------------ numbers
    def i(self, op: str, a: str | int, b: str | int, kind: str = "i64") -> str:
        """Append arithmetic or, with a name such as ``slt``, a comparison of integers."""
        if op in ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge"):
            op = f"icmp {op}"
        return self.op(f"{op} {kind} {a}, {b}")

    def choose(self, condition: str, a: str | int, b: str | int, kind: str = "i64") -> str:
        """Append a choice between two values."""
        return self.op(f"select i1 {condition}, {kind} {a}, {kind} {b}")

    def least(self, a: str | int, b: str | int) -> str:
        """Append the least of two signed numbers."""
        return self.call("i64", "llvm.smin.i64", ("i64", str(a)), ("i64", str(b)))

    def greatest(self, a: str | int, b: str | int) -> str:
        """Append the greatest of two signed numbers."""
        return self.call("i64", "llvm.smax.i64", ("i64", str(a)), ("i64", str(b)))

    def unseen(self, number: str) -> str:
        """Append a number of which code generation does not know that a loop counts it.

        It then looks for no other ways to walk through memory, which takes as long as all the
        rest where there are many places.
        """
        return self.op(f'call i64 asm "", "=r,0"(i64 {number})')

    # ------------------------------------------------------------------ memory
    def at(self, base: str, index: str | int, kind: str) -> str:
        """Append the address of an element."""
        return self.op(f"getelementptr {kind}, ptr {base}, i64 {index}")

    def load(self, kind: str, base: str, index: str | int = 0, align: int = 0) -> str:
        """Append the load of an element, of a vector if `kind` is one of `base`'s elements."""
        place = base if index == 0 else self.at(base, index, kind)
        return self.op(f"load {kind}, ptr {place}{f', align {align}' if align else ''}")

    def store(
        self, kind: str, value: str, base: str, index: str | int = 0, align: int = 0
    ) -> None:
        """Append a store."""
        place = base if index == 0 else self.at(base, index, kind)
        self.line(f"store {kind} {value}, ptr {place}{f', align {align}' if align else ''}")

    def room(self, nbytes: int) -> str:
        """Append memory that lasts until the function returns; for its entry alone."""
        assert self.label == "entry", "memory is taken once, where the function begins"
        return self.op(f"alloca [{nbytes} x i8], align 64")

    # ------------------------------------------------------------------ vectors
    def splat(self, value: str, kind: str, n: int) -> str:
        """Append a vector of one value."""
        full = vector(kind, n)
        first = self.op(f"insertelement {full} poison, {kind} {value}, i64 0")
        return self.op(
            f"shufflevector {full} {first}, {full} poison, <{n} x i32> zeroinitializer"
        )

    def shuffle(self, a: str, b: str, kind: str, n: int, places: Sequence[int]) -> str:
        """Append a vector of lanes of `a`, then `b`."""
        full = vector(kind, n)
        return self.op(
            f"shufflevector {full} {a}, {full} {b}, "
            f"<{len(places)} x i32> {integers(places, 'i32')}"
        )

    def transposed(self, rows: Sequence[str], kind: str, n: int) -> list[str]:
        """Append the transposition of n vectors of n lanes, n being a power of 2."""
        rows, h = list(rows), 1
        while h < n:
            for i in (i for i in range(n) if not i & h):
                a, b = rows[i], rows[i + h]
                low = [k if not k & h else n + k - h for k in range(n)]
                high = [k + h if not k & h else n + k for k in range(n)]
                rows[i] = self.shuffle(a, b, kind, n, low)
                rows[i + h] = self.shuffle(a, b, kind, n, high)
            h *= 2
        return rows

    def first(self, count: str, n: int, order: Sequence[int] | None = None) -> str:
        """Append a mask of the first `count` of `n` lanes, or of places that are in `order`."""
        least = self.splat(self.op(f"trunc i64 {count} to i32"), "i32", n)
        places = integers(range(n) if order is None else order, "i32")
        return self.op(f"icmp slt {vector('i32', n)} {places}, {least}")

    # ------------------------------------------------------------------ control
    def loop(
        self,
        lo: str | int,
        hi: str | int,
        body: Callable[[str, list[str]], Sequence[str] | None],
        carried: Sequence[Typed] = (),
        step: str | int = 1,
    ) -> list[str]:
        """Append ``for i in range(lo, hi, step): carried = body(i, carried)``; return these."""
        n = self.module.fresh()
        names = [f"%c{n}.{k}" for k in range(len(carried))]
        entry = self.label
        some = self.op(f"icmp slt i64 {lo}, {hi}")
        self.line(f"br i1 {some}, label %loop{n}, label %done{n}")
        self.start(f"loop{n}")
        place = len(self.lines)
        after = list(body(f"%i{n}", names) or [])
        following = self.op(f"add i64 %i{n}, {step}")
        again = self.op(f"icmp slt i64 {following}, {hi}")
        latch = self.label
        self.line(f"br i1 {again}, label %loop{n}, label %done{n}")
        phis = [f"  %i{n} = phi i64 [ {lo}, %{entry} ], [ {following}, %{latch} ]"]
        phis += [
            f"  {name} = phi {kind} [ {first}, %{entry} ], [ {last}, %{latch} ]"
            for name, (kind, first), last in zip(names, carried, after, strict=True)
        ]
        self.lines[place:place] = phis
        self.start(f"done{n}")
        return [
            self.op(f"phi {kind} [ {first}, %{entry} ], [ {last}, %{latch} ]")
            for (kind, first), last in zip(carried, after, strict=True)
        ]

    def repeat(
        self,
        carried: Sequence[Typed],
        body: Callable[[list[str]], tuple[str, Sequence[str]]],
    ) -> list[str]:
        """Append a loop that runs once and then as long as `body` says, by an i1 and values."""
        n = self.module.fresh()
        names = [f"%c{n}.{k}" for k in range(len(carried))]
        entry = self.label
        self.line(f"br label %loop{n}")
        self.start(f"loop{n}")
        place = len(self.lines)
        again, after = body(names)
        latch = self.label
        self.line(f"br i1 {again}, label %loop{n}, label %done{n}")
        self.lines[place:place] = [
            f"  {name} = phi {kind} [ {first}, %{entry} ], [ {last}, %{latch} ]"
            for name, (kind, first), last in zip(names, carried, after, strict=True)
        ]
        self.start(f"done{n}")
        return list(after)

    def when(
        self,
        condition: str,
        then: Callable[[], Sequence[str] | None],
        otherwise: Callable[[], Sequence[str] | None] | None = None,
        kinds: Sequence[str] = (),
    ) -> list[str]:
        """Append a branch; return what it comes to, of types `kinds`."""
        n = self.module.fresh()
        other = f"else{n}" if otherwise is not None else f"end{n}"
        self.line(f"br i1 {condition}, label %then{n}, label %{other}")
        self.start(f"then{n}")
        a = list(then() or [])
        from_then = self.label
        self.line(f"br label %end{n}")
        b: list[str] = []
        from_else = ""
        if otherwise is not None:
            self.start(f"else{n}")
            b = list(otherwise() or [])
            from_else = self.label
            self.line(f"br label %end{n}")
        self.start(f"end{n}")
        return [
            self.op(f"phi {kind} [ {x}, %{from_then} ], [ {y}, %{from_else} ]")
            for kind, x, y in zip(kinds, a, b, strict=True)
        ]

    def invoke(self, name: str, *arguments: Typed, result: str = "void") -> str:
        """Append a call of a function of this module."""
        typed = ", ".join(f"{kind} {value}" for kind, value in arguments)
        text = f"call {result} @{name}({typed})"
        if result == "void":
            self.line(text)
            return ""
        return self.op(text)


class Kernel(Function):
    """A function with the signature of a kernel, to be called for rows ``%begin .. %end - 1``."""

    __slots__ = ()

    PARAMETERS = (
        ("ptr", "%buffers"), ("ptr", "%sizes"), ("ptr", "%floats"), ("i64", "%begin"),
        ("i64", "%end"),
    )  # fmt: skip

    def __init__(self, module: Module, name: str, internal: bool = False) -> None:
        super().__init__(module, name, self.PARAMETERS, internal=internal)

    def buffer(self, n: int) -> str:
        """Append the address of a buffer."""
        return self.load("ptr", "%buffers", n)

    def size(self, n: int) -> str:
        """Append an integer argument."""
        return self.load("i64", "%sizes", n)


def module_text(module: Module) -> str:
    """Return the text of a module whose functions have ended."""
    return module.tail()
