"""The CPU backend: kernels as LLVM text, run by one native driver."""

from __future__ import annotations

import functools
import os
import re
import sys
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from tracejit.backend import FastCalls
from tracejit.ir.plan import Plan
from tracejit.ir.target import Target
from tracejit_llvm.buffers import Buffers
from tracejit_llvm.emit import NATIVE_OPS
from tracejit_llvm.engine import Engine
from tracejit_llvm.entry.records import native_calls
from tracejit_llvm.executable import NativeExecutable
from tracejit_llvm.functions import COMMON, module_text
from tracejit_llvm.interpreter import driver_text, python_symbols
from tracejit_llvm.interrupts import Interrupts
from tracejit_llvm.layout import ADDRESS_OFFSET, ITEMS_OFFSET
from tracejit_llvm.pool import Pool, pool_text
from tracejit_llvm.routines.answers import LIBRARIES
from tracejit_llvm.routines.calls import LibraryFunction

__all__ = ["LLVMBackend"]

DEFAULT_CACHE_BYTES = 8 << 20

_EXPORTED = re.compile(r"^define \w+ @(\w+)", re.MULTILINE).findall
"""Names of the functions of a module that can be called from outside."""


class LLVMBackend:
    """Runs plans on the CPU."""

    name = "llvm"
    platform = "cpu"

    def __init__(self) -> None:
        self.engine = Engine()
        self.buffers = Buffers()
        texts = driver_text(ITEMS_OFFSET, ADDRESS_OFFSET), pool_text(self.engine.triple)
        names = ["run", "worker", "pool_stop", "on_signal", "interrupted", "previous_handler"]
        native = self.engine.functions(
            "".join([*texts, module_text(*COMMON)]), [*names, *COMMON], python_symbols()
        )
        self.engine.provide({name: native[name] for name in COMMON})
        self.run_address = native["run"]
        self.pool = Pool(native["worker"], native["pool_stop"])
        self.interrupts = Interrupts(
            native["on_signal"], native["interrupted"], native["previous_handler"]
        )
        self._callbacks = 0
        self._libraries: dict[Any, dict[str, int]] = {}
        self._lock = threading.Lock()

    def is_available(self) -> str:
        """Return ``""``: where llvmlite can be imported, plans run."""
        return ""

    def device_count(self) -> int:
        """Return 1: the host."""
        return 1

    def target(self) -> Target:
        """Return what the compiler may know of this machine."""
        return _this_machine()

    def compile(self, plan: Plan, device: int = 0) -> NativeExecutable:
        """Return the executable of `plan`; kernels already compiled are taken from caches."""
        del device
        return NativeExecutable(plan, self)

    def library(self, function: LibraryFunction) -> int:
        """Return the address of a native function of a library call."""
        key = function.write, function.arguments, function.brief
        with self._lock:
            found = self._libraries.get(key)
            if found is None:
                text = function.write(*function.arguments)
                symbols = function.symbols() if function.symbols is not None else None
                found = self.engine.functions(text, _EXPORTED(text), symbols, function.brief)
                self._libraries[key] = found
            return found[function.name]

    def empty(self, shape: tuple[int, ...], dtype: Any, device: int = 0) -> Any:
        """Return an uninitialised C-contiguous array, in recycled memory if it is large."""
        del device
        return self.buffers.empty(shape, dtype)

    def allocator(
        self, shape: tuple[int, ...], dtype: Any, device: int = 0
    ) -> Callable[[], Any]:
        """Return a function that does what `empty` does for one shape and dtype, sooner."""
        del device
        return self.buffers.allocator(shape, dtype)

    def put(self, array: np.ndarray[Any, Any], device: int = 0) -> Any:
        """Return a copy of a host array."""
        del device
        return np.array(array, order="C")

    def evaluate(
        self, function: Callable[..., Sequence[Any]], buffers: Sequence[Any], device: int = 0
    ) -> list[Any]:
        """Return what ``function(numpy, *buffers)`` returns, contiguous."""
        del device
        with np.errstate(all="ignore"):
            return [np.asarray(x, order="C") for x in function(np, *buffers)]

    def wait(self, device: int = 0) -> None:
        """Return: work is done when a call returns."""

    def adopt(self, x: Any) -> tuple[Any, int] | None:
        """Return ``None``: host arrays need no adoption."""
        del x
        return None

    def share(self, buffer: Any, **how: Any) -> Any:
        """Return a DLPack capsule over the memory of an array."""
        return buffer.__dlpack__(**how)

    def dlpack_device(self, device: int = 0) -> tuple[int, int]:
        """Return DLPack's name of the host."""
        del device
        return (1, 0)

    def fast_calls(
        self, array_type: type, active: ContextVar[Any], place: ContextVar[Any]
    ) -> FastCalls | None:
        """Return what answers calls of jitted functions natively, or None if nothing does."""
        return native_calls(self.engine, self.run_address, array_type, active, place)

    def set_num_threads(self, n: int) -> None:
        """Use `n` threads from the next call on; results do not depend on it."""
        self.pool.set_num_threads(n)

    def release_memory(self) -> None:
        """Give the blocks that are kept for the next arrays back to the system."""
        self.buffers.trim()

    def count_callback(self) -> None:
        """Count one call back."""
        with self._lock:
            self._callbacks += 1

    def counters(self) -> dict[str, int]:
        """Return kernels ``compiled``, found in ``memory`` and on ``disk``, and ``callbacks``."""
        return {**self.engine.counters, "callbacks": self._callbacks}


@functools.cache  # the system's files take a third of a millisecond to read
def _this_machine() -> Target:
    return Target("cpu", _cache_bytes(), NATIVE_OPS, LIBRARIES)


def _cache_bytes() -> int:
    """Return the size of the last-level cache."""
    sizes = [DEFAULT_CACHE_BYTES] if sys.platform != "linux" else []
    try:
        for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
            text = path.read_text().strip()
            unit = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:], 1)
            sizes.append(int(text.rstrip("KM")) * unit)
    except (OSError, ValueError):
        pass
    if not sizes and "SC_LEVEL3_CACHE_SIZE" in getattr(os, "sysconf_names", {}):
        sizes.append(os.sysconf("SC_LEVEL3_CACHE_SIZE"))
    return max([s for s in sizes if s > 0], default=DEFAULT_CACHE_BYTES)
