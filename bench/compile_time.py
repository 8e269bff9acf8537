"""The first call of a function: tracing, compiling and running it on small arrays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import Timed
from bench.peers import Peer
from bench.programs import RUN, program
from bench.ways import library

__all__ = ["cases"]

Sampler = Callable[[Peer, int], float]
Maker = Callable[[Any], Callable[..., Any]]


def _call(peer: Peer, compiled: Any, function: Any, size: int) -> float:
    """Return the seconds of a call; raise if it is wrong."""
    x, y = np.linspace(-1.0, 1.0, size), np.linspace(0.0, 2.0, size)
    own = peer.array(x), peer.array(y)
    began = time.perf_counter()
    result = peer.ready(compiled(*own))
    taken = time.perf_counter() - began
    np.testing.assert_allclose(peer.host(result), function(x, y), rtol=1e-9, atol=1e-9)
    return taken


def _jitted(peer: Peer, make: Maker) -> Any:
    own = library(peer.name)
    return own.top.jit(make(own.xp))


def _first_call(peer: Peer, make: Maker) -> float:
    return _call(peer, _jitted(peer, make), make(np), 1000)


def _first(operations: int) -> Sampler:
    def sample(peer: Peer, number: int) -> float:
        return _first_call(peer, program(operations, number))

    return sample


def _second_size(operations: int) -> Sampler:
    def sample(peer: Peer, number: int) -> float:
        make = program(operations, 1_000 + number)
        compiled = _jitted(peer, make)
        _call(peer, compiled, make(np), 1000)
        return _call(peer, compiled, make(np), 1001)

    return sample


def _stages(count: int) -> Sampler:
    """A program of so many different reductions, each stored before the next."""

    def sample(peer: Peer, number: int) -> float:
        steps = [program(6, 10_000 * (number + 1) + n) for n in range(count)]

        def make(xp: Any) -> Callable[..., Any]:
            def run(x: Any, y: Any) -> Any:
                for step in steps:
                    x = step(xp)(x, y)
                    x = x - xp.mean(x)
                return x

            return run

        return _first_call(peer, make)

    return sample


def _equal_steps(count: int) -> Sampler:
    """So many equal steps of a stencil, unrolled."""

    def sample(peer: Peer, number: int) -> float:
        c = 0.2 + 1e-9 * (RUN % 1_000_000) + 1e-3 * number

        def make(xp: Any) -> Callable[..., Any]:
            def run(x: Any, y: Any) -> Any:
                for _ in range(count):
                    p = xp.concatenate([x[:1], x, x[-1:]])
                    x = x + c * (p[:-2] - 2.0 * x + p[2:]) + 1e-3 * y
                    x = x - xp.mean(x)
                return x

            return run

        return _first_call(peer, make)

    return sample


def _rolls(count: int) -> Sampler:
    """So many equal steps written with `roll`, unrolled: nothing but fusion bounds the work."""

    def sample(peer: Peer, number: int) -> float:
        c = 0.2 + 1e-9 * (RUN % 1_000_000) + 1e-3 * number

        def make(xp: Any) -> Callable[..., Any]:
            def run(x: Any, y: Any) -> Any:
                for _ in range(count):
                    x = x + c * (xp.roll(x, 1) - 2.0 * x + xp.roll(x, -1)) + 1e-3 * y
                return x

            return run

        return _first_call(peer, make)

    return sample


def _sizes(operations: int) -> Sampler:
    """The second to the twentieth size of a program, a call of each."""

    def sample(peer: Peer, number: int) -> float:
        make = program(operations, 2_000 + number)
        compiled = _jitted(peer, make)
        _call(peer, compiled, make(np), 1000)
        return sum(_call(peer, compiled, make(np), 1000 + n) for n in range(1, 20)) / 19

    return sample


_IMPORTS = {
    "tracejit": "import tracejit; import tracejit.numpy as xp; jit = tracejit.jit",
    "jax": (
        "import jax; import jax.numpy as xp; jit = jax.jit; "
        "jax.config.update('jax_enable_x64', True); "
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0); "
        "jax.config.update('jax_persistent_cache_min_entry_size_bytes', 0)"
    ),
}
_SECOND = """
import sys, time
import numpy as np
{imports}
sys.path.insert(0, {root!r})
from bench import programs
programs.RUN = {run}
make = programs.program({operations}, {number})
x, y = np.linspace(-1.0, 1.0, 1000), np.linspace(0.0, 2.0, 1000)
np.asarray(jit(lambda x: x + 1)(x))
function = jit(make(xp))
began = time.perf_counter()
np.asarray(function(x, y))
print(time.perf_counter() - began)
"""


def _second_process(operations: int) -> Sampler:
    """The first call in a process whose predecessor has left what it compiled on disk."""

    def sample(peer: Peer, number: int) -> float:
        code = _SECOND.format(
            imports=_IMPORTS[peer.name],
            root=str(Path(__file__).parents[1]),
            run=RUN,
            operations=operations,
            number=3_000 + number,
        )
        with tempfile.TemporaryDirectory() as folder:
            env = {**os.environ, "TRACEJIT_CACHE_DIR": folder, "JAX_COMPILATION_CACHE_DIR": folder}
            for _ in range(2):
                done = subprocess.run(
                    [sys.executable, "-c", code], env=env, capture_output=True, text=True,
                    check=True,
                )  # fmt: skip
        return float(done.stdout)

    return sample


def cases(quick: bool) -> list[Timed]:
    """Return the rows."""
    rows = []
    equal = 100 if quick else 500
    long: list[tuple[str, str, Sampler, int]] = [
        ("first call", "50 kernels", _stages(50), 3),
        ("first call", f"{equal} equal", _equal_steps(equal), 3),
        ("2nd to 20th size", "200 ops", _sizes(200), 3),
        ("a second process", "200 ops", _second_process(200), 3),
    ]
    for count in (20, 100) if quick else (160, 500):
        sampler = _rolls(count)
        samplers = {"tracejit": sampler, "jax": sampler}
        if count in (100, 500):
            del samplers["jax"]  # which takes 6 s for 20 and 41 s for 160
        rows.append(Timed("first call", f"{count} rolls", "float64", samplers, 1))
    for name, size, sampler, count in long:
        samplers = {"tracejit": sampler, "jax": sampler}
        rows.append(Timed(name, size, "float64", samplers, count))
    for operations in (20, 200) if quick else (20, 200, 2000):
        rounds = 3 if operations > 200 else None
        for name, sampler in (
            ("first call", _first(operations)),
            ("a second size", _second_size(operations)),
        ):
            samplers = {"tracejit": sampler, "jax": sampler}
            rows.append(Timed(name, f"{operations} ops", "float64", samplers, rounds))
    return rows
