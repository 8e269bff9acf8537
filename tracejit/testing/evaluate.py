"""An eager interpreter for tests: NumPy by the `impl` table, one primitive at a time, checked.

It needs no compiler and no backend, and holds each primitive to what its shape rule promised, so
that a test of the rules says which of them is wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.core import primitive as tables
from tracejit.core.array import host_array, wrap
from tracejit.core.primitive import Primitive
from tracejit.core.tracer import Tracer, check_live, get_aval

__all__ = ["Evaluate"]


class Evaluate:
    """Evaluates each primitive at once, and checks what it is given and what comes out.

    Parameters
    ----------
    other : Bottom, optional
        What places, adopts and shares arrays, if it is to be installed as the bottom interpreter.

    Attributes
    ----------
    count : int
        How many primitives were evaluated.
    """

    def __init__(self, other: Any = None) -> None:
        self.other = other
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.other, name)

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Return the output, or the list of outputs if the primitive has several.

        Raises
        ------
        AssertionError
            If the evaluation is not of the shape and dtype that the shape rule says.
        """
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
        wrapped = []
        for one, aval in zip(out if primitive.multiple else [out], avals, strict=True):
            array = np.asarray(one)
            assert array.shape == aval.shape, f"{primitive}: {array.shape} is not {aval}"
            assert array.dtype == aval.dtype, f"{primitive}: {array.dtype} is not {aval}"
            # A copy: what is returned must not show later writes to an operand that it is.
            wrapped.append(wrap(aval, np.array(array, order="C").reshape(aval.shape)))
        return wrapped if primitive.multiple else wrapped[0]
