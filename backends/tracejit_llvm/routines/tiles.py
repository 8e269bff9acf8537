"""Matrix products that one core does in microseconds, by tiles of the result held in registers.

A library spends as long on looking at its arguments and packing them.  Here a strip of `b`, as wide
as :data:`VECTORS` vectors, is read as it lies, or packed once if many rows use it or if it lies
across; each tile of the result is a sum over `k` of the outer products of a column of `a` and a row
of the strip (Goto and van de Geijn 2008, without their outer blocking).  An element is summed in
the order of `k`, in as many partial sums as its tile has, which depend on the sizes alone.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["LONGEST_PANEL", "Tiles"]

VECTORS = 3
LONGEST_PANEL = 256
"""Rows of a strip that is packed."""
MANY_ROWS = 16
"""Rows of `a` from which packing a strip pays."""


class Tiles:
    """Text of the products of one dtype.

    Parameters
    ----------
    name : str
        What names end with.
    scalar : str
        The type of an element: ``float`` or ``double``.
    wide : bool
        Whether there are 32 registers of 64 bytes; else tiles are made for 16 of 32.
    """

    def __init__(self, name: str, scalar: str, wide: bool) -> None:
        self.name = name
        self.scalar = scalar
        self.size = 4 if scalar == "float" else 8
        self.lanes = (64 if wide else 32) // self.size
        self.rows = (8, 4, 1) if wide else (4, 2, 1)
        self.vector = f"<{self.lanes} x {scalar}>"
        self.mask = f"<{self.lanes} x i1>"
        self.short = f"v{self.lanes}f{8 * self.size}"

    def text(self) -> str:
        """Return the text of ``@product_NAME`` and of what it calls.

        Its arguments are pointers `a`, `b`, `c`, the strides ``a.row`` and ``a.column`` of `a`, the
        lengths `m` and `n`, the length of a row of `c` (and of `b`) of which these are `n` columns,
        `k`, and whether `b` lies as ``[n, k]``.  It writes the row-major ``c[m, n]``.
        Strips of more than :data:`LONGEST_PANEL` rows cannot be packed.
        """
        parts = [self._declarations()]
        for vectors in range(1, VECTORS + 1):
            parts += [self._tile(rows, vectors) for rows in self.rows]
            parts.append(self._strip(vectors))
        return "".join([*parts, self._pack(), self._turn(), self._product()])

    def _declarations(self) -> str:
        v, short, mask = self.vector, self.short, self.mask
        return (
            f"declare {v} @llvm.masked.load.{short}.p0(ptr, i32, {mask}, {v})\n"
            f"declare void @llvm.masked.store.{short}.p0({v}, ptr, i32, {mask})\n"
            f"declare {v} @llvm.fma.{short}({v}, {v}, {v})\n"
        )

    def _at(self, name: str, base: str, offset: str, kind: str | None = None) -> str:
        return f"  %{name} = getelementptr {kind or self.scalar}, ptr {base}, i64 {offset}\n"

    def _load(self, name: str, place: str, mask: str) -> str:
        return (
            f"  %{name} = call {self.vector} @llvm.masked.load.{self.short}.p0(ptr {place}, "
            f"i32 {self.size}, {self.mask} {mask}, {self.vector} zeroinitializer)\n"
        )

    def _store(self, value: str, place: str, mask: str) -> str:
        return (
            f"  call void @llvm.masked.store.{self.short}.p0({self.vector} {value}, ptr {place}, "
            f"i32 {self.size}, {self.mask} {mask})\n"
        )

    # ------------------------------------------------------------------ one tile
    def _tile(self, rows: int, vectors: int) -> str:
        """Return the function of one tile: `vectors` vectors, the last masked, of `rows` rows."""
        # As many sums as hide the latency of a fused multiplication and addition.
        sums = max(8 // (rows * vectors), 1)
        v = self.vector
        names = [f"s{u}.{r}.{q}" for u in range(sums) for r in range(rows) for q in range(vectors)]
        out = [
            f"define internal void @tile{rows}x{vectors}_{self.name}(ptr %a, i64 %a.row, "
            f"i64 %a.column, ptr %b, i64 %b.row, ptr %c, i64 %c.row, i64 %k, {self.mask} %mask) "
            "nounwind {\nentry:\n",
            *(f"  %off{r} = mul i64 %a.row, {r}\n" for r in range(rows)),
            f"  %whole = and i64 %k, {-sums}\n",
            "  br label %head\n",
        ]
        out += self._sum("", sums, rows, vectors, dict.fromkeys(names, "zeroinitializer"), "entry",
                         "0", "%whole", "rest.head" if sums > 1 else "finish")  # fmt: skip
        if sums > 1:
            first = {n: f"%{n}" for n in names[: rows * vectors]}
            out += self._sum("rest.", 1, rows, vectors, first, "head", "%whole", "%k", "finish")
        out.append("finish:\n")
        last = "rest." if sums > 1 else ""
        for r in range(rows):
            out.append(f"  %cr{r} = mul i64 %c.row, {r}\n")
            out.append(self._at(f"pc{r}", "%c", f"%cr{r}"))
            for q in range(vectors):
                total = f"%{last}s0.{r}.{q}"
                for u in range(1, sums):
                    name = f"t{u}.{r}.{q}"
                    out.append(f"  %{name} = fadd {v} {total}, %s{u}.{r}.{q}\n")
                    total = f"%{name}"
                out.append(self._at(f"pc{r}.{q}", f"%pc{r}", str(q), v))
                mask = "%mask" if q == vectors - 1 else self._all()
                out.append(self._store(total, f"%pc{r}.{q}", mask))
        return "".join([*out, "  ret void\n}\n"])

    def _all(self) -> str:
        return f"<{', '.join(['i1 true'] * self.lanes)}>"

    def _sum(
        self,
        prefix: str,
        sums: int,
        rows: int,
        vectors: int,
        start: dict[str, str],
        before: str,
        begin: str,
        end: str,
        after: str,
    ) -> Iterator[str]:
        """Yield a loop over `k` by `sums` at a time, which starts with the values of `start`."""
        v = self.vector
        head, body = f"{prefix}head", f"{prefix}body"
        yield f"{head}:\n"
        yield f"  %{prefix}p = phi i64 [ {begin}, %{before} ], [ %{prefix}p1, %{body} ]\n"
        for name, value in start.items():
            own = f"{prefix}{name}"
            yield f"  %{own} = phi {v} [ {value}, %{before} ], [ %{own}n, %{body} ]\n"
        yield f"  %{prefix}more = icmp slt i64 %{prefix}p, {end}\n"
        yield f"  br i1 %{prefix}more, label %{body}, label %{after}\n{body}:\n"
        for u in range(sums):
            here = f"{prefix}u{u}."
            yield f"  %{here}p = add i64 %{prefix}p, {u}\n"
            yield f"  %{here}bo = mul i64 %{here}p, %b.row\n"
            yield self._at(f"{here}b", "%b", f"%{here}bo")
            for q in range(vectors):
                yield self._at(f"{here}b{q}", f"%{here}b", str(q), v)
                if q == vectors - 1:
                    yield self._load(f"{here}y{q}", f"%{here}b{q}", "%mask")
                else:
                    yield f"  %{here}y{q} = load {v}, ptr %{here}b{q}, align {self.size}\n"
            yield f"  %{here}ao = mul i64 %{here}p, %a.column\n"
            yield self._at(f"{here}a", "%a", f"%{here}ao")
            for r in range(rows):
                yield self._at(f"{here}a{r}", f"%{here}a", f"%off{r}")
                yield f"  %{here}x{r} = load {self.scalar}, ptr %{here}a{r}\n"
                yield (
                    f"  %{here}i{r} = insertelement {v} poison, {self.scalar} %{here}x{r}, i64 0\n"
                    f"  %{here}w{r} = shufflevector {v} %{here}i{r}, {v} poison, "
                    f"<{self.lanes} x i32> zeroinitializer\n"
                )
                for q in range(vectors):
                    name = f"{prefix}s{u}.{r}.{q}"
                    yield (
                        f"  %{name}n = call {v} @llvm.fma.{self.short}({v} %{here}w{r}, "
                        f"{v} %{here}y{q}, {v} %{name})\n"
                    )
        yield f"  %{prefix}p1 = add i64 %{prefix}p, {sums}\n  br label %{head}\n"

    # ------------------------------------------------------------------ strips
    def _strip(self, vectors: int) -> str:
        """Return the function of all rows of a strip of the result."""
        out = [
            f"define internal void @strip{vectors}_{self.name}(ptr %a, i64 %a.row, i64 %a.column, "
            "ptr %b, i64 %b.row, ptr %c, i64 %c.row, i64 %m, i64 %k, "
            f"{self.mask} %mask) nounwind {{\nentry:\n  br label %head{self.rows[0]}\n"
        ]
        before, start = "entry", "0"
        for rows, after in zip(self.rows, (*self.rows[1:], 0), strict=True):
            there = f"head{after}" if after else "done"
            out += [
                f"head{rows}:\n"
                f"  %i{rows} = phi i64 [ {start}, %{before} ], [ %i{rows}.end, %body{rows} ]\n"
                f"  %i{rows}.end = add i64 %i{rows}, {rows}\n"
                f"  %fits{rows} = icmp sle i64 %i{rows}.end, %m\n"
                f"  br i1 %fits{rows}, label %body{rows}, label %{there}\nbody{rows}:\n"
                f"  %ao{rows} = mul i64 %i{rows}, %a.row\n"
                f"  %co{rows} = mul i64 %i{rows}, %c.row\n",
                self._at(f"a{rows}", "%a", f"%ao{rows}"),
                self._at(f"c{rows}", "%c", f"%co{rows}"),
                f"  call void @tile{rows}x{vectors}_{self.name}(ptr %a{rows}, i64 %a.row, "
                f"i64 %a.column, ptr %b, i64 %b.row, ptr %c{rows}, i64 %c.row, i64 %k, "
                f"{self.mask} %mask)\n  br label %head{rows}\n",
            ]
            before, start = f"head{rows}", f"%i{rows}"
        return "".join([*out, "done:\n  ret void\n}\n"])

    def _pack(self) -> str:
        """Return the function that copies a strip of `b` to rows of :data:`VECTORS` vectors."""
        v, lanes = self.vector, self.lanes
        return (
            f"define internal void @pack_{self.name}(ptr %b, ptr %panel, i64 %n, i64 %k, "
            f"i64 %vectors, {self.mask} %mask) nounwind {{\nentry:\n"
            "  %last = sub i64 %vectors, 1\n  br label %rows\n"
            "rows:\n  %p = phi i64 [ 0, %entry ], [ %p1, %row.done ]\n"
            "  %more = icmp slt i64 %p, %k\n  br i1 %more, label %row.begin, label %done\n"
            "row.begin:\n  %bo = mul i64 %p, %n\n"
            + self._at("from", "%b", "%bo")
            + f"  %to.offset = mul i64 %p, {VECTORS * lanes}\n"
            + self._at("to", "%panel", "%to.offset")
            + "  br label %vectors.head\nvectors.head:\n"
            "  %q = phi i64 [ 0, %row.begin ], [ %q1, %one ]\n"
            "  %again = icmp slt i64 %q, %vectors\n"
            "  br i1 %again, label %one, label %row.done\n"
            "one:\n  %ends = icmp eq i64 %q, %last\n"
            f"  %here = select i1 %ends, {self.mask} %mask, {self.mask} {self._all()}\n"
            + self._at("pf", "%from", "%q", v)
            + self._at("pt", "%to", "%q", v)
            + self._load("x", "%pf", "%here")
            + f"  store {v} %x, ptr %pt, align {self.size}\n"
            "  %q1 = add i64 %q, 1\n  br label %vectors.head\n"
            "row.done:\n  %p1 = add i64 %p, 1\n  br label %rows\ndone:\n  ret void\n}\n"
        )

    def _turn(self) -> str:
        """Return the function that does the same for a strip that lies across.

        Squares are transposed in registers, by exchanging one bit of row and lane after the other.
        Rows that are not there are read as the last one, and what they become is not used.
        """
        v, lanes = self.vector, self.lanes
        wide = VECTORS * lanes
        out = [
            f"define internal void @turn_{self.name}(ptr %b, ptr %panel, i64 %k, i64 %vectors, "
            "i64 %tail) nounwind {\nentry:\n"
            "  %last = sub i64 %vectors, 1\n  br label %vectors.head\nvectors.head:\n"
            "  %q = phi i64 [ 0, %entry ], [ %q1, %next ]\n"
            "  %again = icmp slt i64 %q, %vectors\n"
            "  br i1 %again, label %one, label %done\none:\n"
            "  %ends = icmp eq i64 %q, %last\n"
            f"  %there = select i1 %ends, i64 %tail, i64 {lanes}\n"
            "  %most = sub i64 %there, 1\n"
            f"  %lane = mul i64 %q, {lanes}\n  %bo = mul i64 %lane, %k\n"
            + self._at("base", "%b", "%bo")
            + self._at("to", "%panel", "%lane")
        ]
        for r in range(lanes):
            out += [
                f"  %in{r} = icmp sgt i64 %there, {r}\n"
                f"  %r{r} = select i1 %in{r}, i64 {r}, i64 %most\n  %ro{r} = mul i64 %r{r}, %k\n"
                + self._at(f"row{r}", "%base", f"%ro{r}")
            ]
        out.append(
            "  br label %head\nhead:\n  %p = phi i64 [ 0, %one ], [ %p1, %body ]\n"
            "  %more = icmp slt i64 %p, %k\n  br i1 %more, label %body, label %next\nbody:\n"
            "  %left = sub i64 %k, %p\n" + self._mask_of("left")
        )
        for r in range(lanes):
            out.append(self._at(f"pr{r}", f"%row{r}", "%p"))
            out.append(self._load(f"x0.{r}", f"%pr{r}", "%left.m"))
        stage, bit = 0, 1
        while bit < lanes:
            for r in range(lanes):
                low, high = r & ~bit, r | bit
                picked = [
                    (n if r == low else n | bit) if not n & bit
                    else lanes + (n ^ bit if r == low else n)
                    for n in range(lanes)
                ]  # fmt: skip
                order = ", ".join(f"i32 {n}" for n in picked)
                out.append(
                    f"  %x{stage + 1}.{r} = shufflevector {v} %x{stage}.{low}, {v} "
                    f"%x{stage}.{high}, <{lanes} x i32> <{order}>\n"
                )
            stage, bit = stage + 1, 2 * bit
        for r in range(lanes):
            out += [
                f"  %p.{r} = add i64 %p, {r}\n  %po.{r} = mul i64 %p.{r}, {wide}\n",
                self._at(f"pt.{r}", "%to", f"%po.{r}"),
                f"  store {v} %x{stage}.{r}, ptr %pt.{r}, align {self.size}\n",
            ]
        out.append(
            f"  %p1 = add i64 %p, {lanes}\n  br label %head\n"
            "next:\n  %q1 = add i64 %q, 1\n  br label %vectors.head\ndone:\n  ret void\n}\n"
        )
        return "".join(out)

    def _mask_of(self, name: str) -> str:
        """Return the mask ``%NAME.m`` of the first ``%NAME`` lanes."""
        longs = f"<{self.lanes} x i64>"
        order = ", ".join(f"i64 {n}" for n in range(self.lanes))
        return (
            f"  %{name}.0 = insertelement {longs} poison, i64 %{name}, i64 0\n"
            f"  %{name}.s = shufflevector {longs} %{name}.0, {longs} poison, "
            f"<{self.lanes} x i32> zeroinitializer\n"
            f"  %{name}.m = icmp slt {longs} <{order}>, %{name}.s\n"
        )

    # ------------------------------------------------------------------ the whole
    def _product(self) -> str:
        lanes = self.lanes
        wide = VECTORS * lanes
        arguments = (
            "ptr %a, i64 %a.row, i64 %a.column, ptr %source, i64 %b.row, ptr %cj, i64 %row, "
            f"i64 %m, i64 %k, {self.mask} %tail.m"
        )
        return (
            f"define internal void @product_{self.name}(ptr %a, ptr %b, ptr %c, i64 %a.row, "
            "i64 %a.column, i64 %m, i64 %n, i64 %row, i64 %k, i1 %tb) nounwind {\nentry:\n"
            f"  %panel = alloca [{LONGEST_PANEL * wide} x {self.scalar}], align 64\n"
            f"  %many = icmp sge i64 %m, {MANY_ROWS}\n"
            f"  %short = icmp sle i64 %k, {LONGEST_PANEL}\n"
            "  %pays = and i1 %many, %short\n  %packs = or i1 %pays, %tb\n"
            f"  %b.row = select i1 %packs, i64 {wide}, i64 %row\n"
            "  %b.column = select i1 %tb, i64 %k, i64 1\n"
            "  br label %head\nhead:\n"
            "  %j = phi i64 [ 0, %entry ], [ %j1, %next ]\n"
            "  %more = icmp slt i64 %j, %n\n  br i1 %more, label %strip, label %done\n"
            "strip:\n  %left = sub i64 %n, %j\n"
            f"  %full = icmp sgt i64 %left, {wide}\n"
            f"  %columns = select i1 %full, i64 {wide}, i64 %left\n"
            f"  %up = add i64 %columns, {lanes - 1}\n"
            f"  %vectors = udiv i64 %up, {lanes}\n"
            "  %before = sub i64 %vectors, 1\n"
            f"  %skip = mul i64 %before, {lanes}\n  %tail = sub i64 %columns, %skip\n"
            + self._mask_of("tail")
            + "  %bo = mul i64 %j, %b.column\n"
            + self._at("bj", "%b", "%bo")
            + self._at("cj", "%c", "%j")
            + "  br i1 %packs, label %pack, label %ready\npack:\n"
            "  br i1 %tb, label %across, label %along\nalong:\n"
            f"  call void @pack_{self.name}(ptr %bj, ptr %panel, i64 %row, i64 %k, "
            f"i64 %vectors, {self.mask} %tail.m)\n  br label %ready\nacross:\n"
            f"  call void @turn_{self.name}(ptr %bj, ptr %panel, i64 %k, i64 %vectors, "
            "i64 %tail)\n  br label %ready\n"
            "ready:\n  %source = phi ptr [ %bj, %strip ], [ %panel, %along ], [ %panel, %across ]\n"
            f"  switch i64 %vectors, label %v{VECTORS} [ "
            + " ".join(f"i64 {n}, label %v{n}" for n in range(1, VECTORS))
            + " ]\n"
            + "".join(
                f"v{n}:\n  call void @strip{n}_{self.name}({arguments})\n  br label %next\n"
                for n in range(1, VECTORS + 1)
            )
            + f"next:\n  %j1 = add i64 %j, {wide}\n  br label %head\ndone:\n  ret void\n}}\n"
        )
