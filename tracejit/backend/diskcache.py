"""Objects on disk: machine code that outlives the process.

A cache is a folder with one file an object, named by a hash of everything its code depends on.  A
file holds a magic word, a SHA-256 checksum of the rest, and the object; what does not check, is
not ours or cannot be read is a miss.  Files are written under another name and renamed, so a
reader sees a whole file or none.  The folder and its files are readable by their owner alone,
because who writes there decides what machine code this process runs.

No error of the file system reaches the caller: a cache that cannot be written is no cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["DiskCache", "cache_dir"]

MAGIC = b"tracejit object 1\n"
LARGEST_FILE = 64 << 20
LARGEST_CACHE = 256 << 20
"""Bytes of all files; when there are more, the files used longest ago are dropped."""
WRITES_BETWEEN_SWEEPS = 64


_chosen: str | None = None


def choose_cache_dir(folder: str | None) -> str | None:
    """Let caches be in a folder (empty: nowhere; None: where they usually are) from now on.

    Returns what was chosen before.
    """
    global _chosen
    before, _chosen = _chosen, folder
    return before


def cache_dir(kind: str) -> Path | None:
    """Return the folder of a cache, ``None`` for no cache.

    It is what :func:`choose_cache_dir` said, else ``TRACEJIT_CACHE_DIR`` (empty: no cache), else
    the platform's place for caches of a user.

    Parameters
    ----------
    kind : str
        What is cached, e.g. ``"llvm"``.  Caches of all kinds are in one folder where
        ``TRACEJIT_CACHE_DIR`` names it, so what is hashed to a key must tell their objects apart.
    """
    wanted = os.environ.get("TRACEJIT_CACHE_DIR") if _chosen is None else _chosen
    if wanted is not None:
        return Path(wanted) if wanted else None
    try:
        home = Path.home()
    except RuntimeError:  # no home folder
        return None
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "tracejit" / kind


class DiskCache:
    """A folder of objects; usable by several threads and processes at once.

    Parameters
    ----------
    folder : Path, None, or callable that returns one
        Made when something is first written; ``None`` for a cache that holds nothing.  A callable
        is asked each time.
    most : int
        Bytes of all files.
    """

    def __init__(
        self, folder: Path | Callable[[], Path | None] | None, most: int = LARGEST_CACHE
    ) -> None:
        self._folder = folder
        self.most = most

    @property
    def folder(self) -> Path | None:
        """Where the files are now, ``None`` for nowhere."""
        return self._folder() if callable(self._folder) else self._folder

    def get(self, key: str) -> bytes | None:
        """Return the object stored under `key`, or ``None``.

        Parameters
        ----------
        key : str
            Hexadecimal digits.
        """
        folder = self.folder
        if folder is None:
            return None
        path = f"{folder}{os.sep}{key}"
        try:
            content = _read(folder, path)
        except OSError:
            return None
        if content is None or not content.startswith(MAGIC):
            return None
        start = len(MAGIC) + 32
        checksum, image = content[len(MAGIC) : start], content[start:]
        if hashlib.sha256(key.encode() + image).digest() != checksum:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return image

    def put(self, key: str, image: bytes) -> None:
        """Store an object, if that is possible."""
        folder = self.folder
        if folder is None or len(image) > LARGEST_FILE:
            return
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _private(folder.lstat(), stat.S_ISDIR):
                return
            self._write(folder, key, image)
            # By chance, so that many short processes sweep as often as one that is long.
            if secrets.randbelow(WRITES_BETWEEN_SWEEPS) == 0:
                self._sweep(folder)
        except OSError:
            return

    def _write(self, folder: Path, key: str, image: bytes) -> None:
        temporary = folder / f".{key[:16]}-{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        number = os.open(temporary, flags, 0o600)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(MAGIC + hashlib.sha256(key.encode() + image).digest() + image)
            temporary.replace(folder / key)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def _sweep(self, folder: Path) -> None:
        """Drop the files used longest ago while all are larger than `most`."""
        files = []
        for path in folder.iterdir():
            with contextlib.suppress(OSError):  # dropped by another process
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files, key=lambda f: f[0]):
            if total <= self.most:
                return
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size


def _private(status: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    """Whether a file is of a kind, ours, and written by nobody else."""
    if not is_kind(status.st_mode):
        return False
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def _read(folder: Path, path: str) -> bytes | None:
    if not _private(folder.lstat(), stat.S_ISDIR):
        return None
    # Neither follow a link nor wait for the writer of a pipe.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    number = os.open(path, flags)
    with os.fdopen(number, "rb") as file:
        status = os.fstat(number)
        if not _private(status, stat.S_ISREG) or status.st_size > LARGEST_FILE:
            return None
        return file.read(LARGEST_FILE + 1)
