"""Whole programs: several results, results that are arguments, constants, donated memory."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.testing.conformance.case import Case, floats, given, integers
from tracejit.testing.conformance.reductions import softmax
from tracejit.testing.conformance.stencils import diffuse

__all__ = ["CASES"]

TABLE = np.linspace(0.0, 1.0, 60, dtype=np.float32)
LONG = np.linspace(-1.0, 1.0, 40000, dtype=np.float32)


def several(x: Any, y: Any) -> Any:
    """Results of several shapes from shared parts."""
    z = tnp.sin(x + y)
    return {"sum": z.sum(), "rows": z.max(1), "all": [z * 2, z[::2] - 1], "count": (z > 0).sum()}


def aliases(x: Any, y: Any) -> Any:
    """Results that are arguments, the same result twice, literals."""
    z = x * y
    return x, z, z, y, 3, tnp.float32(2.5), x[:0], tnp.zeros(7)


def constants(x: Any) -> Any:
    return x * TABLE + TABLE[::-1], TABLE, tnp.asarray(TABLE).sum() + x


def pipeline(x: Any) -> Any:
    """Stages of which some are stored: their memory is used again."""
    a = tnp.tanh(diffuse(x))
    b = softmax(a @ a.T)
    c = diffuse(b) + b.mean(0)
    return tnp.sort(c.ravel())[-5:], c.sum(1), a.max()


def standardized(x: Any) -> Any:
    z = (x - x.mean(0)) / (x.std(0) + 1e-3)
    return z.T @ z / x.shape[0], z.min(), tnp.argmax(z, 1)


def swapped(x: Any, y: Any) -> Any:
    return y + 0, x + 0


def kinetic(p: Any, v: Any, m: Any) -> Any:
    """Structures in and out, of several dtypes."""
    energy = 0.5 * (m[:, None] * v * v).sum()
    centre = (m[:, None] * p).sum(0) / m.sum()
    return {"energy": energy, "centre": centre, "far": ((p - centre) ** 2).sum(1) > 2}


F64 = np.float64
X, N = floats, integers

CASES = [
    Case("several", several, given(X(30, 40), X(30, 40))),
    Case("several/wide", several, given(X(160, 250), X(160, 250)), tolerance=9),
    Case("aliases", aliases, given(X(50), X(50))),
    Case("identity", lambda x: x, given(X(9, 5))),
    Case("constants", constants, given(X(60))),
    Case("constants/wide", lambda x: x * LONG + 1, given(X(40000))),
    Case("pipeline", pipeline, given(X(35, 36)), tolerance=9),
    Case("standardized", standardized, given(X(60, 40, dtype=F64)), tolerance=9),
    Case("donated", lambda x: x * 2 + 1, given(X(1000)), donated=(0,)),
    Case("donated/wide", lambda x: x * 2 + 1, given(X(40000)), donated=(0,)),
    Case("donated/swapped", swapped, given(X(100), X(100)), donated=(0, 1)),
    Case("donated/reversed", lambda x: x[::-1] + x, given(X(100)), donated=(0,)),
    Case("kinetic", kinetic, given(X(200, 3, dtype=F64), X(200, 3, dtype=F64),
                                   X(200, dtype=F64, low=1))),
    Case("polynomials", lambda x: tnp.polyval(tnp.arange(9.0), x), given(X(500, dtype=F64)),
         tolerance=9),
    Case("meshgrid", lambda x, y: tnp.meshgrid(tnp.sin(x), y)[0] * y[:, None],
         given(X(40), X(50))),
    Case("mandelbrot_step", lambda x, y: (x * x - y * y + 0.3, 2 * x * y - 0.1, x * x + y * y < 4),
         given(X(70, 80), X(70, 80))),
    Case("quantized", lambda x, n: ((x * 127).astype(tnp.int8), n.astype(tnp.float16) * 0.5),
         given(X(999, low=-1, high=1), N(999, dtype=np.int8))),
]  # fmt: skip
