"""What the detector takes to be dense depends on all that is read, and on no more."""

from __future__ import annotations

import numpy as np

from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES
from tracejit.sparsity.detect import Detector
from tracejit.sparsity.rows import diagonal
from tracejit.sparsity.rules import Entry


def test_dense_is_the_union_of_the_operands() -> None:
    pair = ShapedArray((2,), DTYPES["f64"])
    operands = [Entry(pair, diagonal(2, 1, 7)), Entry(pair, None), Entry(pair, diagonal(2, 5, 7))]
    out, count = Detector(7).dense(
        operands, [ShapedArray((3,), DTYPES["f64"]), ShapedArray((2,), DTYPES["i64"])]
    )
    np.testing.assert_array_equal(out.rows.toarray(), [[0, 1, 1, 0, 0, 1, 1]] * 3)
    assert count.rows is None
