"""Cumulative operations: which of the kernels of ``scans.cuh`` scan an array, and how.

=======================  ==========================  ========================  =============
array                    when                        who                       moves
=======================  ==========================  ========================  =============
[outer, length, 1]       at most 512 long            lanes of a warp to a row  read, write
                         many rows                   a block to a row          read, write
                         few long rows               a block to a chunk        2 reads, write
[outer, length, inner]   many columns, or short      a thread to a column      read, write
                         columns                     2 to 128 threads to one   read, write
                         few long columns            the same to a chunk       2 reads, write
=======================  ==========================  ========================  =============

Chunks are reduced first; each then begins with what the earlier ones come to.  That takes two
launches, is the same every time, and the second read finds what the cache holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.ir.dtypes import real_of
from tracejit_cuda.native import (
    NATIVE,
    Divisor,
    Field,
    KernelLaunch,
    NativeCall,
    Struct,
    aligned,
    launch,
    template_part,
)
from tracejit_cuda.runtime import Properties
from tracejit_cuda.scalars import type_name

__all__ = ["SCANS", "scan_call"]

SCANS = {
    "cumsum": "tj_add_op",
    "cumprod": "tj_mul_op",
    "cummax": "tj_max_op",
    "cummin": "tj_min_op",
    "cumlogsumexp": "tj_logaddexp_op",
}
"""The step of each library call."""

TEMPLATES = template_part("scans", NATIVE)

THREADS = 256
EACH = {4: (3, 5, 7, 9, 11, 15), 8: (3, 5, 7, 9)}
"""Positions of a thread in a row, by the bytes of a word; odd, so that no banks collide."""
SHORT = {4: 17, 8: 9}
"""Most positions of a thread in a short row."""
DEEP = 8
"""Positions of a thread in a column: loads under way at once."""
LABORIOUS = ("cumlogsumexp",)
"""Steps that need registers themselves: a thread has fewer positions."""
MOST_STEPS = 2**31
"""The steps of a thread along a column add up to less, in elements."""
ALONE = 16
"""Length of a column up to which one thread walks it, whatever else there is to do."""
BUSY = 1024
"""Threads of a multiprocessor that keep the memory busy."""
FEW_TILES = 8
"""Tiles of a column up to which it is not worth two launches to cut it."""
CHUNKS = 4
"""Chunks of work for each multiprocessor."""
MOST_BLOCKS = 64
"""Blocks of a launch for each multiprocessor."""


def scan_call(
    name: str, params: tuple[int, ...], dtype: np.dtype[Any], properties: Properties
) -> NativeCall:
    """Return how a cumulative operation is computed.

    Parameters
    ----------
    name : str
        In :data:`SCANS`.
    params : tuple of int
        Of the library call: ``(outer, length, inner, reverse)``.
    dtype : dtype
        Of the array.
    properties : Properties
        Of the device.
    """
    outer, length, inner, reverse = params
    if not outer * length * inner:
        return NativeCall(())
    kind = type_name(real_of(dtype))
    size = max(real_of(dtype).itemsize, 4)
    arguments = f"{kind}, {SCANS[name]}, {'true' if reverse else 'false'}, {THREADS}"
    x, out = Field("slot", 0, f"const {kind}*", "x"), Field("slot", 1, f"{kind}*", "out")
    most = MOST_BLOCKS * properties.multiprocessors

    if inner == 1 and length <= 32 * (SHORT[size] - 1):
        team, each = _team(length, SHORT[size])
        function = f"tj_scan_rows<{arguments}, {team}, {SHORT[size]}>"
        row = {"rows": outer, "length": length, "each": each}
        blocks = min(-(-outer * team // THREADS), most)
        return NativeCall((launch(function, (x, out), row, blocks, THREADS, TEMPLATES),))

    laborious = name in LABORIOUS
    columns = outer * inner
    width = _width(columns, length, inner, properties)
    if width == 1:
        choices = EACH[size][:2] if laborious else EACH[size]
        each = next((e for e in choices if e * THREADS >= length), choices[-1])
    else:
        deep = DEEP // 2 if laborious else DEEP
        each = deep if deep * inner < MOST_STEPS else 1
    groups = -(-columns // width)
    chunks, chunk = _chunks(length, THREADS // width * each, groups, properties)
    numbers: dict[str, int | Divisor | Struct] = {
        "groups": groups, "columns": columns, "length": length, "inner": Divisor(inner),
        "chunks": chunks, "chunk": chunk,
    }  # fmt: skip
    partials = Field("scratch", 0, f"tj_computing<{kind}>*", "partials")

    def step(function: str, pointers: tuple[Field, ...], items: int) -> KernelLaunch:
        function = f"{function}<{arguments}, {width}, {each}>"
        blocks = min(items, most)
        return launch(function, pointers, numbers, blocks, THREADS, TEMPLATES)

    scan = step("tj_scan_chunks", (x, out, partials), groups * chunks)
    if chunks == 1:
        return NativeCall((scan,))
    reduce = step("tj_scan_partials", (x, partials), groups * (chunks - 1))
    return NativeCall((reduce, scan), aligned((chunks - 1) * columns * size))


def _team(length: int, most: int) -> tuple[int, int]:
    """Return how many lanes share a row, and how many positions each has: an odd number."""
    team = 1
    while -(-length // team) > most - 1:
        team *= 2
    return team, -(-length // team) | 1


def _width(columns: int, length: int, inner: int, properties: Properties) -> int:
    """Return how many columns a block has."""
    if inner == 1:
        return 1
    if length <= ALONE or columns >= BUSY * properties.multiprocessors:
        return THREADS
    width = 2
    while width < min(inner, 32):
        width *= 2
    return width


def _chunks(length: int, tile: int, groups: int, properties: Properties) -> tuple[int, int]:
    """Return into how many chunks a column is cut, and their length: a multiple of `tile`."""
    tiles = -(-length // tile)
    if 2 * groups >= properties.multiprocessors or tiles <= FEW_TILES:
        return 1, tiles * tile
    wanted = min(-(-CHUNKS * properties.multiprocessors // groups), tiles)
    each = -(-tiles // wanted)
    return -(-tiles // each), each * tile

