"""Von Mises distribution.

`kappa` is the concentration; all take arrays that broadcast, of any real dtype, and return an
array of their float dtype, differentiable by every argument.
"""

from __future__ import annotations

import math
from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import real

__all__ = ["logpdf", "pdf"]


def pdf(x: Any, kappa: Any) -> Any:
    """Density at `x`."""
    return tnp.exp(logpdf(x, kappa))


def logpdf(x: Any, kappa: Any) -> Any:
    """Logarithm of the density at `x`."""
    x, kappa = real("vonmises.logpdf", x, kappa)
    # cos(x) - 1, without cancellation; the rest of the exponent is in i0e.
    rise = -2 * tnp.sin(x / 2) ** 2
    return kappa * rise - tnp.log(2 * math.pi * special.i0e(kappa))
