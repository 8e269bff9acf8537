"""How many threads compiled functions use if nobody says."""

from __future__ import annotations

import os

__all__ = ["default_threads"]


def default_threads() -> int:
    """Return ``TRACEJIT_NUM_THREADS``, or the number of processors this process may use."""
    wanted = os.environ.get("TRACEJIT_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
