"""Evaluate a Program by the NumPy meaning of its primitives: the reference of every other way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.array import Array, host_array
from tracejit.core.primitive import impl
from tracejit.ir.program import Literal, Program

__all__ = ["interpret"]


def interpret(xp: Any, program: Program, arrays: Sequence[Any]) -> list[Any]:
    """Return the outputs of `program` on arrays of the module `xp`.

    Parameters
    ----------
    xp : module
        ``numpy`` or ``cupy``.
    program : Program
        What to run.
    arrays : sequence of array
        One an input.
    """
    env: dict[Any, Any] = dict(zip(program.inputs, arrays, strict=True))
    env.update((v, _constant(xp, value)) for v, value in program.constants)

    def read(a: Any) -> Any:
        return xp.asarray(a.value, a.aval.dtype) if isinstance(a, Literal) else env[a]

    with np.errstate(all="ignore"):
        for eq in program.equations:
            out = impl[eq.primitive](xp, *[read(a) for a in eq.inputs], **eq.params)
            outs = out if eq.primitive.multiple else [out]
            for v, value in zip(eq.outputs, outs, strict=True):
                env[v] = xp.asarray(value, dtype=v.aval.dtype)
    return [read(a) for a in program.outputs]


def _constant(xp: Any, value: Any) -> Any:
    """Return a captured array as one of the module `xp`."""
    if xp is np:
        return host_array(value)
    on_device = isinstance(value, Array) and value.aval.device is not None
    return value.buf if on_device else xp.asarray(host_array(value))
