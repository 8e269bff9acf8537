"""Distances between points."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.transforms.vectorize import vmap

__all__ = ["cdist", "pdist", "squareform"]


def _root(x: Any) -> Any:
    """Return a square root whose derivative at 0 is 0: points that meet do not pull."""
    apart = x > 0
    return tnp.where(apart, tnp.sqrt(tnp.where(apart, x, 1)), 0)


def _ratio(x: Any, y: Any) -> Any:
    return tnp.where(y == 0, 0, x / tnp.where(y == 0, 1, y))


def _cosine(x: Any, y: Any) -> Any:
    sizes = tnp.sqrt(tnp.sum(x * x, -1)) * tnp.sqrt(tnp.sum(y * y, -1))
    return 1 - tnp.sum(x * y, -1) / sizes


def _correlation(x: Any, y: Any) -> Any:
    return _cosine(x - tnp.mean(x, -1, keepdims=True), y - tnp.mean(y, -1, keepdims=True))


def _minkowski(p: Any, x: Any, y: Any) -> Any:
    total = tnp.sum(tnp.abs(x - y) ** p, -1)
    apart = total > 0
    return tnp.where(apart, tnp.where(apart, total, 1) ** (1 / p), 0)


def _scaled(spread: Any, x: Any, y: Any) -> Any:
    return _root(tnp.sum((x - y) ** 2 / spread, -1))


def _turned(inverse: Any, x: Any, y: Any) -> Any:
    return _root(tnp.sum(((x - y) @ inverse) * (x - y), -1))


METRICS: dict[str, Callable[[Any, Any], Any]] = {
    "braycurtis": lambda x, y: tnp.sum(tnp.abs(x - y), -1) / tnp.sum(tnp.abs(x + y), -1),
    "canberra": lambda x, y: tnp.sum(_ratio(tnp.abs(x - y), tnp.abs(x) + tnp.abs(y)), -1),
    "chebyshev": lambda x, y: tnp.max(tnp.abs(x - y), -1),
    "cityblock": lambda x, y: tnp.sum(tnp.abs(x - y), -1),
    "correlation": _correlation,
    "cosine": _cosine,
    "euclidean": lambda x, y: _root(tnp.sum((x - y) ** 2, -1)),
    "hamming": lambda x, y: tnp.mean(x != y, -1),
    "sqeuclidean": lambda x, y: tnp.sum((x - y) ** 2, -1),
}


def _metric(name: str, metric: Any, points: Any, p: Any, V: Any, VI: Any) -> Any:
    if callable(metric):
        return vmap(vmap(metric, (None, 0)), (0, None))
    of: Callable[[Any, Any], Any]
    if metric == "minkowski":
        of = functools.partial(_minkowski, p)
    elif metric == "seuclidean":
        spread = tnp.var(points, 0, ddof=1) if V is None else tnp.asarray(V)
        of = functools.partial(_scaled, spread)
    elif metric == "mahalanobis":
        inverse = tnp.linalg.inv(tnp.cov(points.T)).T if VI is None else tnp.asarray(VI)
        of = functools.partial(_turned, inverse)
    elif metric in METRICS:
        of = METRICS[metric]
    else:
        known = ", ".join([*METRICS, "mahalanobis", "minkowski", "seuclidean"])
        raise ValueError(f"{name}: metric must be one of {known}; got {metric!r}")
    return lambda x, y: of(x[:, None, :], y)


def cdist(
    XA: Any, XB: Any, metric: Any = "euclidean", *, p: Any = 2, V: Any = None, VI: Any = None
) -> Any:
    """As :func:`scipy.spatial.distance.cdist`: distances of all pairs.

    Parameters
    ----------
    XA, XB : array_like, shapes (m, d) and (n, d), real
        Points.
    metric : str or callable, optional
        braycurtis, canberra, chebyshev, cityblock, correlation, cosine, euclidean, hamming,
        mahalanobis, minkowski, seuclidean, sqeuclidean; or a function of two points.
    p : float, optional
        The exponent of minkowski.
    V : array_like, shape (d,), optional
        Variances for seuclidean; those of all points by default.
    VI : array_like, shape (d, d), optional
        The inverse of the covariance for mahalanobis; that of all points by default.

    Returns
    -------
    Array, shape (m, n)
        The distances; the derivative is 0 where points meet.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        If the metric is not known.
    """
    x, y = tnp.asarray(XA), tnp.asarray(XB)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ShapeError(f"cdist: points (m, d) and (n, d); got shapes {x.shape} and {y.shape}")
    x, y = (v if tnp.issubdtype(v.dtype, np.floating) else v.astype(np.float64) for v in (x, y))
    return _metric("cdist", metric, tnp.concatenate([x, y]), p, V, VI)(x, y)


def pdist(
    X: Any, metric: Any = "euclidean", *, p: Any = 2, V: Any = None, VI: Any = None
) -> Any:
    """As :func:`scipy.spatial.distance.pdist`: distances of the pairs i < j, of shape (m, d).

    See :func:`cdist` for the arguments.
    """
    x = tnp.asarray(X)
    if x.ndim != 2:
        raise ShapeError(f"pdist: points (m, d); got shape {x.shape}")
    x = x if tnp.issubdtype(x.dtype, np.floating) else x.astype(np.float64)
    first, second = np.triu_indices(x.shape[0], 1)
    return _metric("pdist", metric, x, p, V, VI)(x, x)[first, second]


def squareform(X: Any, force: str = "no", checks: bool = True) -> Any:
    """As :func:`scipy.spatial.distance.squareform`: a vector of pairs to a matrix, or back."""
    x = tnp.asarray(X)
    if x.ndim == 1 and force != "tovector":
        n = int(np.ceil(np.sqrt(2 * x.shape[0]))) or 1
        if n * (n - 1) // 2 != x.shape[0]:
            raise ShapeError(f"squareform: n * (n - 1) / 2 distances; got {x.shape[0]}")
        index = np.triu_indices(n, 1)
        half = tnp.zeros((n, n), x.dtype).at[index].set(x)
        return half + half.T
    if x.ndim == 2 and force != "tomatrix" and x.shape[0] == x.shape[1]:
        return x[np.triu_indices(x.shape[0], 1)]
    raise ShapeError(f"squareform: a vector or a square matrix; got shape {x.shape}")
