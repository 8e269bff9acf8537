"""Piecewise cubic polynomials through samples: by given slopes, and by slopes that are found."""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.core.pytree import register_pytree_node_class
from tracejit.scipy.interpolate.piecewise import PPoly
from tracejit.scipy.interpolate.samples import samples
from tracejit.scipy.linalg import tridiagonal_solve

__all__ = [
    "Akima1DInterpolator", "CubicHermiteSpline", "CubicSpline", "PchipInterpolator",
    "pchip_interpolate",
]  # fmt: skip


def _columns(x: Any, y: Any) -> Any:
    """Return numbers along the first axis, as a shape that broadcasts with values."""
    return x.reshape((-1,) + (1,) * (y.ndim - 1))


def _powers(x: Any, y: Any, slopes: Any) -> Any:
    width = _columns(tnp.diff(x), y)
    mean = tnp.diff(y, axis=0) / width
    bend = (slopes[:-1] + slopes[1:] - 2 * mean) / width
    return tnp.stack([bend / width, (mean - slopes[:-1]) / width - bend, slopes[:-1], y[:-1]])


@register_pytree_node_class
class CubicHermiteSpline(PPoly):
    """Cubic polynomials of given values and slopes.

    As :class:`scipy.interpolate.CubicHermiteSpline`.

    Parameters
    ----------
    x : array_like, shape (n,)
        Increasing points.
    y, dydx : array_like, with n along `axis`
        Values and slopes there.
    axis : int, optional
        The axis of the points in `y`.
    extrapolate : bool or 'periodic', optional
        As in :class:`PPoly`.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        If the points are known, and not increasing.
    """

    def __init__(
        self, x: Any, y: Any, dydx: Any, axis: int = 0, extrapolate: Any = None
    ) -> None:
        x, values, axis = samples("CubicHermiteSpline", x, y, axis)
        slopes = tnp.moveaxis(tnp.asarray(dydx), axis, 0)
        if slopes.shape != values.shape:
            raise ShapeError(
                "CubicHermiteSpline: as many slopes as values; got shapes "
                f"{tnp.shape(dydx)} and {tnp.shape(y)}"
            )
        self._hold(_powers(x, values, slopes), x, extrapolate, axis)


# -------------------------------------------------------------------------- splines

Ends = dict[str, tuple[int, Any]]
ENDS: Ends = {"clamped": (1, 0.0), "natural": (2, 0.0)}


@register_pytree_node_class
class CubicSpline(PPoly):
    """Cubic splines, whose second derivatives are continuous.

    As :class:`scipy.interpolate.CubicSpline`.

    Parameters
    ----------
    x : array_like, shape (n,)
        Increasing points.
    y : array_like, with n along `axis`
        Values there.
    axis : int, optional
        The axis of the points in `y`.
    bc_type : str or pair, optional
        Of both ends, or of each: ``not-a-knot``, ``natural`` (no second derivative), ``clamped``
        (no slope), or ``(order, value)`` of a derivative of order 1 or 2; or ``periodic``.
    extrapolate : bool or 'periodic', optional
        As in :class:`PPoly`; periodic by default if `bc_type` is.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        If the points are known, and not increasing; if `bc_type` is not known.

    Notes
    -----
    The slopes solve a tridiagonal system, so that derivatives by `x` and `y` are those of its
    solution.  That the first and the last value are equal is not checked for periodic splines:
    the first one counts.
    """

    def __init__(
        self, x: Any, y: Any, axis: int = 0, bc_type: Any = "not-a-knot", extrapolate: Any = None
    ) -> None:
        x, values, axis = samples("CubicSpline", x, y, axis)
        n = x.shape[0]
        flat = values.reshape(n, -1)
        if isinstance(bc_type, str) and bc_type == "periodic":
            extrapolate = "periodic" if extrapolate is None else extrapolate
            slopes = _periodic_slopes(x, tnp.concatenate([flat[:-1], flat[:1]]))
        else:
            ends = _ends(bc_type, values)
            slopes = _slopes(x, flat, ends)
        self._hold(_powers(x, values, slopes.reshape(values.shape)), x, extrapolate, axis)


def _ends(bc_type: Any, values: Any) -> list[Any]:
    """Return for each end None (not a knot), or the order and the value of a derivative."""
    pair = (bc_type, bc_type) if isinstance(bc_type, str) else tuple(bc_type)
    out: list[Any] = []
    for end in pair:
        known = isinstance(end, str) and end in ("not-a-knot", *ENDS)
        if not known and (isinstance(end, str) or len(end) != 2 or end[0] not in (1, 2)):
            raise ValueError(
                "CubicSpline: bc_type must be not-a-knot, natural, clamped, periodic, or a pair of "
                f"these (not periodic) and of (order, value), of order 1 or 2; got {bc_type!r}"
            )
        if isinstance(end, str) and end == "not-a-knot":
            out.append(None)
            continue
        order, value = ENDS[end] if isinstance(end, str) else end
        value = tnp.broadcast_to(tnp.asarray(value), values.shape[1:]).reshape(1, -1)
        out.append((order, value.astype(values.dtype)))
    if len(out) != 2:
        raise ValueError(f"CubicSpline: bc_type for two ends; got {len(out)}")
    return out


def _slopes(x: Any, y: Any, ends: list[Any]) -> Any:
    n = x.shape[0]
    h = tnp.diff(x)
    wide = h[:, None]
    mean = tnp.diff(y, axis=0) / wide
    parabola = n == 3 and ends == [None, None]
    if n == 2:  # a line fits what is left open
        ends = [(1, mean[0][None]) if end is None else end for end in ends]
    low, mid, up = [h[1:]], [2 * (h[:-1] + h[1:])], [h[:-1]]
    right = [3 * (wide[1:] * mean[:-1] + wide[:-1] * mean[1:])]
    one, none = tnp.ones_like(h[:1]), tnp.zeros_like(h[:1])
    for place, end in enumerate(ends):
        # At the end the same in reverse: the inner neighbour is below instead of above.
        near, far = (0, 1) if place == 0 else (-1, -2)
        sign = 1 if place == 0 else -1
        if parabola:
            row = one, one, 2 * mean[near][None]
        elif end is None:
            both = wide[near] + wide[far]
            value = (wide[near] + 2 * both) * wide[far] * mean[near]
            value = (value + wide[near] ** 2 * mean[far]) / both
            row = h[far][None], both, value[None]
        elif end[0] == 1:
            row = one, none, end[1]
        else:
            bent = -0.5 * sign * end[1] * wide[near] ** 2 + 3 * wide[near] * mean[near]
            row = 2 * h[near][None], h[near][None], bent
        at, beside, value = row
        for whole, part in ((mid, at), (up if place == 0 else low, beside), (right, value),
                            (low if place == 0 else up, none)):  # fmt: skip
            whole.insert(0 if place == 0 else len(whole), part)
    dl, d, du, b = (tnp.concatenate(rows) for rows in (low, mid, up, right))
    return tridiagonal_solve(dl, d, du, b)


def _periodic_slopes(x: Any, y: Any) -> Any:
    """Solve a cyclic tridiagonal system: without its last unknown, then for that."""
    h = tnp.diff(x)
    mean = tnp.diff(y, axis=0) / h[:, None]
    if x.shape[0] == 2:
        return tnp.zeros_like(y)
    before = tnp.roll(h, 1)  # the interval that ends at a point
    low, mid, up = h, 2 * (h + before), before
    right = 3 * (h[:, None] * tnp.roll(mean, 1, 0) + before[:, None] * mean)
    m = x.shape[0] - 2
    edge = tnp.zeros_like(right[:m, :1]).at[0, 0].add(low[0]).at[m - 1, 0].add(up[m - 1])
    both = tnp.concatenate([right[:m], edge], 1)
    found = tridiagonal_solve(low[:m], mid[:m], up[:m], both)
    part, share = found[:, :-1], found[:, -1:]
    last = right[m] - low[m] * part[m - 1] - up[m] * part[0]
    last = last / (mid[m] - low[m] * share[m - 1] - up[m] * share[0])
    slopes = part - share * last
    return tnp.concatenate([slopes, last[None], slopes[:1]])


# ------------------------------------------------------------------ slopes by neighbours


@register_pytree_node_class
class PchipInterpolator(CubicHermiteSpline):
    """Cubic polynomials that are monotonic where the samples are (Fritsch and Butland, 1984).

    As :class:`scipy.interpolate.PchipInterpolator`.

    Parameters
    ----------
    x, y, axis, extrapolate
        As in :class:`CubicHermiteSpline`, real.
    """

    def __init__(self, x: Any, y: Any, axis: int = 0, extrapolate: Any = None) -> None:
        x, values, axis = samples("PchipInterpolator", x, y, axis)
        slopes = _monotonic_slopes(x, values)
        self._hold(_powers(x, values, slopes), x, extrapolate, axis)


def _monotonic_slopes(x: Any, y: Any) -> Any:
    h = _columns(tnp.diff(x), y)
    mean = tnp.diff(y, axis=0) / h
    if x.shape[0] == 2:
        return tnp.concatenate([mean, mean])
    turns = (tnp.sign(mean[1:]) != tnp.sign(mean[:-1])) | (mean[1:] == 0) | (mean[:-1] == 0)
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    left, right = (tnp.where(turns, 1, m) for m in (mean[:-1], mean[1:]))
    inner = tnp.where(turns, 0, (w1 + w2) / (w1 / left + w2 / right))
    first = _end_slope(h[0], h[1], mean[0], mean[1])
    last = _end_slope(h[-1], h[-2], mean[-1], mean[-2])
    return tnp.concatenate([first[None], inner, last[None]])


def _end_slope(h0: Any, h1: Any, m0: Any, m1: Any) -> Any:
    """Return a slope by three points that keeps the shape."""
    d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    steep = (tnp.sign(m0) != tnp.sign(m1)) & (tnp.abs(d) > 3 * tnp.abs(m0))
    return tnp.where(tnp.sign(d) != tnp.sign(m0), 0, tnp.where(steep, 3 * m0, d))


@register_pytree_node_class
class Akima1DInterpolator(CubicHermiteSpline):
    """Akima's cubic polynomials (1970), whose slopes are means weighted by changes of slopes.

    As :class:`scipy.interpolate.Akima1DInterpolator`.

    Parameters
    ----------
    x, y, axis
        As in :class:`CubicHermiteSpline`.
    method : str, optional
        ``akima``, or ``makima``, which overshoots less.
    extrapolate : bool or 'periodic', optional
        As in :class:`PPoly`, but False by default.
    """

    def __init__(
        self, x: Any, y: Any, axis: int = 0, *, method: str = "akima", extrapolate: Any = None
    ) -> None:
        if method not in ("akima", "makima"):
            raise ValueError(
                f"Akima1DInterpolator: method must be akima or makima; got {method!r}"
            )
        x, values, axis = samples("Akima1DInterpolator", x, y, axis)
        mean = tnp.diff(values, axis=0) / _columns(tnp.diff(x), values)
        if x.shape[0] == 2:
            slopes = tnp.concatenate([mean, mean])
        else:
            slopes = _weighted_slopes(mean, method == "makima")
        self._hold(_powers(x, values, slopes), x, bool(extrapolate) and extrapolate, axis)


def _weighted_slopes(mean: Any, modified: bool) -> Any:
    first = 2 * mean[0] - mean[1]
    last = 2 * mean[-1] - mean[-2]
    m = tnp.concatenate([
        (2 * first - mean[0])[None], first[None], mean, last[None], (2 * last - mean[-1])[None]
    ])  # fmt: skip
    change = tnp.abs(tnp.diff(m, axis=0))
    if modified:
        change = change + 0.5 * tnp.abs(m[1:] + m[:-1])
    right, left = change[2:], change[:-2]
    both = left + right
    plain = both <= 1e-9 * tnp.max(both)
    weighted = (right * m[1:-2] + left * m[2:-1]) / tnp.where(plain, 1, both)
    equal = 0.5 * (m[3:] + m[:-3])
    return tnp.where(plain, equal, weighted)


def pchip_interpolate(xi: Any, yi: Any, x: Any, der: int = 0, axis: int = 0) -> Any:
    """As :func:`scipy.interpolate.pchip_interpolate`: values, or a derivative, at `x`."""
    return PchipInterpolator(xi, yi, axis=axis)(x, der)
