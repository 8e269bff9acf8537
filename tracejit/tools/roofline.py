"""The speed of memory, measured by a triad: what the times of other code are compared with.

The triad ``a = b + s c`` (McCalpin, *Memory bandwidth and machine balance in current high
performance computers*, 1995) is compiled as everything is and runs on the threads of the settings.
Its arrays are together as large as those of the code that is compared, so that they come from the
same cache or from memory.  Bytes are those of the three arrays; what a cache fetches before it is
overwritten does not count.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import numpy as np

from tracejit.core.settings import current_settings
from tracejit.runtime.devices import block_until_ready
from tracejit.runtime.jit import jit

__all__ = ["SMALLEST", "triad_bandwidth"]

SMALLEST = 1 << 17
"""Bytes below which the time of a call is not that of memory."""

LARGEST = 1 << 27
"""Bytes of the arrays of the largest triad."""

SAMPLE = 0.02
"""Seconds of a sample; the best of five is taken."""


def triad_bandwidth(nbytes: int) -> float:
    """Return the bytes a second of a triad; measured once a process for each power of two.

    Parameters
    ----------
    nbytes : int
        Bytes of its three arrays together, rounded up to a power of two from 128 kB to 128 MB.
    """
    rounded = 1 << max(nbytes - 1, 1).bit_length()
    return _measured(min(max(rounded, SMALLEST), LARGEST), current_settings().num_threads)


@jit
def _triad(b: Any, c: Any) -> Any:
    return b + 3.0 * c


@cache
def _measured(nbytes: int, threads: int) -> float:
    del threads  # the key alone
    n = nbytes // 24
    b, c = np.ones(n), np.ones(n)
    began = time.perf_counter()
    while time.perf_counter() - began < SAMPLE:  # pages touched, threads awake, code compiled
        block_until_ready(_triad(b, c))
    best = 0.0
    for _ in range(5):
        calls = 0
        began = time.perf_counter()
        while (taken := time.perf_counter() - began) < SAMPLE:
            block_until_ready(_triad(b, c))
            calls += 1
        best = max(best, 24 * n * calls / taken)
    return best
