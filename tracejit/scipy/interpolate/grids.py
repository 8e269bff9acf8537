"""Interpolation on regular grids of any dimension."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.core.pytree import register_pytree_node_class
from tracejit.scipy.interpolate.samples import inexact, is_known, refuse_outside

__all__ = ["RegularGridInterpolator", "interpn"]

METHODS = ("linear", "nearest")


@register_pytree_node_class
class RegularGridInterpolator:
    """Interpolation of values on a grid, as :class:`scipy.interpolate.RegularGridInterpolator`.

    Parameters
    ----------
    points : sequence of array_like, shapes (m1,), ..., (mn,)
        The coordinates of the grid; increasing, or, if they are known, decreasing.
    values : array_like, shape (m1, ..., mn, ...)
        The values.
    method : str, optional
        ``linear`` or ``nearest``.
    bounds_error : bool, optional
        Whether points outside raise, which needs points that are known.  (False by default, as
        in JAX.)
    fill_value : scalar or None, optional
        The value outside; NaN by default; None extrapolates.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        If the method is not known, or known coordinates are not strictly monotonic.

    Notes
    -----
    It is a pytree; differentiable by `points`, `values` and the points of evaluation.
    """

    def __init__(
        self, points: Sequence[Any], values: Any, method: str = "linear",
        bounds_error: bool = False, fill_value: Any = np.nan,
    ) -> None:  # fmt: skip
        _check_method(method)
        (values,) = inexact(values)
        grid = [inexact(p)[0] for p in points]
        if len(grid) > values.ndim or any(g.ndim != 1 for g in grid) or (
            tuple(g.shape[0] for g in grid) != values.shape[: len(grid)]
        ):  # fmt: skip
            raise ShapeError(
                "RegularGridInterpolator: points (m1,), ..., (mn,) and values (m1, ..., mn, ...); "
                f"got shapes {[g.shape for g in grid]} and {values.shape}"
            )
        for axis, g in enumerate(grid):
            if not is_known(g):
                continue
            steps = np.diff(np.asarray(g))
            if len(steps) and np.all(steps < 0):
                grid[axis], values = g[::-1], tnp.flip(values, axis)
            elif not np.all(steps > 0):
                raise ValueError(
                    "RegularGridInterpolator: coordinates must be strictly increasing or "
                    f"decreasing; those of dimension {axis} are not"
                )
        self.grid, self.values = tuple(grid), values
        self.method, self.bounds_error = method, bounds_error
        self.fill_value = None if fill_value is None else tnp.asarray(fill_value)

    def tree_flatten(self) -> tuple[Any, Any]:
        """Return the arrays, and the rest."""
        return (self.grid, self.values, self.fill_value), (self.method, self.bounds_error)

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> RegularGridInterpolator:
        """Return the object made of arrays."""
        new = cls.__new__(cls)
        new.grid, new.values, new.fill_value = children
        new.method, new.bounds_error = aux
        return new

    def __call__(self, xi: Any, method: str | None = None) -> Any:
        """Return the values at points.

        Parameters
        ----------
        xi : array_like, shape (..., n), or a tuple of n arrays that broadcast
            The points.
        method : str, optional
            Instead of the attribute.
        """
        method = self.method if method is None else method
        _check_method(method)
        where = self._coordinates(xi)
        outside: Any = tnp.zeros(where[0].shape, bool)
        unknown = outside
        lines = []
        for g, q in zip(self.grid, where, strict=True):
            outside = outside | (q < g[0]) | (q > g[-1])
            unknown = unknown | tnp.isnan(q)
            lines.append(_neighbours(g, q, method))
        if self.bounds_error:
            refuse_outside("RegularGridInterpolator", outside)
        trailing = self.values.ndim - len(self.grid)
        wide = where[0].shape + (1,) * trailing
        out: Any = 0
        for corner in itertools.product(*lines):
            value = self.values[tuple(place for place, _ in corner)]
            for _, weight in corner:
                value = value if weight is None else value * weight.reshape(wide)
            out = out + value
        if self.fill_value is not None:
            out = tnp.where(outside.reshape(wide), self.fill_value, out)
        return tnp.where(unknown.reshape(wide), tnp.nan, out)

    def _coordinates(self, xi: Any) -> list[Any]:
        n = len(self.grid)
        if isinstance(xi, tuple):
            where = list(tnp.broadcast_arrays(*inexact(*xi)))
        else:
            (points,) = inexact(xi)
            if points.ndim < 2 and n == 1:  # as in SciPy: points on a line
                points = points.reshape(-1, 1)
            where = [points[..., axis] for axis in range(points.shape[-1] if points.ndim else 0)]
        if len(where) != n:
            raise ShapeError(
                f"RegularGridInterpolator: points of dimension {n}, that of the grid; got "
                f"{len(where)}"
            )
        return where


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise ValueError(
            f"RegularGridInterpolator: method must be one of {', '.join(METHODS)}; got {method!r}"
        )


def _neighbours(g: Any, q: Any, method: str) -> list[tuple[Any, Any]]:
    """Return the places on an axis that count, and their weights."""
    n = g.shape[0]
    if n == 1:
        return [(tnp.zeros(q.shape, int), None)]
    low = tnp.clip(tnp.searchsorted(g, q, side="right") - 1, 0, n - 2)
    share = (q - g[low]) / (g[low + 1] - g[low])
    if method == "nearest":
        return [(tnp.where(share <= 0.5, low, low + 1), None)]
    return [(low, 1 - share), (low + 1, share)]


def interpn(
    points: Sequence[Any], values: Any, xi: Any, method: str = "linear",
    bounds_error: bool = False, fill_value: Any = np.nan,
) -> Any:  # fmt: skip
    """As :func:`scipy.interpolate.interpn`; see :class:`RegularGridInterpolator`."""
    return RegularGridInterpolator(points, values, method, bounds_error, fill_value)(xi)
