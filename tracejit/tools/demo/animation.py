"""The moving picture: the surface of the sea, one frame a segment of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tracejit.tools.demo.figures import extent, land_colours, shade
from tracejit.tools.demo.simulation import Run, Setting

__all__ = ["animate"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

MILLISECONDS = 90
LAST_MILLISECONDS = 1_500


def animate(path: Path, setting: Setting, result: Run) -> None:
    """Write the animated GIF.

    The frame, axes and scale are drawn once by matplotlib; each frame then only replaces the map's
    pixels and the clock, and all share one palette.

    Parameters
    ----------
    path : Path
        The GIF file to write.
    setting : Setting
        The bed.
    result : Run
        The run whose frames are shown.
    """
    from matplotlib import colormaps
    from PIL import Image, ImageDraw, ImageFont

    wave = np.concatenate([np.abs(frame[np.isfinite(frame)]) for frame in result.frames[3:]])
    reach = max(float(np.quantile(wave, 0.998)), 0.02)
    stage, box = _stage(setting, reach)
    left, top, right, bottom = box
    size = right - left, bottom - top
    land = shade(land_colours(setting.elevation), setting.elevation, 0.85)
    ground = _resized(land, size, Image.Resampling.BICUBIC)
    dry = _resized((setting.elevation.bed >= 0.0)[..., None] * np.ones(3), size)
    colours = colormaps["RdBu_r"]
    font = ImageFont.load_default(17)
    per_frame = len(result.series) * setting.dt / 60.0 / (len(result.frames) - 1)

    def picture(number: int) -> Any:
        frame = result.frames[number]
        # square root: small waves show beside the source
        level = np.sign(frame) * np.sqrt(np.minimum(np.abs(frame) / reach, 1.0))
        sea = np.asarray(colours(0.5 + 0.5 * np.nan_to_num(level)))[..., :3]
        wet = _resized(np.isfinite(frame)[..., None] * np.ones(3), size)
        shown = np.where((dry > 0.5) & (wet < 0.5), ground, _resized(sea, size))
        canvas = stage.copy()
        canvas[top:bottom, left:right] = (255.0 * np.clip(shown, 0.0, 1.0)).astype(np.uint8)
        image = Image.fromarray(canvas)
        clock = f"{number * per_frame:5.1f} min"
        ImageDraw.Draw(image).text((right, top - 8), clock, "black", font, anchor="rs")
        return image

    pictures = [picture(number) for number in range(len(result.frames))]
    palette = _palette(colours, land)
    frames = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    times = [MILLISECONDS] * (len(frames) - 1) + [LAST_MILLISECONDS]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=False
    )


def _palette(colours: Any, land: Floats) -> Any:
    """Return an image with the palette of all frames: those of the scale, of land, and greys."""
    from PIL import Image

    scale = np.asarray(colours(np.linspace(0.0, 1.0, 121)))[:, :3]
    pixels = Image.fromarray((255.0 * land).astype(np.uint8)).quantize(24)
    ground = np.array(pixels.getpalette()[: 3 * 24]).reshape(-1, 3)
    greys = np.linspace(0.0, 255.0, 9)[:, None] * np.ones(3)
    chosen = np.concatenate([255.0 * scale, ground, greys]).round().astype(np.uint8)
    palette = Image.new("P", (1, 1))
    palette.putpalette(chosen.ravel().tolist())
    return palette


def _stage(
    setting: Setting, reach: float
) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], tuple[int, int, int, int]]:
    """Return the picture without its map, and the map's box in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import FuncNorm
    from matplotlib.figure import Figure

    limits, aspect, x_label, y_label = extent(setting.elevation)
    shape = aspect * (limits[3] - limits[2]) / (limits[1] - limits[0])
    width = 6.0 if shape < 1.0 else 6.0 / shape
    figure = Figure(figsize=(width + 1.6, width * shape + 1.05), dpi=84, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    full_width, full_height = figure.get_size_inches()
    axes = figure.add_axes(
        (0.8 / full_width, 0.6 / full_height, width / full_width, width * shape / full_height)
    )
    axes.set(xlim=limits[:2], ylim=limits[2:], xlabel=x_label, ylabel=y_label)
    axes.ticklabel_format(useOffset=False)
    axes.set_title("surface of the sea", loc="left", fontsize=11)
    norm = FuncNorm(
        (lambda v: np.sign(v) * np.sqrt(np.abs(v)), lambda v: np.sign(v) * v * v), -reach, reach
    )
    scale = figure.add_axes(
        (
            0.9 / full_width + width / full_width,
            0.6 / full_height,
            0.13 / full_width,
            width * shape / full_height,
        )
    )
    bar = figure.colorbar(ScalarMappable(norm, "RdBu_r"), cax=scale)
    ticks = [sign * part * reach for sign in (-1, 1) for part in (1.0, 0.5, 0.1)]
    bar.set_ticks([*ticks, 0.0], labels=[*(f"{t:.2f}" for t in ticks), "0"])
    bar.ax.tick_params(labelsize=8)
    bar.ax.set_title("m", fontsize=9)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    bounds = axes.get_window_extent()
    height = pixels.shape[0]
    box = (
        round(bounds.x0) + 1,
        height - round(bounds.y1) + 1,
        round(bounds.x1) - 1,
        height - round(bounds.y0) - 1,
    )
    return pixels, box


def _resized(colours: Any, size: tuple[int, int], how: Any = None) -> Floats:
    """Return colours, row 0 in the south, as an image of that size with row 0 at the top."""
    from PIL import Image

    pixels = Image.fromarray((255.0 * np.asarray(colours)[::-1]).astype(np.uint8))
    how = Image.Resampling.BILINEAR if how is None else how
    return np.asarray(pixels.resize(size, how), dtype=np.float64) / 255.0
