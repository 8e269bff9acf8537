"""Density estimation by Gaussian kernels."""

from __future__ import annotations

import functools
import math
from typing import Any

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.core.pytree import register_pytree_node_class
from tracejit.core.tracer import get_aval
from tracejit.numpy.promotion import array_of, arrays_of, operand, promote_operands
from tracejit.ops.factorizations import cholesky
from tracejit.ops.triangular import triangular_solve
from tracejit.random.distributions import choice, two_keys
from tracejit.random.vectors import multivariate_normal
from tracejit.scipy.special import logsumexp, ndtr

__all__ = ["gaussian_kde"]


@register_pytree_node_class
class gaussian_kde:
    """A density estimated from a sample: the mean of normal densities round its points.

    Parameters
    ----------
    dataset : array-like, shape (n,) or (d, n), real
        The points of the sample, one a column.
    bw_method : 'scott', 'silverman', float, or callable, optional
        The factor of the standard deviation; Scott's by default.  A callable takes the object.
    weights : array-like, shape (n,), optional
        Of the points; equal by default.

    Attributes
    ----------
    dataset : Array, shape (d, n)
        The sample.
    weights : Array, shape (n,)
        Of sum 1.
    covariance, inv_cov : Array, shape (d, d)
        Of each kernel, and its inverse.
    neff : Array, shape ()
        The effective number of points.

    Notes
    -----
    It is a pytree, so that it is an argument or a result of transformed functions, and has
    derivatives by the sample.
    """

    def __init__(self, dataset: Any, bw_method: Any = None, weights: Any = None) -> None:
        (points,) = arrays_of(promote_operands([operand(dataset)], inexact=True))
        self.dataset = tnp.atleast_2d(points)
        shape = get_aval(self.dataset).shape
        if len(shape) != 2 or shape[1] < 2:
            raise ShapeError(
                "gaussian_kde: dataset must have shape (n,) or (d, n), n at least 2; "
                f"got {get_aval(points).shape}"
            )
        if weights is None:
            self.weights = tnp.full(self.n, 1 / self.n, get_aval(self.dataset).dtype)
        else:
            given = array_of(weights)
            if get_aval(given).shape != (self.n,):
                raise ShapeError(
                    f"gaussian_kde: weights must have shape ({self.n},); "
                    f"got {get_aval(given).shape}"
                )
            self.weights = given / tnp.sum(given)
        self.neff = 1 / tnp.sum(self.weights**2)
        factor = self._factor(bw_method)
        away = self.dataset - tnp.sum(self.weights * self.dataset, 1, keepdims=True)
        scatter = (self.weights * away) @ away.T / (1 - tnp.sum(self.weights**2))
        self.covariance = scatter * factor**2
        self.inv_cov = tnp.linalg.inv(self.covariance)

    def _factor(self, bw_method: Any) -> Any:
        if bw_method is None or bw_method == "scott":
            return self.neff ** (-1 / (self.d + 4))
        if bw_method == "silverman":
            return (self.neff * (self.d + 2) / 4) ** (-1 / (self.d + 4))
        if callable(bw_method):
            return bw_method(self)
        if isinstance(bw_method, str):
            raise ValueError(
                "gaussian_kde: bw_method must be 'scott', 'silverman', a number or a function; "
                f"got {bw_method!r}"
            )
        return bw_method

    @property
    def d(self) -> int:
        """The dimension."""
        return int(get_aval(self.dataset).shape[0])

    @property
    def n(self) -> int:
        """The number of points."""
        return int(get_aval(self.dataset).shape[1])

    def tree_flatten(self) -> tuple[Any, None]:
        """Return the arrays that it is made of."""
        return (self.dataset, self.weights, self.covariance, self.inv_cov, self.neff), None

    @classmethod
    def tree_unflatten(cls, aux: None, children: Any) -> gaussian_kde:
        """Return the object made of arrays."""
        del aux
        kde = cls.__new__(cls)
        kde.dataset, kde.weights, kde.covariance, kde.inv_cov, kde.neff = children
        return kde

    def _points(self, name: str, points: Any) -> Any:
        (x,) = arrays_of(promote_operands([operand(points)], inexact=True))
        x = tnp.atleast_2d(x)
        shape = get_aval(x).shape
        if shape[0] != self.d:
            if shape == (1, self.d):
                return x.T
            raise ShapeError(
                f"gaussian_kde.{name}: points must have dimension {self.d}; got shape {shape}"
            )
        return x

    def _kernels(self, x: Any, covariance: Any) -> Any:
        """Return logarithms of densities, points by sample, less that of the weights."""
        root = cholesky(covariance)
        solve = functools.partial(triangular_solve, root, left_side=True, lower=True)
        away = solve(x).T[:, None] - solve(self.dataset).T
        scale = tnp.sum(tnp.log(tnp.diagonal(root))) + self.d / 2 * math.log(2 * math.pi)
        return -tnp.sum(away**2, -1) / 2 - scale

    def logpdf(self, x: Any) -> Any:
        """Logarithm of the density at points, shape (m,), of shape (d, m)."""
        kernels = self._kernels(self._points("logpdf", x), self.covariance)
        return logsumexp(kernels, axis=1, b=self.weights)

    def pdf(self, x: Any) -> Any:
        """Density at points, shape (m,), of shape (d, m)."""
        return self.evaluate(x)

    def evaluate(self, points: Any) -> Any:
        """Density at points, shape (m,), of shape (d, m)."""
        kernels = self._kernels(self._points("evaluate", points), self.covariance)
        return tnp.exp(kernels) @ self.weights

    def __call__(self, points: Any) -> Any:
        """Density at points, shape (m,), of shape (d, m)."""
        return self.evaluate(points)

    def integrate_gaussian(self, mean: Any, cov: Any) -> Any:
        """Integral of the product with a normal density, of shapes (d,) and (d, d)."""
        mean = tnp.reshape(tnp.atleast_1d(array_of(mean)), (-1, 1))
        cov = tnp.atleast_2d(array_of(cov))
        if get_aval(mean).shape != (self.d, 1) or get_aval(cov).shape != (self.d, self.d):
            raise ShapeError(
                f"gaussian_kde.integrate_gaussian: mean of shape ({self.d},) and cov of shape "
                f"({self.d}, {self.d}) are needed"
            )
        return (tnp.exp(self._kernels(mean, self.covariance + cov)) @ self.weights)[0]

    def integrate_box_1d(self, low: Any, high: Any) -> Any:
        """Integral over an interval, in one dimension."""
        if self.d != 1:
            raise ShapeError(
                f"gaussian_kde.integrate_box_1d: the dimension must be 1; it is {self.d}"
            )
        spread = tnp.sqrt(self.covariance[0, 0])
        ends = [ndtr((array_of(v) - self.dataset[0]) / spread) for v in (low, high)]
        return tnp.sum(self.weights * (ends[1] - ends[0]))

    def integrate_kde(self, other: gaussian_kde) -> Any:
        """Integral of the product with another estimate."""
        if other.d != self.d:
            raise ShapeError(
                f"gaussian_kde.integrate_kde: dimensions {self.d} and {other.d} differ"
            )
        kernels = self._kernels(other.dataset, self.covariance + other.covariance)
        return other.weights @ tnp.exp(kernels) @ self.weights

    def resample(self, key: Any, shape: Any = ()) -> Any:
        """Draw points, of shape ``(d, *shape)``, by a key."""
        first, second = two_keys(key)
        index = choice(first, self.n, shape, p=self.weights)
        kind = get_aval(self.dataset).dtype
        noise = multivariate_normal(second, tnp.zeros(self.d, kind), self.covariance, shape, kind)
        return self.dataset[:, index] + tnp.moveaxis(noise, -1, 0)

    def integrate_box(self, low_bounds: Any, high_bounds: Any, maxpts: Any = None) -> Any:
        """Not supported: there is no function for it in several dimensions."""
        raise NotImplementedError(
            "gaussian_kde.integrate_box is not supported; use integrate_box_1d in one dimension"
        )

    def set_bandwidth(self, bw_method: Any = None) -> None:
        """Not supported: the object does not change."""
        raise NotImplementedError(
            "gaussian_kde.set_bandwidth is not supported; make another with bw_method="
        )
