"""The cache on disk: what is stored is found, and what is not as it was stored is a miss."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tracejit.backend.diskcache import MAGIC, DiskCache, cache_dir

KEY, OTHER = "ab" * 32, "cd" * 32
POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


def test_what_is_put_is_got(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "a" / "b")
    assert cache.get(KEY) is None
    cache.put(KEY, b"image")
    assert cache.get(KEY) == b"image"
    assert cache.get(OTHER) is None
    assert DiskCache(tmp_path / "a" / "b").get(KEY) == b"image"
    cache.put(KEY, b"")
    assert cache.get(KEY) == b""


def test_no_folder_is_no_cache() -> None:
    cache = DiskCache(None)
    cache.put(KEY, b"image")
    assert cache.get(KEY) is None


@POSIX
def test_folder_and_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache")
    cache.put(KEY, b"image")
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [KEY]
    assert (tmp_path / "cache" / KEY).stat().st_mode & 0o777 == 0o600


def _flip(at: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)

    return damage


def _as_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _as_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _as_other(path: Path) -> None:
    DiskCache(path.parent).put(OTHER, b"other image")
    (path.parent / OTHER).replace(path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda p: p.write_bytes(b""),
    "magic alone": lambda p: p.write_bytes(MAGIC),
    "cut within the checksum": lambda p: p.write_bytes(p.read_bytes()[: len(MAGIC) + 9]),
    "cut within the object": lambda p: p.write_bytes(p.read_bytes()[:-1]),
    "longer": lambda p: p.write_bytes(p.read_bytes() + b"x"),
    "another magic": _flip(0),
    "another checksum": _flip(len(MAGIC)),
    "another object": _flip(-1),
    "the object of another key": _as_other,
    "text": lambda p: p.write_text("not an object"),
    "a folder": _as_directory,
    "a link": _as_link,
    "a pipe": _as_pipe,
    "writable by all": lambda p: p.chmod(0o666),
    "gone": lambda p: p.unlink(),
}


@POSIX
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_a_miss(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    cache = DiskCache(tmp_path / "cache")
    cache.put(KEY, b"image")
    damage(tmp_path / "cache" / KEY)
    assert cache.get(KEY) is None
    cache.put(KEY, b"image")  # does not raise, and mends what can be mended
    if not (tmp_path / "cache" / KEY).is_dir():
        assert cache.get(KEY) == b"image"


@POSIX
def test_a_file_of_someone_else_is_a_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DiskCache(tmp_path / "cache")
    cache.put(KEY, b"image")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert cache.get(KEY) is None
    cache.put(OTHER, b"image")
    assert not (tmp_path / "cache" / OTHER).exists()


@POSIX
@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_may_write_is_not_used(tmp_path: Path, mode: int) -> None:
    cache = DiskCache(tmp_path / "cache")
    cache.put(KEY, b"image")
    (tmp_path / "cache").chmod(mode)
    assert cache.get(KEY) is None
    cache.put(OTHER, b"image")
    assert not (tmp_path / "cache" / OTHER).exists()


def test_a_folder_that_cannot_be_made_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = DiskCache(tmp_path / "file" / "cache")
    cache.put(KEY, b"image")
    assert cache.get(KEY) is None


def test_the_files_used_longest_ago_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracejit.backend.diskcache.WRITES_BETWEEN_SWEEPS", 1)
    cache = DiskCache(tmp_path / "cache", most=10_000)
    keys = [f"{n:064x}" for n in range(9)]
    for n, key in enumerate(keys[:8]):
        cache.put(key, bytes(2000))
        os.utime(tmp_path / "cache" / key, (n, n))
    assert cache.get(keys[5]) is not None  # and so it is the latest
    cache.put(keys[8], bytes(2000))
    kept = [key for key in keys if (tmp_path / "cache" / key).exists()]
    assert keys[8] in kept
    assert keys[5] in kept
    assert keys[0] not in kept
    assert sum(p.stat().st_size for p in (tmp_path / "cache").iterdir()) <= 10_000


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRACEJIT_CACHE_DIR", str(tmp_path))
    assert cache_dir("one") == cache_dir("two") == tmp_path
    monkeypatch.setenv("TRACEJIT_CACHE_DIR", "")
    assert cache_dir("one") is None
    for name in ("TRACEJIT_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    folder = cache_dir("one")
    assert folder is not None
    assert folder.is_relative_to(tmp_path)
    assert folder.parts[-2:] == ("tracejit", "one")
