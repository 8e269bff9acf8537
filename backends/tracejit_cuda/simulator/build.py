"""Build: sources to shared objects, by whatever C++ compiler there is.

The compiler is ``TRACEJIT_CXX`` (a command line), else ``g++``, ``c++`` or ``clang++``, else the
one in the wheel ``ziglang``.  The engine (the scheduler, the checks) is compiled once; a source of
kernels is compiled with a header that includes nothing, and linked with the engine.

What was built is kept in a folder of the user's temporary files, readable by its owner alone,
under a hash of all it depends on: the source, the headers, the command and the compiler's version.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tracejit_cuda.runtime import CudaError

__all__ = ["Compiler", "build_engine", "build_kernels", "find_compiler", "missing"]

SOURCES = Path(__file__).parent / "source"
ENGINE = ("engine.cpp", "functions.cpp")
FILE = "kernels.cu"
"""What the compiler calls the source in its messages."""

UNUSED_SECONDS = 7 * 24 * 3600
"""After which a shared object is removed."""

COMMON = (
    "-std=c++17",
    "-fPIC",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-threadsafe-statics",
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-U_FORTIFY_SOURCE",  # its longjmp refuses to change stacks
    "-w",
)
SANITIZED = "alignment,bounds,integer-divide-by-zero,shift,signed-integer-overflow"


class Compiler(NamedTuple):
    """A command that compiles C++.

    Attributes
    ----------
    command : tuple of str
        How it is called.
    version : str
        What it says of itself.
    """

    command: tuple[str, ...]
    version: str

    @property
    def is_clang(self) -> bool:
        """Whether it takes clang's options."""
        return "clang" in self.version

    @property
    def major(self) -> int:
        """The first number of its version, 0 if it says none."""
        found = re.search(r"(\d+)\.\d+", self.version.partition(")")[2] or self.version)
        return int(found[1]) if found else 0

    @property
    def is_zig(self) -> bool:
        """Whether it is clang within zig, which has defaults of its own."""
        return "ziglang" in self.command or Path(self.command[0]).name == "zig"


def _candidates() -> list[tuple[str, ...]]:
    if wanted := os.environ.get("TRACEJIT_CXX"):
        return [tuple(shlex.split(wanted))]
    found = [(path,) for name in ("g++", "c++", "clang++") if (path := shutil.which(name))]
    if importlib.util.find_spec("ziglang") is not None:
        # As a C compiler that is told the language: it then links no C++ library, which zig
        # would compile first.
        return [*found, (sys.executable, "-m", "ziglang", "cc")]
    return [*found]


@functools.cache
def _version(command: tuple[str, ...]) -> str:
    """Return what a compiler says of itself, ``""`` if it does not run."""
    try:
        done = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, check=True, timeout=120
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def find_compiler() -> Compiler | None:
    """Return the compiler to use, ``None`` if there is none."""
    for command in _candidates():
        if version := _version(command):
            return Compiler(command, version)
    return None


def missing() -> str:
    """Return ``""``, or what is missing for sources to be compiled and how to get it."""
    if not sys.platform.startswith("linux"):
        return f"the simulator of CUDA runs on Linux, and this is {sys.platform}"
    if find_compiler() is not None:
        return ""
    if wanted := os.environ.get("TRACEJIT_CXX"):
        return f"the compiler that TRACEJIT_CXX names does not run: {wanted}"
    return "the simulator of CUDA needs a C++ compiler: g++, clang, or `pip install ziglang`"


def _need_compiler() -> Compiler:
    compiler = find_compiler()
    if compiler is None:
        raise CudaError(missing())
    return compiler


# ---- the folder ---------------------------------------------------------------------------------


@functools.cache
def _folder() -> Path:
    """Return where shared objects are kept: what is loaded from there runs in this process."""
    owner = os.getuid()
    folder = Path(tempfile.gettempdir()) / f"tracejit-cudasim-{owner}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        private = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
        if private and found.st_uid == owner and os.access(folder, os.W_OK):
            _sweep(folder)
            return folder
    return Path(tempfile.mkdtemp(prefix="tracejit-cudasim-"))


def _sweep(folder: Path) -> None:
    """Remove what was not used for a week."""
    oldest = time.time() - UNUSED_SECONDS
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime > oldest:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def _kept(path: Path) -> bool:
    """Return whether a shared object is there already, and note that it is used."""
    try:
        os.utime(path)
    except OSError:
        return False
    return True


@functools.cache
def _headers() -> bytes:
    """Return a hash of all that a source is compiled with."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.digest()


def _key(compiler: Compiler, options: Sequence[str], source: str) -> str:
    digest = hashlib.sha256(_headers())
    for part in (*compiler.command, compiler.version, *options, source):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:32]


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=_folder())
    if done.returncode:
        raise CudaError(f"{what} does not compile ({command[0]}):\n{done.stderr}")


def _link(compiler: Compiler, objects: Sequence[Path], target: Path, what: str) -> None:
    """Link under another name and rename, so that another process sees a whole file or none."""
    partial = target.with_name(f"{target.name}.{os.getpid()}.{os.urandom(4).hex()}")
    if compiler.is_zig:
        plain, libraries = ["-fno-sanitize=undefined"], ["-lm"]  # else it links a run time
    else:
        plain, libraries = ["-nodefaultlibs"], ["-lm", "-lc", "-lgcc"]  # no C++ library
    parts = [*map(str, objects), *libraries]
    _run([*compiler.command, "-shared", *plain, *parts, "-o", str(partial)], what)
    partial.replace(target)


# ---- what is built ------------------------------------------------------------------------------


def _language(compiler: Compiler) -> tuple[str, ...]:
    # zig turns checks of its own on where nothing is optimised.
    return ("-x", "c++", *(("-fno-sanitize=undefined",) if compiler.is_zig else ()))


@functools.cache
def build_engine(switch: str = "") -> Path:
    """Return the shared object of the engine.

    Parameters
    ----------
    switch : str
        ``"ucontext"`` for the switch between threads that every processor has.
    """
    compiler = _need_compiler()
    options = ("-O2", *COMMON, *_language(compiler))
    if switch:
        options += (f"-DCUDASIM_{switch.upper()}",)
    folder, key = _folder(), _key(compiler, options, "engine")
    target = folder / f"engine-{key}.so"
    if _kept(target):
        return target
    with tempfile.TemporaryDirectory(dir=folder) as workplace:
        objects = []
        for name in ENGINE:
            objects.append(Path(workplace) / f"{name}.o")
            command = [*compiler.command, *options, "-c", str(SOURCES / name)]
            _run([*command, "-o", str(objects[-1])], "the engine of the simulator")
        _link(compiler, objects, target, "the engine of the simulator")
    return target


def build_kernels(source: str, names: Sequence[str], checked: bool, switch: str = "") -> Path:
    """Return the shared object of a source of kernels.

    Parameters
    ----------
    source : str
        CUDA C++.
    names : sequence of str
        Of its kernels.
    checked : bool
        Whether accesses and arithmetic report to the engine.
    switch : str
        As in :func:`build_engine`.

    Raises
    ------
    CudaError
        With the compiler's log, if the source does not compile.
    """
    compiler, engine = _need_compiler(), build_engine(switch)
    # To optimise takes longer than it saves: most kernels run a few times, on small arrays.  Each
    # page of a large frame is touched, so that none steps over the guard of its stack.
    options = (
        "-O0",
        "-g1",
        *COMMON,
        "-fno-math-errno",
        "-fstack-clash-protection",
        *_language(compiler),
    )
    options += ("-include", str(SOURCES / "cudasim.h"))
    if checked:
        options += _checks(compiler)
    entries = "".join(f"CUDASIM_ENTRY({name})\n" for name in names)
    text = f'# 1 "{FILE}"\n{source}\n# 1 "entries"\n{entries}CUDASIM_MODULE\n'
    key = _key(compiler, options, f"{engine.name}\0{text}")
    folder = _folder()
    target = folder / f"kernels-{key}.so"
    if _kept(target):
        return target
    with tempfile.TemporaryDirectory(dir=folder) as workplace:
        file, compiled = Path(workplace) / FILE, Path(workplace) / "kernels.o"
        file.write_text(text, encoding="utf-8")
        command = [*compiler.command, *options, "-c", str(file), "-o", str(compiled)]
        _run(command, "the source")
        _link(compiler, [compiled, engine], target, "the source")
    return target


def _checks(compiler: Compiler) -> tuple[str, ...]:
    """Return the options that instrument; the run times they call are the engine's."""
    options: tuple[str, ...] = ("-DCUDASIM_CHECK", "-fsanitize=thread", f"-fsanitize={SANITIZED}")
    options += ("-fno-sanitize-recover=all",)
    if compiler.is_clang or compiler.major >= 12:
        options += ("-ftrivial-auto-var-init=pattern",)  # what was not assigned is no number
    if compiler.is_clang:
        return (*options, "-mllvm", "-tsan-distinguish-volatile=1")
    return (*options, "--param=tsan-distinguish-volatile=1")
