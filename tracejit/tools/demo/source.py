"""What lifts the sea: a hump, or the dipole that a fault leaves."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tracejit.tools.demo.elevation import Elevation

__all__ = ["Kind", "best_place", "uplift"]

Array = Any
Kind = Literal["hump", "dipole"]

STRIKE = np.deg2rad(-35.0)
"""Direction of a fault's long axis from the north: that of the Cascadia margin."""


def uplift(
    x: Array,
    y: Array,
    x0: Array,
    y0: Array,
    amplitude: Array,
    width: float,
    xp: Any,
    kind: Kind = "hump",
) -> Array:
    """Return how far the surface of the sea is lifted.

    Parameters
    ----------
    x, y : array
        Positions in metres; they broadcast together.
    x0, y0 : float or scalar array
        Where the source is, in metres.
    amplitude : float or scalar array
        Greatest uplift in metres.
    width : float
        Standard deviation of the hump in metres; across the fault of the dipole.
    xp : module
        The array module.
    kind : {"hump", "dipole"}
        A Gaussian; or uplift beside equal subsidence, three times as long as wide.

    Returns
    -------
    array
        The uplift in metres.
    """
    ex, ey = (x - x0) / width, (y - y0) / width
    if kind == "hump":
        return amplitude * xp.exp(-0.5 * (ex * ex + ey * ey))
    across = float(np.cos(STRIKE)) * ex - float(np.sin(STRIKE)) * ey
    along = (float(np.sin(STRIKE)) * ex + float(np.cos(STRIKE)) * ey) / 3.0
    # -s exp(-s^2 / 2) is greatest at s = -1, where it is exp(-1/2)
    scale = amplitude * float(np.exp(0.5))
    return -scale * across * xp.exp(-0.5 * (across * across + along * along))


def best_place(elevation: Elevation, width: float) -> tuple[float, float]:
    """Return the position in metres of the deepest sea about a source of a given width.

    The depth is averaged over the source, and the source keeps its width from the border.
    """
    depth = np.maximum(-elevation.bed, 0.0)
    sums = np.zeros_like(depth)
    for row, column in np.argwhere(_away_from_border(elevation, width)):
        near_x = np.abs(elevation.x - elevation.x[column]) <= width
        near_y = np.abs(elevation.y - elevation.y[row]) <= width
        sums[row, column] = depth[np.ix_(near_y, near_x)].mean()
    row, column = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return float(elevation.x[column]), float(elevation.y[row])


def _away_from_border(elevation: Elevation, distance: float) -> np.ndarray[Any, Any]:
    x, y = elevation.x, elevation.y
    distance = min(distance, 0.3 * float(x[-1]), 0.3 * float(y[-1]))
    in_x = (x >= distance) & (x <= x[-1] - distance)
    in_y = (y >= distance) & (y <= y[-1] - distance)
    return np.asarray(in_y[:, None] & in_x[None, :])
