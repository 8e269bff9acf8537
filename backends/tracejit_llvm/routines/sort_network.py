"""Short rows: each lane of a vector sorts a row of its own, by a network of comparisons.

The network is Batcher's merge exchange (Knuth, TAOCP 3, algorithm 5.2.2M), whose comparisons do not
depend on the elements.
"""

from __future__ import annotations

from tracejit_llvm.routines.sort_keys import CLASS
from tracejit_llvm.routines.sort_rows import Rows, SortForm
from tracejit_llvm.routines.writing import Function, Kernel, Typed, module_text
from tracejit_llvm.text import integers, vector

__all__ = ["LONGEST", "lanes_of", "network_text"]

LONGEST = 1024
"""Length of a row."""


def lanes_of(form: SortForm) -> int:
    """Return how many rows are sorted together."""
    return _Network(form).n


class _Network(Rows):
    def __init__(self, form: SortForm, last: bool = False) -> None:
        super().__init__(form)
        self.plain = self.keys.parts == 1 and not form.given
        self.tiled = self.plain and last
        self.n = 64 // int(self.keys.word[1:]) * 8
        self.full = vector(self.keys.word, self.n)

    def text(self) -> str:
        if self.keys.special:
            self.write_restore()
        f = self.begin("network")
        rows = f.i("mul", self.outer, self.inner)
        words = f.room(LONGEST * 64)
        indices = f.room(LONGEST * 64) if self.keys.pair else ""
        self.givens = f.room(LONGEST * 4 * self.n) if self.form.given else ""
        bases = f.room(8 * self.n)
        offsets = vector("i64", self.n)

        def group(g: str, _: list[str]) -> None:
            first = f.i("mul", g, self.n)

            def find(lane: str, _: list[str]) -> None:
                row = f.least(f.i("add", first, lane), f.i("sub", rows, 1))
                f.store("i64", self.base(f, row), bases, lane)

            f.loop(0, self.n, find)
            base = f.load(offsets, bases)
            unusual = self.fill_all(f, words, indices, base, bases)
            self.sort(f, words, indices)
            self.empty_all(f, words, indices, base, bases)
            if unusual:
                self.mend(f, unusual, bases)

        f.loop("%begin", "%end", group)
        f.end()
        return module_text(self.module)

    def along(self, f: Kernel, base: str, at: str) -> str:
        """Append where elements at a place of their rows are."""
        offset = f.splat(f.i("mul", at, self.inner), "i64", self.n)
        return f.op(f"add {vector('i64', self.n)} {base}, {offset}")

    # ------------------------------------------------------------------ rows to lanes
    def fill_all(self, f: Kernel, words: str, indices: str, base: str, bases: str) -> str:
        """Append the reading of the rows by the ways there are for them."""
        flags = vector("i1", self.n)
        nothing = [(flags, "zeroinitializer")] if self.keys.special else []
        if self.tiled:
            whole = f.i("and", self.length, -self.n)
            state = self.fill_tiles(f, words, indices, bases, whole, nothing)
            rest = [(flags, v) for v in state]
            out = self.fill(f, words, indices, base, whole, rest, False)
        elif self.plain:
            out = f.when(
                self.together(f, bases),
                lambda: self.fill(f, words, indices, base, "0", nothing, True),
                lambda: self.fill(f, words, indices, base, "0", nothing, False),
                [flags] if nothing else [],
            )
        else:
            out = self.fill(f, words, indices, base, "0", nothing, False)
        return out[0] if out else ""

    def empty_all(self, f: Kernel, words: str, indices: str, base: str, bases: str) -> None:
        """Append the writing of the rows by the ways there are for them."""
        if self.tiled:
            whole = f.i("and", self.length, -self.n)
            self.empty_tiles(f, words, indices, bases, whole)
            self.empty(f, words, indices, base, whole, False)
        else:
            f.when(
                self.together(f, bases),
                lambda: self.empty(f, words, indices, base, "0", True),
                lambda: self.empty(f, words, indices, base, "0", False),
            )

    def together(self, f: Kernel, bases: str) -> str:
        """Append whether the first elements of the rows lie one behind the other."""
        first, last = f.load("i64", bases), f.load("i64", bases, self.n - 1)
        return f.i("eq", f.i("sub", last, first), self.n - 1)

    def fill_tiles(
        self, f: Kernel, words: str, indices: str, bases: str, whole: str, nothing: list[Typed]
    ) -> list[str]:
        """Append the reading of squares of rows that lie along the last axis."""
        k, n = self.keys, self.n
        own, flags, long = vector(k.memory, n), vector("i1", n), vector("i64", n)
        starts = [f.at(self.x, f.load("i64", bases, lane), k.memory) for lane in range(n)]

        def tile(at: str, state: list[str]) -> list[str]:
            rows, odd = [], state[0] if state else ""
            for start in starts:
                bits = f.load(own, f.at(start, at, k.memory), align=k.real.itemsize)
                if k.special:
                    odd = f.op(f"or {flags} {odd}, {k.unusual(f, bits, n)}")
                rows.append(k.widened(f, k.encode(f, bits, n), n))
            for lane, key in enumerate(f.transposed(rows, k.word, n)):
                here = f.i("add", at, lane)
                if k.indexed:
                    index = f.splat(here, "i64", n)
                    if k.pair:
                        f.store(long, index, f.at(indices, here, long))
                    key = key if k.pair else k.packed(f, key, index, n)
                f.store(self.full, key, f.at(words, here, self.full))
            return [odd] if state else []

        state = f.loop(0, whole, tile, nothing, step=n)
        if not state:
            return []
        some = f.op(f"bitcast {flags} {state[0]} to i{n}")
        return [f.splat(f.i("ne", some, 0, f"i{n}"), "i1", n)]

    def empty_tiles(self, f: Kernel, words: str, indices: str, bases: str, whole: str) -> None:
        """Append the writing of squares of rows that lie along the last axis."""
        k, n = self.keys, self.n
        kind = "i32" if k.indexed else k.memory
        full, size = vector(kind, n), int(kind[1:]) // 8
        to = self.order if k.indexed else self.out
        starts = [f.at(to, f.load("i64", bases, lane), kind) for lane in range(n)]

        def tile(at: str, _: list[str]) -> None:
            here = [f.i("add", at, lane) for lane in range(n)]
            rows = f.transposed([self.result(f, words, indices, h) for h in here], kind, n)
            for start, row in zip(starts, rows, strict=True):
                f.store(full, row, f.at(start, at, kind), align=size)

        f.loop(0, whole, tile, step=n)

    def result(self, f: Kernel, words: str, indices: str, at: str) -> str:
        """Append what comes to a place of the rows: bits, or numbers of 32 bits."""
        k, n = self.keys, self.n
        long, short = vector("i64", n), vector("i32", n)
        word = f.load(self.full, f.at(words, at, self.full))
        if not k.indexed:
            return k.decode(f, k.shortened(f, word, n), n)
        index = f.load(long, f.at(indices, at, long)) if k.pair else k.index_of(f, word, n)
        if not self.form.given:
            return f.op(f"trunc {long} {index} to {short}")
        lanes = integers(range(n), "i64")
        rows = f.op(f"mul {long} {index}, {f.splat(str(n), 'i64', n)}")
        return self.gather(f, "i32", self.givens, f.op(f"add {long} {rows}, {lanes}"), n, 4)

    def fill(
        self, f: Kernel, words: str, indices: str, base: str, start: str, nothing: list[Typed],
        direct: bool,
    ) -> list[str]:  # fmt: skip
        """Append the reading of the rows from `start` on, and which lanes have unusual elements.

        `direct` if the rows lie one behind the other.
        """
        k, n = self.keys, self.n
        long, flags = vector("i64", n), vector("i1", n)
        size, short = k.real.itemsize, vector("i32", n)

        def one(at: str, state: list[str]) -> list[str]:
            index = f.splat(at, "i64", n)
            places = self.along(f, base, at)
            if self.form.given:
                given = self.gather(f, "i32", self.order, places, n, 4)
                f.store(short, given, f.at(self.givens, at, short))
                given = f.op(f"zext {short} {given} to {long}")
                inner = f.splat(self.inner, "i64", n)
                places = f.op(f"add {long} {base}, {f.op(f'mul {long} {given}, {inner}')}")
            if k.parts == 2:
                places = f.op(f"add {long} {places}, {places}")
            found = []
            for part in (0, 1) if k.part == CLASS else (k.part,):
                here = places
                if part:
                    here = f.op(f"add {long} {places}, {f.splat('1', 'i64', n)}")
                if direct:
                    first = f.op(f"extractelement {long} {here}, i64 0")
                    place = f.at(self.x, first, k.memory)
                    found.append(f.load(vector(k.memory, n), place, align=size))
                else:
                    found.append(self.gather(f, k.memory, self.x, here, n, size))
            if k.part == CLASS:
                key = k.classed(f, found[0], found[1], n)
            else:
                key = k.widened(f, k.encode(f, found[0], n), n)
            if k.pair:
                f.store(long, index, f.at(indices, at, long))
            elif k.indexed:
                key = k.packed(f, key, index, n)
            f.store(self.full, key, f.at(words, at, self.full))
            if not k.special:
                return []
            return [f.op(f"or {flags} {state[0]}, {k.unusual(f, found[0], n)}")]

        return f.loop(start, self.length, one, nothing)

    def exchange(self, f: Function, words: str, indices: str, i: str, j: str) -> None:
        """Append one comparison."""
        n = self.n
        suffix = f"v{n}{self.keys.word}"
        pa, pb = (f.at(words, at, self.full) for at in (i, j))
        a, b = f.load(self.full, pa), f.load(self.full, pb)
        if not self.keys.pair:
            for name, to in (("umin", pa), ("umax", pb)):
                pairs = ((self.full, a), (self.full, b))
                f.store(self.full, f.call(self.full, f"llvm.{name}.{suffix}", *pairs), to)
            return
        long, flags = vector("i64", n), vector("i1", n)
        qa, qb = (f.at(indices, at, long) for at in (i, j))
        x, y = f.load(long, qa), f.load(long, qb)
        more = f.op(f"icmp ugt {long} {a}, {b}")
        equal = f.op(f"icmp eq {long} {a}, {b}")
        later = f.op(f"icmp ugt {long} {x}, {y}")
        swap = f.op(f"or {flags} {more}, {f.op(f'and {flags} {equal}, {later}')}")
        for (p, q), (u, v) in (((pa, pb), (a, b)), ((qa, qb), (x, y))):
            f.store(long, f.op(f"select {flags} {swap}, {long} {v}, {long} {u}"), p)
            f.store(long, f.op(f"select {flags} {swap}, {long} {u}, {long} {v}"), q)

    def sort(self, f: Kernel, words: str, indices: str) -> None:
        """Append algorithm M."""
        length = self.length
        last = f.i("sub", length, 1)
        zeros = f.call("i64", "llvm.ctlz.i64", ("i64", last), ("i1", "false"))
        top = f.i("shl", 1, f.i("sub", 63, zeros))  # the greatest power of 2 below the length

        def phase(state: list[str]) -> tuple[str, list[str]]:
            (p,) = state

            def compare(state: list[str]) -> tuple[str, list[str]]:
                q, r, d = state
                end = f.i("sub", length, d)

                def one(state: list[str]) -> tuple[str, list[str]]:
                    (i,) = state
                    self.exchange(f, words, indices, i, f.i("add", i, d))
                    # The next one whose bit p is that of r; p is a power of 2.
                    i = f.i("add", i, 1)
                    i = f.i("add", i, f.i("xor", f.i("and", i, p), r))
                    return f.i("slt", i, end), [i]

                f.repeat([("i64", r)], one)
                return f.i("ne", q, p), [f.i("lshr", q, 1), p, f.i("sub", q, p)]

            f.repeat([("i64", top), ("i64", "0"), ("i64", p)], compare)
            less = f.i("lshr", p, 1)
            return f.i("ne", less, 0), [less]

        f.when(f.i("sgt", length, 1), lambda: f.repeat([("i64", top)], phase)[:0])

    def empty(
        self, f: Kernel, words: str, indices: str, base: str, start: str, direct: bool
    ) -> None:
        """Append the writing of the rows from `start` on."""
        k, n = self.keys, self.n
        kind, to = ("i32", self.order) if k.indexed else (k.memory, self.out)
        size = int(kind[1:]) // 8

        def one(at: str, _: list[str]) -> None:
            places = self.along(f, base, at)
            value = self.result(f, words, indices, at)
            if direct:
                first = f.op(f"extractelement {vector('i64', n)} {places}, i64 0")
                f.store(vector(kind, n), value, f.at(to, first, kind), align=size)
            else:
                self.scatter(f, kind, value, to, places, n, size)

        f.loop(start, self.length, one)

    def mend(self, f: Kernel, unusual: str, bases: str) -> None:
        """Append the restoration of rows with what keys do not tell apart."""
        flags = vector("i1", self.n)
        some = f.op(f"bitcast {flags} {unusual} to i{self.n}")

        def lanes() -> None:
            def one(lane: str, _: list[str]) -> None:
                bit = f.op(f"lshr i{self.n} {some}, {f.op(f'trunc i64 {lane} to i{self.n}')}")
                odd = f.op(f"trunc i{self.n} {bit} to i1")
                base = f.load("i64", bases, lane)

                def restore() -> None:
                    f.invoke("restore", *self.row(base))

                f.when(odd, restore)

            f.loop(0, self.n, one)

        f.when(f.i("ne", some, 0, f"i{self.n}"), lanes)


def network_text(form: SortForm, last: bool) -> str:
    """Return the module of ``network``, whose rows are groups of :func:`lanes_of` rows.

    `last` says that these lie along the last axis.
    """
    return _Network(form, last).text()
