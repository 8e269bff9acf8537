"""Matrix products: by tiles of our own while one fits a cache or is thin, else by BLAS.

Ours share one product between threads in blocks of fixed size, so the bits do not depend on their
number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit_llvm.blas import BLAS, blas_text, linear_symbols, operand_loads
from tracejit_llvm.math.lanes import is_wide
from tracejit_llvm.routines.calls import LibraryFunction, LibraryStep, LibrarySteps
from tracejit_llvm.routines.dots import COLUMNS, dots_text
from tracejit_llvm.routines.tiles import LONGEST_PANEL, Tiles

__all__ = ["product_steps", "tiled_text"]

BLOCK = 64
"""Rows of a block, for which strips of `b` are packed."""
WIDTH = 1536
"""Columns of a block: whole strips, whatever the dtype and the vectors."""
MOST = 256**3
"""Multiplications of one product up to which it is done here."""
FEW = 32
"""The least of the three lengths, up to which any product is done here."""


def product_steps(params: tuple[int, ...], dtype: np.dtype[Any]) -> LibrarySteps:
    """Return how stacks of matrices are multiplied.

    Parameters
    ----------
    params : tuple of int
        Of the library call: ``(batch, m, n, k, transpose_a, transpose_b)``.
    dtype : dtype
        float32 or float64.
    """
    batch, m, n, k, turned, across = params
    each = 0.01 * dtype.itemsize / 8
    if across and not turned and k > LONGEST_PANEL and min(m, n) <= FEW:
        groups = max(-(-n // COLUMNS), 1)
        function = LibraryFunction(dots_text, (dtype.name, is_wide()), "dots")
        cost = batch * (20.0 + m * n * k * each)
        step = LibraryStep(function, (0, 1, 2), (*params, groups), batch * groups, cost)
        return LibrarySteps((step,))
    if (m * n * k > MOST and min(m, n, k) > FEW) or (across and k > LONGEST_PANEL):
        function = LibraryFunction(blas_text, (dtype.name,), BLAS[dtype.name], linear_symbols)
        step = LibraryStep(function, (0, 1, 2), params, batch, batch * m * n * k * each, False)
        return LibrarySteps((step,))
    blocks, pieces = max(-(-m // BLOCK), 1), max(-(-n // WIDTH), 1)
    function = LibraryFunction(tiled_text, (dtype.name, is_wide()), "tiled")
    cost = batch * (20.0 + m * n * k * each)
    return LibrarySteps(
        (
            LibraryStep(
                function, (0, 1, 2), (*params, blocks, pieces), batch * blocks * pieces, cost
            ),
        )
    )


def tiled_text(name: str, wide: bool) -> str:
    """Return the module of ``@tiled``, which has the signature of a kernel.

    Its rows are the blocks of all products; its sizes are those of the library call, then the
    numbers of blocks of one product down and across.

    Parameters
    ----------
    name : str
        ``float32`` or ``float64``.
    wide : bool
        See :class:`~tracejit_llvm.routines.tiles.Tiles`.
    """
    tiles = Tiles(name, {"float32": "float", "float64": "double"}[name], wide)
    loads = operand_loads("m", "n", "k", "ta", "tb", "blocks", "pieces")
    return (
        tiles.text() + _TEXT.replace("SCALAR", tiles.scalar).replace("NAME", name)
        .replace("LOADS", loads).replace("BLOCK", str(BLOCK)).replace("WIDTH", str(WIDTH))
    )  # fmt: skip


_TEXT = """
declare i64 @llvm.smin.i64(i64, i64)

define void @tiled(ptr %buffers, ptr %sizes, ptr %floats, i64 %begin, i64 %end) {
entry:
LOADS
  %turned = icmp ne i64 %ta, 0
  %across = icmp ne i64 %tb, 0
  %a.row = select i1 %turned, i64 1, i64 %k
  %a.column = select i1 %turned, i64 %m, i64 1
  %b.column = select i1 %across, i64 %k, i64 1
  %mk = mul i64 %m, %k
  %kn = mul i64 %k, %n
  %mn = mul i64 %m, %n
  br label %head
head:
  %i = phi i64 [ %begin, %entry ], [ %i1, %body ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %body, label %done
body:
  %pair = udiv i64 %i, %pieces
  %past = mul i64 %pair, %pieces
  %piece = sub i64 %i, %past
  %which = udiv i64 %pair, %blocks
  %before = mul i64 %which, %blocks
  %block = sub i64 %pair, %before
  %j = mul i64 %piece, WIDTH
  %room = sub i64 %n, %j
  %columns = call i64 @llvm.smin.i64(i64 %room, i64 WIDTH)
  %bj = mul i64 %j, %b.column
  %first = mul i64 %block, BLOCK
  %left = sub i64 %m, %first
  %rows = call i64 @llvm.smin.i64(i64 %left, i64 BLOCK)
  %ao = mul i64 %which, %mk
  %bo0 = mul i64 %which, %kn
  %bo = add i64 %bo0, %bj
  %co = mul i64 %which, %mn
  %ar = mul i64 %first, %a.row
  %cr = mul i64 %first, %n
  %aor = add i64 %ao, %ar
  %cor0 = add i64 %co, %cr
  %cor = add i64 %cor0, %j
  %ai = getelementptr SCALAR, ptr %a, i64 %aor
  %bi = getelementptr SCALAR, ptr %b, i64 %bo
  %ci = getelementptr SCALAR, ptr %c, i64 %cor
  call void @product_NAME(ptr %ai, ptr %bi, ptr %ci, i64 %a.row, i64 %a.column, i64 %rows, i64 %columns, i64 %n, i64 %k, i1 %across)
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}
"""  # noqa: E501
