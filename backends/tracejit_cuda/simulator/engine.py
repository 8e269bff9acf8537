"""Engine: the native half of the simulator, which runs one launch at a time.

The structures mirror those of ``source/launch.h``.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tracejit_cuda.runtime import CudaError
from tracejit_cuda.simulator.build import build_engine, build_kernels
from tracejit_cuda.simulator.memory import collect, describe, live

__all__ = ["Engine", "Module", "SimulatorError"]


class SimulatorError(CudaError):
    """A kernel did what it must not.

    Attributes
    ----------
    kernel : str
        Its name.
    kind : str
        Of the error: ``"race"``, ``"divergence"``, ``"deadlock"``, ``"illegal address"``,
        ``"uninitialised"``, ``"misaligned access"``, ``"array bounds"``, ``"integer overflow"``,
        ``"shift"``, ``"division"``, ``"warp mask"``, ``"trap"``, ``"stack overflow"``,
        ``"timeout"``, ``"launch configuration"``.
    block, thread : int or None
        Who it was, where it was one.
    line : int or None
        Of the source, where it is known.
    """

    def __init__(
        self,
        kernel: str,
        kind: str,
        message: str,
        block: int | None = None,
        thread: int | None = None,
        line: int | None = None,
        label: str = "",
    ) -> None:
        self.kernel, self.kind = kernel, kind
        self.block, self.thread, self.line = block, thread, line
        parts = [label] if label else []
        parts.append(f"kernel {kernel}")
        if block is not None:
            of_block = f"block {block}"
            parts.append(of_block if thread is None else f"thread {thread} of {of_block}")
        if line is not None:
            parts.append(f"line {line}")
        super().__init__(f"{', '.join(parts)}: {kind}: {message}")


class _Failure(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_char * 32),
        ("message", ctypes.c_char * 480),
        ("block", ctypes.c_int64),
        ("thread", ctypes.c_int32),
        ("line", ctypes.c_int32),
        ("address", ctypes.c_uint64),
        ("code", ctypes.c_uint64),
    ]


class _Launch(ctypes.Structure):
    _fields_ = [
        ("entry", ctypes.c_void_p),
        ("touch", ctypes.c_void_p),
        ("arguments", ctypes.c_void_p),
        ("argument_bytes", ctypes.c_uint64),
        ("blocks", ctypes.c_uint32),
        ("threads", ctypes.c_uint32),
        ("shared_bytes", ctypes.c_uint32),
        ("reverse", ctypes.c_int32),
        ("cooperative", ctypes.c_int32),
        ("checked", ctypes.c_int32),
        ("seconds", ctypes.c_double),
        ("failure", ctypes.POINTER(_Failure)),
    ]


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


class Module(NamedTuple):
    """A loaded shared object of kernels.

    Attributes
    ----------
    path : Path
        Its file.
    source : str
        What it was compiled from.
    touch : int
        Address of the function that has its shared memory made.
    entries : dict from str to int
        Addresses of its kernels.
    library : ctypes.CDLL
        Keeps it loaded.
    """

    path: Path
    source: str
    touch: int
    entries: dict[str, int]
    library: ctypes.CDLL

    @classmethod
    def load(cls, source: str, names: Sequence[str], checked: bool, switch: str) -> Module:
        """Compile a source and load it."""
        path = build_kernels(source, names, checked, switch)
        library = ctypes.CDLL(str(path))
        entries = {name: _address(getattr(library, f"cudasim_entry_{name}")) for name in names}
        return cls(path, source, _address(library.cudasim_touch), entries, library)


_one_launch = threading.Lock()
"""Held while a kernel runs: faults of the processor reach one handler in the process."""


class Engine:
    """The loaded engine.

    Parameters
    ----------
    switch : str
        How threads are switched; see :func:`tracejit_cuda.simulator.build.build_engine`.
    """

    def __init__(self, switch: str = "") -> None:
        self.switch = switch
        self.library = ctypes.CDLL(str(build_engine(switch)))
        self._launch = self.library.cudasim_launch
        self._launch.argtypes = [ctypes.POINTER(_Launch)]
        self._buffers = self.library.cudasim_buffers
        self._buffers.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64]
        self._buffers.restype = None
        self._known = (-1, -1)

    def _describe_memory(self, device: int) -> None:
        """Say which memory a checked launch may use, if that has changed."""
        known = self._known[1] if self._known[0] == device else -1
        found = live(device, known)
        if found is not None:
            version, starts, sizes = found
            self._buffers(starts.ctypes.data, sizes.ctypes.data, len(starts))
            self._known = (device, version)

    def launch(
        self,
        module: Module,
        name: str,
        blocks: int,
        threads: int,
        shared: int,
        arguments: ctypes.Array[Any],
        *,
        device: int,
        reverse: bool,
        cooperative: bool,
        checked: bool,
        seconds: float,
        label: str,
    ) -> None:
        """Run a kernel to its end.

        Raises
        ------
        SimulatorError
            If it does what a kernel must not.
        """
        failure = _Failure()
        launch = _Launch(
            module.entries[name],
            module.touch,
            ctypes.addressof(arguments),
            ctypes.sizeof(arguments),
            blocks,
            threads,
            shared,
            reverse,
            cooperative,
            checked,
            seconds,
            ctypes.pointer(failure),
        )
        with _one_launch:
            if checked:
                self._describe_memory(device)
            else:
                collect()  # what nothing refers to any more is no memory for the kernel
            failed = self._launch(ctypes.byref(launch))
        if failed:
            message = failure.message.decode(errors="replace")
            if where := describe(failure.address) if failure.address else "":
                message += f": {where}"
            line = failure.line or _line(str(module.path), failure.code, _base(module))
            text = module.source.splitlines()[line - 1].strip() if line else ""
            raise SimulatorError(
                name,
                failure.kind.decode(),
                f"{message}\n    {text}" if text else message,
                failure.block if failure.block >= 0 else None,
                failure.thread if failure.thread >= 0 else None,
                line,
                label,
            )


def _base(module: Module) -> int:
    """Return where a shared object was loaded: its first mapping."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            if line.endswith(str(module.path)):
                return int(line.split("-")[0], 16)
    return 0


@functools.cache
def _line(path: str, code: int, base: int) -> int | None:
    """Return the line of the source at an address of code, if binutils are here to tell."""
    tool = shutil.which("addr2line")
    if not tool or not base or code < base:
        return None
    # `code` is where a call returns to, so the call ends one byte before.
    command = [tool, "-i", "-e", path, hex(code - base - 1)]
    done = subprocess.run(command, capture_output=True, text=True)
    for found in done.stdout.splitlines():
        file, _, number = found.partition(" ")[0].rpartition(":")
        if file.endswith("kernels.cu") and number.isdigit():
            return int(number)
    return None
