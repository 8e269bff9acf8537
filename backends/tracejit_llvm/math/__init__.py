"""Mathematical functions as inline vector code: range reduction and minimax polynomials."""

from __future__ import annotations

from collections.abc import Callable

from tracejit_llvm.math import erf as _erf
from tracejit_llvm.math import exp as _exp
from tracejit_llvm.math import gamma as _gamma
from tracejit_llvm.math import hyperbolic as _hyperbolic
from tracejit_llvm.math import log as _log
from tracejit_llvm.math import power as _power
from tracejit_llvm.math import quantile as _quantile
from tracejit_llvm.math import trig as _trig

__all__ = ["FUNCTIONS"]

FUNCTIONS: dict[str, Callable[..., str]] = {
    "exp": _exp.exp,
    "exp2": _exp.exp2,
    "expm1": _exp.expm1,
    "log": _log.log,
    "log2": _log.log2,
    "log10": _log.log10,
    "log1p": _log.log1p,
    "sin": _trig.sin,
    "cos": _trig.cos,
    "tan": _trig.tan,
    "asin": _trig.asin,
    "acos": _trig.acos,
    "atan": _trig.atan,
    "atan2": _trig.atan2,
    "sinh": _hyperbolic.sinh,
    "cosh": _hyperbolic.cosh,
    "tanh": _hyperbolic.tanh,
    "asinh": _hyperbolic.asinh,
    "acosh": _hyperbolic.acosh,
    "atanh": _hyperbolic.atanh,
    "pow": _power.pow_,
    "rsqrt": _power.rsqrt,
    "cbrt": _power.cbrt,
    "hypot": _power.hypot,
    "erf": _erf.erf,
    "erfc": _erf.erfc,
    "erfinv": _erf.erfinv,
    "erfinvgiles": _quantile.erfinv_giles,
    "lgamma": _gamma.lgamma,
    "digamma": _gamma.digamma,
}
"""name -> ``function(lanes, *operands) -> result``."""
