"""Verify a kernel: every name is bound where it is used, every number is in range, dtypes agree."""

from __future__ import annotations

from typing import Any, NoReturn

from tracejit.ir.kernel import For, Kernel, Recurrence, Reduce, Statement, Store
from tracejit.ir.scalar import COMPARISONS, COSTS, Expr, IndexVar, Loop, Size, show, walk

__all__ = ["KernelError", "verify_kernel"]

_STRUCTURAL = frozenset(("const", "index", "affine", "load", "float", "ref", "convert", "bitcast"))
_ONE_DTYPE = frozenset(("add", "sub", "mul", "div", "min", "max", "quot", "rem", "pow", "atan2"))


class KernelError(Exception):
    """A kernel is not well formed: an error of the compiler, not of the user."""


def verify_kernel(kernel: Kernel) -> None:
    """Check a kernel with numbered buffers, as a backend receives it.

    Parameters
    ----------
    kernel : Kernel
        What to check.

    Raises
    ------
    KernelError
        If a loop variable, a reduction's result, a buffer, a size or a float argument is used that
        does not exist there, an operation is unknown, or dtypes do not agree; names it.
    """
    if any(b.mode not in ("in", "out", "inout") for b in kernel.buffers):
        raise KernelError("a buffer's mode must be in, out or inout")
    parallel = [isinstance(st, For) and st.parallel for st in kernel.body]
    if any(parallel) and not all(parallel):
        raise KernelError("either all loops at the top are parallel, or none is")
    _Checker(kernel).body(kernel.body, frozenset(), frozenset(), top=True)


class _Checker:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.seen: set[tuple[Expr, frozenset[Any], frozenset[str]]] = set()

    def fail(self, what: str) -> NoReturn:
        raise KernelError(f"{what}, in\n{self.kernel.text()}")

    def number(self, n: int | Size) -> None:
        if isinstance(n, Size) and not 0 <= n.number < self.kernel.n_sizes:
            self.fail(f"{n!r} is not one of the {self.kernel.n_sizes} sizes")

    def loop(self, loop: Loop) -> None:
        self.number(loop.lo)
        self.number(loop.hi)

    def body(
        self,
        body: tuple[Statement, ...],
        bound: frozenset[IndexVar],
        names: frozenset[str],
        top: bool = False,
    ) -> None:
        for st in body:
            if isinstance(st, For):
                self.loop(st.loop)
                if st.parallel and not top:
                    self.fail("a parallel loop stands inside another")
                self.body(st.body, bound | {st.loop.var}, names)
            elif isinstance(st, Reduce):
                inner = bound
                for loop in st.loops:
                    self.loop(loop)
                    inner |= {loop.var}
                for a in st.accumulators:
                    self.expr(a.value, inner, names)
                    if a.index is not None:
                        self.expr(a.index, inner, names)
                    if (a.index is not None) != (a.op in ("argmax", "argmin")):
                        self.fail(f"accumulator {a.name}: {a.op} with a wrong index")
                names |= {a.name for a in st.accumulators}
            elif isinstance(st, Recurrence):
                names = self.recurrence(st, bound, names)
            else:
                self.store(st, bound, names)

    def recurrence(
        self, st: Recurrence, bound: frozenset[IndexVar], names: frozenset[str]
    ) -> frozenset[str]:
        """Check a recurrence; return the names that are known after it."""
        self.loop(st.loop)
        for c in st.carried:
            self.expr(c.initial, bound, names)
            if c.initial.dtype != c.following.dtype:
                self.fail(f"{c.name} is {c.initial.dtype} and becomes {c.following.dtype}")
        names |= {c.name for c in st.carried}
        if st.condition is not None:
            self.expr(st.condition, bound, names)
        inner = bound | {st.loop.var}
        self.body(st.body, inner, names)
        for c in st.carried:
            self.expr(c.following, inner, names)
        return names

    def store(self, st: Store, bound: frozenset[IndexVar], names: frozenset[str]) -> None:
        self.expr(st.offset, bound, names)
        self.expr(st.value, bound, names)
        if not 0 <= st.buffer < len(self.kernel.buffers):
            self.fail(f"b{st.buffer} does not exist")
        buffer = self.kernel.buffers[st.buffer]
        if buffer.mode == "in":
            self.fail(f"b{st.buffer} is read only, and is stored to")
        if buffer.dtype != st.value.dtype:
            self.fail(f"b{st.buffer} holds {buffer.dtype}; {st.value.dtype} is stored")

    def expr(self, root: Expr, bound: frozenset[IndexVar], names: frozenset[str]) -> None:
        if (root, bound, names) in self.seen:
            return
        self.seen.add((root, bound, names))
        for e in walk((root,)):
            if e.op not in _STRUCTURAL and e.op not in COSTS:
                self.fail(f"there is no operation {e.op!r}")
            if e.op == "index" and e.attr not in bound:
                self.fail(f"{e.attr} is used outside its loop")
            elif e.op == "ref" and e.attr not in names:
                self.fail(f"{e.attr} is used before it is computed")
            elif e.op == "float" and not 0 <= e.attr < len(self.kernel.floats):
                self.fail(f"f{e.attr} does not exist")
            elif e.op == "affine":
                for n in (e.attr[0], *e.attr[1]):
                    self.number(n)
            elif e.op == "load":
                self.load(e)
            elif e.op in COMPARISONS and e.dtype.kind != "b":
                self.fail(f"{show(e)} is a comparison of dtype {e.dtype}")
            elif e.op in _ONE_DTYPE and len({a.dtype for a in e.args} | {e.dtype}) > 1:
                self.fail(f"{show(e)} mixes dtypes")

    def load(self, e: Expr) -> None:
        if not 0 <= e.attr < len(self.kernel.buffers):
            self.fail(f"b{e.attr} does not exist")
        buffer = self.kernel.buffers[e.attr]
        if buffer.mode == "out":
            self.fail(f"b{e.attr} is written only, and is loaded")
        if buffer.dtype != e.dtype:
            self.fail(f"b{e.attr} holds {buffer.dtype}; {e.dtype} is loaded")
