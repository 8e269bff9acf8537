"""A run: gauges, the loop over time as one compiled program, and what comes out of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracejit.tools.demo.elevation import Elevation
from tracejit.tools.demo.engines import Engine
from tracejit.tools.demo.shallow_water import Border, State, stable_step, step, still_water
from tracejit.tools.demo.source import Kind, uplift

__all__ = ["Gauge", "Run", "Setting", "Source", "advance", "initial_state", "place_gauges", "run"]

Array = Any
Floats = np.ndarray[Any, np.dtype[np.float64]]

TOWNS = (
    ("Tofino", -125.92, 49.12),
    ("Bamfield", -125.17, 48.86),
    ("Neah Bay", -124.60, 48.39),
    ("Port Renfrew", -124.44, 48.54),
    ("Port Angeles", -123.42, 48.15),
    ("Victoria", -123.38, 48.38),
)
GAUGE_DEPTH = 8.0


@dataclass(frozen=True)
class Gauge:
    """A place where the surface of the sea is recorded."""

    name: str
    row: int
    column: int


@dataclass(frozen=True)
class Source:
    """Position in metres, greatest uplift in metres, width in metres and shape of the source."""

    x: float
    y: float
    amplitude: float
    width: float
    kind: Kind = "hump"


@dataclass(frozen=True)
class Setting:
    """All that a run needs but its source.

    Attributes
    ----------
    elevation : Elevation
        The bed.
    gauges : tuple of Gauge
        Where the surface is recorded.
    dt : float
        Time step in seconds.
    border : {"open", "reflecting"}
        What waves meet at the border.
    order : {1, 2}
        Order of the scheme.
    """

    elevation: Elevation
    gauges: tuple[Gauge, ...]
    dt: float
    border: Border = "open"
    order: int = 2

    @staticmethod
    def of(elevation: Elevation, rise: float, border: Border = "open", order: int = 2) -> Setting:
        """Return the setting with gauges placed and the time step that the depth allows."""
        depth = np.maximum(-elevation.bed, 0.0)
        dt = stable_step(depth, elevation.dx, elevation.dy, rise=rise)
        return Setting(elevation, place_gauges(elevation), dt, border, order)


@dataclass(frozen=True)
class Run:
    """What a run leaves.

    Attributes
    ----------
    state : tuple of three numpy.ndarray
        The last state.
    first : tuple of three numpy.ndarray
        The state after the first segment.
    peak : numpy.ndarray, shape (rows, columns)
        Greatest height of the wave: above level 0 at sea, above the ground on land.
    series : numpy.ndarray, shape (steps, gauges)
        Surface at the gauges after each step.
    frames : list of numpy.ndarray
        Surface at sea after each segment, in single precision and thinned; NaN where dry.
    compile_seconds, step_seconds : float
        Time of the first segment beyond that of the others; time of a step in the others.
    """

    state: tuple[Floats, Floats, Floats]
    first: tuple[Floats, Floats, Floats]
    peak: Floats
    series: Floats
    frames: list[np.ndarray[Any, np.dtype[np.float32]]]
    compile_seconds: float
    step_seconds: float


def place_gauges(elevation: Elevation, count: int = 6) -> tuple[Gauge, ...]:
    """Return gauges in the sea: off known towns where the grid has them, else far from each other.

    Parameters
    ----------
    elevation : Elevation
        The bed.
    count : int
        How many where there are no towns.

    Returns
    -------
    tuple of Gauge
        Each in a cell at least some metres deep.
    """
    wet = np.argwhere(-elevation.bed >= min(GAUGE_DEPTH, 0.5 * float(-elevation.bed.min())))
    x, y = elevation.x[wet[:, 1]], elevation.y[wet[:, 0]]
    if elevation.west is not None:
        places = [(name, *elevation.metres(east, north)) for name, east, north in TOWNS]
        width, height = float(elevation.x[-1]), float(elevation.y[-1])
        if all(0.0 <= gx <= width and 0.0 <= gy <= height for _, gx, gy in places):
            nearest = [wet[np.argmin(np.hypot(x - gx, y - gy))] for _, gx, gy in places]
            return tuple(
                Gauge(name, int(row), int(column))
                for (name, _, _), (row, column) in zip(places, nearest, strict=True)
            )
    # Each next gauge is the sea cell farthest from the gauges so far and from the border.
    border = np.minimum.reduce([x, elevation.x[-1] - x, y, elevation.y[-1] - y])
    distance = 2.0 * border
    gauges = []
    for number in range(min(count, len(wet))):
        at = int(np.argmax(distance))
        gauges.append(Gauge(f"gauge {number + 1}", int(wet[at, 0]), int(wet[at, 1])))
        distance = np.minimum(distance, np.hypot(x - x[at], y - y[at]))
    return tuple(gauges)


def initial_state(
    bed: Array, x: Array, y: Array, x0: Array, y0: Array, amplitude: Array, source: Source, xp: Any
) -> State:
    """Return the sea at rest with its surface lifted where there is water.

    Position and amplitude are arguments of their own, so that they can be differentiated; of
    `source` only the width and the shape are used.
    """
    h, hu, hv = still_water(bed, xp)
    lifted = uplift(x, y, x0, y0, amplitude, source.width, xp, source.kind)
    return xp.maximum(h + xp.where(h > 0.0, lifted, 0.0), 0.0), hu, hv


def advance(
    engine: Engine, setting: Setting, steps: int, remember: bool = True
) -> Callable[..., Any]:
    """Return the program of `steps` time steps, loop included; not yet compiled.

    Parameters
    ----------
    engine : Engine
        What will run it.
    setting : Setting
        Gauges, border and order are fixed in the program; sizes, bed and time step are arguments.
    steps : int
        Number of steps.
    remember : bool
        Whether reverse mode stores what is inside a step; if not, it is computed again.

    Returns
    -------
    callable
        ``program(state, peak, bed, dx, dy, dt) -> (state, peak), series``.
    """
    xp = engine.xp
    rows = np.array([gauge.row for gauge in setting.gauges])
    columns = np.array([gauge.column for gauge in setting.gauges])

    def program(state: State, peak: Array, bed: Array, dx: Array, dy: Array, dt: Array) -> Any:
        ground = xp.minimum(bed, 0.0)
        at_gauges = bed[rows, columns]

        def one(state: State) -> State:
            return step(state, bed, dx, dy, dt, xp, border=setting.border, order=setting.order)

        if not remember:
            one = engine.checkpoint(one)

        def body(carry: tuple[State, Array], _: None) -> tuple[tuple[State, Array], Array]:
            state, peak = carry
            state = one(state)
            h = state[0]
            return (state, xp.maximum(peak, h + ground)), h[rows, columns] + at_gauges

        return engine.scan(body, (state, peak), steps)

    return program


def run(
    engine: Engine,
    setting: Setting,
    source: Source,
    steps: int,
    segments: int = 1,
    done: Callable[[int], None] | None = None,
    most_frame_points: int = 400,
) -> Run:
    """Run a simulation in equal segments, one compiled program called again and again.

    Parameters
    ----------
    engine : Engine
        What runs it.
    setting : Setting
        The bed and all else that is fixed.
    source : Source
        What lifts the sea.
    steps, segments : int
        Number of steps, a multiple of `segments`, and of segments; a frame is kept of each.
    done : callable, optional
        Called with the number of segments done.
    most_frame_points : int
        Frames are thinned to no more points than this along a side.

    Returns
    -------
    Run
        The results, as NumPy arrays.
    """
    if steps % segments:
        raise ValueError(f"run: steps must be a multiple of segments; got {steps} and {segments}")
    elevation = setting.elevation
    bed, dx, dy = elevation.bed, elevation.dx, elevation.dy
    program = engine.jit(advance(engine, setting, steps // segments))
    state: Any = initial_state(
        bed,
        elevation.x[None, :],
        elevation.y[:, None],
        source.x,
        source.y,
        source.amplitude,
        source,
        np,
    )
    peak: Any = np.maximum(state[0] + np.minimum(bed, 0.0), 0.0)
    thin = max(1, -(-max(bed.shape) // most_frame_points))
    frames, series, seconds = [_frame(state[0], bed, thin)], [], []
    first = None
    for segment in range(segments):
        began = time.perf_counter()
        (state, peak), recorded = engine.ready(program(state, peak, bed, dx, dy, setting.dt))
        seconds.append(time.perf_counter() - began)
        series.append(np.asarray(recorded))
        frames.append(_frame(np.asarray(state[0]), bed, thin))
        if first is None:
            first = tuple(np.asarray(a) for a in state)
        if done is not None:
            done(segment + 1)
    later = float(np.median(seconds[1:])) if segments > 1 else seconds[0]
    assert first is not None
    return Run(
        state=(np.asarray(state[0]), np.asarray(state[1]), np.asarray(state[2])),
        first=(first[0], first[1], first[2]),
        peak=np.asarray(peak),
        series=np.concatenate(series),
        frames=frames,
        compile_seconds=max(seconds[0] - later, 0.0),
        step_seconds=later / (steps // segments),
    )


def _frame(h: Floats, bed: Floats, thin: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    surface = np.where(h > 0.01, h + bed, np.nan)[::thin, ::thin]
    return np.asarray(surface, dtype=np.float32)
