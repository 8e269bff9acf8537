"""What does not depend on sizes: the way into a call, and the first call of a function."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import tiny
from bench.cuda import libraries
from bench.cuda.rows import Aim, DeviceCase, DeviceTimed, Ways
from bench.peers import Peer
from bench.programs import program

__all__ = ["cases"]

Function = Callable[..., Any]


def _compiled(function: Function) -> Ways:
    return {
        "reference": lambda: function,
        "tracejit": lambda: libraries.tracejit_jit(function),
        "jax": lambda: libraries.jax_jit(function),
        "torch": lambda: function,
        "torch.compile": lambda: libraries.torch_compiled(function),
        "cupy": lambda: function,
    }


def _eager(function: Function) -> Ways:
    return {name: lambda: function for name in ("reference", "tracejit", "jax", "torch", "cupy")}


def _waited(ways: Ways) -> Ways:
    """Return ways that wait for each result before the next call."""

    def wait(name: str) -> Callable[[], Function]:
        def build() -> Function:
            function, ready = ways[name](), libraries.load(name).ready
            return lambda *arguments: ready(function(*arguments))

        return build

    return {name: wait(name) for name in ways if name != "reference"} | {
        "reference": ways["reference"]
    }


def _compiler(peer: Peer) -> tuple[Function, Any]:
    if peer.name == "tracejit":
        return libraries.tracejit_jit, libraries.tracejit_names()
    if peer.name == "jax":
        return libraries.jax_jit, libraries.jax_names()
    return libraries.torch_compiled, libraries.torch_names()


def _call(peer: Peer, compiled: Function, function: Function, size: int) -> float:
    """Return the seconds of a call; raise if it is wrong."""
    x, y = np.linspace(-1.0, 1.0, size), np.linspace(0.0, 2.0, size)
    own = peer.ready(peer.array(x)), peer.ready(peer.array(y))
    began = time.perf_counter()
    result = peer.ready(compiled(*own))
    taken = time.perf_counter() - began
    found = libraries.to_numpy(peer.host(result))
    np.testing.assert_allclose(found, function(x, y), rtol=1e-9, atol=1e-9)
    return taken


def _first_call(operations: int) -> Callable[[Peer, int], float]:
    def sample(peer: Peer, number: int) -> float:
        make = program(operations, number)
        compile_, names = _compiler(peer)
        return _call(peer, compile_(make(names)), make(np), 1000)

    return sample


def _second_size(operations: int, counted: dict[str, float]) -> Callable[[Peer, int], float]:
    def sample(peer: Peer, number: int) -> float:
        make = program(operations, 1_000 + number)
        compile_, names = _compiler(peer)
        compiled = compile_(make(names))
        _call(peer, compiled, make(np), 1000)
        before = _kernels_compiled(peer)
        taken = _call(peer, compiled, make(np), 1001)
        new = _kernels_compiled(peer) - before
        counted["compiled"] = max(counted.get("compiled", 0), new)
        return taken

    return sample


def _kernels_compiled(peer: Peer) -> int:
    if peer.name != "tracejit":
        return 0
    import tracejit

    return tracejit.counters()["compiled"]


def cases(quick: bool) -> list[DeviceCase | DeviceTimed]:
    """Return the rows."""
    no_slower = (Aim("jax", 1.0),)
    rows: list[DeviceCase | DeviceTimed] = [
        DeviceCase(name, "8", "float64", arguments, ways, 1e-14, aims=no_slower)
        for name, arguments, ways in (
            ("call, 1 array", _vectors(1), _compiled(tiny.one_array)),
            ("call, 5 arrays", _vectors(5), _compiled(tiny.five_arrays)),
            ("call, dict of 10", _dictionary, _compiled(tiny.dictionary)),
            ("call and wait, 1 array", _vectors(1), _waited(_compiled(tiny.one_array))),
            ("eager x + y", _vectors(2), _eager(lambda x, y: x + y)),
        )
    ]
    for operations in (20, 200):
        rounds = 1 if quick else 5
        first = _first_call(operations)
        samplers = dict.fromkeys(("tracejit", "jax", "torch.compile"), first)
        rows.append(
            DeviceTimed(
                "first call", f"{operations} ops", "float64", samplers, rounds,
                aims=(Aim("jax", 3.0),),
            )
        )  # fmt: skip
        counted: dict[str, float] = {}
        second = _second_size(operations, counted)
        rows.append(
            DeviceTimed(
                "a second size", f"{operations} ops", "float64",
                dict.fromkeys(("tracejit", "jax"), second), rounds,
                aims=(Aim("compiled", 0),), counted=counted,
            )
        )  # fmt: skip
    return rows


def _vectors(count: int) -> Callable[[], tuple[Any, ...]]:
    return lambda: tuple(np.random.default_rng(0).standard_normal((count, 8)))


def _dictionary() -> tuple[Any, ...]:
    values = np.random.default_rng(0).standard_normal((10, 8))
    return ({f"p{i}": value for i, value in enumerate(values)},)
