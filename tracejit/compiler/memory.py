"""Plan memory: which values share storage, and where in the arena the others lie.

Two values share storage if one dies in the kernel that writes the other, and that kernel reads the
first only at the index at which it writes the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracejit.compiler.schedule import Draft
from tracejit.compiler.values import Block, Opaque, Value
from tracejit.ir import scalar as s
from tracejit.ir.kernel import For, Reduce, Statement, Store, expressions, statements
from tracejit.ir.scalar import Expr

__all__ = ["Arena", "Takeovers", "by_end", "in_place_pairs", "last_uses"]

ALIGN = 64


def by_end(last: dict[Value, int]) -> dict[int, list[Value]]:
    """Return the values whose last use is at each item."""
    found: dict[int, list[Value]] = {}
    for v, at in last.items():
        found.setdefault(at, []).append(v)
    return found


class Takeovers:
    """Which values take over the storage of which, and so of which first one in the end.

    Parameters
    ----------
    direct : dict of Value to Value
        ``{value: value whose storage it takes}``, in the order in which they are computed.
    """

    def __init__(self, direct: dict[Value, Value]) -> None:
        self.direct = direct
        self._roots: dict[Value, Value] = {}
        self._chains: dict[Value, list[Value]] = {}
        for v in direct:
            self._chains.setdefault(self.root(v), []).append(v)

    def root(self, v: Value) -> Value:
        """Return the value in whose storage `v` lies: itself if it takes over none."""
        path = []
        while v in self.direct and v not in self._roots:
            path.append(v)
            v = self.direct[v]
        v = self._roots.get(v, v)
        self._roots.update(dict.fromkeys(path, v))
        return v

    def chain(self, root: Value) -> list[Value]:
        """Return the values that lie in the storage of `root`, but itself."""
        return self._chains.get(root, [])


class Arena:
    """First-fit allocation of byte ranges; remembers the peak."""

    def __init__(self) -> None:
        self.free: list[tuple[int, int]] = []
        self.top = 0
        self.peak = 0
        self.sizes: dict[int, int] = {}

    def allocate(self, nbytes: int) -> int:
        """Return the offset of a free range."""
        nbytes = max(-(-nbytes // ALIGN) * ALIGN, ALIGN)
        for n, (offset, size) in enumerate(self.free):
            if size >= nbytes:
                if size == nbytes:
                    del self.free[n]
                else:
                    self.free[n] = (offset + nbytes, size - nbytes)
                self.sizes[offset] = nbytes
                return offset
        offset, self.top = self.top, self.top + nbytes
        self.peak = max(self.peak, self.top)
        self.sizes[offset] = nbytes
        return offset

    def release(self, offset: int) -> None:
        """Give a range back; neighbours join."""
        self.free.append((offset, self.sizes.pop(offset)))
        self.free.sort()
        joined: list[tuple[int, int]] = []
        for at, size in self.free:
            if joined and sum(joined[-1]) == at:
                joined[-1] = (joined[-1][0], joined[-1][1] + size)
            else:
                joined.append((at, size))
        if joined and sum(joined[-1]) == self.top:
            self.top = joined.pop()[0]
        self.free = joined


def last_uses(block: Block, drafts: dict[int, list[Draft]]) -> dict[Value, int]:
    """Return for each base value the number of the last item that reads or writes it.

    Outputs of the block live beyond the last item.
    """
    last: dict[Value, int] = {}
    for n, item in enumerate(block.items):
        if isinstance(item, Opaque):
            for v in (*item.inputs, *item.outputs):
                last[v.base] = n
        else:
            for d in drafts[n]:
                for v in draft_values(d):
                    last[v.base] = n
    for v in block.outputs:
        last[v.base] = len(block.items)
    return last


def draft_values(draft: Draft) -> Iterator[Value]:
    """Yield the values that a draft reads or writes; repeats."""
    for st in statements(draft.body):
        if isinstance(st, Store):
            yield st.buffer  # type: ignore[misc]
        for e in s.walk(expressions(st)):
            if e.op == "load":
                yield e.attr


def in_place_pairs(drafts: list[Draft], dying: set[Value]) -> dict[Value, Value]:
    """Return ``{written: read}`` for values of one kernel that may share storage.

    Parameters
    ----------
    drafts : list of Draft
        The kernels of one group; only a group of one kernel works in place.
    dying : set of Value
        Base values that nothing reads afterwards and whose memory may be overwritten.
    """
    if len(drafts) != 1:
        return {}
    leaves = list(_leaves(drafts[0].body))
    reads: list[dict[Value, set[Expr]]] = []
    writes: dict[Value, dict[int, set[Expr]]] = {}
    written: set[Value] = set()
    # What an earlier stage stores before a value is read must not take its place.
    behind: dict[Value, set[Value]] = {}
    for n, leaf in enumerate(leaves):
        mine: dict[Value, set[Expr]] = {}
        for st in leaf:
            for e in s.walk(expressions(st)):
                if e.op == "load":
                    mine.setdefault(e.attr.base, set()).add(e.args[0])
                    behind.setdefault(e.attr.base, set()).update(written)
            if isinstance(st, Store):
                value: Value = st.buffer  # type: ignore[assignment]
                writes.setdefault(value.base, {}).setdefault(n, set()).add(st.offset)
                written.add(value.base)
        reads.append(mine)
    flat = drafts[0].boxes
    pairs: dict[Value, Value] = {}
    taken: set[Value] = set()
    for out, at in writes.items():
        if out in dying or any(out in r for r in reads):
            continue
        for v in dict.fromkeys(v for r in reads for v in r):
            if (
                v in dying
                and v not in taken
                and v is not out
                and v.aval.nbytes == out.aval.nbytes
                and v.aval.dtype.itemsize == out.aval.dtype.itemsize
                and (flat or out not in behind[v])
                and _may_overwrite(v, at, reads, writes, flat)
            ):
                pairs[out] = v
                taken.add(v)
                break
    return pairs


def _may_overwrite(
    v: Value,
    at: dict[int, set[Expr]],
    reads: list[dict[Value, set[Expr]]],
    writes: dict[Value, dict[int, set[Expr]]],
    flat: bool,
) -> bool:
    """Whether each element of `v` is read for the last time where the other is written."""
    for n, r in enumerate(reads):
        if v not in r:
            continue
        if n in at:
            # An iteration of boxes may write several elements, after it has read them all.
            if not r[v] <= at[n] if flat else len(at[n]) != 1 or r[v] != at[n]:
                return False
        elif flat or n > min(at) or v not in writes:
            # An earlier stage reads `v` within the row only if this kernel wrote it.
            return False
    return True


def _leaves(body: Iterable[Statement]) -> Iterator[list[Statement]]:
    """Yield the runs of statements that are not loops, in order."""
    run: list[Statement] = []
    for st in body:
        if isinstance(st, For):
            if run:
                yield run
                run = []
            yield from _leaves(st.body)
        elif isinstance(st, Reduce):
            yield [*run, st]
            run = []
        else:
            run.append(st)
    if run:
        yield run
