"""Long rows: a least significant digit first radix sort.

Each pass moves the words from one half of scratch memory to the other in the order of one digit,
those of equal digits in the order they had.  A digit that all keys share needs no pass, nor do the
last ones, if the others tell almost all keys apart, as the frequencies of their values let expect:
what is out of order then is put in its place one by one, and should that become too much, there are
passes by all digits after all.

Middling rows are sorted each by one thread, in ``rows``.  A very long row is cut into blocks, which
threads count and move, in launches that follow one another: ``prepare``, ``load``, ``choose``, for
each digit ``count``, ``offsets`` and ``move``, then ``settle``, ``store`` and ``finish``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tracejit_llvm.routines.sort_rows import ROW_PARAMETERS, Rows, SortForm
from tracejit_llvm.routines.writing import Function, Kernel, Typed, module_text
from tracejit_llvm.text import float_text, vector

__all__ = ["HEAD", "counters_of", "digits_of", "radix_text", "word_bytes"]

HEAD = 64
"""Bytes before the words of a very long row: the bits that some key has, those that all have,
whether there is something unusual, and which passes are wanted."""
DIGIT = 8
"""Bits of a digit."""
TIES = 0.25
"""Keys for each one that the digits of passes may fail to tell from it, as is expected."""
MOVES = 8
"""Moves of words for each one after which passes are quicker."""
SAMPLE = 4096
"""Words of a very long row whose digits are looked at."""
PARTIAL = 1 << 62
"""Is added to the passes that are wanted if they leave out digits that vary."""


def digits_of(form: SortForm) -> list[tuple[int, int]]:
    """Return place and number of bits of the digits, in order."""
    return _Radix(form).digits


def counters_of(form: SortForm) -> int:
    """Return how many values a digit has."""
    return _Radix(form).counters


def word_bytes(form: SortForm) -> int:
    """Return the bytes of a word."""
    return _Radix(form).keys.nbytes


class _Radix(Rows):
    def __init__(self, form: SortForm) -> None:
        super().__init__(form)
        k = self.keys
        width = DIGIT
        self.counters = 1 << width
        self.digits = [
            (k.shift + low, min(width, k.bits - low)) for low in range(0, k.bits, width)
        ]
        self.flag = [("i1", "false")] if k.special else []

    def text(self, long: bool) -> str:
        if self.keys.special:
            self.write_restore()
        self.write_choice()
        self.write_settle()
        if not long:
            self.write_sort()
            self.write_rows()
            return module_text(self.module)
        self.write_prepare()
        self.write_load()
        self.write_choose()
        self.write_count()
        self.write_offsets()
        self.write_move()
        self.write_settle_long()
        self.write_store()
        self.write_finish()
        return module_text(self.module)

    # ------------------------------------------------------------------ digits
    def digit(self, f: Function, word: str, shift: str | int, bits: str | int) -> str:
        """Append a digit of the part of a word that holds the key, as i64."""
        kind = self.keys.word
        low = f.i("lshr", word, shift, kind)
        if isinstance(bits, int):
            low = f.i("and", low, (1 << bits) - 1, kind)
        else:
            low = f.i("and", low, bits, kind)
        return low if kind == "i64" else f.op(f"zext i32 {low} to i64")

    def take_number(self, f: Function, counts: str, digit: str) -> str:
        """Append the reading of a counter, and its increment."""
        place = f.at(counts, digit, "i32")
        number = f.load("i32", place)
        f.store("i32", f.i("add", number, 1, "i32"), place)
        return number

    def shift_words(
        self, f: Function, source: str, target: str, counts: str, lo: str, hi: str,
        shift: str | int, bits: str | int,
    ) -> None:  # fmt: skip
        """Append a pass over words `lo .. hi-1`; the counters say where the next one goes."""
        k = self.keys

        def one(at: str, _: list[str]) -> None:
            word = f.load(k.stored, source, at, align=k.nbytes)
            number = self.take_number(f, counts, self.digit(f, k.high(f, word), shift, bits))
            to = f.op(f"zext i32 {number} to i64")
            f.store(k.stored, word, target, to, align=k.nbytes)

        f.loop(lo, hi, one)

    def clear(self, f: Function, counts: str, count: int) -> None:
        full = vector("i32", 16)

        def some(at: str, _: list[str]) -> None:
            f.store(full, "zeroinitializer", f.at(counts, at, "i32"), align=4)

        f.loop(0, count, some, step=16)

    def sums(self, f: Function, counts: str) -> None:
        """Append that counters become what those before them come to."""

        def one(at: str, state: list[str]) -> list[str]:
            place = f.at(counts, at, "i32")
            number = f.load("i32", place)
            f.store("i32", state[0], place)
            return [f.i("add", state[0], number, "i32")]

        f.loop(0, self.counters, one, [("i32", "0")])

    # ------------------------------------------------------------------ rows by one thread
    def write_sort(self) -> None:
        """Write ``sort(row, words, others, counts)``."""
        k = self.keys
        own = [("ptr", "%words"), ("ptr", "%others"), ("ptr", "%counts")]
        f = Function(self.module, "sort", [*ROW_PARAMETERS, *own])
        self.clear(f, "%counts", self.counters * len(self.digits))

        def read(at: str, state: list[str]) -> list[str]:
            key, index, unusual = self.read(f, at)
            word = k.joined(f, key, index)
            f.store(k.stored, word, "%words", at, align=k.nbytes)
            high = k.high(f, word)
            for n, (shift, bits) in enumerate(self.digits):
                digit = self.digit(f, high, shift, bits)
                self.take_number(f, "%counts", f.i("add", digit, n * self.counters))
            new = [f.i("or", state[0], high, k.word), f.i("and", state[1], high, k.word)]
            return [*new, f.i("or", state[2], unusual, "i1")] if k.special else new

        start = [(k.word, "0"), (k.word, "-1"), *self.flag]
        some, all_, *odd = f.loop(0, "%length", read, start)
        varying = f.i("xor", some, all_, k.word)
        if k.word != "i64":
            varying = f.op(f"zext {k.word} {varying} to i64")
        total = ("i64", "%length")
        given = (("ptr", "%counts"), total, total, ("i64", varying))
        chosen = f.invoke("choice", *given, result="i64")
        source, target = "%words", "%others"
        for n, (shift, bits) in enumerate(self.digits):
            counts = f.at("%counts", n * self.counters, "i32")
            moved = partial(self.whole_pass, f, source, target, counts, shift, bits)
            kept = partial(list[str], (source, target))
            wanted = f.i("ne", f.i("and", chosen, 1 << n), 0)
            source, target = f.when(wanted, moved, kept, ["ptr", "ptr"])
        self.settled(f, chosen, source, target, "%counts", "%length")

        def write(at: str, _: list[str]) -> None:
            self.write(f, at, f.load(k.stored, source, at, align=k.nbytes))

        f.loop(0, "%length", write)
        if k.special:
            f.when(odd[0], lambda: self.invoke_restore(f, list(ROW_PARAMETERS)))
        f.end()

    def whole_pass(
        self, f: Function, source: str, target: str, counts: str, shift: int, bits: int
    ) -> list[str]:
        """Append a pass over a row that one thread sorts; return where from and where to next."""
        self.sums(f, counts)
        self.shift_words(f, source, target, counts, "0", "%length", shift, bits)
        return [target, source]

    def settled(
        self, f: Function, chosen: str, source: str, target: str, counts: str, length: str
    ) -> None:
        """Append what must follow passes that left out digits."""
        pointers = [("ptr", p) for p in (source, target, counts)]

        def go() -> None:
            f.invoke("settle", *pointers, ("i64", length))

        f.when(f.i("ne", f.i("and", chosen, PARTIAL), 0), go)

    # ------------------------------------------------------------------ fewer passes
    def write_choice(self) -> None:
        """Write ``choice(counts, counted, length, varying)``: a bit for each wanted pass."""
        parameters = [("ptr", "%counts"), ("i64", "%counted"), ("i64", "%length")]
        f = Function(self.module, "choice", [*parameters, ("i64", "%varying")], "i64")
        full, wide = vector("float", 16), vector("i32", 16)
        counted = f.op("sitofp i64 %counted to float")
        square = f.op(f"fmul float {counted}, {counted}")
        ties = f.op("sitofp i64 %length to float")
        chosen, left = "0", "false"
        for n, (shift, bits) in reversed(list(enumerate(self.digits))):
            counts = f.at("%counts", n * self.counters, "i32")
            varies = f.i("ne", f.i("and", "%varying", ((1 << bits) - 1) << shift), 0)
            many = f.op(f"fcmp ogt float {ties}, {float_text(TIES, 'float')}")
            wanted = f.i("and", varies, many, "i1")

            def meet(counts: str = counts, ties: str = ties) -> list[str]:
                """Multiply by the chance that two keys share the digit."""

                def add(d: str, state: list[str]) -> list[str]:
                    own = f.load(wide, f.at(counts, d, "i32"), align=4)
                    x = f.op(f"uitofp {wide} {own} to {full}")
                    return [f.op(f"fadd {full} {state[0]}, {f.op(f'fmul {full} {x}, {x}')}")]

                (sums,) = f.loop(0, self.counters, add, [(full, "zeroinitializer")], 16)
                total = f.call(
                    "float", "llvm.vector.reduce.fadd.v16f32", ("float", "0.0"), (full, sums),
                    flags="reassoc ",
                )  # fmt: skip
                return [f.op(f"fmul float {ties}, {f.op(f'fdiv float {total}, {square}')}")]

            (ties,) = f.when(wanted, meet, partial(list[str], (ties,)), ["float"])
            chosen = f.i("or", chosen, f.choose(wanted, 1 << n, 0))
            omitted = f.i("and", varies, f.op(f"xor i1 {wanted}, true"), "i1")
            left = f.i("or", left, omitted, "i1")
        f.end(f.i("or", chosen, f.choose(left, PARTIAL, 0)))

    def key(self, f: Function, word: str) -> str:
        """Append the key of a word."""
        high = self.keys.high(f, word)
        return f.i("lshr", high, self.keys.shift, self.keys.word) if self.keys.shift else high

    def write_settle(self) -> None:
        """Write ``settle(words, others, counts, length)``, which sorts what is almost sorted."""
        k = self.keys
        pointers = [("ptr", p) for p in ("%words", "%others", "%counts")]
        f = Function(self.module, "settle", [*pointers, ("i64", "%length")])
        most = f.i("mul", "%length", MOVES)

        def word_at(at: str) -> str:
            return f.load(k.stored, "%words", at, align=k.nbytes)

        def put(word: str, at: str) -> None:
            f.store(k.stored, word, "%words", at, align=k.nbytes)

        def one(state: list[str]) -> tuple[str, list[str]]:
            at, last, moves = state
            word = word_at(at)
            own = self.key(f, word)

            def insert() -> list[str]:
                def back(state: list[str]) -> tuple[str, list[str]]:
                    before = f.i("sub", state[0], 1)
                    put(word_at(before), state[0])
                    inside = f.i("sgt", before, 0)
                    further = f.greatest(f.i("sub", before, 1), 0)
                    more = f.i("ugt", self.key(f, word_at(further)), own, k.word)
                    return f.i("and", inside, more, "i1"), [before]

                (to,) = f.repeat([("i64", at)], back)
                put(word, to)
                return [last, f.i("add", moves, f.i("sub", at, to))]

            less = f.i("ult", own, last, k.word)
            greatest, moved = f.when(less, insert, lambda: [own, moves], [k.word, "i64"])
            following = f.i("add", at, 1)
            inside = f.i("slt", following, "%length")
            again = f.i("and", inside, f.i("slt", moved, most), "i1")
            return again, [following, greatest, moved]

        first = self.key(f, word_at("0"))
        start = [("i64", "1"), (k.word, first), ("i64", "0")]
        done = f.repeat(start, one)

        def all_passes() -> None:
            def both(n: str, _: list[str]) -> None:
                ways = (("%words", "%others"), ("%others", "%words"))
                for m, (source, target) in enumerate(ways):
                    shift = f.i("add", f.i("mul", f.i("add", n, m), DIGIT), k.shift)
                    mask = str((1 << DIGIT) - 1)
                    if k.word != "i64":
                        shift = f.op(f"trunc i64 {shift} to i32")
                    self.clear(f, "%counts", self.counters)
                    self.count(f, source, "%counts", "0", "%length", shift, mask)
                    self.sums(f, "%counts")
                    self.shift_words(f, source, target, "%counts", "0", "%length", shift, mask)

            f.loop(0, len(self.digits), both, step=2)

        f.when(f.i("sge", done[2], most), all_passes)
        f.end()

    def count(
        self, f: Function, source: str, counts: str, lo: str, hi: str, shift: str, mask: str
    ) -> None:
        """Append the counting of the values of a digit."""
        k = self.keys

        def one(at: str, _: list[str]) -> None:
            word = k.high(f, f.load(k.stored, source, at, align=k.nbytes))
            self.take_number(f, counts, self.digit(f, word, shift, mask))

        f.loop(lo, hi, one)

    def invoke_restore(self, f: Function, row: list[Typed]) -> None:
        f.invoke("restore", *row)

    def write_rows(self) -> None:
        """Write the launch whose rows are groups; sizes: where these have memory, how many."""
        k = self.keys
        f = self.begin("rows")
        start, groups = f.size(3), f.size(4)
        rows = f.i("mul", self.outer, self.inner)
        half = f.i("and", f.i("add", f.i("mul", self.length, k.nbytes), 63), -64)
        counts = 4 * self.counters * len(self.digits)
        each = f.i("add", f.i("add", half, half), counts)

        def group(g: str, _: list[str]) -> None:
            own = f.i("add", start, f.i("mul", g, each))
            words = f.at(self.scratch, own, "i8")
            others = f.at(words, half, "i8")
            places = [("ptr", words), ("ptr", others), ("ptr", f.at(others, half, "i8"))]

            def one(row: str, _: list[str]) -> None:
                f.invoke("sort", *self.row(self.base(f, row)), *places)

            f.loop(self.part(f, g, rows, groups), self.part(f, f.i("add", g, 1), rows, groups), one)

        f.loop("%begin", "%end", group)
        f.end()

    def part(self, f: Function, g: str, rows: str, groups: str) -> str:
        """Append the first row of a group."""
        return f.i("sdiv", f.i("mul", g, rows), groups)

    # ------------------------------------------------------------------ one row by many threads
    def begin_long(self, name: str) -> Kernel:
        """Begin a launch for one row.

        Sizes: its number, where its memory starts, words of a block, blocks, then for a digit its
        number, its place and its mask.
        """
        f = self.begin(name)
        k = self.keys
        number, start, self.each, self.blocks = (f.size(n) for n in range(3, 7))
        self.first = self.base(f, number)
        self.head = f.at(self.scratch, start, "i8")
        half = f.i("and", f.i("add", f.i("mul", self.length, k.nbytes), 63), -64)
        self.words = f.at(self.head, HEAD, "i8")
        self.others = f.at(self.words, half, "i8")
        self.counts = f.at(self.others, half, "i8")
        return f

    def each_block(self, f: Kernel, body: Callable[[str, str, str], None]) -> None:
        def block(b: str, _: list[str]) -> None:
            lo = f.i("mul", b, self.each)
            body(b, lo, f.least(self.length, f.i("add", lo, self.each)))

        f.loop("%begin", "%end", block)

    def passes(self, f: Kernel) -> tuple[str, str, str]:
        """Append whether the pass of this launch is wanted, and where from and where to."""
        chosen, number = f.load("i64", self.head, 3), f.size(7)
        here = f.i("shl", 1, number)
        wanted = f.i("ne", f.i("and", chosen, here), 0)
        earlier = f.i("and", chosen, f.i("sub", here, 1))
        odd = f.i("and", f.call("i64", "llvm.ctpop.i64", ("i64", earlier)), 1)
        turned = f.i("ne", odd, 0)
        source = f.choose(turned, self.others, self.words, "ptr")
        target = f.choose(turned, self.words, self.others, "ptr")
        return wanted, source, target

    def own_counts(self, f: Kernel, b: str) -> str:
        return f.at(self.counts, f.i("mul", b, self.counters), "i32")

    def own_digit(self, f: Kernel) -> tuple[str, str]:
        """Append where the digit of this launch is, and its mask."""
        values = f.size(8), f.size(9)
        if self.keys.word == "i64":
            return values
        low, mask = (f.op(f"trunc i64 {v} to i32") for v in values)
        return low, mask

    def write_prepare(self) -> None:
        f = self.begin_long("prepare")
        for n, value in enumerate((0, -1, 0, 0)):
            f.store("i64", str(value), self.head, n)
        f.end()

    def write_load(self) -> None:
        k = self.keys
        # The row is read by names of parameters.
        own = [("ptr", "%words"), ("ptr", "%head"), ("i64", "%lo"), ("i64", "%hi")]
        g = Function(self.module, "load_block", [*ROW_PARAMETERS, *own])

        def read(at: str, state: list[str]) -> list[str]:
            key, index, unusual = self.read(g, at)
            word = k.joined(g, key, index)
            g.store(k.stored, word, "%words", at, align=k.nbytes)
            high = k.high(g, word)
            new = [g.i("or", state[0], high, k.word), g.i("and", state[1], high, k.word)]
            return [*new, g.i("or", state[2], unusual, "i1")] if k.special else new

        start = [(k.word, "0"), (k.word, "-1"), *self.flag]
        found = g.loop("%lo", "%hi", read, start)
        for n, (op, value) in enumerate(zip(("or", "and", "or"), found, strict=False)):
            wide = value
            if n == 2:
                wide = g.op(f"zext i1 {value} to i64")
            elif k.word != "i64":
                wide = g.op(f"sext {k.word} {value} to i64")
            place = g.at("%head", n, "i64")
            g.op(f"atomicrmw {op} ptr {place}, i64 {wide} monotonic")
        g.end()
        f = self.begin_long("load")

        def block(b: str, lo: str, hi: str) -> None:
            del b
            own = [("ptr", self.words), ("ptr", self.head), ("i64", lo), ("i64", hi)]
            f.invoke("load_block", *self.row(self.first), *own)

        self.each_block(f, block)
        f.end()

    def write_choose(self) -> None:
        """Write the launch that looks at some words, and chooses the passes."""
        k = self.keys
        f = self.begin_long("choose")
        self.clear(f, self.counts, self.counters * len(self.digits))
        apart = f.greatest(f.i("sdiv", self.length, SAMPLE), 1)
        counted = f.least(self.length, SAMPLE)

        def look(at: str, _: list[str]) -> None:
            place = f.i("mul", at, apart)
            high = k.high(f, f.load(k.stored, self.words, place, align=k.nbytes))
            for n, (shift, bits) in enumerate(self.digits):
                digit = self.digit(f, high, shift, bits)
                self.take_number(f, self.counts, f.i("add", digit, n * self.counters))

        f.loop(0, counted, look)
        varying = f.i("xor", f.load("i64", self.head), f.load("i64", self.head, 1))
        numbers = [("i64", v) for v in (counted, self.length, varying)]
        chosen = f.invoke("choice", ("ptr", self.counts), *numbers, result="i64")
        f.store("i64", chosen, self.head, 3)
        f.end()

    def write_settle_long(self) -> None:
        f = self.begin_long("settle_long")
        _, source, target = self.passes(f)
        chosen = f.load("i64", self.head, 3)
        self.settled(f, chosen, source, target, self.counts, self.length)
        f.end()

    def write_count(self) -> None:
        f = self.begin_long("count")
        wanted, source, _ = self.passes(f)
        shift, mask = self.own_digit(f)

        def block(b: str, lo: str, hi: str) -> None:
            counts = self.own_counts(f, b)
            self.clear(f, counts, self.counters)

            self.count(f, source, counts, lo, hi, shift, mask)

        f.when(wanted, lambda: self.each_block(f, block))
        f.end()

    def write_offsets(self) -> None:
        """Write the launch that makes counts of blocks places in the whole."""
        f = self.begin_long("offsets")
        wanted = self.passes(f)[0]
        full = vector("i32", 16)
        totals = self.own_counts(f, self.blocks)

        def go() -> None:
            def digits(d: str, _: list[str]) -> None:
                def block(b: str, state: list[str]) -> list[str]:
                    place = f.at(self.own_counts(f, b), d, "i32")
                    own = f.load(full, place, align=4)
                    f.store(full, state[0], place, align=4)
                    return [f.op(f"add {full} {state[0]}, {own}")]

                (total,) = f.loop(0, self.blocks, block, [(full, "zeroinitializer")])
                f.store(full, total, f.at(totals, d, "i32"), align=4)

            f.loop(0, self.counters, digits, step=16)
            self.sums(f, totals)

        f.when(wanted, go)
        f.end()

    def write_move(self) -> None:
        f = self.begin_long("move")
        wanted, source, target = self.passes(f)
        shift, mask = self.own_digit(f)
        full = vector("i32", 16)
        totals = self.own_counts(f, self.blocks)

        def block(b: str, lo: str, hi: str) -> None:
            counts = self.own_counts(f, b)

            def add(d: str, _: list[str]) -> None:
                place = f.at(counts, d, "i32")
                before = f.load(full, f.at(totals, d, "i32"), align=4)
                own = f.load(full, place, align=4)
                f.store(full, f.op(f"add {full} {before}, {own}"), place, align=4)

            f.loop(0, self.counters, add, step=16)
            self.shift_words(f, source, target, counts, lo, hi, shift, mask)

        f.when(wanted, lambda: self.each_block(f, block))
        f.end()

    def write_store(self) -> None:
        k = self.keys
        own = [("ptr", "%words"), ("i64", "%lo"), ("i64", "%hi")]
        g = Function(self.module, "store_block", [*ROW_PARAMETERS, *own])

        def write(at: str, _: list[str]) -> None:
            self.write(g, at, g.load(k.stored, "%words", at, align=k.nbytes))

        g.loop("%lo", "%hi", write)
        g.end()
        f = self.begin_long("store")
        source = self.passes(f)[1]

        def block(b: str, lo: str, hi: str) -> None:
            del b
            own = [("ptr", source), ("i64", lo), ("i64", hi)]
            f.invoke("store_block", *self.row(self.first), *own)

        self.each_block(f, block)
        f.end()

    def write_finish(self) -> None:
        f = self.begin_long("finish")
        if self.keys.special:
            odd = f.i("ne", f.load("i64", self.head, 2), 0)
            f.when(odd, lambda: self.invoke_restore(f, self.row(self.first)))
        f.end()


def radix_text(form: SortForm, long: bool) -> str:
    """Return the module of ``rows``, or if `long` of what sorts one row by many threads."""
    return _Radix(form).text(long)
