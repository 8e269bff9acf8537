"""Settings: scopes, the environment, threads, and the operation that made a NaN."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import grad, jit, lax, settings, vmap
from tracejit.core.errors import NanError
from tracejit.core.settings import current_settings
from tracejit.runtime.backends import get_backend

X = np.array([1.0, -2.0, 3.0])


def threads() -> Any:
    return get_backend("llvm").pool.threads  # type: ignore[attr-defined]


def test_scopes() -> None:
    usual = current_settings()
    with settings(num_threads=3) as outer:
        assert outer.num_threads == current_settings().num_threads == threads() == 3
        with settings(debug_nans=True, num_threads=1) as inner:
            assert (inner.num_threads, inner.debug_nans, threads()) == (1, True, 1)
        tracejit.set_num_threads(2)
        assert current_settings().num_threads == threads() == 2
    assert current_settings() == usual
    assert threads() == usual.num_threads
    with pytest.raises(ValueError, match="num_threads must be at least 1; got 0"):
        settings(num_threads=0)

    @settings(num_threads=5)
    def inside(depth: int) -> Any:
        return (inside(depth - 1), threads()) if depth else threads()

    assert inside(1) == (5, 5)
    assert threads() == usual.num_threads


def test_where_compiled_code_is_kept(tmp_path: Path) -> None:
    def run(number: float) -> None:  # what no other test compiles
        jit(lambda x: tnp.sin(tnp.cos(x) ** 3 - number) / (x + number) ** 7)(X)

    usual = current_settings().cache_dir
    with settings(cache_dir=tmp_path / "a"):
        with settings(cache_dir=""):
            jit(lambda x: tnp.arctan2(tnp.cosh(x) ** 5, x - x**9))(X)
        assert not (tmp_path / "a").exists()
        run(0.25)
        assert current_settings().cache_dir == str(tmp_path / "a")
    kept = list((tmp_path / "a").iterdir())
    assert kept
    assert current_settings().cache_dir == usual
    with settings(num_threads=1):
        jit(lambda x: tnp.tanh(x**11 - tnp.sinh(x)))(X)
    assert list((tmp_path / "a").iterdir()) == kept


def test_an_operation_that_makes_a_nan() -> None:
    with settings(debug_nans=True):
        tnp.log(abs(X))
        wanted = r"(?s)log: its result f64\[3\] has a NaN \(first at \[1\]\), .* its operands: "
        with pytest.raises(NanError, match=wanted + "f64.* from -2 to 3.*test_settings") as caught:
            tnp.log(X)
        assert isinstance(caught.value, FloatingPointError)
        for _ in range(50):  # repeated operations become native calls
            tnp.array(X) + 1.0
        with pytest.raises(NanError, match=r"^sub"):
            tnp.array([np.inf]) - np.inf
        tnp.array([np.nan]) + 1.0  # nobody made this one here
        with settings(debug_nans=False):
            assert np.isnan(tnp.log(X)[1])
    assert np.isnan(tnp.log(X)[1])


def root(x: Any) -> Any:
    y = x - 1.0
    return tnp.sqrt(y) * 2.0  # the line


def looped(x: Any) -> Any:
    return lax.fori_loop(0, 5, lambda i, x: tnp.sqrt(x - 1.0), x)  # the line


def whiled(x: Any) -> Any:
    body = lambda s: (s[0] + 1, tnp.sqrt(s[1] - 1.0))  # the line
    return lax.while_loop(lambda s: s[0] < 5, body, (0, x))[1]


def scanned(x: Any) -> Any:
    step = lambda c, row: (c, tnp.sqrt(row - c))  # the line
    return lax.scan(step, 1.0, x, reverse=True)[1]


def branched(x: Any) -> Any:
    return lax.cond(tnp.sum(x) > 0, lambda x: tnp.sqrt(x), lambda x: x, x)  # the line


@pytest.mark.parametrize("f", [root, looped, whiled, scanned, branched])
@pytest.mark.parametrize("around", [
    lambda f: f, jit, lambda f: jit(jit(f)), lambda f: vmap(lambda x: f(x[None])[0]),
    lambda f: jit(lambda x: vmap(f, 0, 0)(x[None])),
])  # fmt: skip
def test_the_line_within_what_is_compiled(f: Any, around: Any) -> None:
    compiled = around(f)
    compiled(X)
    with settings(debug_nans=True):
        with pytest.raises(NanError, match=r"(?s)^sqrt: .*# the line"):
            compiled(X)
        if f is not whiled and f is not looped:
            assert not np.isnan(compiled(abs(X))).any()
    if f is not branched:  # under vmap each lane takes its own branch
        assert np.isnan(compiled(X)).any()


def test_gradients() -> None:
    def f(x: Any) -> Any:
        return tnp.sum(tnp.where(x > 0, x * tnp.log(x), 0.0))

    x = np.array([0.0, 1.0])
    for around in (jit(grad(f)), jit(f)):
        with settings(debug_nans=True):
            if around(np.ones(2)).shape:
                with pytest.raises(NanError, match=r"(?s)^mul: .*test_settings.py"):
                    around(x)
            else:
                assert float(around(x)) == 0.0  # the NaN within is not returned
    with settings(debug_nans=True), pytest.raises(NanError):
        grad(f)(x)


def test_the_environment() -> None:
    code = """
import tracejit, tracejit.numpy as tnp
from tracejit.core.settings import current_settings
print(current_settings())
try:
    tracejit.jit(tnp.log)(tnp.array(-1.0))
except FloatingPointError as error:
    print(str(error)[:3])
"""
    for value, wanted in (("1", True), ("0", False)):
        environment = {
            **os.environ, "TRACEJIT_DEBUG_NANS": value, "TRACEJIT_NUM_THREADS": "3",
            "TRACEJIT_CACHE_DIR": "",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert done.stdout.startswith(f"Settings(num_threads=3, debug_nans={wanted}, ")
        assert "cache_dir=''" in done.stdout
        assert done.stdout.endswith("log\n") == wanted


def test_each_compilation_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def logged(x: Any) -> Any:
        return tnp.cos(x) * 3.125 + x

    run = jit(logged)
    with tracejit.log_compiles():
        run(X)
        run(X)
        run(tnp.ones(4))
    run(tnp.ones(5))
    found = [r.getMessage() for r in caplog.records if r.name == "tracejit"]
    assert found == [f"compiling logged(f64[{n}]) for cpu:0" for n in (3, 4)]


def test_dtypes_may_not_meet_when_strict() -> None:
    add = jit(lambda x, y: x + y)
    x, n = tnp.ones(3), tnp.arange(3)
    assert add(x, n).dtype == np.float64
    with tracejit.numpy_dtype_promotion("strict"):
        for f in (add, lambda x, y: x * y, tnp.maximum):
            with pytest.raises(TypeError, match=r'float64 and int64.*"strict": convert'):
                f(x, n)
            np.testing.assert_array_equal(f(x, x), f(np.asarray(x), np.asarray(x)))
        assert (2 * x + 1.5).dtype == np.float64
        with tracejit.numpy_dtype_promotion("standard"):
            assert (x + n).dtype == np.float64
    assert (x + n).dtype == np.float64
    with pytest.raises(ValueError, match="standard, strict; got 'lax'"):
        tracejit.numpy_dtype_promotion("lax")


def test_ranks_may_not_meet_when_told() -> None:
    add = jit(lambda x, y: x + y)
    m, v = tnp.ones((2, 3)), tnp.ones(3)
    assert add(m, v).shape == (2, 3)
    with tracejit.numpy_rank_promotion("raise"):
        for f in (add, lambda x, y: x * y, tnp.arctan2):
            with pytest.raises(ValueError, match=r"different ranks: .*add axes"):
                f(m, v)
            assert f(m, v[None]).shape == (2, 3)
        assert (m + 1).shape == (2, 3)
        assert (m + tnp.asarray(1.0)).shape == (2, 3)
    with (
        tracejit.numpy_rank_promotion("warn"),
        pytest.warns(UserWarning, match="different ranks"),
    ):
        m + v
