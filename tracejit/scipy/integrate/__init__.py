"""``tracejit.scipy.integrate``: sums over samples, and ordinary differential equations."""

from tracejit.scipy.integrate.initial_value import OdeResult, odeint, solve_ivp
from tracejit.scipy.integrate.samples import (
    cumulative_trapezoid,
    fixed_quad,
    simpson,
    trapezoid,
)

__all__ = [
    "OdeResult", "cumulative_trapezoid", "fixed_quad", "odeint", "simpson", "solve_ivp",
    "trapezoid",
]  # fmt: skip
