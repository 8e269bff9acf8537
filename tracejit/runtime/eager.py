"""The bottom interpreter: evaluates a primitive at once by its NumPy meaning.

No compilation happens on the first use of a shape, so small eager steps are as quick as NumPy's.
Control operations (loops, branches, nested jit) are handed to ``run_control``, which compiles them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.core.array import Array, wrap
from tracejit.core.errors import LeakedTracerError
from tracejit.core.interpreter import install_bottom
from tracejit.core.primitive import Primitive, impl
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.avals import ShapedArray

__all__ = ["Eager"]

ControlRunner = Callable[[Primitive, tuple[Any, ...], dict[str, Any]], Any]


class Eager:
    """Evaluates primitives on host arrays.

    Parameters
    ----------
    run_control : callable
        Runs a primitive whose params hold Programs, on concrete operands.
    """

    def __init__(self, run_control: ControlRunner) -> None:
        self.run_control = run_control

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Return the evaluated output or outputs, as Arrays."""
        for x in operands:
            if isinstance(x, Tracer):
                raise LeakedTracerError(
                    f"{primitive}: the traced value {x!r} was used after its function had been "
                    "traced. Return it from the function instead of storing it outside."
                )
        if primitive.control:
            return self.run_control(primitive, operands, params)
        avals = tuple([get_aval(x) for x in operands])
        outs = primitive.result_avals(avals, params)
        arrays = [_host(x, a) for x, a in zip(operands, avals, strict=True)]
        with np.errstate(all="ignore"):
            result = impl[primitive](np, *arrays, **params)
        foreign = [x for x in operands if isinstance(x, np.ndarray)]
        if primitive.multiple:
            return [_own(r, a, foreign) for r, a in zip(result, outs, strict=True)]
        return _own(result, outs[0], foreign)


def _host(x: Any, aval: ShapedArray) -> np.ndarray[Any, Any]:
    if isinstance(x, Array):
        return x.buf  # type: ignore[no-any-return]
    return np.asarray(x, aval.dtype)


def _own(result: Any, aval: ShapedArray, foreign: list[Any]) -> Array:
    """Wrap a NumPy result; one that may share memory with a user's ndarray is copied."""
    array = np.asarray(result, dtype=aval.dtype, order="C")
    if array.shape != aval.shape:
        raise AssertionError(f"impl returned shape {array.shape}, the rule says {aval.shape}")
    if foreign and (array.base is not None or any(array is x for x in foreign)):
        array = array.copy()
    return wrap(aval, array)


def install(run_control: ControlRunner) -> None:
    """Make an Eager interpreter the bottom one."""
    install_bottom(Eager(run_control))
