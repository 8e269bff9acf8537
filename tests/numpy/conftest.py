"""An eager bottom interpreter for the tests of this folder, where none is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tracejit.numpy  # noqa: F401  (installs operators)
from tracejit.core import primitive as tables
from tracejit.core.array import host_array, wrap
from tracejit.core.interpreter import bottom, install_bottom
from tracejit.core.primitive import Primitive
from tracejit.core.tracer import get_aval


class Evaluate:
    """Evaluates each primitive at once, and checks what it is given and what comes out."""

    def __init__(self, other: Any) -> None:
        self.other = other

    def __getattr__(self, name: str) -> Any:
        return getattr(self.other, name)  # placing, adopting and sharing arrays

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        avals = primitive.result_avals(tuple(get_aval(x) for x in operands), params)
        arrays = [np.asarray(host_array(x), get_aval(x).dtype) for x in operands]
        with np.errstate(all="ignore"):
            out = tables.impl[primitive](np, *arrays, **params)
        outs = out if primitive.multiple else [out]
        wrapped = []
        for array, aval in zip(outs, avals, strict=True):
            array = np.asarray(array)
            assert array.shape == aval.shape, f"{primitive}: {array.shape} is not {aval}"
            assert array.dtype == aval.dtype, f"{primitive}: {array.dtype} is not {aval}"
            wrapped.append(wrap(aval, np.array(array, order="C").reshape(aval.shape)))
        return wrapped if primitive.multiple else wrapped[0]


@pytest.fixture(autouse=True)
def evaluating() -> Iterator[None]:
    """Run every test of this folder over NumPy."""
    before = bottom()
    install_bottom(Evaluate(before))
    yield
    install_bottom(before)
