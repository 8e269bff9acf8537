"""Interpolation in one dimension by a kind that is named, and by one polynomial."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.pytree import register_pytree_node_class
from tracejit.scipy.interpolate.cubic import CubicSpline
from tracejit.scipy.interpolate.samples import (
    inexact,
    is_known,
    moved_back,
    refuse_outside,
    samples,
)

__all__ = ["BarycentricInterpolator", "barycentric_interpolate", "interp1d"]

KINDS = {"slinear": "linear", 1: "linear", "zero": "previous", 0: "previous", 3: "cubic"}
"""Other names of kinds."""


@register_pytree_node_class
class interp1d:
    """Interpolation in one dimension, as :class:`scipy.interpolate.interp1d`.

    Parameters
    ----------
    x : array_like, shape (n,)
        The points.
    y : array_like, with n along `axis`
        Values there.
    kind : str or int, optional
        ``linear`` (slinear, 1), ``nearest``, ``nearest-up``, ``previous`` (zero, 0), ``next`` or
        ``cubic`` (3).
    axis : int, optional
        The axis of the points in `y`.
    copy : bool, optional
        Accepted for compatibility.
    bounds_error : bool, optional
        Whether points outside raise, which needs them to be known.  By default they do if they
        are known and there is no `fill_value`.
    fill_value : scalar, array_like, pair, or 'extrapolate', optional
        The value outside; below and above; NaN by default.
    assume_sorted : bool, optional
        Whether `x` increases.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        If a point is outside, or not known although it may not be outside.
    """

    def __init__(
        self, x: Any, y: Any, kind: Any = "linear", axis: int = -1, copy: bool = True,
        bounds_error: bool | None = None, fill_value: Any = np.nan, assume_sorted: bool = False,
    ) -> None:  # fmt: skip
        del copy
        kind = KINDS.get(kind, kind)
        if kind not in ("linear", "nearest", "nearest-up", "previous", "next", "cubic"):
            raise NotImplementedError(
                f"interp1d: kind must be linear, nearest, nearest-up, previous, next or cubic; "
                f"got {kind!r}"
            )
        if not assume_sorted:
            order = tnp.argsort(tnp.asarray(x))
            x, y = tnp.asarray(x)[order], tnp.take(tnp.asarray(y), order, axis=axis)
        least = {"cubic": 4, "linear": 2}.get(kind, 1)
        self.x, self._y, self.axis = samples("interp1d", x, y, axis, least)
        self._kind = kind
        self._extrapolate = isinstance(fill_value, str) and fill_value == "extrapolate"
        if self._extrapolate and bounds_error:
            raise ValueError("interp1d: it cannot extrapolate and raise at the same time")
        unset = isinstance(fill_value, float) and np.isnan(fill_value)
        self.bounds_error = unset and None if bounds_error is None else bounds_error
        pair = fill_value if isinstance(fill_value, tuple) else (fill_value, fill_value)
        self._fill = () if self._extrapolate else tuple(tnp.asarray(v) for v in pair)
        self._spline = CubicSpline(self.x, self._y) if kind == "cubic" else None

    def tree_flatten(self) -> tuple[Any, Any]:
        """Return the arrays, and the rest."""
        rest = self.axis, self._kind, self._extrapolate, self.bounds_error
        return (self.x, self._y, self._fill, self._spline), rest

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> interp1d:
        """Return the object made of arrays."""
        new = cls.__new__(cls)
        new.x, new._y, new._fill, new._spline = children
        new.axis, new._kind, new._extrapolate, new.bounds_error = aux
        return new

    def __call__(self, x: Any) -> Any:
        """Return the values at points; their axes are in the place of the axis of `y`."""
        (q,) = inexact(x)
        below, above = q < self.x[0], q > self.x[-1]
        if not self._extrapolate and self.bounds_error is not False:
            outside = below | above
            if self.bounds_error or is_known(outside):
                refuse_outside("interp1d", outside)
        out = self._values(q)
        wide = q.shape + (1,) * (self._y.ndim - 1)
        below, above = below.reshape(wide), above.reshape(wide)
        if self._fill:
            out = tnp.where(below, self._fill[0], tnp.where(above, self._fill[1], out))
        elif self._kind == "previous":
            out = tnp.where(below, tnp.nan, out)
        elif self._kind == "next":
            out = tnp.where(above, tnp.nan, out)
        out = tnp.where(tnp.isnan(q).reshape(wide), tnp.nan, out)
        return moved_back(out, q.ndim, self.axis)

    def _values(self, q: Any) -> Any:
        x, y, n = self.x, self._y, self.x.shape[0]
        if self._spline is not None:
            return self._spline(q)
        if self._kind == "linear":
            low = tnp.clip(tnp.searchsorted(x, q), 1, n - 1) - 1
            share = (q - x[low]).reshape(q.shape + (1,) * (y.ndim - 1))
            step = (x[low + 1] - x[low]).reshape(share.shape)
            return y[low] + (y[low + 1] - y[low]) / step * share
        if self._kind in ("nearest", "nearest-up"):
            middles = x[1:] / 2 + x[:-1] / 2
            side = "left" if self._kind == "nearest" else "right"
            return y[tnp.searchsorted(middles, q, side=side)]
        if self._kind == "previous":
            return y[tnp.clip(tnp.searchsorted(x, q, side="right"), 1, n) - 1]
        return y[tnp.clip(tnp.searchsorted(x, q, side="left"), 0, n - 1)]


@register_pytree_node_class
class BarycentricInterpolator:
    """The polynomial through samples, as :class:`scipy.interpolate.BarycentricInterpolator`.

    Parameters
    ----------
    xi : array_like, shape (n,)
        Distinct points.
    yi : array_like, with n along `axis`
        Values there.
    axis : int, optional
        The axis of the points in `yi`.

    Notes
    -----
    Each value is a sum of Lagrange's polynomials, whose n factors are multiplied out, so that
    derivatives also exist at the points `xi`; the work is of order n**2 a point.
    """

    def __init__(self, xi: Any, yi: Any, axis: int = 0) -> None:
        x, y = tnp.asarray(xi), tnp.asarray(yi)
        order = tnp.argsort(x)
        y = tnp.take(y, order, axis=axis)
        self.xi, self._y, self.axis = samples("BarycentricInterpolator", x[order], y, axis, 1)

    def tree_flatten(self) -> tuple[Any, int]:
        """Return the arrays, and the axis."""
        return (self.xi, self._y), self.axis

    @classmethod
    def tree_unflatten(cls, aux: int, children: Any) -> BarycentricInterpolator:
        """Return the object made of arrays."""
        new = cls.__new__(cls)
        new.xi, new._y = children
        new.axis = aux
        return new

    def __call__(self, x: Any) -> Any:
        """Return the values at points; their axes are in the place of the axis of `yi`."""
        (q,) = inexact(x)
        same = np.eye(self.xi.shape[0], dtype=bool)
        between = tnp.where(same, 1, self.xi[:, None] - self.xi)
        factors = tnp.where(same, 1, (q[..., None, None] - self.xi) / between)
        out = tnp.tensordot(tnp.prod(factors, -1).astype(self._y.dtype), self._y, 1)
        return moved_back(out, q.ndim, self.axis)


def barycentric_interpolate(xi: Any, yi: Any, x: Any, axis: int = 0) -> Any:
    """As :func:`scipy.interpolate.barycentric_interpolate`: values at `x`."""
    return BarycentricInterpolator(xi, yi, axis)(x)
