"""The demonstration's numerics against what is known of shallow water; its answers to bad input.

The physics is tested on NumPy, and tracejit against NumPy: the functions are the same.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracejit.tools.cli import main
from tracejit.tools.demo import run as command
from tracejit.tools.demo.elevation import Elevation, ElevationError, built_in, from_file, refine
from tracejit.tools.demo.engines import numpy_engine, tracejit_engine
from tracejit.tools.demo.inversion import gradient_check, misfit, recover, wrong_guess
from tracejit.tools.demo.progress import Progress
from tracejit.tools.demo.shallow_water import GRAVITY, stable_step, step, still_water
from tracejit.tools.demo.simulation import Setting, Source, place_gauges, run
from tracejit.tools.demo.source import best_place, uplift

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

State = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def island() -> Elevation:
    return refine(built_in(), 64)


def _source(island: Elevation) -> Source:
    x, y = island.metres(-125.45, 48.42)
    return Source(x, y, 4.0, 12_000.0)


def _steps(state: State, bed: Any, d: float, dt: float, count: int, **how: Any) -> State:
    for _ in range(count):
        state = step(state, bed, d, d, dt, np, **how)
    return state


def _rough(rows: int, columns: int) -> tuple[State, Any]:
    """A rough bed, half of it dry, under a lumpy sea with currents."""
    random = np.random.default_rng(1)
    bed = random.uniform(-3.0, 3.0, (rows, columns))
    h = np.maximum(random.uniform(-0.5, 1.5, bed.shape) - bed, 0.0)
    wet = h > 0.0
    return (h, *(wet * h * random.uniform(-1.0, 1.0, bed.shape) for _ in range(2))), bed


@pytest.mark.parametrize("border", ["open", "reflecting"])
@pytest.mark.parametrize("order", [1, 2])
def test_lake_at_rest_stays_at_rest(island: Elevation, border: str, order: int) -> None:
    bed = island.bed
    assert 0.2 < np.mean(bed < 0.0) < 0.8
    state = still_water(bed, np)
    dt = stable_step(state[0], island.dx, island.dy)
    new = state
    for _ in range(40):
        new = step(new, bed, island.dx, island.dy, dt, np, border=border, order=order)  # type: ignore[arg-type]
    assert np.abs(new[0] - state[0]).max() < 1e-10  # of 1437 m
    assert max(np.abs(new[1]).max(), np.abs(new[2]).max()) < 1e-8
    assert not new[0][bed >= 0.0].any()


@pytest.mark.parametrize("order", [1, 2])
def test_walls_keep_the_water(order: int) -> None:
    state, bed = _rough(23, 31)
    new = _steps(state, bed, 10.0, 0.4, 200, border="reflecting", order=order)
    assert np.abs(new[0] - state[0]).max() > 0.1
    assert math.isclose(new[0].sum(), state[0].sum(), rel_tol=1e-13)


@pytest.mark.parametrize("border", ["open", "reflecting"])
def test_depth_never_negative(border: str) -> None:
    state, bed = _rough(23, 31)
    for _ in range(200):
        state = step(state, bed, 10.0, 10.0, 0.4, np, border=border)  # type: ignore[arg-type]
        assert state[0].min() >= 0.0
    assert np.isfinite(state).all()


def test_runs_up_dry_land_and_stays_positive(island: Elevation) -> None:
    source = _source(island)
    setting = Setting.of(island, source.amplitude)
    out = run(numpy_engine(), setting, source, 300)
    assert out.state[0].min() >= 0.0
    assert np.isfinite(out.state).all()
    assert out.peak[island.bed >= 0.0].max() > 0.0
    assert np.array_equal(out.series[-1], [_surface(out.state, island, g) for g in setting.gauges])
    assert (np.abs(out.series).max(axis=0)[:4] > 0.05).all()


def _surface(state: State, island: Elevation, gauge: Any) -> float:
    return float(state[0][gauge.row, gauge.column] + island.bed[gauge.row, gauge.column])


def test_waves_leave_through_an_open_border() -> None:
    bed = np.full((40, 50), -100.0)
    x = np.arange(50.0) * 1e3
    sea = Elevation(bed, x, x[:40], "flat")
    setting = Setting.of(sea, 1.0)
    source = Source(25e3, 20e3, 1.0, 3e3)
    heights = {
        border: np.abs(
            run(numpy_engine(), _with(setting, border), source, 400).state[0] - 100.0
        ).max()
        for border in ("open", "reflecting")
    }
    assert heights["open"] < 0.02
    assert heights["open"] < 0.2 * heights["reflecting"]


def _with(setting: Setting, border: Any) -> Setting:
    return Setting(setting.elevation, setting.gauges, setting.dt, border, setting.order)


def _ritter(x: Any, t: float, left: float) -> Any:
    """Depth of a dam break onto dry ground (Ritter 1892)."""
    c = math.sqrt(GRAVITY * left)
    fan = np.clip((2.0 * c - x / t) / 3.0, 0.0, c) ** 2 / GRAVITY
    return np.where(x < -c * t, left, fan)


def _stoker(x: Any, t: float, left: float, right: float) -> Any:
    """Depth of a dam break into shallower water (Stoker 1957), the middle found by bisection."""
    c = math.sqrt(GRAVITY * left)

    def excess(h: float) -> float:
        behind = 2.0 * (c - math.sqrt(GRAVITY * h))
        ahead = (h - right) * math.sqrt(0.5 * GRAVITY * (h + right) / (h * right))
        return behind - ahead

    low, high = right, left
    for _ in range(80):
        h = 0.5 * (low + high)
        low, high = (h, high) if excess(h) > 0.0 else (low, h)
    u = 2.0 * (c - math.sqrt(GRAVITY * h))
    shock = h * u / (h - right)
    fan = np.clip((2.0 * c - x / t) / 3.0, math.sqrt(GRAVITY * h), c) ** 2 / GRAVITY
    return np.where(x < shock * t, fan, right)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("right", [0.0, 0.3])
def test_dam_break(axis: int, right: float) -> None:
    def error(cells: int, order: int) -> float:
        d = 20.0 / cells
        x = d * (np.arange(cells) + 0.5) - 10.0
        line = np.where(x < 0.0, 1.0, right)
        h = np.repeat(line[None, :], 3, axis=0)
        h = h.T.copy() if axis == 0 else h
        nothing = np.zeros_like(h)
        count = math.ceil(2.0 / (0.08 * d))
        state: State = (h, nothing, nothing)
        how = {"border": "reflecting", "drag": 0.0, "order": order}
        state = _steps(state, nothing - 0.0, d, 2.0 / count, count, **how)
        got = state[0].T[1] if axis == 0 else state[0][1]
        exact = _ritter(x, 2.0, 1.0) if right == 0.0 else _stoker(x, 2.0, 1.0, right)
        return float(np.abs(got - exact).mean())

    coarse, fine, first = error(100, 2), error(200, 2), error(200, 1)
    assert coarse < 0.012
    assert fine < 0.62 * coarse
    assert fine < 0.6 * first


def test_a_small_wave_moves_at_the_speed_of_long_waves() -> None:
    cells, depth = 400, 50.0
    x = 100.0 * np.arange(cells)
    c = math.sqrt(GRAVITY * depth)
    bump = lambda at: 1e-3 * np.exp(-0.5 * ((x - at) / 1_500.0) ** 2)
    h = np.repeat((depth + bump(10e3))[None], 3, axis=0)
    state: State = (h, c * (h - depth), np.zeros_like(h))
    bed = np.full_like(h, -depth)
    state = _steps(state, bed, 100.0, 2.0, 400, border="reflecting", drag=0.0)
    wave = state[0][1] - depth
    assert np.abs(wave - bump(10e3 + 800.0 * c)).max() < 6e-5  # the limiter clips the crest
    assert abs(wave @ x / wave.sum() - 10e3 - 800.0 * c) < 5.0


def test_first_order_is_upwind() -> None:
    """At Courant number 1 a small wave to the east moves one cell a step, unchanged."""
    cells, depth = 60, 50.0
    c = math.sqrt(GRAVITY * depth)
    lift = np.zeros((3, cells))
    lift[:, 20:30] = 1e-7 * np.random.default_rng(0).uniform(0.0, 1.0, 10)
    state: State = (depth + lift, c * lift, np.zeros_like(lift))
    bed = np.full_like(lift, -depth)
    new = _steps(state, bed, 100.0, 100.0 / c, 9, border="reflecting", order=1, drag=0.0)
    np.testing.assert_allclose(new[0] - depth, np.roll(lift, 9, axis=1), atol=1e-12)


def test_symmetry() -> None:
    """Turning or mirroring the problem turns or mirrors the answer."""
    state, bed = _rough(17, 29)
    new = _steps(state, bed, 10.0, 0.4, 30)
    h, hu, hv = state

    got = _steps((h.T, hv.T, hu.T), bed.T, 10.0, 0.4, 30)
    for a, b in zip(got, (new[0].T, new[2].T, new[1].T), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)

    got = _steps((h[:, ::-1], -hu[:, ::-1], hv[:, ::-1]), bed[:, ::-1], 10.0, 0.4, 30)
    for a, b in zip(got, (new[0], -new[1], new[2]), strict=True):
        np.testing.assert_allclose(a[:, ::-1], b, atol=1e-11)


def test_sources() -> None:
    x = np.linspace(-60e3, 60e3, 241)
    hump = uplift(x[None], x[:, None], 0.0, 0.0, 2.0, 8e3, np)
    assert hump.max() == hump[120, 120] == 2.0
    dipole = uplift(x[None], x[:, None], 0.0, 0.0, 2.0, 8e3, np, "dipole")
    np.testing.assert_allclose([dipole.max(), dipole.min()], [2.0, -2.0], rtol=2e-3)
    assert abs(dipole.sum()) < 1e-9 * np.abs(dipole).sum()


def test_misfit_is_least_at_the_truth_and_its_slope_checks(island: Elevation) -> None:
    source = _source(island)
    setting = Setting.of(island, source.amplitude)
    records = run(numpy_engine(), setting, source, 60).series
    f = misfit(numpy_engine(), setting, 60, source)
    value = lambda p: float(f(p, island.bed, records, np.eye(60)))
    truth = np.array([source.x / 20e3, source.y / 20e3, 1.0])
    assert value(truth) < 1e-25
    assert all(value(truth + e) > 1e-4 for e in 0.1 * np.eye(3))
    guess = wrong_guess(setting, source)
    assert math.isclose(math.hypot(guess.x - source.x, guess.y - source.y), 45e3)
    slope = np.array([2.0, 0.0, 1.0])
    assert gradient_check(lambda p: float(slope @ p), slope, truth) < 1e-9
    assert gradient_check(lambda p: float(slope @ p), 1.1 * slope, truth) > 0.05


def test_tracejit_does_what_numpy_does(island: Elevation) -> None:
    source = _source(island)
    setting = Setting.of(island, source.amplitude)
    plain = run(numpy_engine(), setting, source, 20)
    fast = run(tracejit_engine(), setting, source, 20, 2)
    assert all(np.abs(a - b).max() < 1e-9 for a, b in zip(fast.state, plain.state, strict=True))
    assert np.abs(fast.peak - plain.peak).max() < 1e-9
    assert np.abs(fast.series - plain.series).max() < 1e-9
    assert len(fast.frames) == 3


def test_source_is_recovered() -> None:
    coarse = refine(built_in(), 32)
    source = _source(coarse)
    setting = Setting.of(coarse, source.amplitude)
    engine = tracejit_engine()
    records = run(engine, setting, source, 80).series
    guess = wrong_guess(setting, source)
    found = recover(engine, setting, source, records, guess)
    assert found.distance < 20.0
    assert abs(found.found.amplitude - source.amplitude) < 0.01
    assert found.gradient_error < 1e-5
    assert found.misfit[1] < 1e-5 * found.misfit[0]


def test_refined_bed_stays_between_its_neighbours() -> None:
    given = built_in()
    assert given.bed.shape == (91, 120)
    fine = refine(given, 256)
    assert fine.bed.shape == (194, 256)
    assert abs(fine.dx / fine.dy - 1.0) < 0.01
    assert fine.bed.min() >= given.bed.min()
    assert fine.bed.max() <= given.bed.max()
    np.testing.assert_allclose(fine.metres(*fine.degrees(3e4, 5e4)), (3e4, 5e4))  # type: ignore[misc]


def test_gauges_lie_in_the_sea(island: Elevation) -> None:
    towns = place_gauges(island)
    plain = Elevation(island.bed, island.x, island.y, "no longitudes")
    spread = place_gauges(plain)
    assert [g.name for g in towns][:2] == ["Tofino", "Bamfield"]
    assert len({(g.row, g.column) for g in spread}) == 6
    assert all(island.bed[g.row, g.column] <= -8.0 for g in (*towns, *spread))
    x, y = best_place(plain, 15e3)
    assert island.bed[round(y / island.dy), round(x / island.dx)] < -100.0


def test_progress_is_quiet_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress("forward", 60)
    for done in range(1, 61):
        bar.show(done)
    assert len(capsys.readouterr().err.splitlines()) == 2


GOOD = np.linspace(-50.0, 20.0, 30 * 20).reshape(20, 30)


def _holed() -> Any:
    bed = GOOD.copy()
    bed[3, 4] = np.nan
    return bed


@pytest.mark.parametrize(
    ("bed", "said"),
    [
        (GOOD[0], "2-D"),
        (GOOD[None], "2-D"),
        (_holed(), "1 of 600 elevations are NaN"),
        (np.full((20, 30), "deep"), "real numbers"),
        (GOOD + 1j, "real numbers"),
        (np.array([[1, None]], dtype=object), "not a .npy"),
        (GOOD[:3], "at least 8 x 8"),
        (GOOD + 100.0, "no sea"),
    ],
)
def test_bad_grid_is_one_line_and_code_2(
    bed: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bed.npy"
    np.save(file, bed)
    _refused(["--elevation", str(file)], said, capsys)


def _refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *arguments]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert said in out.err
    assert len(out.err.splitlines()) == 1


def test_bad_file_is_one_line_and_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _refused(["--elevation", str(tmp_path / "none.npy")], "no such file", capsys)
    _refused(["--elevation", str(tmp_path)], "directory", capsys)
    for name, text in (("a.npy", b"east north 12"), ("b.npz", b"PK\x03\x04 no"), ("c.npz", b"")):
        (tmp_path / name).write_bytes(text)
        _refused(["--elevation", str(tmp_path / name)], "not a .npy or .npz", capsys)
    np.savez(tmp_path / "two.npz", a=GOOD, b=GOOD)
    _refused(["--elevation", str(tmp_path / "two.npz")], "['a', 'b']", capsys)
    np.savez(tmp_path / "axes.npz", elevation=GOOD, lon=np.zeros(30), lat=np.arange(20))
    _refused(["--elevation", str(tmp_path / "axes.npz")], "'lon' must rise or fall", capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "3"], "--size must be 16 to 4096; got 3"),
        (["--inversion-size", "9999"], "--inversion-size"),
        (["--steps", "0"], "--steps"),
        (["--threads", "0"], "--threads"),
        (["--spacing", "nan"], "--spacing"),
    ],
)
def test_bad_option_is_one_line_and_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _refused(arguments, said, capsys)


def test_out_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("")
    _refused(["--out", str(tmp_path / "taken")], "--out", capsys)


def test_missing_matplotlib_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    _refused([], 'pip install "tracejit[demo]"', capsys)


def test_own_grid_with_axes_is_turned_north_up(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "own.npz", bed=GOOD[::-1], lon=np.linspace(10, 11, 30), lat=np.linspace(5, 4, 20)
    )
    own = from_file(tmp_path / "own.npz")
    np.testing.assert_array_equal(own.bed, GOOD)
    assert own.degrees(0.0, 0.0) == (10.0, 4.0)
    np.save(tmp_path / "plain.npy", GOOD.astype(np.float32))
    plain = from_file(tmp_path / "plain.npy", spacing=250.0)
    assert (plain.dx, plain.dy, plain.bed.dtype) == (250.0, 250.0, np.float64)
    with pytest.raises(ElevationError):
        from_file(tmp_path / "other.npy")


def test_pictures_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    np.save(tmp_path / "own.npy", GOOD)
    monkeypatch.setattr(command, "jax_engine", lambda: None)
    arguments = ["--elevation", str(tmp_path / "own.npy"), "--size", "24", "--steps", "12"]
    assert main(["demo", *arguments, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "own.npy: 24 x 16 cells" in said
    assert all(word in said for word in ("NumPy", "tracejit", "water before", "recovered", "true"))
    with Image.open(tmp_path / "out" / "tsunami.png") as still:
        assert still.format == "PNG"
    with Image.open(tmp_path / "out" / "tsunami.gif") as moving:
        assert (moving.format, moving.n_frames) == ("GIF", 13)  # type: ignore[attr-defined]


def test_command_needs_a_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert parser.parse_args([]).size == 256
    assert "usage" in capsys.readouterr().err
