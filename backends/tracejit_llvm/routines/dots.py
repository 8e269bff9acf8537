"""Products of few rows with few rows, ``a @ b.T``, that sum over many elements.

Such is the gradient of a convolution by its weights, whose sum runs over batch and image.  Both
operands lie along the sum, so an element of the result is a dot product, computed in vectors along
it; some rows of one operand meet some of the other at a time, in registers.  The sum goes in panels
that fit a cache, whose partial sums are added in order: the bits depend on the sizes alone.
Libraries pack such operands as if they were square, and are up to ten times slower.
"""

from __future__ import annotations

from tracejit_llvm.blas import operand_loads

__all__ = ["COLUMNS", "dots_text"]

COLUMNS = 4
"""Rows of `b` that meet those of `a` at a time; as many columns of the result are a task."""
PANEL = 1024
"""Elements of a panel."""


def dots_text(name: str, wide: bool) -> str:
    """Return the module of ``@dots``, which has the signature of a kernel.

    Its rows are the groups of :data:`COLUMNS` columns of all products; its sizes are those of the
    library call, then the number of groups of one product.

    Parameters
    ----------
    name : str
        ``float32`` or ``float64``.
    wide : bool
        Whether there are 32 registers of 64 bytes; else 16 of 32.
    """
    scalar = {"float32": "float", "float64": "double"}[name]
    size = 4 if name == "float32" else 8
    lanes = (64 if wide else 32) // size
    kinds = {
        "SCALAR": scalar,
        "VECTOR": f"<{lanes} x {scalar}>",
        "SHORT": f"v{lanes}f{8 * size}",
        "LANES": str(lanes),
        "SIZE": str(size),
        "ORDER": ", ".join(f"i64 {n}" for n in range(lanes)),
        "COLUMNS": str(COLUMNS),
        "PANEL": str(PANEL),
    }
    many = 4 if wide else 2
    text = _HEAD
    for columns in (COLUMNS, 1):
        text += "".join(_tile(rows, columns) for rows in (many, 1))
        text += _ROWS.replace("COUNT", str(columns)).replace("MANY", str(many))
    text += _TEXT.replace("LOADS", operand_loads("m", "n", "k", "ta", "tb", "groups"))
    for mark, value in kinds.items():
        text = text.replace(mark, value)
    return text


def _tile(rows: int, columns: int) -> str:
    """Return the function of a tile: dot products of `rows` rows of `a` and `columns` of `b`."""
    cells = [(r, q) for r in range(rows) for q in range(columns)]
    places = [("a", r) for r in range(rows)] + [("b", q) for q in range(columns)]
    out = [
        f"define internal void @tile{rows}x{columns}(ptr %a, ptr %b, i64 %ld, ptr %c, i64 %c.row, "
        "i64 %k, i1 %more) nounwind {\nentry:\n  %whole = and i64 %k, -LANES\n"
    ]
    for x, n in places:
        out.append(f"  %o.{x}{n} = mul i64 %ld, {n}\n")
        out.append(f"  %{x}{n} = getelementptr SCALAR, ptr %{x}, i64 %o.{x}{n}\n")
    out.append("  br label %head\nhead:\n  %p = phi i64 [ 0, %entry ], [ %p1, %body ]\n")
    for r, q in cells:
        out.append(f"  %s{r}.{q} = phi VECTOR [ zeroinitializer, %entry ], [ %t{r}.{q}, %body ]\n")
    out.append(
        "  %goes = icmp slt i64 %p, %whole\n  br i1 %goes, label %body, label %rest\nbody:\n"
    )
    for x, n in places:
        out.append(f"  %p.{x}{n} = getelementptr SCALAR, ptr %{x}{n}, i64 %p\n")
        out.append(f"  %{x}v{n} = load VECTOR, ptr %p.{x}{n}, align SIZE\n")
    for r, q in cells:
        out.append(_fma(f"t{r}.{q}", f"av{r}", f"bv{q}", f"s{r}.{q}"))
    out.append("  %p1 = add i64 %p, LANES\n  br label %head\nrest:\n  %left = sub i64 %k, %whole\n")
    out.append(
        "  %l0 = insertelement <LANES x i64> poison, i64 %left, i64 0\n"
        "  %l1 = shufflevector <LANES x i64> %l0, <LANES x i64> poison, "
        "<LANES x i32> zeroinitializer\n"
        "  %mask = icmp slt <LANES x i64> <ORDER>, %l1\n"
    )
    for x, n in places:
        out.append(f"  %e.{x}{n} = getelementptr SCALAR, ptr %{x}{n}, i64 %whole\n")
        out.append(
            f"  %{x}e{n} = call VECTOR @llvm.masked.load.SHORT.p0(ptr %e.{x}{n}, i32 SIZE, "
            "<LANES x i1> %mask, VECTOR zeroinitializer)\n"
        )
    for r, q in cells:
        out.append(_fma(f"u{r}.{q}", f"ae{r}", f"be{q}", f"s{r}.{q}"))
        out.append(
            f"  %d{r}.{q} = call reassoc SCALAR @llvm.vector.reduce.fadd.SHORT(SCALAR -0.0, "
            f"VECTOR %u{r}.{q})\n"
            f"  %co{r}.{q} = mul i64 %c.row, {r}\n  %ci{r}.{q} = add i64 %co{r}.{q}, {q}\n"
            f"  %cp{r}.{q} = getelementptr SCALAR, ptr %c, i64 %ci{r}.{q}\n"
            f"  %was{r}.{q} = load SCALAR, ptr %cp{r}.{q}\n"
            f"  %sum{r}.{q} = fadd SCALAR %was{r}.{q}, %d{r}.{q}\n"
            f"  %new{r}.{q} = select i1 %more, SCALAR %sum{r}.{q}, SCALAR %d{r}.{q}\n"
            f"  store SCALAR %new{r}.{q}, ptr %cp{r}.{q}\n"
        )
    return "".join([*out, "  ret void\n}\n"])


def _fma(out: str, x: str, y: str, z: str) -> str:
    return f"  %{out} = call VECTOR @llvm.fma.SHORT(VECTOR %{x}, VECTOR %{y}, VECTOR %{z})\n"


_HEAD = """
declare i64 @llvm.smin.i64(i64, i64)
declare VECTOR @llvm.fma.SHORT(VECTOR, VECTOR, VECTOR)
declare VECTOR @llvm.masked.load.SHORT.p0(ptr, i32, <LANES x i1>, VECTOR)
declare SCALAR @llvm.vector.reduce.fadd.SHORT(SCALAR, VECTOR)
"""

_ROWS = """
define internal void @rowsCOUNT(ptr %a, ptr %b, i64 %ld, ptr %c, i64 %c.row, i64 %m, i64 %k, i1 %more) nounwind {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i.end, %body ]
  %i.end = add i64 %i, MANY
  %fits = icmp sle i64 %i.end, %m
  br i1 %fits, label %body, label %last
body:
  %ao = mul i64 %i, %ld
  %co = mul i64 %i, %c.row
  %ai = getelementptr SCALAR, ptr %a, i64 %ao
  %ci = getelementptr SCALAR, ptr %c, i64 %co
  call void @tileMANYxCOUNT(ptr %ai, ptr %b, i64 %ld, ptr %ci, i64 %c.row, i64 %k, i1 %more)
  br label %head
last:
  %j = phi i64 [ %i, %head ], [ %j1, %one ]
  %again = icmp slt i64 %j, %m
  br i1 %again, label %one, label %done
one:
  %ajo = mul i64 %j, %ld
  %cjo = mul i64 %j, %c.row
  %aj = getelementptr SCALAR, ptr %a, i64 %ajo
  %cj = getelementptr SCALAR, ptr %c, i64 %cjo
  call void @tile1xCOUNT(ptr %aj, ptr %b, i64 %ld, ptr %cj, i64 %c.row, i64 %k, i1 %more)
  %j1 = add i64 %j, 1
  br label %last
done:
  ret void
}
"""  # noqa: E501

_TEXT = """
define void @dots(ptr %buffers, ptr %sizes, ptr %floats, i64 %begin, i64 %end) {
entry:
LOADS
  %mk = mul i64 %m, %k
  %nk = mul i64 %n, %k
  %mn = mul i64 %m, %n
  br label %head
head:
  %i = phi i64 [ %begin, %entry ], [ %i1, %next ]
  %goes = icmp slt i64 %i, %end
  br i1 %goes, label %body, label %done
body:
  %which = udiv i64 %i, %groups
  %before = mul i64 %which, %groups
  %group = sub i64 %i, %before
  %first = mul i64 %group, COLUMNS
  %rest = sub i64 %n, %first
  %columns = call i64 @llvm.smin.i64(i64 %rest, i64 COLUMNS)
  %full = icmp eq i64 %columns, COLUMNS
  %ao = mul i64 %which, %mk
  %bo0 = mul i64 %which, %nk
  %bo1 = mul i64 %first, %k
  %bo = add i64 %bo0, %bo1
  %co0 = mul i64 %which, %mn
  %co = add i64 %co0, %first
  %ai = getelementptr SCALAR, ptr %a, i64 %ao
  %bi = getelementptr SCALAR, ptr %b, i64 %bo
  %ci = getelementptr SCALAR, ptr %c, i64 %co
  br label %panels
panels:
  %p = phi i64 [ 0, %body ], [ %p1, %panel.done ]
  %again = icmp slt i64 %p, %k
  br i1 %again, label %panel, label %next
panel:
  %left = sub i64 %k, %p
  %length = call i64 @llvm.smin.i64(i64 %left, i64 PANEL)
  %more = icmp sgt i64 %p, 0
  %ap = getelementptr SCALAR, ptr %ai, i64 %p
  %bp = getelementptr SCALAR, ptr %bi, i64 %p
  br i1 %full, label %all, label %singles
all:
  call void @rowsCOLUMNS(ptr %ap, ptr %bp, i64 %k, ptr %ci, i64 %n, i64 %m, i64 %length, i1 %more)
  br label %panel.done
singles:
  %j = phi i64 [ 0, %panel ], [ %j1, %single ]
  %fewer = icmp slt i64 %j, %columns
  br i1 %fewer, label %single, label %panel.done
single:
  %bjo = mul i64 %j, %k
  %bj = getelementptr SCALAR, ptr %bp, i64 %bjo
  %cj = getelementptr SCALAR, ptr %ci, i64 %j
  call void @rows1(ptr %ap, ptr %bj, i64 %k, ptr %cj, i64 %n, i64 %m, i64 %length, i1 %more)
  %j1 = add i64 %j, 1
  br label %singles
panel.done:
  %p1 = add i64 %p, PANEL
  br label %panels
next:
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}
"""
