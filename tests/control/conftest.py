"""A bottom interpreter for the tests of the transformations: NumPy through the `impl` table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tracejit.core import primitive as tables
from tracejit.core.array import host_array, wrap
from tracejit.core.interpreter import interpreting
from tracejit.core.primitive import Primitive
from tracejit.core.tracer import Tracer, get_aval
from tracejit.transforms.stage import check_live


class Evaluate:
    """Evaluates each primitive at once and wraps its results; counts them."""

    def __init__(self) -> None:
        self.count = 0

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        self.count += 1
        for x in operands:
            if isinstance(x, Tracer):
                check_live(x)
        in_avals = tuple(get_aval(x) for x in operands)
        avals = primitive.result_avals(in_avals, params)
        arrays = [
            np.asarray(host_array(x), a.dtype) for x, a in zip(operands, in_avals, strict=True)
        ]
        with np.errstate(all="ignore"):
            out = tables.impl[primitive](np, *arrays, **params)
        outs = out if primitive.multiple else [out]
        wrapped = [
            wrap(aval, np.ascontiguousarray(np.asarray(x, aval.dtype)).reshape(aval.shape))
            for x, aval in zip(outs, avals, strict=True)
        ]
        return wrapped if primitive.multiple else wrapped[0]


@pytest.fixture(autouse=True)
def evaluator() -> Iterator[Evaluate]:
    """Run every test of this folder over NumPy."""
    with interpreting(Evaluate()) as interpreter:
        assert isinstance(interpreter, Evaluate)
        yield interpreter
