"""Images moved, turned and stretched: the values of an image at changed coordinates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.scipy.ndimage.borders import one_each
from tracejit.scipy.ndimage.splines import map_coordinates

__all__ = ["affine_transform", "geometric_transform", "rotate", "shift", "zoom"]


def _grid(shape: Any) -> list[Any]:
    return [
        tnp.asarray(np.arange(n, dtype=np.float64)).reshape(
            [-1 if a == axis else 1 for a in range(len(shape))]
        )
        for axis, n in enumerate(shape)
    ]


def affine_transform(
    input: Any, matrix: Any, offset: Any = 0.0, output_shape: Any = None, output: Any = None,
    order: int = 3, mode: str = "constant", cval: Any = 0.0, prefilter: bool = True,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.affine_transform`.

    Parameters
    ----------
    input : array_like, of rank n
        The image.
    matrix : array_like, shape (n, n), (n,), (n, n + 1) or (n + 1, n + 1)
        From coordinates of the result to those of the image; a diagonal; with the offset as the
        last column, which may have a row of zeros and a 1 below.
    offset : float or array_like, shape (n,), optional
        Added to them.
    output_shape : tuple of int, optional
        Of the result; that of `input` by default.
    output, order, mode, cval, prefilter
        As in :func:`map_coordinates`.

    Returns
    -------
    Array, shape `output_shape`
        The image; differentiable by `input`, `matrix` and `offset`.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    x, m = tnp.asarray(input), tnp.asarray(matrix)
    n = x.ndim
    shape = x.shape if output_shape is None else tuple(int(s) for s in output_shape)
    if m.shape in ((n, n + 1), (n + 1, n + 1)):
        m, offset = m[:n, :n], m[:n, n]
    if m.shape not in ((n,), (n, n)) or len(shape) != n:
        raise ShapeError(
            f"affine_transform: a matrix for {n} axes; got shapes {m.shape} and {shape}"
        )
    offset = tnp.broadcast_to(tnp.asarray(offset), (n,))
    grid = _grid(shape)
    where = []
    for axis in range(n):
        if m.ndim == 1:
            c = m[axis] * grid[axis] + offset[axis]
        else:
            c = offset[axis]
            for other in range(n):
                c = c + m[axis, other] * grid[other]
        where.append(tnp.broadcast_to(c, shape))
    return map_coordinates(x, where, order, mode, cval, prefilter, output=output)


def geometric_transform(
    input: Any, mapping: Callable[..., Any], output_shape: Any = None, output: Any = None,
    order: int = 3, mode: str = "constant", cval: Any = 0.0, prefilter: bool = True,
    extra_arguments: Any = (), extra_keywords: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.geometric_transform`; `mapping` is called once, with arrays.

    Parameters
    ----------
    input : array_like
        The image.
    mapping : callable
        Of a tuple of coordinates of the result, arrays of its shape; returns those of the image.
    output_shape, output, order, mode, cval, prefilter
        As in :func:`affine_transform`.
    extra_arguments, extra_keywords : optional
        The rest that `mapping` is called with.
    """
    x = tnp.asarray(input)
    shape = x.shape if output_shape is None else tuple(output_shape)
    grid = tuple(tnp.broadcast_to(g, shape) for g in _grid(shape))
    found = mapping(grid, *extra_arguments, **(extra_keywords or {}))
    where = [tnp.broadcast_to(tnp.asarray(c), shape) for c in found]
    return map_coordinates(x, where, order, mode, cval, prefilter, output=output)


def shift(
    input: Any, shift: Any, output: Any = None, order: int = 3, mode: str = "constant",
    cval: Any = 0.0, prefilter: bool = True,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.shift`: by a number of points, or one an axis."""
    x = tnp.asarray(input)
    return affine_transform(
        x, np.ones(x.ndim), -tnp.asarray(shift) * 1.0, None, output, order, mode, cval, prefilter
    )


def zoom(
    input: Any, zoom: Any, output: Any = None, order: int = 3, mode: str = "constant",
    cval: Any = 0.0, prefilter: bool = True, *, grid_mode: bool = False,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.zoom`.

    Parameters
    ----------
    input, output, order, mode, cval, prefilter
        As in :func:`affine_transform`.
    zoom : float or one an axis
        How many times as long, known while tracing.
    grid_mode : bool, optional
        Whether points are cells with a width, and not places.
    """
    x = tnp.asarray(input)
    factors = one_each("zoom", "factor", zoom, x.ndim)
    shape = [round(n * float(f)) for n, f in zip(x.shape, factors, strict=True)]
    pairs = list(zip(x.shape, shape, strict=True))
    if grid_mode:
        scale = [n / m if m else 1.0 for n, m in pairs]
        offset = [0.5 * s - 0.5 for s in scale]
    else:
        scale = [(n - 1) / (m - 1) if m != 1 else 1.0 for n, m in pairs]
        offset = [0.0] * x.ndim
    if all(f == 1 for f in factors) and prefilter:
        return x if output is None else x.astype(output)
    return affine_transform(
        x, np.asarray(scale), np.asarray(offset), shape, output, order, mode, cval, prefilter
    )


def rotate(
    input: Any, angle: Any, axes: Any = (1, 0), reshape: bool = True, output: Any = None,
    order: int = 3, mode: str = "constant", cval: Any = 0.0, prefilter: bool = True,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.rotate`.

    Parameters
    ----------
    input, output, order, mode, cval, prefilter
        As in :func:`affine_transform`.
    angle : float
        In degrees; with ``reshape=False`` it may be traced, and has derivatives.
    axes : (int, int), optional
        The plane.
    reshape : bool, optional
        Whether the result holds the whole image.

    Raises
    ------
    ShapeError
        If the axes are not those of a plane.
    """
    x = tnp.asarray(input)
    plane = sorted(int(a) % x.ndim if -x.ndim <= a < x.ndim else -1 for a in axes)
    if len(plane) != 2 or plane[0] < 0 or plane[0] == plane[1]:
        raise ShapeError(f"rotate: axes of a plane of an image of rank {x.ndim}; got {axes}")
    inside = np.asarray([x.shape[a] for a in plane])
    shape = inside
    if reshape:
        angle = float(angle)
        c, s = _cosine(angle), _cosine(angle - 90)
        corners = np.array([[c, s], [-s, c]]) @ [[0, 0, inside[0], inside[0]],
                                                 [0, inside[1], 0, inside[1]]]  # fmt: skip
        shape = (np.ptp(corners, axis=1) + 0.5).astype(int)
    known = isinstance(angle, (int, float))
    c, s = (_cosine(angle), _cosine(angle - 90)) if known else _turn(angle)
    turn = [[c, s], [-s, c]]
    center = (shape - 1) / 2
    offset = [(inside[i] - 1) / 2 - (turn[i][0] * center[0] + turn[i][1] * center[1])
              for i in range(2)]  # fmt: skip
    matrix: list[list[Any]] = np.eye(x.ndim).tolist()
    whole: list[Any] = [0.0] * x.ndim
    result = list(x.shape)
    for i, axis in enumerate(plane):
        result[axis], whole[axis] = int(shape[i]), offset[i]
        for j, other in enumerate(plane):
            matrix[axis][other] = turn[i][j]
    rows = tnp.stack([tnp.stack([tnp.asarray(v) for v in row]) for row in matrix])
    moved = tnp.stack([tnp.asarray(v) for v in whole])
    if x.ndim > 2 and order > 1:
        return _plane_by_plane(x, plane, rows, moved, result, output, order, mode, cval, prefilter)
    return affine_transform(x, rows, moved, result, output, order, mode, cval, prefilter)


def _plane_by_plane(x: Any, plane: list[int], rows: Any, moved: Any, result: list[int],
                    output: Any, *how: Any) -> Any:  # fmt: skip
    """Turn planes alone, for a spline through them all would smooth across them."""
    others = [a for a in range(x.ndim) if a not in plane]
    planes = tnp.transpose(x, [*others, *plane]).reshape(-1, *(x.shape[a] for a in plane))
    matrix = rows[np.ix_(plane, plane)]
    offset = moved[np.asarray(plane)]
    shape = [result[a] for a in plane]
    turned = tnp.stack([
        affine_transform(one, matrix, offset, shape, output, *how) for one in planes
    ])  # fmt: skip
    turned = turned.reshape(*(x.shape[a] for a in others), *shape)
    return tnp.transpose(turned, np.argsort([*others, *plane]))


def _cosine(degrees: float) -> float:
    """Return a cosine that is exact at quarters of a turn."""
    degrees = abs(degrees) % 360
    if degrees in (90, 270):
        return 0.0
    if degrees == 180:
        return -1.0
    return float(np.cos(np.deg2rad(degrees)))


def _turn(degrees: Any) -> tuple[Any, Any]:
    radians = tnp.deg2rad(degrees)
    return tnp.cos(radians), tnp.sin(radians)
