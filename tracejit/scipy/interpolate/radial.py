"""Interpolation of scattered points by radial functions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.core.pytree import register_pytree_node_class
from tracejit.scipy.interpolate.samples import inexact

__all__ = ["RBFInterpolator"]


def _thin_plate(r2: Any) -> Any:
    apart = r2 > 0
    return tnp.where(apart, 0.5 * r2 * tnp.log(tnp.where(apart, r2, 1)), 0)


def _odd(power: int, sign: int) -> Callable[[Any], Any]:
    def kernel(r2: Any) -> Any:
        apart = r2 > 0
        return tnp.where(apart, sign * tnp.sqrt(tnp.where(apart, r2, 1)) ** power, 0)

    return kernel


# Each by the square of the distance, with the least degree of the polynomial beside it.
KERNELS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "linear": (_odd(1, -1), 0),
    "thin_plate_spline": (_thin_plate, 1),
    "cubic": (_odd(3, 1), 1),
    "quintic": (_odd(5, -1), 2),
    "multiquadric": (lambda r2: -tnp.sqrt(r2 + 1), 0),
    "inverse_multiquadric": (lambda r2: 1 / tnp.sqrt(r2 + 1), -1),
    "inverse_quadratic": (lambda r2: 1 / (r2 + 1), -1),
    "gaussian": (lambda r2: tnp.exp(-r2), -1),
}
SCALED = ("linear", "thin_plate_spline", "cubic", "quintic")
"""Kernels to which a length means nothing."""


@register_pytree_node_class
class RBFInterpolator:
    """Sums of radial functions through samples, as :class:`scipy.interpolate.RBFInterpolator`.

    Parameters
    ----------
    y : array_like, shape (n, d)
        The points.
    d : array_like, shape (n, ...)
        Values there.
    neighbors : None
        All points count; a number is refused.
    smoothing : float or array_like, shape (n,), optional
        0, the default, meets the values.
    kernel : str, optional
        ``linear``, ``thin_plate_spline``, ``cubic``, ``quintic``, ``multiquadric``,
        ``inverse_multiquadric``, ``inverse_quadratic`` or ``gaussian``.
    epsilon : float, optional
        The factor of distances; needed for the last four.
    degree : int, optional
        Of the polynomial that is added; -1 for none.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        If the kernel is not known, or needs `epsilon`.

    Notes
    -----
    A dense system of n equations is solved.  It is a pytree; differentiable by `y`, `d`,
    `smoothing`, `epsilon` and the points of evaluation.
    """

    def __init__(
        self, y: Any, d: Any, neighbors: Any = None, smoothing: Any = 0.0,
        kernel: str = "thin_plate_spline", epsilon: Any = None, degree: int | None = None,
    ) -> None:  # fmt: skip
        if neighbors is not None:
            raise NotImplementedError("RBFInterpolator: neighbors= is not supported; leave it out")
        if kernel not in KERNELS:
            raise ValueError(
                f"RBFInterpolator: kernel must be one of {', '.join(KERNELS)}; got {kernel!r}"
            )
        if epsilon is None:
            if kernel not in SCALED:
                raise ValueError(f"RBFInterpolator: kernel {kernel!r} needs epsilon=")
            epsilon = 1.0
        (self.y,), (values,) = inexact(y), inexact(d)
        if self.y.ndim != 2 or values.ndim < 1 or values.shape[0] != self.y.shape[0]:
            raise ShapeError(
                "RBFInterpolator: points (n, d) and values (n, ...); got shapes "
                f"{self.y.shape} and {values.shape}"
            )
        least = KERNELS[kernel][1]
        degree = max(least, 0) if degree is None else int(degree)
        self._kernel, self._rest = kernel, values.shape[1:]
        self._powers = _monomials(self.y.shape[1], degree)
        self._epsilon = tnp.asarray(epsilon)
        low, high = tnp.min(self.y, 0), tnp.max(self.y, 0)
        self._shift = (low + high) / 2
        scale = (high - low) / 2
        self._scale = tnp.where(scale == 0, 1, scale)
        n, terms = self.y.shape[0], len(self._powers)
        if n < terms:
            raise ShapeError(f"RBFInterpolator: at least {terms} points for degree {degree}")
        left = self._functions(self.y) + smoothing * tnp.eye(n)
        beside = self._polynomials(self.y)
        whole = tnp.block([[left, beside], [beside.T, tnp.zeros((terms, terms))]])
        right = tnp.concatenate([values.reshape(n, -1), tnp.zeros((terms, values[0].size))])
        self._weights = tnp.linalg.solve(whole, right)

    def tree_flatten(self) -> tuple[Any, Any]:
        """Return the arrays, and the rest."""
        arrays = self.y, self._epsilon, self._shift, self._scale, self._weights
        return arrays, (self._kernel, self._rest, self._powers)

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> RBFInterpolator:
        """Return the object made of arrays."""
        new = cls.__new__(cls)
        new.y, new._epsilon, new._shift, new._scale, new._weights = children
        new._kernel, new._rest, new._powers = aux
        return new

    def _functions(self, x: Any) -> Any:
        away = (x[:, None, :] - self.y) * self._epsilon
        return KERNELS[self._kernel][0](tnp.sum(away**2, -1))

    def _polynomials(self, x: Any) -> Any:
        t = (x - self._shift) / self._scale
        columns = []
        for powers in self._powers:
            column = tnp.ones_like(t[:, 0])
            for axis, power in enumerate(powers):
                column = column * t[:, axis] ** power if power else column
            columns.append(column)
        return tnp.stack(columns, -1) if columns else tnp.zeros((x.shape[0], 0))

    def __call__(self, x: Any) -> Any:
        """Return the values at points, shape (m, d), of shape (m, ...)."""
        (x,) = inexact(x)
        if x.ndim != 2 or x.shape[1] != self.y.shape[1]:
            raise ShapeError(
                f"RBFInterpolator: points of shape (m, {self.y.shape[1]}); got {x.shape}"
            )
        terms = tnp.concatenate([self._functions(x), self._polynomials(x)], 1)
        return (terms @ self._weights).reshape(x.shape[:1] + self._rest)


def _monomials(dimension: int, degree: int) -> tuple[tuple[int, ...], ...]:
    every = itertools.product(range(degree + 1), repeat=dimension) if degree >= 0 else iter(())
    return tuple(p for p in every if np.sum(p) <= degree)
