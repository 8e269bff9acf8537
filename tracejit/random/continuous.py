"""Continuous distributions that are functions of uniform, normal or exponential numbers.

Parameters broadcast with one another; without ``shape=`` so does the result.  All are
differentiable by their parameters.
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.numpy.promotion import broadcast_shapes, cast, operand, static_shape
from tracejit.random.distributions import (
    exponential,
    fitted,
    float_dtype,
    normal,
    rademacher,
    tiny,
    two_keys,
    uniform,
)

__all__ = [
    "double_sided_maxwell", "lognormal", "maxwell", "parameters", "pareto", "rayleigh",
    "triangular", "wald", "weibull_min",
]  # fmt: skip


def parameters(
    name: str, dtype: Any, shape: Any, *xs: Any
) -> tuple[Any, tuple[int, ...], list[Any]]:
    """Return the dtype and the shape of a result, and parameters that fit them.

    Parameters
    ----------
    name : str
        The distribution, for messages.
    dtype : dtype-like or None
        What the user asked for.
    shape : tuple of int or None
        Likewise; what the parameters broadcast to by default.
    *xs : array-like
        The parameters.

    Raises
    ------
    ShapeError
        If they do not broadcast to `shape`.
    """
    kind = float_dtype(name, dtype)
    operands = [cast(operand(x), kind) for x in xs]
    if shape is None:
        target = broadcast_shapes(name, *[get_aval(x).shape for x in operands])
    else:
        target = static_shape(name, shape)
    return kind, target, [tnp.asarray(fitted(name, x, target)) for x in operands]


def lognormal(key: Any, sigma: Any = 1.0, shape: Any = None, dtype: Any = None) -> Any:
    """Return exponentials of normal numbers of standard deviation `sigma`."""
    kind, target, (sigma,) = parameters("lognormal", dtype, shape, sigma)
    return tnp.exp(normal(key, target, kind) * sigma)


def pareto(key: Any, b: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Return numbers of the Pareto distribution of exponent `b`, from 1 on."""
    kind, target, (b,) = parameters("pareto", dtype, shape, b)
    return tnp.exp(exponential(key, target, kind) / b)


def rayleigh(key: Any, scale: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Return numbers of the Rayleigh distribution."""
    kind, target, (scale,) = parameters("rayleigh", dtype, shape, scale)
    return scale * tnp.sqrt(-2 * tnp.log(uniform(key, target, kind, tiny(kind), 1.0)))


def wald(key: Any, mean: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Return numbers of the inverse Gaussian distribution of shape 1.

    Notes
    -----
    One of two roots is chosen with a probability that depends on `mean`; the derivative is that of
    the root, so its mean is not the derivative of the mean.

    References
    ----------
    J. R. Michael, W. R. Schucany, R. W. Haas, "Generating random variates using transformations
    with multiple roots", The American Statistician 30 (1976).
    """
    kind, target, (mean,) = parameters("wald", dtype, shape, mean)
    first, second = two_keys(key)
    y = tnp.square(normal(first, target, kind))
    u = uniform(second, target, kind)
    half = mean * y / 2
    # mean (1 + half - sqrt(2 half + half^2)), without the cancellation.
    root = mean / (1 + half + tnp.sqrt(half * (2 + half)))
    return tnp.where(u * (mean + root) <= mean, root, tnp.square(mean) / root)


def weibull_min(
    key: Any, scale: Any, concentration: Any, shape: Any = None, dtype: Any = None
) -> Any:
    """Return numbers of the Weibull distribution."""
    kind, target, (scale, power) = parameters("weibull_min", dtype, shape, scale, concentration)
    return scale * tnp.power(exponential(key, target, kind), 1 / power)


def maxwell(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Return lengths of normal vectors in three dimensions."""
    kind = float_dtype("maxwell", dtype)
    target = static_shape("maxwell", shape)
    vectors = normal(key, (*target, 3), kind)
    return tnp.sqrt(tnp.sum(tnp.square(vectors), -1))


def double_sided_maxwell(
    key: Any, loc: Any, scale: Any, shape: Any = None, dtype: Any = None
) -> Any:
    """Return numbers of :func:`maxwell` of either sign, scaled and moved."""
    kind, target, (loc, scale) = parameters("double_sided_maxwell", dtype, shape, loc, scale)
    first, second = two_keys(key)
    return loc + scale * maxwell(first, target, kind) * rademacher(second, target, kind)


def triangular(
    key: Any, left: Any, mode: Any, right: Any, shape: Any = None, dtype: Any = None
) -> Any:
    """Return numbers whose density rises from `left` to `mode` and falls to `right`."""
    kind, target, (left, mode, right) = parameters("triangular", dtype, shape, left, mode, right)
    u = uniform(key, target, kind, tiny(kind), 1.0)
    width = right - left
    rising = u * width < mode - left
    low = left + tnp.sqrt(tnp.where(rising, u * width * (mode - left), 1))
    high = right - tnp.sqrt(tnp.where(rising, 1, (1 - u) * width * (right - mode)))
    return tnp.where(rising, low, high)


def check_dimension(name: str, d: Any) -> int:
    """Return a number of dimensions.

    Raises
    ------
    ShapeError
        If it is less than 1.
    """
    if int(d) < 1:
        raise ShapeError(f"{name}: the dimension must be at least 1; got {d}")
    return int(d)
