"""Initial values of weights: functions of a key, a shape and a dtype.

With keys of :mod:`tracejit.random`, :func:`uniform`, :func:`normal` and those made of them draw
what ``jax.nn.initializers`` draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

import tracejit.numpy as tnp
from tracejit import random
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.ir.dtypes import canonical
from tracejit.ops.factorizations import qr

__all__ = [
    "Initializer", "constant", "delta_orthogonal", "glorot_normal", "glorot_uniform", "he_normal",
    "he_uniform", "kaiming_normal", "kaiming_uniform", "lecun_normal", "lecun_uniform", "normal",
    "ones", "orthogonal", "truncated_normal", "uniform", "variance_scaling", "xavier_normal",
    "xavier_uniform", "zeros",
]  # fmt: skip

TRUNCATED_STDDEV = 0.87962566103423978
"""The standard deviation of a standard normal variable between -2 and 2."""

Axes = int | Sequence[int]


class Initializer(Protocol):
    """What an initializer is: ``initializer(key, shape, dtype)`` returns an Array."""

    def __call__(self, key: Any, shape: Sequence[int], dtype: Any = None) -> Any:
        """Draw an array."""


def _dtype(given: Any, default: Any) -> Any:
    chosen = given if given is not None else default
    return tnp.asarray(0.0).dtype if chosen is None else canonical(chosen)


def zeros(key: Any, shape: Sequence[int], dtype: Any = None) -> Any:
    """Return zeros; `key` is not looked at."""
    del key
    return tnp.zeros(tuple(shape), _dtype(dtype, None))


def ones(key: Any, shape: Sequence[int], dtype: Any = None) -> Any:
    """Return ones; `key` is not looked at."""
    del key
    return tnp.ones(tuple(shape), _dtype(dtype, None))


def constant(value: Any, dtype: Any = None) -> Initializer:
    """Return an initializer that fills an array with `value`."""

    def init(key: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        del key
        return tnp.full(tuple(shape), value, _dtype(dtype, None))

    return init


def uniform(scale: Any = 1e-2, dtype: Any = None) -> Initializer:
    """Return an initializer that draws from ``[0, scale)``."""

    def init(key: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        dtype = _dtype(dtype, None)
        return random.uniform(key, tuple(shape), dtype) * tnp.asarray(scale, dtype)

    return init


def normal(stddev: Any = 1e-2, dtype: Any = None) -> Initializer:
    """Return an initializer that draws normal variables of mean 0."""

    def init(key: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        dtype = _dtype(dtype, None)
        return random.normal(key, tuple(shape), dtype) * tnp.asarray(stddev, dtype)

    return init


def truncated_normal(
    stddev: Any = 1e-2, dtype: Any = None, lower: Any = -2.0, upper: Any = 2.0
) -> Initializer:
    """Return an initializer that draws normal variables between bounds, then scales them.

    Parameters
    ----------
    stddev : scalar, optional
        The standard deviation before truncation.
    dtype : dtype-like, optional
        The dtype of the arrays.
    lower, upper : scalar, optional
        The bounds, in standard deviations.
    """

    def init(key: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        dtype = _dtype(dtype, None)
        drawn = random.truncated_normal(key, lower, upper, tuple(shape), dtype)
        return drawn * tnp.asarray(stddev, dtype)

    return init


def _axes(axes: Axes, rank: int) -> list[int]:
    named = [axes] if isinstance(axes, int) else list(axes)
    if any(not -rank <= a < rank for a in named):
        raise ShapeError(f"nn.initializers: axes of an array of rank {rank}; got {named}")
    return [a % rank for a in named]


def _fans(
    shape: Sequence[int], in_axis: Axes, out_axis: Axes, batch_axis: Axes
) -> tuple[float, float]:
    """Return how many inputs an output has, and how many outputs an input."""
    if len(shape) < 2:
        raise ShapeError(
            "nn.initializers: inputs and outputs need a shape of at least 2 axes; got "
            f"{tuple(shape)}"
        )
    sizes = [
        math.prod(shape[a] for a in _axes(axes, len(shape)))
        for axes in (in_axis, out_axis, batch_axis)
    ]
    field = math.prod(shape) / max(math.prod(sizes), 1)
    return sizes[0] * field, sizes[1] * field


def variance_scaling(
    scale: Any,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Any = None,
) -> Initializer:
    """Return an initializer whose variance follows from the shape.

    Parameters
    ----------
    scale : scalar
        The variance is `scale` over what `mode` counts.
    mode : str
        ``fan_in``, ``fan_out``, ``fan_avg`` (their mean) or ``fan_geo_avg``.
    distribution : str
        ``truncated_normal``, ``normal`` or ``uniform``.
    in_axis, out_axis, batch_axis : int or sequence of int, optional
        The axes of inputs, of outputs, and those that are neither; what is left is the receptive
        field.
    dtype : dtype-like, optional
        The dtype of the arrays.

    Raises
    ------
    ValueError
        If a mode or distribution is not known.
    """
    if mode not in ("fan_in", "fan_out", "fan_avg", "fan_geo_avg"):
        raise ValueError(f"variance_scaling: fan_in, fan_out, fan_avg or fan_geo_avg; got {mode!r}")
    if distribution not in ("truncated_normal", "normal", "uniform"):
        raise ValueError(
            f"variance_scaling: truncated_normal, normal or uniform; got {distribution!r}"
        )

    def init(key: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        dtype = _dtype(dtype, None)
        if not np.issubdtype(dtype, np.inexact) and dtype.name not in ("bfloat16",):
            raise DTypeError(f"variance_scaling: a floating dtype; got {dtype}")
        into, out = _fans(shape, in_axis, out_axis, batch_axis)
        count = {
            "fan_in": into,
            "fan_out": out,
            "fan_avg": (into + out) / 2,
            "fan_geo_avg": math.sqrt(into * out),
        }[mode]
        variance = tnp.asarray(scale / count, dtype)
        if distribution == "normal":
            return random.normal(key, tuple(shape), dtype) * tnp.sqrt(variance)
        if distribution == "uniform":
            drawn = random.uniform(key, tuple(shape), dtype, -1)
            return drawn * tnp.sqrt(3 * variance)
        stddev = tnp.sqrt(variance) / tnp.asarray(TRUNCATED_STDDEV, dtype)
        return random.truncated_normal(key, -2, 2, tuple(shape), dtype) * stddev

    return init


def _scaled(name: str, source: str, scale: float, mode: str, distribution: str) -> Any:
    def make(
        in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
    ) -> Initializer:
        return variance_scaling(scale, mode, distribution, in_axis, out_axis, batch_axis, dtype)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"""Return the initializer of {source}: scale {scale}, {mode}, {distribution}.

    See :func:`variance_scaling` for the arguments.
    """
    return make


_GLOROT, _HE, _LECUN = (
    "Glorot and Bengio (2010)", "He et al. (2015)", "LeCun et al. (1998)"
)  # fmt: skip
glorot_normal = _scaled("glorot_normal", _GLOROT, 1.0, "fan_avg", "truncated_normal")
glorot_uniform = _scaled("glorot_uniform", _GLOROT, 1.0, "fan_avg", "uniform")
xavier_normal, xavier_uniform = glorot_normal, glorot_uniform
he_normal = _scaled("he_normal", _HE, 2.0, "fan_in", "truncated_normal")
he_uniform = _scaled("he_uniform", _HE, 2.0, "fan_in", "uniform")
kaiming_normal, kaiming_uniform = he_normal, he_uniform
lecun_normal = _scaled("lecun_normal", _LECUN, 1.0, "fan_in", "truncated_normal")
lecun_uniform = _scaled("lecun_uniform", _LECUN, 1.0, "fan_in", "uniform")


def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """Return an initializer of matrices with orthonormal rows or columns (Saxe et al. 2013).

    Parameters
    ----------
    scale : scalar, optional
        What they are multiplied by.
    column_axis : int, optional
        The axis of the columns; all others are rows.
    dtype : dtype-like, optional
        The dtype of the arrays.
    """

    def init(key: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        dtype = _dtype(dtype, None)
        if len(shape) < 2:
            raise ShapeError(f"orthogonal: a shape of at least 2 axes; got {tuple(shape)}")
        columns = shape[column_axis]
        rows = math.prod(shape) // max(columns, 1)
        tall = (max(rows, columns), min(rows, columns))
        q, r = qr(random.normal(key, tall, dtype), full_matrices=False)
        d = tnp.diagonal(r)
        # With the signs of the diagonal of r the distribution is Haar's.
        q = q * (d / tnp.abs(d))
        if rows < columns:
            q = q.T
        others = [n for a, n in enumerate(shape) if a != column_axis % len(shape)]
        q = tnp.moveaxis(tnp.reshape(q, (*others, columns)), -1, column_axis)
        return tnp.asarray(scale, dtype) * q

    return init


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """Return an initializer of convolutions: orthogonal at the centre, 0 elsewhere (Xiao 2018).

    Parameters
    ----------
    scale, column_axis, dtype
        As in :func:`orthogonal`; shapes are (spatial..., inputs, outputs) of rank 3 to 5.
    """

    def init(key: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        dtype = _dtype(dtype, None)
        if len(shape) not in (3, 4, 5) or shape[-1] < shape[-2]:
            raise ShapeError(
                "delta_orthogonal: a shape (spatial..., inputs, outputs) of rank 3 to 5 with no "
                f"fewer outputs than inputs; got {tuple(shape)}"
            )
        matrix = orthogonal(scale, column_axis, dtype)(key, shape[-2:])
        centre = tuple((n - 1) // 2 for n in shape[:-2])
        return tnp.zeros(tuple(shape), dtype).at[centre].set(matrix)

    return init


