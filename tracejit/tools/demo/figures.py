"""The still picture: greatest wave height over the shaded bed, gauge records beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tracejit.tools.demo.elevation import Elevation
from tracejit.tools.demo.simulation import Gauge, Run, Setting, Source

__all__ = ["draw_peak", "extent", "land_colours", "shade"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

CONTOURS = (-2000.0, -1000.0, -500.0, -200.0, -100.0, -50.0)
LEAST = 0.02
"""Heights in metres under this are drawn as none."""


def extent(elevation: Elevation) -> tuple[tuple[float, float, float, float], float, str, str]:
    """Return the map's limits, its aspect and the labels of its axes."""
    low, high = elevation.degrees(0.0, 0.0), None
    if low is not None:
        high = elevation.degrees(float(elevation.x[-1]), float(elevation.y[-1]))
    if low is None or high is None:
        limits = (0.0, float(elevation.x[-1]) / 1e3, 0.0, float(elevation.y[-1]) / 1e3)
        return limits, 1.0, "km east", "km north"
    east, north = elevation.metres_per_degree
    limits = (low[0], high[0], low[1], high[1])
    return limits, north / east, "longitude (°)", "latitude (°)"


def land_colours(elevation: Elevation) -> Floats:
    """Return the colours of dry land by height, shape (rows, columns, 3), not yet shaded."""
    from matplotlib.colors import LinearSegmentedColormap

    ramp = LinearSegmentedColormap.from_list(
        "land", ["#a9b08d", "#bdb894", "#b3a68a", "#9c8f80", "#d9d6d2"]
    )
    top = max(float(elevation.bed.max()), 1.0)
    return np.asarray(ramp(np.clip(elevation.bed / top, 0.0, 1.0) ** 0.6)[..., :3])


def shade(colours: Floats, elevation: Elevation, strength: float) -> Floats:
    """Return colours under a light from the north-west, by the slopes of the bed."""
    from matplotlib.colors import LightSource

    light = LightSource(azdeg=315.0, altdeg=45.0)
    relief = max(float(np.ptp(elevation.bed)), 1.0)
    side = max(float(elevation.x[-1]), float(elevation.y[-1]))
    bright = light.hillshade(
        elevation.bed, vert_exag=0.035 * side / relief, dx=elevation.dx, dy=elevation.dy
    )[..., None]
    return np.asarray(np.clip(colours * (1.0 + strength * (bright - 0.72)), 0.0, 1.0))


def draw_peak(path: Path, setting: Setting, source: Source, result: Run) -> None:
    """Write the picture.

    Parameters
    ----------
    path : Path
        The PNG file to write.
    setting : Setting
        The bed and the gauges.
    source : Source
        What lifted the sea.
    result : Run
        The run to draw.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    elevation = setting.elevation
    figure = Figure(figsize=(13.6, 7.2), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    gauges = setting.gauges
    grid = figure.add_gridspec(
        len(gauges),
        2,
        width_ratios=(1.98, 1.0),
        left=0.055,
        right=0.985,
        top=0.885,
        bottom=0.085,
        wspace=0.09,
        hspace=0.14,
    )
    axes = figure.add_subplot(grid[:, 0])
    _draw_map(figure, axes, elevation, gauges, source, result)
    _draw_series(figure, grid, setting, result)
    minutes = len(result.series) * setting.dt / 60.0
    figure.text(
        0.055,
        0.955,
        f"Tsunami off {elevation.name}"
        if elevation.west is not None
        else f"Tsunami over {elevation.name}",
        fontsize=15,
        fontweight="bold",
        va="center",
    )
    rows, columns = elevation.bed.shape
    figure.text(
        0.055,
        0.915,
        f"{source.kind} of {source.amplitude:.3g} m, {source.width / 1e3:.3g} km wide · "
        f"{columns} x {rows} cells of {elevation.dx / 1e3:.2g} km · "
        f"{len(result.series)} steps, {minutes:.0f} min",
        fontsize=10.5,
        color="0.3",
        va="center",
    )
    figure.savefig(path)


def _draw_map(
    figure: Any,
    axes: Any,
    elevation: Elevation,
    gauges: tuple[Gauge, ...],
    source: Source,
    result: Run,
) -> None:

    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, to_rgb
    from matplotlib.patheffects import withStroke

    limits, aspect, x_label, y_label = extent(elevation)
    bed, peak = elevation.bed, result.peak
    top = max(float(np.quantile(peak[bed < 0.0], 0.9995)), 10.0 * LEAST)
    norm = LogNorm(LEAST, top, clip=True)
    colours = colormaps["plasma"]
    calm = np.array(to_rgb("#1b1c4a"))
    sea = np.asarray(colours(norm(np.maximum(peak, LEAST)))[..., :3])
    sea = np.where((peak > LEAST)[..., None], sea, calm)
    wet = (bed < 0.0) | (peak > 0.05)
    land = shade(land_colours(elevation), elevation, 0.85)
    image = np.where(wet[..., None], shade(sea, elevation, 0.35), land)
    axes.imshow(image, origin="lower", extent=limits, aspect=aspect, interpolation="bilinear")

    x = np.linspace(limits[0], limits[1], bed.shape[1])
    y = np.linspace(limits[2], limits[3], bed.shape[0])
    axes.contour(x, y, bed, levels=[0.0], colors="black", linewidths=0.7)
    depths = [level for level in CONTOURS if float(bed.min()) < level]
    if depths:
        lines = axes.contour(
            x, y, bed, levels=depths, colors="white", linewidths=0.5, linestyles="solid", alpha=0.55
        )
        axes.clabel(lines, fmt=lambda level: f"{-level:.0f} m", fontsize=6.5)
    halo = [withStroke(linewidth=2.4, foreground="white")]
    to_x = (limits[1] - limits[0]) / float(elevation.x[-1])
    to_y = (limits[3] - limits[2]) / float(elevation.y[-1])
    axes.plot(
        limits[0] + source.x * to_x,
        limits[2] + source.y * to_y,
        marker="*",
        markersize=15,
        color="white",
        markeredgecolor="black",
    )
    for number, gauge in enumerate(gauges):
        at = float(x[gauge.column]), float(y[gauge.row])
        axes.plot(*at, "o", markersize=7, color=f"C{number}", markeredgecolor="white")
        left = gauge.column > 0.8 * bed.shape[1]
        axes.annotate(
            gauge.name,
            at,
            xytext=(-7 if left else 7, 5),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=9,
            fontweight="bold",
            path_effects=halo,
        )
    axes.set(xlabel=x_label, ylabel=y_label, xlim=limits[:2], ylim=limits[2:])
    axes.ticklabel_format(useOffset=False)
    inset = axes.inset_axes((0.6, 0.93, 0.37, 0.028))
    mappable = ScalarMappable(norm, colours)
    bar = figure.colorbar(mappable, cax=inset, orientation="horizontal", extend="min")
    ticks = [t for t in (0.02, 0.1, 0.5, 2.0, 10.0) if t <= top]
    bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=8)
    bar.ax.set_title("maximum wave height (m)", fontsize=9, path_effects=halo)
    for label in bar.ax.get_xticklabels():
        label.set_path_effects(halo)


def _draw_series(figure: Any, grid: Any, setting: Setting, result: Run) -> None:
    minutes = setting.dt * np.arange(1, len(result.series) + 1) / 60.0
    reach = 1.15 * max(float(np.abs(result.series).max()), 1e-3)
    first = None
    for number, gauge in enumerate(setting.gauges):
        axes = figure.add_subplot(grid[number, 1], sharex=first, sharey=first)
        first = axes if first is None else first
        surface = result.series[:, number]
        axes.axhline(0.0, color="0.6", linewidth=0.6)
        axes.fill_between(minutes, surface, color=f"C{number}", alpha=0.25, linewidth=0)
        axes.plot(minutes, surface, color=f"C{number}", linewidth=1.3)
        depth = -float(setting.elevation.bed[gauge.row, gauge.column])
        axes.text(
            0.015,
            0.92,
            gauge.name,
            transform=axes.transAxes,
            va="top",
            fontsize=9,
            fontweight="bold",
        )
        axes.text(
            0.985,
            0.92,
            f"max {surface.max():.2f} m, in {depth:.0f} m of water",
            transform=axes.transAxes,
            va="top",
            ha="right",
            fontsize=8,
            color="0.35",
        )
        axes.set(xlim=(0.0, minutes[-1]), ylim=(-reach, 1.5 * reach))
        axes.tick_params(labelsize=8, labelbottom=number == len(setting.gauges) - 1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.5)
        if number == 0:
            axes.set_title("surface at the gauges (m)", fontsize=10, loc="left")
    axes.set_xlabel("time after the source (min)")
