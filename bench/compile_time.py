"""The first call of a function: tracing, compiling and running it on small arrays."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.harness import Timed
from bench.peers import Peer
from bench.programs import program

__all__ = ["cases"]

Sampler = Callable[[Peer, int], float]


def _libraries(peer: Peer) -> tuple[Any, Any]:
    if peer.name == "tracejit":
        import tracejit
        import tracejit.numpy as tnp

        return tracejit.jit, tnp
    import jax

    return jax.jit, jax.numpy


def _call(peer: Peer, compiled: Any, function: Any, size: int) -> float:
    """Return the seconds of a call; raise if it is wrong."""
    x, y = np.linspace(-1.0, 1.0, size), np.linspace(0.0, 2.0, size)
    own = peer.array(x), peer.array(y)
    began = time.perf_counter()
    result = peer.ready(compiled(*own))
    taken = time.perf_counter() - began
    np.testing.assert_allclose(peer.host(result), function(x, y), rtol=1e-9, atol=1e-9)
    return taken


def _first(operations: int) -> Sampler:
    def sample(peer: Peer, number: int) -> float:
        make = program(operations, number)
        jit, xp = _libraries(peer)
        return _call(peer, jit(make(xp)), make(np), 1000)

    return sample


def _second_size(operations: int) -> Sampler:
    def sample(peer: Peer, number: int) -> float:
        make = program(operations, 1_000 + number)
        jit, xp = _libraries(peer)
        compiled = jit(make(xp))
        _call(peer, compiled, make(np), 1000)
        return _call(peer, compiled, make(np), 1001)

    return sample


def cases(quick: bool) -> list[Timed]:
    """Return the rows."""
    rows = []
    for operations in (20, 200) if quick else (20, 200, 2000):
        rounds = 3 if operations > 200 else None
        for name, sampler in (
            ("first call", _first(operations)),
            ("a second size", _second_size(operations)),
        ):
            samplers = {"tracejit": sampler, "jax": sampler}
            rows.append(Timed(name, f"{operations} ops", "float64", samplers, rounds))
    return rows
