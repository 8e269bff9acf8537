"""The device that is measured: its name, driver and cache, and how fast it copies memory."""

from __future__ import annotations

import datetime as dt
import importlib
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cuda.libraries import simulated

__all__ = ["SIMULATED", "Machine", "copy_bandwidth", "look"]

SIMULATED = "simulated: kernels ran on the CPU, so times say nothing of a GPU"

COPIED = 1 << 30
"""Bytes copied at a time: many times what a cache holds."""


@dataclass(frozen=True)
class Machine:
    """A device.

    Attributes
    ----------
    card : str
        What all numbers were measured on.
    driver : str
        Version of the driver and of the CUDA that it serves.
    libraries : str
        Versions of CUDA's runtime and compiler.
    date : str
        Today.
    cache_bytes : int
        Size of the last-level cache.
    simulated : bool
        Whether there is no device but the simulator.
    """

    card: str
    driver: str
    libraries: str
    date: str
    cache_bytes: int
    simulated: bool

    @property
    def heading(self) -> str:
        """The device in one line."""
        if self.simulated:
            return f"{self.card}; {self.date}"
        return f"{self.card}; driver {self.driver}; {self.libraries}; {self.date}"


def look() -> Machine:
    """Return the first device."""
    date = dt.datetime.now().astimezone().date().isoformat()
    if simulated():
        return Machine(SIMULATED, "", "", date, 0, True)
    runtime = importlib.import_module("cupy").cuda.runtime
    nvrtc = importlib.import_module("tracejit_cuda.nvrtc")
    found = runtime.getDeviceProperties(0)
    card = (
        f"{found['name'].decode()} (sm_{found['major']}{found['minor']}, "
        f"{found['multiProcessorCount']} multiprocessors, {found['l2CacheSize'] >> 20} MiB cache, "
        f"{found['totalGlobalMem'] >> 30} GiB)"
    )
    driver = f"{_driver()} (CUDA {_version(runtime.driverGetVersion())})"
    compiler = ".".join(map(str, nvrtc.version()))
    libraries = f"CUDA runtime {_version(runtime.runtimeGetVersion())}, NVRTC {compiler}"
    return Machine(card, driver, libraries, date, found["l2CacheSize"], False)


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _driver() -> str:
    """Return the driver's version: CUDA tells only which CUDA it serves."""
    try:
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True)
        return answer.stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        pass
    try:
        words = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").split()
        return next(word for word in words if word[0].isdigit())
    except (OSError, StopIteration):
        return "unknown"


def copy_bandwidth() -> float:
    """Return bytes a second, read and written, of a copy within the device's memory.

    It is CuPy's, that is CUDA's own: timed by events, after half a second of copies that are not.
    """
    cupy: Any = importlib.import_module("cupy")
    runtime = cupy.cuda.runtime
    source = cupy.arange(COPIED // 4, dtype="float32")
    target = cupy.empty_like(source)
    stream = cupy.cuda.Stream.null

    def seconds(calls: int) -> float:
        began, ended = cupy.cuda.Event(), cupy.cuda.Event()
        began.record(stream)
        for _ in range(calls):
            runtime.memcpyAsync(
                target.data.ptr, source.data.ptr, COPIED, runtime.memcpyDeviceToDevice, stream.ptr
            )
        ended.record(stream)
        ended.synchronize()
        return cupy.cuda.get_elapsed_time(began, ended) / 1e3

    spent = 0.0
    while spent < 0.5:
        spent += seconds(20)
    return 2 * COPIED / statistics.median(seconds(20) / 20 for _ in range(11))
