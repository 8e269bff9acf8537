"""Tracing alone: seconds an operation, of a function and of its gradient."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from bench.harness import Timed
from bench.peers import Peer
from bench.programs import program
from bench.ways import library

__all__ = ["cases"]

OPERATIONS = 500


def _sampler(with_grad: bool) -> Callable[[Peer, int], float]:
    def sample(peer: Peer, number: int) -> float:
        own = library(peer.name)
        run = program(OPERATIONS, number)(own.xp)
        function = lambda x, y: own.xp.sum(run(x, y))
        if with_grad:
            function = own.top.grad(function)
        x, y = peer.array(np.ones(8)), peer.array(np.ones(8))
        began = time.perf_counter()
        shape = own.top.eval_shape(function, x, y)
        taken = time.perf_counter() - began
        if shape.shape != ((8,) if with_grad else ()):
            raise ValueError(f"shape {shape.shape}")
        return taken / OPERATIONS

    return sample


def cases(quick: bool) -> list[Timed]:
    """Return the rows."""
    del quick
    rows = []
    for name, with_grad in (("tracing, an op", False), ("tracing with grad, an op", True)):
        sampler = _sampler(with_grad)
        samplers = {"tracejit": sampler, "jax": sampler}
        rows.append(Timed(name, f"{OPERATIONS} ops", "float64", samplers))
    return rows
