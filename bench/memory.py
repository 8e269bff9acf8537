"""The most memory that a program takes beyond its arguments, compiling included.

Each run is a process of its own: what the system says was resident at most is that of the whole
process, and allocators keep what they have had.  ``python -m bench.memory LIBRARY PROGRAM SIZE``
prints the bytes; it needs the ``/proc`` of Linux.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import Timed
from bench.heat import with_pad
from bench.peers import Peer, load
from bench.ways import Library, library, repeated

__all__ = ["cases", "peak"]

STEPS = 50


def _forward(lib: Library) -> Callable[..., Any]:
    step = with_pad(lib.xp)
    return lambda u: repeated(lib, STEPS, step, u)


def _adjoint(lib: Library) -> Callable[..., Any]:
    run = _forward(lib)
    gradient: Callable[..., Any] = lib.top.grad(lambda u: lib.xp.sum(run(u) ** 2))
    return gradient


PROGRAMS = {"heat": _forward, "adjoint": _adjoint}


def peak(name: str, program: str, n: int) -> int:
    """Return the bytes that a program on an ``n x n`` array of float64 takes in this process.

    Parameters
    ----------
    name : {"tracejit", "jax"}
        The library.
    program : {"heat", "adjoint"}
        Steps of the heat equation, or their gradient.
    n : int
        The side of the array.
    """
    peer, own = load(name), library(name)
    function = own.top.jit(PROGRAMS[program](own))
    u = peer.array(np.random.default_rng(0).standard_normal((n, n)))
    peer.ready(u)  # until then it may be that two of it are resident
    peer.ready(own.top.jit(lambda x: x + 1.0)(peer.array(np.ones(8))))
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the peak so far
    result = peer.ready(function(u))
    found = _resident("VmHWM") - before
    if not np.isfinite(peer.host(result)).all():
        raise ValueError("the result is not finite")
    return max(found, 1)


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {field}")


def _sampler(program: str, n: int) -> Callable[[Peer, int], float]:
    def sample(peer: Peer, number: int) -> float:
        del number
        done = subprocess.run(
            [sys.executable, "-m", "bench.memory", peer.name, program, str(n)],
            cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True,
        )  # fmt: skip
        return float(done.stdout)

    return sample


def cases(quick: bool) -> list[Timed]:
    """Return the rows."""
    sizes = {"heat": 1024 if quick else 4096, "adjoint": 256 if quick else 1024}
    rows = []
    for program, n in sizes.items():
        sampler = _sampler(program, n)
        samplers = {"tracejit": sampler, "jax": sampler}
        size = f"{n}x{n}"
        rows.append(Timed(f"memory, {program}", size, "float64", samplers, 3, "B"))
    return rows


if __name__ == "__main__":
    print(peak(sys.argv[1], sys.argv[2], int(sys.argv[3])))
