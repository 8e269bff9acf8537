"""Special functions under the names of ``jax.lax``.

Dtypes and shapes must be equal, except that scalars stretch; :mod:`tracejit.scipy.special`
promotes and broadcasts.
"""

from __future__ import annotations

from typing import Any

from tracejit.control import incomplete_beta, incomplete_gamma
from tracejit.lax.elementwise import matched
from tracejit.ops import bessel, factorials
from tracejit.ops.arithmetic import mul, neg

__all__ = [
    "bessel_i0e",
    "bessel_i1e",
    "betainc",
    "igamma",
    "igamma_grad_a",
    "igammac",
    "polygamma",
    "random_gamma_grad",
    "zeta",
]


def bessel_i0e(x: Any) -> Any:
    """Return ``exp(-|x|) I0(x)``, elementwise.

    Parameters
    ----------
    x : Array, any shape, float dtype
        The operand.
    """
    return bessel.i0e(x)


def bessel_i1e(x: Any) -> Any:
    """Return ``exp(-|x|) I1(x)``, elementwise.  See :func:`bessel_i0e`."""
    return bessel.i1e(x)


def betainc(a: Any, b: Any, x: Any) -> Any:
    """Regularized incomplete beta function, elementwise; differentiable by every operand.

    Parameters
    ----------
    a, b, x : Array, one shape (or rank 0), one float dtype
        ``a, b > 0`` and `x` within [0, 1].
    """
    return incomplete_beta.betainc(*matched("betainc", a, b, x))


def igamma(a: Any, x: Any) -> Any:
    """Regularized lower incomplete gamma function, elementwise; differentiable by both operands.

    Parameters
    ----------
    a, x : Array, one shape (or rank 0), one float dtype
        ``a > 0`` and ``x >= 0``.
    """
    return incomplete_gamma.gammainc(*matched("igamma", a, x))


def igammac(a: Any, x: Any) -> Any:
    """Regularized upper incomplete gamma function, elementwise.  See :func:`igamma`."""
    return incomplete_gamma.gammaincc(*matched("igammac", a, x))


def igamma_grad_a(a: Any, x: Any) -> Any:
    """Return the derivative of :func:`igamma` by `a`, elementwise."""
    return incomplete_gamma.by_parameter(*matched("igamma_grad_a", a, x))


def random_gamma_grad(a: Any, x: Any) -> Any:
    """Return the derivative by `a` of a gamma number `x`, elementwise.

    It is that at a constant value of the distribution function, for positive `x`.
    """
    a, x = incomplete_gamma.spread(*matched("random_gamma_grad", a, x))
    return neg(mul(x, incomplete_gamma.gamma_log_slope(a, x)))


def polygamma(m: Any, x: Any) -> Any:
    """Derivative of order `m` of :func:`digamma`, elementwise.

    Parameters
    ----------
    m, x : Array, one shape (or rank 0), one float dtype
        The order, a whole number from 0 on, and the argument.
    """
    return factorials.polygamma_of(*matched("polygamma", m, x))


def zeta(x: Any, q: Any) -> Any:
    """Hurwitz zeta function, elementwise.

    Parameters
    ----------
    x, q : Array, one shape (or rank 0), one float dtype
        The exponent, and where the sum starts.
    """
    return factorials.zeta(*matched("zeta", x, q))
