"""The command: forward, pictures, backward, table."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tracejit.tools.demo.animation import animate
from tracejit.tools.demo.elevation import Elevation, ElevationError, built_in, from_file, refine
from tracejit.tools.demo.engines import Engine, jax_engine, numpy_engine, tracejit_engine
from tracejit.tools.demo.figures import draw_peak
from tracejit.tools.demo.inversion import Recovery, recover, wrong_guess
from tracejit.tools.demo.progress import Progress
from tracejit.tools.demo.simulation import Run, Setting, Source, initial_state, run
from tracejit.tools.demo.source import best_place

__all__ = ["add_arguments", "demo"]

SEGMENTS = 60
EPICENTRE = (-125.45, 48.42)
SMALLEST_SIZE, LARGEST_SIZE = 16, 4096
NOISE = 0.01


class DemoError(ValueError):
    """The demonstration cannot run as asked; the message is one line that says why."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table of times."""

    name: str
    compile_seconds: float | None
    step_seconds: float
    difference: float | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument(
        "--elevation",
        metavar="FILE",
        type=Path,
        help=".npy or .npz grid in metres, negative under the sea (default: Vancouver Island)",
    )
    parser.add_argument(
        "--spacing",
        metavar="M",
        type=float,
        default=1_000.0,
        help="metres between points of a FILE without axes (default: 1000)",
    )
    parser.add_argument(
        "--size",
        metavar="N",
        type=int,
        default=256,
        help="cells along the longer side (default: 256)",
    )
    parser.add_argument(
        "--steps", metavar="N", type=int, help="time steps (default: enough to cross the sea)"
    )
    parser.add_argument(
        "--source", choices=("hump", "dipole"), default="hump", help="what lifts the sea"
    )
    parser.add_argument(
        "--border", choices=("open", "reflecting"), default="open", help="what waves meet there"
    )
    parser.add_argument(
        "--inversion-size",
        metavar="N",
        type=int,
        default=64,
        help="cells along the longer side when looking for the source (default: 64)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("tsunami"),
        help="folder for tsunami.png and tsunami.gif (default: tsunami)",
    )
    parser.add_argument("--threads", metavar="N", type=int, help="threads of tracejit")


def demo(options: argparse.Namespace) -> int:
    """Run the demonstration.

    Parameters
    ----------
    options : argparse.Namespace
        The options that `add_arguments` declares.

    Returns
    -------
    int
        0, or 2 after one line on standard error if the input is bad.
    """
    try:
        _check(options)
        given = (
            built_in()
            if options.elevation is None
            else from_file(options.elevation, options.spacing)
        )
        options.out.mkdir(parents=True, exist_ok=True)
    except (ElevationError, DemoError) as error:
        print(f"tracejit demo: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"tracejit demo: --out {options.out}: {error.strerror}", file=sys.stderr)
        return 2
    _demonstrate(options, given)
    return 0


def _check(options: argparse.Namespace) -> None:
    missing = [n for n in ("matplotlib", "PIL") if importlib.util.find_spec(n) is None]
    if missing:
        raise DemoError(f'{" and ".join(missing)} missing: pip install "tracejit[demo]"')
    for name in ("size", "inversion_size"):
        value = getattr(options, name)
        if not SMALLEST_SIZE <= value <= LARGEST_SIZE:
            raise DemoError(
                f"--{name.replace('_', '-')} must be {SMALLEST_SIZE} to {LARGEST_SIZE}; got {value}"
            )
    if options.steps is not None and options.steps < 1:
        raise DemoError(f"--steps must be at least 1; got {options.steps}")
    if options.threads is not None and options.threads < 1:
        raise DemoError(f"--threads must be at least 1; got {options.threads}")
    if not 0.0 < options.spacing < np.inf:
        raise DemoError(f"--spacing must be a positive number of metres; got {options.spacing}")


def _demonstrate(options: argparse.Namespace, given: Elevation) -> None:
    began = time.perf_counter()
    source = _source(given, options)
    setting = Setting.of(refine(given, options.size), source.amplitude, options.border)
    steps, segments = _steps(setting, options.steps)
    engine = tracejit_engine(options.threads)
    rows, columns = setting.elevation.bed.shape
    print(
        f"{given.name}: {columns} x {rows} cells of {setting.elevation.dx:.0f} m, "
        f"{steps} steps of {setting.dt:.2f} s, {engine.name}"
    )
    bar = Progress("forward ", segments)
    result = run(engine, setting, source, steps, segments, bar.show)
    picture, moving = options.out / "tsunami.png", options.out / "tsunami.gif"
    draw_peak(picture, setting, source, result)
    animate(moving, setting, result)
    _print_table(_rows(engine, setting, source, result, steps // segments))
    _print_mass(setting, source, result, steps // segments)
    _print_recovery(_recovery(options, given, source, engine, setting, steps))
    print(f"wrote {picture} and {moving}; {time.perf_counter() - began:.0f} s in all")


def _source(given: Elevation, options: argparse.Namespace) -> Source:
    """Return the source: off the strait on the built-in grid, over the deepest sea on another."""
    if options.elevation is None:
        x, y = given.metres(*EPICENTRE)
        return Source(x, y, 4.0, 11_000.0, options.source)
    coarse = refine(given, min(64, options.size))
    width = max(0.04 * max(float(given.x[-1]), float(given.y[-1])), 2.5 * coarse.dx)
    x, y = best_place(coarse, width)
    near = float(-coarse.bed[round(y / coarse.dy), round(x / coarse.dx)])
    return Source(x, y, min(4.0, 0.2 * max(near, 0.1)), width, options.source)


def _steps(setting: Setting, asked: int | None) -> tuple[int, int]:
    """Return the number of steps and of segments; a default run lets a wave cross the sea."""
    if asked is None:
        elevation = setting.elevation
        depth = np.maximum(-elevation.bed, 0.0)
        speed = float(np.sqrt(9.81 * depth[depth > 0.0].mean()))
        crossing = 0.6 * float(np.hypot(elevation.x[-1], elevation.y[-1])) / speed
        return SEGMENTS * max(1, round(crossing / setting.dt / SEGMENTS)), SEGMENTS
    segments = max(n for n in range(1, SEGMENTS + 1) if asked % n == 0)
    return asked, segments


def _rows(engine: Engine, setting: Setting, source: Source, result: Run, few: int) -> list[Row]:
    """Time NumPy, and JAX where it is not what ran, over few steps."""
    plain = run(numpy_engine(), setting, source, few)

    def difference(state: Any) -> float:
        pairs = zip(state, plain.first, strict=True)
        return max(float(np.max(np.abs(a - b))) for a, b in pairs)

    rows = [
        Row("NumPy", None, plain.step_seconds, None),
        Row(engine.name, result.compile_seconds, result.step_seconds, difference(result.first)),
    ]
    peer = jax_engine()
    if peer is not None:
        other = run(peer, setting, source, 5 * few, 5)
        rows.append(
            Row(peer.name, other.compile_seconds, other.step_seconds, difference(other.first))
        )
    return rows


def _print_table(rows: list[Row]) -> None:
    base = rows[0].step_seconds
    print()
    print(
        f"{'':10} {'compile':>10} {'time a step':>13} {'NumPy / it':>11} {'largest difference':>20}"
    )
    for row in rows:
        made = "" if row.compile_seconds is None else f"{row.compile_seconds:.2f} s"
        off = "" if row.difference is None else f"{row.difference:.1e}"
        print(
            f"{row.name:10} {made:>10} {1e3 * row.step_seconds:>10.2f} ms "
            f"{base / row.step_seconds:>11.1f} {off:>20}"
        )


def _print_mass(setting: Setting, source: Source, result: Run, few: int) -> None:
    elevation = setting.elevation
    area = elevation.dx * elevation.dy / 1e9
    lifted = initial_state(
        elevation.bed, elevation.x[None, :], elevation.y[:, None],
        source.x, source.y, source.amplitude, source, np,
    )  # fmt: skip
    before, after = float(np.sum(lifted[0])) * area, float(np.sum(result.state[0])) * area
    closed = run(numpy_engine(), dataclasses.replace(setting, border="reflecting"), source, few)
    kept = float(np.sum(closed.state[0])) / float(np.sum(lifted[0])) - 1.0
    left = " (waves leave through the open border)" if setting.border == "open" else ""
    print()
    print(
        f"water before {before:.9f} km^3, after {after:.9f} km^3, {after / before - 1:+.1e}{left}"
    )
    print(f"water between walls, relative change over {few} steps: {kept:+.1e}")


def _recovery(
    options: argparse.Namespace,
    given: Elevation,
    source: Source,
    engine: Engine,
    forward: Setting,
    steps: int,
) -> Recovery:
    """Make records on the coarser grid, add noise, and look for the source."""
    coarse = refine(given, min(options.inversion_size, options.size))
    setting = Setting.of(coarse, source.amplitude, forward.border)
    count = max(20, round(0.45 * steps * forward.dt / setting.dt))
    clean = run(engine, setting, source, count).series
    noise = np.random.default_rng(0).standard_normal(clean.shape)
    records = clean + NOISE * np.abs(clean).max(axis=0) * noise
    rows, columns = coarse.bed.shape
    print()
    print(
        f"looking for the source: {len(setting.gauges)} gauges, {columns} x {rows} cells, "
        f"{count} steps, records with {100 * NOISE:.0f} % noise, gradient by {engine.name}"
    )
    bar = Progress("backward", 3)
    return recover(engine, setting, source, records, wrong_guess(setting, source), bar.show)


def _print_recovery(found: Recovery) -> None:
    print(f"{'':12} {'east (km)':>12} {'north (km)':>12} {'amplitude (m)':>15}")
    for name, at in (
        ("first guess", found.guess),
        ("recovered", found.found),
        ("true", found.true),
    ):
        print(f"{name:12} {at.x / 1e3:>12.3f} {at.y / 1e3:>12.3f} {at.amplitude:>15.4f}")
    print(
        f"{found.iterations} iterations of L-BFGS, {found.evaluations} gradients, misfit "
        f"{found.misfit[0]:.2e} to {found.misfit[1]:.2e}, off by {found.distance:.0f} m"
    )
    print(f"gradient against a central difference: relative error {found.gradient_error:.1e}")
    print()
