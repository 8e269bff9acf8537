"""The bed: read, checked, and refined to a grid of nearly square cells.

The elevation that the demonstration uses unless told otherwise is a real one, 126 to 122 W and
48 to 50 N: Vancouver Island, the Strait of Juan de Fuca and the deep sea before it.  It comes
with matplotlib, as ``topobathy.npz`` among its sample data.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

__all__ = ["Elevation", "ElevationError", "built_in", "from_file", "refine"]

EARTH_RADIUS = 6_371_000.0
SMALLEST = 8
"""Least number of rows and of columns that waves can be run on."""
AXES = (("longitude", "latitude"), ("lon", "lat"), ("x", "y"))


class ElevationError(ValueError):
    """The elevation cannot be used; the message is one line that says why."""


@dataclass(frozen=True)
class Elevation:
    """A grid of elevations.

    Attributes
    ----------
    bed : numpy.ndarray, shape (rows, columns), float64
        Elevation in metres, negative under the sea; row 0 in the south.
    x, y : numpy.ndarray, shapes (columns,) and (rows,)
        Positions of the columns and rows in metres from the south-west corner.
    name : str
        What it is, for titles.
    west, south : float or None
        Degrees east and north of the corner, where known.
    metres_per_degree : tuple of two floats
        To the east and to the north, where known.
    """

    bed: np.ndarray[Any, np.dtype[np.float64]]
    x: np.ndarray[Any, np.dtype[np.float64]]
    y: np.ndarray[Any, np.dtype[np.float64]]
    name: str
    west: float | None = None
    south: float | None = None
    metres_per_degree: tuple[float, float] = (1.0, 1.0)

    @property
    def dx(self) -> float:
        """Distance of two columns in metres."""
        return float(self.x[-1] - self.x[0]) / (len(self.x) - 1)

    @property
    def dy(self) -> float:
        """Distance of two rows in metres."""
        return float(self.y[-1] - self.y[0]) / (len(self.y) - 1)

    def degrees(self, x: float, y: float) -> tuple[float, float] | None:
        """Return longitude and latitude of a position in metres, where the grid knows them."""
        if self.west is None or self.south is None:
            return None
        east, north = self.metres_per_degree
        return self.west + x / east, self.south + y / north

    def metres(self, longitude: float, latitude: float) -> tuple[float, float]:
        """Return the position in metres of a longitude and a latitude.

        Raises
        ------
        ValueError
            If the grid does not know where it lies.
        """
        if self.west is None or self.south is None:
            raise ValueError(f"{self.name}: no longitudes and latitudes are known")
        east, north = self.metres_per_degree
        return (longitude - self.west) * east, (latitude - self.south) * north


def built_in() -> Elevation:
    """Return the elevation of southern Vancouver Island, 91 by 120 points.

    Raises
    ------
    ElevationError
        If this matplotlib carries no such sample.
    """
    import matplotlib.cbook

    try:
        found: Any = matplotlib.cbook.get_sample_data("topobathy.npz")
    except OSError:
        raise ElevationError(
            "matplotlib's sample topobathy.npz is not installed; name a grid with --elevation FILE"
        ) from None
    with found:
        bed = np.asarray(found["topo"], dtype=np.float64)
        longitude = np.asarray(found["longitude"], dtype=np.float64) - 360.0
        latitude = np.asarray(found["latitude"], dtype=np.float64)
    return _placed(bed, longitude, latitude, "Vancouver Island and the Strait of Juan de Fuca")


def from_file(path: str | Path, spacing: float = 1_000.0) -> Elevation:
    """Read an elevation from a ``.npy`` or ``.npz`` file.

    An ``.npz`` file holds one 2-D array, or one named ``elevation``, ``topo``, ``bed`` or ``z``;
    and may hold its axes, ``longitude`` and ``latitude`` (``lon``, ``lat``) in degrees or ``x`` and
    ``y`` in metres.  Nothing in the file is executed.

    Parameters
    ----------
    path : str or Path
        The file.
    spacing : float
        Distance of two points in metres where the file has no axes.

    Returns
    -------
    Elevation
        The grid, row 0 in the south: rows are turned if the file's latitudes fall.

    Raises
    ------
    ElevationError
        If the file is missing or unreadable, or holds no 2-D grid of finite numbers with some sea.
    """
    path = Path(path)
    arrays = _arrays(path)
    bed = _grid(path, arrays)
    bed = _checked(bed, str(path))
    for east, north in AXES:
        if east in arrays and north in arrays:
            columns, rows = arrays[east], arrays[north]
            break
    else:
        rows_count, columns_count = bed.shape
        x, y = spacing * np.arange(columns_count), spacing * np.arange(rows_count)
        return Elevation(bed, x.astype(np.float64), y.astype(np.float64), path.name)
    columns, rows = _axis(path, east, columns, bed.shape[1]), _axis(path, north, rows, bed.shape[0])
    if columns[0] > columns[-1]:
        columns, bed = columns[::-1], bed[:, ::-1]
    if rows[0] > rows[-1]:
        rows, bed = rows[::-1], bed[::-1]
    if east == "x":
        return Elevation(bed, columns - columns[0], rows - rows[0], path.name)
    return _placed(bed, columns, rows, path.name)


def refine(elevation: Elevation, size: int) -> Elevation:
    """Return the elevation on a grid of nearly square cells.

    Monotone cubics along both axes (no overshoot, so no new islands); where the new grid is the
    coarser, the old one is smoothed first.

    Parameters
    ----------
    elevation : Elevation
        The grid to refine.
    size : int
        Number of cells along the longer side.

    Returns
    -------
    Elevation
        The refined grid, over the same rectangle.
    """
    width, height = float(elevation.x[-1]), float(elevation.y[-1])
    side = max(width, height) / (size - 1)
    columns = max(SMALLEST, round(width / side) + 1)
    rows = max(SMALLEST, round(height / side) + 1)
    x, y = np.linspace(0.0, width, columns), np.linspace(0.0, height, rows)
    bed = elevation.bed
    for axis, old, new in ((0, elevation.y, y), (1, elevation.x, x)):
        ratio = len(old) / len(new)
        if ratio > 1.0:
            bed = gaussian_filter1d(bed, 0.4 * ratio, axis=axis, mode="nearest")
        bed = PchipInterpolator(old, bed, axis=axis)(new)
    return Elevation(
        np.ascontiguousarray(bed),
        x,
        y,
        elevation.name,
        elevation.west,
        elevation.south,
        elevation.metres_per_degree,
    )


def _placed(
    bed: np.ndarray[Any, Any],
    longitude: np.ndarray[Any, Any],
    latitude: np.ndarray[Any, Any],
    name: str,
) -> Elevation:
    # A plane through the middle latitude: over a few degrees the error is a few per cent.
    north = EARTH_RADIUS * np.pi / 180.0
    east = north * float(np.cos(np.deg2rad(0.5 * (latitude[0] + latitude[-1]))))
    x, y = (longitude - longitude[0]) * east, (latitude - latitude[0]) * north
    west, south = float(longitude[0]), float(latitude[0])
    return Elevation(bed, x, y, name, west, south, (east, north))


def _arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    if not path.exists():
        raise ElevationError(f"{path}: no such file")
    if path.is_dir():
        raise ElevationError(f"{path}: is a directory, not a .npy or .npz file")
    try:
        with path.open("rb") as file:
            found: Any = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return {"": found}
            return {name: np.asarray(found[name]) for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        raise ElevationError(
            f"{path}: not a .npy or .npz file of numbers (numpy.save and numpy.savez write them)"
        ) from None


def _grid(path: Path, arrays: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    for name in ("", "elevation", "topo", "bed", "z"):
        if name in arrays:
            return arrays[name]
    flat = [array for array in arrays.values() if array.ndim == 2]
    if len(flat) == 1:
        return flat[0]
    raise ElevationError(
        f"{path}: expected one 2-D array or one named 'elevation'; found {sorted(arrays) or 'none'}"
    )


def _checked(bed: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    if bed.dtype.kind not in "iuf":
        raise ElevationError(f"{name}: elevations must be real numbers; got dtype {bed.dtype}")
    if bed.ndim != 2:
        raise ElevationError(f"{name}: elevations must be a 2-D grid; got shape {bed.shape}")
    if min(bed.shape) < SMALLEST:
        raise ElevationError(
            f"{name}: the grid must have at least {SMALLEST} x {SMALLEST} points; got {bed.shape}"
        )
    bad = int(np.count_nonzero(~np.isfinite(bed)))
    if bad:
        raise ElevationError(f"{name}: {bad} of {bed.size} elevations are NaN or infinite")
    bed = bed.astype(np.float64)
    if float(bed.min()) >= 0.0:
        raise ElevationError(
            f"{name}: no elevation is below 0, so there is no sea; metres, negative under the sea"
        )
    return bed


def _axis(
    path: Path, name: str, axis: np.ndarray[Any, Any], length: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    if axis.dtype.kind not in "iuf" or axis.shape != (length,):
        raise ElevationError(
            f"{path}: {name!r} must be {length} numbers, one a grid line; got shape {axis.shape}, "
            f"dtype {axis.dtype}"
        )
    axis = axis.astype(np.float64)
    steps = np.diff(axis)
    if not (np.all(steps > 0.0) or np.all(steps < 0.0)):
        raise ElevationError(f"{path}: {name!r} must rise or fall throughout, without NaN")
    return axis
