"""Every test of this folder runs twice: over NumPy, one primitive at a time, and compiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tracejit.runtime  # its eager interpreter is the bottom one: it compiles loops and branches
from tracejit.core import primitive as tables
from tracejit.core.array import host_array, wrap
from tracejit.core.interpreter import interpreting
from tracejit.core.primitive import Primitive
from tracejit.core.tracer import Tracer, get_aval
from tracejit.transforms.stage import check_live

assert tracejit.runtime


class Evaluate:
    """Evaluates each primitive at once, loops and branches too, and wraps its results."""

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
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


@pytest.fixture(autouse=True, params=["numpy", "compiled"])
def bottom(request: pytest.FixtureRequest) -> Iterator[None]:
    """Choose what evaluates."""
    if request.param == "compiled":
        yield
        return
    with interpreting(Evaluate()):
        yield
