"""Piecewise polynomials in local powers."""

from __future__ import annotations

import math
from typing import Any, Self

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.core.pytree import register_pytree_node_class
from tracejit.scipy.interpolate.samples import inexact, moved_back

__all__ = ["PPoly"]


@register_pytree_node_class
class PPoly:
    """Piecewise polynomials, as :class:`scipy.interpolate.PPoly`.

    Between ``x[i]`` and ``x[i+1]`` the value is the sum of ``c[m, i] * (t - x[i])**(k - m)``.

    Parameters
    ----------
    c : array_like, shape (k + 1, n - 1, ...)
        The coefficients, the highest power first.
    x : array_like, shape (n,)
        The breakpoints, increasing.
    extrapolate : bool or 'periodic', optional
        What is outside: the first and the last polynomial (the default), NaN, or the same again.
    axis : int, optional
        The axis of `c` with the powers; it is followed by that of the intervals.

    Notes
    -----
    It is a pytree, so that it is an argument or a result of transformed functions; differentiable
    by its arrays and by the points of evaluation.
    """

    c: Any
    x: Any
    extrapolate: Any
    axis: int

    def __init__(self, c: Any, x: Any, extrapolate: Any = None, axis: int = 0) -> None:
        c, x = tnp.asarray(c), tnp.asarray(x)
        if axis:
            c = tnp.moveaxis(c, (axis, axis + 1), (0, 1))
        if c.ndim < 2 or x.ndim != 1 or c.shape[1] != x.shape[0] - 1:
            raise ShapeError(
                "PPoly: coefficients (k + 1, n - 1, ...) and breakpoints (n,); got shapes "
                f"{c.shape} and {x.shape}"
            )
        self._hold(inexact(c)[0], inexact(x)[0], extrapolate, axis)

    def _hold(self, c: Any, x: Any, extrapolate: Any, axis: int) -> None:
        self.c, self.x, self.axis = c, x, axis
        self.extrapolate = True if extrapolate is None else extrapolate

    def tree_flatten(self) -> tuple[Any, Any]:
        """Return the arrays, and the rest."""
        return (self.c, self.x), (self.extrapolate, self.axis)

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> Self:
        """Return the object made of arrays."""
        new = cls.__new__(cls)
        new.c, new.x = children
        new.extrapolate, new.axis = aux
        return new

    def __call__(self, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
        """Return values, or derivatives.

        Parameters
        ----------
        x : array_like
            The points.
        nu : int, optional
            The order of the derivative; of an antiderivative if negative.
        extrapolate : bool or 'periodic', optional
            Instead of the attribute.

        Returns
        -------
        Array
            The values; the axes of `x` are in the place of the axis of interpolation.
        """
        outside = self.extrapolate if extrapolate is None else extrapolate
        if nu < 0:
            return self.antiderivative(-nu)(x, 0, outside)
        (x,) = inexact(x)
        first, last = self.x[0], self.x[-1]
        if outside == "periodic":
            x = first + tnp.mod(x - first, last - first)
        intervals, order = self.c.shape[1], self.c.shape[0] - 1
        place = tnp.searchsorted(self.x, x, side="right") - 1
        place = tnp.clip(place, 0, intervals - 1)
        t = (x - self.x[place]).reshape(x.shape + (1,) * (self.c.ndim - 2))
        out = tnp.zeros_like(self.c[0][place]) * t
        for row in range(order - nu + 1):
            out = out * t + math.perm(order - row, nu) * self.c[row][place]
        if not outside:
            inside = ((x >= first) & (x <= last)).reshape(t.shape)
            out = tnp.where(inside, out, tnp.nan)
        return moved_back(out, x.ndim, self.axis)

    def derivative(self, nu: int = 1) -> PPoly:
        """Return the derivative of an order, of lower degree."""
        if nu < 0:
            return self.antiderivative(-nu)
        order = self.c.shape[0] - 1
        rows = [math.perm(order - row, nu) * self.c[row] for row in range(order - nu + 1)]
        return _made(tnp.stack(rows or [tnp.zeros_like(self.c[0])]), self)

    def antiderivative(self, nu: int = 1) -> PPoly:
        """Return the antiderivative of an order, continuous and 0 at the first breakpoint."""
        if nu <= 0:
            return self.derivative(-nu)
        out = self
        for _ in range(nu):
            out = out._integral()
        return out

    def _integral(self) -> PPoly:
        order = self.c.shape[0]
        rows = [self.c[row] / (order - row) for row in range(order)]
        width = tnp.diff(self.x).reshape((-1,) + (1,) * (self.c.ndim - 2))
        steps = tnp.zeros_like(rows[0])
        for row in rows:
            steps = (steps + row) * width
        before = tnp.cumsum(steps, 0) - steps
        new = _made(tnp.stack([*rows, before]), self)
        if self.extrapolate == "periodic":  # what it adds in a period is not 0
            new.extrapolate = False
        return new

    def integrate(self, a: Any, b: Any, extrapolate: Any = None) -> Any:
        """Return the integral from `a` to `b`, numbers."""
        outside = self.extrapolate if extrapolate is None else extrapolate
        whole = self._integral()
        if outside != "periodic":
            return whole(b, 0, outside) - whole(a, 0, outside)
        first, last = self.x[0], self.x[-1]
        period = whole(last, 0, True)

        def until(t: Any) -> Any:
            turns = tnp.floor((t - first) / (last - first))
            return turns * period + whole(t - turns * (last - first), 0, True)

        return until(tnp.asarray(b)) - until(tnp.asarray(a))


def _made(c: Any, like: PPoly) -> PPoly:
    new = PPoly.__new__(PPoly)
    new._hold(c, like.x, like.extrapolate, like.axis)
    return new
