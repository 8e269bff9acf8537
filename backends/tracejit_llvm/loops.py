"""Loops: serial ones, written out if they are short, and those whose trips fill vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tracejit.ir.scalar import IndexVar, index
from tracejit_llvm.regions import Lanes, Value
from tracejit_llvm.scope import Scope
from tracejit_llvm.widths import SHORT

__all__ = ["Loops"]

LONGEST_WRITTEN_OUT = 400


class Loops(Scope):
    """Emits the loops of one kernel.

    Attributes
    ----------
    longest_written_out : int
        Cost above which a short loop stays a loop.
    """

    longest_written_out = LONGEST_WRITTEN_OUT

    def bind(self, var: IndexVar, name: str) -> None:
        """Let a variable have the value `name` until its region closes."""
        self.remember(index(var), Value((name,), False, self.depth), self.depth)

    def serial(
        self,
        lo: int | str,
        hi: int | str,
        body: Callable[[str, list[str]], list[str]],
        carried: Sequence[tuple[str, str]],
        writes: frozenset[int],
        cost: int,
    ) -> list[str]:
        """Emit a loop of step 1, written out if it is short."""
        if not (isinstance(lo, int) and isinstance(hi, int) and 1 < hi - lo <= SHORT):
            return self.loop(lo, hi, 1, body, carried, writes)
        if cost * (hi - lo) > self.longest_written_out:
            return self.loop(lo, hi, 1, body, carried, writes)
        state = [v for _, v in carried]
        for k in range(lo, hi):
            self.forget(writes)
            state = self.straight(partial(body, str(k), state), writes)
        self.forget(writes)
        return state

    def split(self, lo: int | str, hi: int | str, step: int) -> int | str:
        """Return where whole steps from `lo` end."""
        if isinstance(lo, int) and isinstance(hi, int):
            return lo + max(hi - lo, 0) // step * step
        code = self.code
        length = code.op(f"sub i64 {hi}, {lo}")
        length = code.call("i64", "llvm.smax.i64", ("i64", length), ("i64", "0"))
        whole = code.op(f"and i64 {length}, {-step}")
        return code.op(f"add i64 {lo}, {whole}")

    def with_lanes(
        self,
        var: IndexVar,
        iv: str,
        width: int,
        parts: int,
        hi: int | str | None,
        lo: int | str | None = None,
    ) -> None:
        """Start lanes in the innermost region; `hi` if the last ones may be off, `lo` the first."""

        def places(bound: int | str | None) -> str | None:
            if isinstance(bound, int) and not iv.startswith("%"):
                return str(bound - int(iv))
            return None if bound is None else self.code.op(f"sub i64 {bound}, {iv}")

        self.lanes = Lanes(var, iv, width, parts, self.depth, places(hi), places(lo))
