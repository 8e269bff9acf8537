"""NVRTC: CUDA C++ to machine code, in this process, with neither a GPU nor a driver nor CuPy.

The library is looked for in NVIDIA's wheels, then in ``CUDA_PATH`` and ``CUDA_HOME``, then where
the loader looks.  Where there is a driver, one of its major version is preferred: machine code of a
newer compiler is not promised to load.

Everything here may be called from several threads at once, and they compile side by side: NVRTC
keeps no state between programs and ctypes releases the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tracejit_cuda.runtime import CudaError

__all__ = [
    "Compiled",
    "KernelUsage",
    "compile_cubin",
    "compile_ptx",
    "missing",
    "supported_archs",
    "usage",
    "version",
]

MAJORS = (13, 12)
"""Versions of CUDA whose NVRTC serves, best first."""

FILE = "kernels.cu"
"""What the compiler calls the source in its messages."""

SHOWN_ERRORS = 3
"""Errors around which lines of the source are shown; the log has them all."""

CONTEXT = 3
"""Lines shown on either side of an error."""


class Compiled(NamedTuple):
    """What the compiler made of a source.

    Attributes
    ----------
    image : bytes
        A cubin (an ELF file), or the text of PTX without a NUL.
    log : str
        Warnings, and what :func:`usage` reads.
    """

    image: bytes
    log: str


class KernelUsage(NamedTuple):
    """What a kernel takes of a multiprocessor, as the assembler reports it.

    Attributes
    ----------
    name : str
        Of the kernel, or of a device function that was not inlined.
    registers : int
        Of a thread; 0 for a device function, whose registers are its callers'.
    spill_stores, spill_loads : int
        Bytes of registers moved to and from local memory.
    stack_frame : int
        Bytes of local memory of a thread, e.g. for an array that is indexed at run time.
    shared_bytes : int
        Static shared memory of a block.
    """

    name: str
    registers: int
    spill_stores: int
    spill_loads: int
    stack_frame: int
    shared_bytes: int


# ---- finding the library ------------------------------------------------------------------------


def _in_folder(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield the libraries in a folder with their major versions."""
    for path in sorted(folder.glob("libnvrtc.so.*")) + sorted(folder.glob("nvrtc64_*.dll")):
        found = re.fullmatch(r"libnvrtc\.so\.(\d+)|nvrtc64_(\d+)0_\d+\.dll", path.name)
        if found is not None:
            yield path, int(found[1] or found[2])


def _candidates() -> Iterator[tuple[Path, int]]:
    """Yield where NVRTC may be, with its major version; a bare name is for the loader to find."""
    folders: list[Path] = []
    # `nvidia` is a namespace that many wheels share; to find it imports nothing.
    spec = importlib.util.find_spec("nvidia")
    for base in (spec.submodule_search_locations or ()) if spec is not None else ():
        for package in ("cu13", "cuda_nvrtc"):
            folders += (Path(base) / package / part for part in ("lib", "bin", "bin/x86_64"))
    for variable in ("CUDA_PATH", "CUDA_HOME"):
        if root := os.environ.get(variable):
            folders += (Path(root) / part for part in ("lib64", "lib", "bin", "bin/x64"))
    for folder in folders:
        yield from _in_folder(folder)
    for major in MAJORS:
        name = f"nvrtc64_{major}0_0.dll" if sys.platform == "win32" else f"libnvrtc.so.{major}"
        yield Path(name), major


def _driver_major() -> int | None:
    """Return the major version of CUDA that the driver serves, ``None`` without a driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    number = ctypes.c_int(0)
    if driver.cuDriverGetVersion(ctypes.byref(number)) != 0:
        return None
    return number.value // 1000


def _in_order(
    candidates: Sequence[tuple[Path, int]], driver: int | None
) -> list[tuple[Path, int]]:
    """Return the candidates that fit the driver first, and else as they are."""
    known = [(path, major) for path, major in candidates if major in MAJORS]
    if driver is None:
        return known
    # An older compiler's code loads too, a newer one's may not.
    return sorted(known, key=lambda c: 0 if c[1] == driver else 1 if c[1] < driver else 2)


class _Library:
    """NVRTC, loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls = ctypes.CDLL(str(path))
        for name, types in _SIGNATURES.items():
            function = getattr(self.calls, name)
            function.argtypes = types
            function.restype = ctypes.c_int
        self.calls.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.check(self.calls.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)), "version")
        self.version = (major.value, minor.value)
        self._load_builtins()

    def _load_builtins(self) -> None:
        # The wheels' NVRTC opens this one by its name alone, which the loader knows once it is
        # loaded.  Where there is none beside it, NVRTC may find it by itself, or says so.
        name = "libnvrtc-builtins.so.{}.{}".format(*self.version)
        beside = self.path.resolve().with_name(name)
        if beside.exists():
            ctypes.CDLL(str(beside))

    def check(self, status: int, what: str) -> None:
        if status != 0:
            reason = self.calls.nvrtcGetErrorString(status).decode()
            raise CudaError(f"NVRTC ({self.path}): {what}: {reason}")

    def bytes_of(self, program: Any, size: str, get: str) -> bytes:
        """Return what one of NVRTC's pairs of functions gives, after a compilation."""
        length = ctypes.c_size_t()
        self.check(getattr(self.calls, size)(program, ctypes.byref(length)), size)
        buffer = ctypes.create_string_buffer(length.value)
        self.check(getattr(self.calls, get)(program, buffer), get)
        return buffer.raw


_INT, _SIZE = ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_size_t)
_TEXT, _TEXTS, _PROGRAM = ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p), ctypes.c_void_p
_SIGNATURES: dict[str, list[Any]] = {
    "nvrtcVersion": [_INT, _INT],
    "nvrtcGetNumSupportedArchs": [_INT],
    "nvrtcGetSupportedArchs": [_INT],
    "nvrtcGetErrorString": [ctypes.c_int],
    "nvrtcCreateProgram": [
        ctypes.POINTER(_PROGRAM), _TEXT, _TEXT, ctypes.c_int, _TEXTS, _TEXTS,
    ],
    "nvrtcDestroyProgram": [ctypes.POINTER(_PROGRAM)],
    "nvrtcCompileProgram": [_PROGRAM, ctypes.c_int, _TEXTS],
    "nvrtcGetProgramLogSize": [_PROGRAM, _SIZE],
    "nvrtcGetProgramLog": [_PROGRAM, _TEXT],
    "nvrtcGetPTXSize": [_PROGRAM, _SIZE],
    "nvrtcGetPTX": [_PROGRAM, _TEXT],
    "nvrtcGetCUBINSize": [_PROGRAM, _SIZE],
    "nvrtcGetCUBIN": [_PROGRAM, _TEXT],
}  # fmt: skip

_LOADING = threading.Lock()


def _library() -> _Library:
    with _LOADING:  # or two threads would load two
        return _load()


@functools.cache
def _load() -> _Library:
    refusals = []
    for path, _ in _in_order(list(_candidates()), _driver_major()):
        try:
            return _Library(path)
        except (OSError, AttributeError) as error:  # not there, or not what its name says
            refusals.append(f"{path}: {error}")
    raise CudaError(
        "NVRTC, the compiler of CUDA C++, is not found; install it with "
        "`pip install 'tracejit[cuda]'` or set CUDA_PATH.  Tried:\n  " + "\n  ".join(refusals)
    )


def missing() -> str:
    """Return ``""``, or a sentence saying that NVRTC is missing and how to get it."""
    try:
        _library()
    except CudaError as error:
        return str(error)
    return ""


def version() -> tuple[int, int]:
    """Return the version of NVRTC, e.g. ``(13, 0)``.

    Raises
    ------
    CudaError
        If there is none.
    """
    return _library().version


@functools.cache
def supported_archs() -> tuple[int, ...]:
    """Return the architectures it compiles to, in ascending order, e.g. ``(75, 80, ..., 121)``."""
    library = _library()
    count = ctypes.c_int()
    library.check(library.calls.nvrtcGetNumSupportedArchs(ctypes.byref(count)), "architectures")
    numbers = (ctypes.c_int * count.value)()
    library.check(library.calls.nvrtcGetSupportedArchs(numbers), "architectures")
    return tuple(sorted(numbers))


# ---- compiling ----------------------------------------------------------------------------------


def compile_cubin(source: str, arch: str, options: Sequence[str] = ()) -> Compiled:
    """Compile CUDA C++ to the machine code of an architecture.

    Parameters
    ----------
    source : str
        One translation unit of C++17.
    arch : str
        E.g. ``"sm_90"``.
    options : sequence of str
        Further options of NVRTC.

    Returns
    -------
    Compiled
        The cubin; :func:`usage` reads its log.

    Raises
    ------
    CudaError
        If the source does not compile: the log, and the lines around its first errors.
    """
    everything = (f"--gpu-architecture={arch}", "--ptxas-options=-v", *options)
    return _compile(source, everything, "nvrtcGetCUBINSize", "nvrtcGetCUBIN")


def compile_ptx(source: str, arch: str, options: Sequence[str] = ()) -> Compiled:
    """Compile CUDA C++ to PTX: text to look at, or for a driver to assemble.

    Parameters and errors are :func:`compile_cubin`'s; `arch` may be ``"compute_90"`` too.
    """
    everything = (f"--gpu-architecture={arch.replace('sm_', 'compute_')}", *options)
    compiled = _compile(source, everything, "nvrtcGetPTXSize", "nvrtcGetPTX")
    return compiled._replace(image=compiled.image.rstrip(b"\0"))


def _compile(source: str, options: Sequence[str], size: str, get: str) -> Compiled:
    if "\0" in source:
        raise CudaError("a CUDA source has a NUL, where its text would end")
    library = _library()
    calls, program = library.calls, _PROGRAM()
    every = ["--std=c++17", *options]
    library.check(
        calls.nvrtcCreateProgram(
            ctypes.byref(program), source.encode(), FILE.encode(), 0, None, None
        ),
        "a program cannot be made",
    )
    try:
        encoded = (ctypes.c_char_p * len(every))(*(option.encode() for option in every))
        status = calls.nvrtcCompileProgram(program, len(every), encoded)
        raw = library.bytes_of(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog")
        log = raw.rstrip(b"\0").decode(errors="replace")
        if status != 0:
            reason = calls.nvrtcGetErrorString(status).decode()
            raise CudaError(_failure(library.version, reason, every, log, source))
        return Compiled(library.bytes_of(program, size, get), log)
    finally:
        calls.nvrtcDestroyProgram(ctypes.byref(program))


def _failure(
    number: tuple[int, int], reason: str, options: Sequence[str], log: str, source: str
) -> str:
    """Return what is said when a source does not compile."""
    text = f"NVRTC {number[0]}.{number[1]} ({' '.join(options)}): {reason}\n{log.strip()}"
    lines = source.splitlines()
    errors = re.findall(rf"^{re.escape(FILE)}\((\d+)\): (?:catastrophic )?error", log, re.MULTILINE)
    places = list(dict.fromkeys(int(n) for n in errors))
    for place in places[:SHOWN_ERRORS]:
        first, last = max(place - CONTEXT, 1), min(place + CONTEXT, len(lines))
        shown = (
            f"{'>' if n == place else ' '}{n:5d} | {lines[n - 1]}" for n in range(first, last + 1)
        )
        text += "\n\n" + "\n".join(shown)
    return text


# ---- the assembler's report ---------------------------------------------------------------------

_PROPERTIES = re.compile(
    r"Function properties for (\S+)\n"
    r".*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    r"(?:\n.*?Used (\d+) registers(.*))?"
)


def usage(log: str) -> dict[str, KernelUsage]:
    """Return what the kernels of a log take, by name.

    Parameters
    ----------
    log : str
        Of :func:`compile_cubin`; PTX has no such log, and neither has a cubin from a cache.
    """
    found = {}
    for name, frame, stores, loads, registers, rest in _PROPERTIES.findall(log):
        shared = re.search(r"(\d+) bytes smem", rest)
        found[name] = KernelUsage(
            name, int(registers or 0), int(stores), int(loads), int(frame),
            int(shared[1]) if shared is not None else 0,
        )  # fmt: skip
    return found
