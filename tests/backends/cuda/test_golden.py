"""The CUDA C++ of a dozen kernels, one of every form."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tracejit.testing.conformance import CASES

BY_NAME = {case.name: case for case in CASES}

SHOWN = [
    "elementwise/axpy/float32/37",
    "elementwise/axpy/float16/33333",
    "stencils/diffuse/1d/100",
    "movement/transpose/2d/wide",
    "stencils/diffuse/2d/float32",
    "reductions/full/2d",
    "reductions/rows/5/sum/float64",
    "reductions/rows/33/sum/float64",
    "reductions/softmax/1000",
    "reductions/columns/broad",
    "reductions/argmax/rows/33",
    "indexing/take/rows/outside",
    "loops/fori/diffuse/1d",
    "loops/while/newton/grid",
]


def named_plainly(texts: list[str]) -> str:
    """Number the names that are hashes, in order."""
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return numbers.setdefault(found[0], f"{found[1]}{len(numbers)}")

    return re.sub(r"\b([a-z]+)[0-9a-f]{16}", number, "\n\n".join(texts))


@pytest.mark.parametrize("name", SHOWN)
def test_kernel(name: str, kernels: Any, golden: Any) -> None:
    parts = kernels([BY_NAME[name]])
    texts = {p.name: p.text for part in parts.values() for p in (*part.needs, part)}
    golden(named_plainly(list(texts.values())))
