"""Activation functions.

Each is a composition, so that it fuses with its neighbours and has all derivatives.  Where a
function has a kink, its derivative there is that of ``jax.nn``: 0 for :func:`relu` at 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_complex
from tracejit.nn.operand import floating

__all__ = [
    "celu", "elu", "gelu", "glu", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
    "identity", "leaky_relu", "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "soft_sign", "softplus", "sparse_plus", "sparse_sigmoid", "squareplus", "swish", "tanh",
]  # fmt: skip

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946
"""Klambauer et al., *Self-normalizing neural networks*, 2017: fixed points of mean and variance."""


def identity(x: Any) -> Any:
    """Return `x`."""
    return tnp.asarray(x)


def relu(x: Any) -> Any:
    """Rectifier, ``max(x, 0)``; its derivative at 0 is 0.

    Parameters
    ----------
    x : Array, any shape, real
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
    """
    x = tnp.asarray(x)
    # NaN is not below 0, so it stays.
    return tnp.where(x <= 0, tnp.zeros_like(x), x)


def relu6(x: Any) -> Any:
    """Rectifier that ends at 6, ``min(max(x, 0), 6)``; its derivative at 0 and 6 is 0."""
    x = tnp.asarray(x)
    six = tnp.full_like(x, 6)
    return tnp.where(x >= 6, six, relu(x))


def sigmoid(x: Any) -> Any:
    """Logistic function, ``1 / (1 + exp(-x))``.

    Parameters
    ----------
    x : Array, any shape, floating or complex (integers are converted)
        The operand.

    Returns
    -------
    Array, shape of `x`
    """
    x = tnp.asarray(x)
    if is_complex(get_aval(x).dtype):
        return 1.0 / (1.0 + tnp.exp(-x))
    return lax.logistic(floating("sigmoid", x))


def softplus(x: Any) -> Any:
    """Smooth rectifier, ``log(1 + exp(x))``, without overflow."""
    return tnp.logaddexp(floating("softplus", x), 0.0)


def log_sigmoid(x: Any) -> Any:
    """Logarithm of the logistic function, without underflow."""
    return -softplus(-floating("log_sigmoid", x))


def soft_sign(x: Any) -> Any:
    """Return ``x / (1 + abs(x))``."""
    x = floating("soft_sign", x)
    return x / (1 + tnp.abs(x))


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return tnp.tanh(x)


def silu(x: Any) -> Any:
    """Sigmoid-weighted linear unit, ``x * sigmoid(x)``, also called swish."""
    x = tnp.asarray(x)
    return x * sigmoid(x)


def swish(x: Any) -> Any:
    """See :func:`silu`."""
    return silu(x)


def mish(x: Any) -> Any:
    """Return ``x * tanh(softplus(x))`` (Misra 2019)."""
    x = floating("mish", x)
    return x * tnp.tanh(softplus(x))


def squareplus(x: Any, b: Any = 4) -> Any:
    """Algebraic smooth rectifier, ``(x + sqrt(x**2 + b)) / 2`` (Barron 2021).

    Parameters
    ----------
    x : Array, any shape, real
        The operand.
    b : scalar or Array, optional
        How smooth it is; 0 gives :func:`relu`.
    """
    x = floating("squareplus", x)
    return (x + tnp.sqrt(tnp.square(x) + b)) / 2


def sparse_plus(x: Any) -> Any:
    """Rectifier that is 0 below -1, `x` above 1, and a parabola between."""
    x = floating("sparse_plus", x)
    inner = tnp.square(x + 1.0) / 4
    return tnp.where(x <= -1.0, tnp.zeros_like(x), tnp.where(x >= 1.0, x, inner))


def sparse_sigmoid(x: Any) -> Any:
    """Return the derivative of :func:`sparse_plus`: 0, 1, and a line between."""
    return 0.5 * tnp.clip(floating("sparse_sigmoid", x) + 1.0, 0.0, 2.0)


def elu(x: Any, alpha: Any = 1.0) -> Any:
    """Exponential linear unit: `x` above 0, ``alpha * expm1(x)`` below.

    Parameters
    ----------
    x : Array, any shape, real
        The operand.
    alpha : scalar or Array, optional
        Minus the limit at minus infinity.
    """
    x = floating("elu", x)
    # Where x is large expm1 is of 0, so that its derivative is finite.
    below = alpha * tnp.expm1(tnp.where(x > 0, tnp.zeros_like(x), x))
    return tnp.where(x > 0, x, below)


def celu(x: Any, alpha: Any = 1.0) -> Any:
    """Exponential linear unit with a continuous derivative: ``alpha * expm1(x / alpha)`` below 0.

    See :func:`elu` for the arguments.
    """
    x = floating("celu", x)
    return tnp.where(x > 0, x, alpha * tnp.expm1(tnp.where(x > 0, tnp.zeros_like(x), x) / alpha))


def selu(x: Any) -> Any:
    """Scaled exponential linear unit, which keeps mean 0 and variance 1 (Klambauer et al. 2017)."""
    return SELU_SCALE * elu(x, SELU_ALPHA)


def gelu(x: Any, approximate: bool = True) -> Any:
    """Gaussian error linear unit, `x` times the normal distribution function of `x`.

    Parameters
    ----------
    x : Array, any shape, real
        The operand.
    approximate : bool, optional
        Whether to write the distribution function by tanh (Hendrycks and Gimpel 2016), or by erfc.
    """
    x = floating("gelu", x)
    if approximate:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return x * (0.5 * (1.0 + tnp.tanh(inner)))
    return x * (lax.erfc(-x * math.sqrt(0.5)) / 2)


def glu(x: Any, axis: int = -1) -> Any:
    """Gated linear unit: one half of an axis times the sigmoid of the other.

    Parameters
    ----------
    x : Array, real
        The operand.
    axis : int, optional
        The axis to halve.

    Raises
    ------
    ShapeError
        If its length is odd.
    """
    x = floating("glu", x)
    length = get_aval(x).shape[axis]
    if length % 2:
        raise ShapeError(f"nn.glu: an axis of even length; axis {axis} of {get_aval(x)} is odd")
    first, second = tnp.split(x, 2, axis)
    return first * sigmoid(second)


def leaky_relu(x: Any, negative_slope: Any = 1e-2) -> Any:
    """Rectifier with a slope below 0.

    Parameters
    ----------
    x : Array, any shape, real
        The operand.
    negative_slope : scalar or Array, optional
        The slope.
    """
    x = floating("leaky_relu", x)
    return tnp.where(x >= 0, x, negative_slope * x)


def hard_tanh(x: Any) -> Any:
    """Clip to -1 and 1."""
    x = tnp.asarray(x)
    one = tnp.ones_like(x)
    return tnp.where(x > 1, one, tnp.where(x < -1, -one, x))


def hard_sigmoid(x: Any) -> Any:
    """Piecewise linear sigmoid, ``relu6(x + 3) / 6``."""
    return relu6(floating("hard_sigmoid", x) + 3.0) / 6.0


def hard_silu(x: Any) -> Any:
    """Piecewise :func:`silu`, ``x * hard_sigmoid(x)``."""
    x = floating("hard_silu", x)
    return x * hard_sigmoid(x)


hard_swish: Callable[[Any], Any] = hard_silu
