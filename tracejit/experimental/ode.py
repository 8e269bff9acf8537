"""``tracejit.experimental.ode``: ``odeint`` with JAX's arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.scipy.integrate.initial_value import integrate

__all__ = ["odeint"]


def odeint(
    func: Callable[..., Any], y0: Any, t: Any, *args: Any, rtol: float = 1.4e-8,
    atol: float = 1.4e-8, mxstep: Any = np.inf, hmax: Any = np.inf,
) -> Any:  # fmt: skip
    """Solve ``dy/dt = func(y, t, *args)``, by Dormand and Prince's method with adapted steps.

    Parameters
    ----------
    func : callable
        Of the state, the time and `args`.
    y0 : pytree of arrays, inexact
        The state at ``t[0]``.
    t : Array, shape (m,)
        Times, increasing or decreasing.
    *args : pytrees
        Further arguments of `func`.
    rtol, atol : float, optional
        Tolerances of a step.
    mxstep : int, optional
        How many steps from one time to the next.
    hmax : float, optional
        The longest step.

    Returns
    -------
    pytree like `y0`, with a leading axis of length m

    Notes
    -----
    Forward and reverse derivatives of any order, of the computed solution; see
    :func:`tracejit.scipy.integrate.initial_value.integrate`.
    """
    return integrate(func, y0, t, *args, rtol=rtol, atol=atol, mxstep=mxstep, hmax=hmax)
