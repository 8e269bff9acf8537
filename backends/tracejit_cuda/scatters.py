"""Scatters: which of the kernels of ``scatters.cuh`` combine updates with an array, and how.

All are deterministic by default: every run gives the same bits.

===========================  ======================================  ==============================
what                         how                                     cost beyond the copy of x
===========================  ======================================  ==============================
no place is written twice    plain stores                            reads and writes of updates
integers; extremes           atomic operations                       one for each update; 16 bytes
                                                                     an element below 32 bits
replacing                    the last key of a cell is marked by     4 bytes a cell, and the
                             its number, then writes                 indices twice
sums of floats               fixed-point numbers, scaled by the      28 bytes an element of x (44
                             greatest update of each place           for float64), updates twice,
                                                                     two (three) atomics for each
replacing, sums, products,   all pairs of 8192 keys are compared,    8192 comparisons a key, and a
if the keys are few          and those of a cell linked in order     launch for 8192 keys
===========================  ======================================  ==============================

Sums by links have NumPy's bits; fixed-point sums are rounded once, so they are closer.  Products
of floats are always by links.  If determinism is not asked for, both are atomic.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

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

__all__ = ["SCATTERS", "scatter_call"]

SCATTERS = {
    "scatter": "tj_set_op",
    "scatter_add": "tj_add_op",
    "scatter_mul": "tj_mul_op",
    "scatter_min": "tj_least_op",
    "scatter_max": "tj_greatest_op",
}
"""The step of each library call."""

TEMPLATES = template_part("scatters", NATIVE)

THREADS = 256
CHUNK = 8192
"""Keys whose pairs are compared; a table of their links fits shared memory."""
MOST_BLOCKS = 16
"""Blocks of a launch for each multiprocessor."""
MOST_SCRATCH = 4 << 30
"""Bytes of scratch memory from which updates are rather linked."""

LAUNCH = 4e-6
"""Seconds a launch takes, roughly: what follows chooses between two ways."""
BYTES = 3e10
"""Bytes that a multiprocessor moves in a second."""
COMPARISONS = 1.5e11
"""Pairs that a multiprocessor compares in a second."""
ATOMICS = 1.2e9
"""Atomic operations of a multiprocessor in a second, at places of no order."""


class _Windows(NamedTuple):
    """The params of a library call; see :class:`tracejit.ir.plan.LibraryCall`."""

    lanes: int
    batch: int
    size: int
    drop: int
    unique: int
    starts: tuple[tuple[int, int], ...]
    axes: tuple[tuple[int, int], ...]

    @property
    def width(self) -> int:
        return math.prod(length for length, _ in self.axes)

    @property
    def updates(self) -> int:
        return self.lanes * self.batch * self.width

    @property
    def whole(self) -> bool:
        """Whether windows coincide or are disjoint: their places are mixed-radix numbers."""
        digits = [(stride, room + 1) for stride, room in self.starts if room]
        digits += [(stride, length) for length, stride in self.axes]
        digits.sort()
        return all(
            stride >= count * below
            for (below, count), (stride, _) in itertools.pairwise(digits)
        )


def _windows(params: Sequence[int]) -> _Windows:
    lanes, batch, size, drop, unique, n = params[:6]
    starts, axes = params[6 : 6 + 2 * n], params[7 + 2 * n :]
    return _Windows(
        lanes,
        batch,
        size,
        drop,
        unique,
        tuple(zip(starts[::2], starts[1::2], strict=True)),
        tuple(zip(axes[::2], axes[1::2], strict=True)),
    )


def scatter_call(
    name: str,
    params: tuple[int, ...],
    dtype: np.dtype[Any],
    index: np.dtype[Any],
    properties: Properties,
    deterministic: bool = True,
) -> NativeCall:
    """Return how a scatter is computed.

    Parameters
    ----------
    name : str
        In :data:`SCATTERS`.
    params : tuple of int
        Of the library call.
    dtype, index : dtype
        Of the arrays and of the indices.
    properties : Properties
        Of the device.
    deterministic : bool
        Whether every run must give the same bits.
    """
    return _Scatter(name, _windows(params), real_of(dtype), index, properties).call(deterministic)


class _Scatter:
    def __init__(
        self,
        name: str,
        w: _Windows,
        dtype: np.dtype[Any],
        index: np.dtype[Any],
        properties: Properties,
    ) -> None:
        self.name = name
        self.w = w
        self.dtype = dtype
        self.processors = properties.multiprocessors
        # What is only moved is bits.
        kind = type_name(np.dtype(f"u{dtype.itemsize}") if name == "scatter" else dtype)
        self.kind, self.index = kind, type_name(index)
        self.x = Field("slot", 0, f"const {kind}*", "x")
        self.indices = Field("slot", 1, f"const {self.index}*", "indices")
        self.updates = Field("slot", 2, f"const {kind}*", "updates")
        self.out = Field("slot", 3, f"{kind}*", "out")
        self.whole = w.whole
        self.keys = w.lanes * w.batch if self.whole else w.updates
        cells = math.prod(room + 1 for _, room in w.starts) if self.whole else w.size
        self.cells = w.lanes * cells
        self.shape = f"{len(w.starts)}, {len(w.axes)}"
        self.number = "int" if max(self.keys, self.cells) < 2**31 else "long long"

    def call(self, deterministic: bool) -> NativeCall:
        w = self.w
        if not w.lanes * w.size:
            return NativeCall(())
        if not w.updates:
            return NativeCall((self.begin(),))
        if w.unique:
            return NativeCall((self.begin(), self.each()))
        if self.name == "scatter":
            return self.linked() if self.prefers_links(self.marks()) else self.marked()
        ordered = self.dtype.kind in "fV" and self.name in ("scatter_add", "scatter_mul")
        if not (ordered and deterministic):
            return self.atomic()
        if self.name == "scatter_mul" or self.prefers_links(self.fixed_point()):
            return self.linked()
        return self.fixed()

    # ---------------------------------------------------------------- what it costs

    def prefers_links(self, other: tuple[float, int]) -> bool:
        """Whether linking takes less time than another way, of which time and scratch are given."""
        w, p = self.w, self.processors
        chunks = -(-self.keys // CHUNK)
        compared = self.keys * min(self.keys, CHUNK) / (COMPARISONS * p)
        moved = (w.updates * 3 + w.lanes * w.size * 2) * self.dtype.itemsize / (BYTES * p)
        seconds, nbytes = other
        return nbytes > MOST_SCRATCH or (2 + chunks) * LAUNCH + compared + moved < seconds

    def marks(self) -> tuple[float, int]:
        """Return seconds and bytes of scratch memory of marking."""
        w, p = self.w, self.processors
        nbytes = self.cells * (4 if self.number == "int" else 8)
        moved = nbytes + (w.updates * 3 + w.lanes * w.size * 2) * self.dtype.itemsize
        return 4 * LAUNCH + moved / (BYTES * p) + self.keys / (ATOMICS * p), nbytes

    def fixed_point(self) -> tuple[float, int]:
        """Return seconds and bytes of scratch memory of sums in fixed point."""
        w, p, size = self.w, self.processors, self.dtype.itemsize
        words = 2 if size == 8 else 1
        nbytes = w.lanes * w.size * (4 + 8 * words)
        moved = 2 * nbytes + (w.updates * 2 + w.lanes * w.size * 2) * size
        atomics = w.updates * (1 + words) / (ATOMICS * p)
        return 4 * LAUNCH + moved / (BYTES * p) + atomics, nbytes

    # ------------------------------------------------------------------- the ways

    def windows(self) -> Struct:
        w = self.w
        members: dict[str, int | Divisor] = {
            "windows": w.lanes * w.batch,
            "batch": Divisor(w.batch),
            "width": Divisor(w.width),
            "size": w.size,
            "cells": self.cells // w.lanes,
            "drop": w.drop,
        }
        cell = self.cells // w.lanes
        for n, (stride, room) in enumerate(w.starts):
            cell //= room + 1
            members |= {f"stride{n}": stride, f"room{n}": room, f"cell{n}": cell}
        if not w.starts:
            members |= dict.fromkeys(("stride", "room", "cell"), 0)
        for n, (length, step) in enumerate(w.axes):
            members |= {f"length{n}": Divisor(length), f"step{n}": step}
        if not w.axes:
            members |= {"length": Divisor(1), "step": 0}
        return Struct(f"tj_windows<{self.shape}>", members)

    def step(
        self,
        function: str,
        arguments: Sequence[str],
        pointers: Sequence[Field],
        work: int,
        numbers: dict[str, int | Divisor | Struct] | None = None,
    ) -> KernelLaunch:
        """Return the launch of a template over `work` items, one a thread."""
        text = f"{function}<{', '.join(arguments)}>" if arguments else function
        blocks = min(-(-work // THREADS), MOST_BLOCKS * self.processors)
        if numbers is None:
            numbers = {"to": self.windows()}
        return launch(text, pointers, numbers, blocks, THREADS, TEMPLATES)

    def begin(self) -> KernelLaunch:
        nbytes = self.w.lanes * self.w.size * self.dtype.itemsize
        out = self.out._replace(type="char*")
        x = self.x._replace(type="const char*")
        return self.step("tj_scatter_begin", (), (out, x), -(-nbytes // 16), {"nbytes": nbytes})

    def fill(self, offset: int, nbytes: int, value: int) -> KernelLaunch:
        words = Field("scratch", offset, "int*", "words")
        numbers: dict[str, int | Divisor | Struct] = {"value": value, "count": nbytes // 4}
        return self.step("tj_scatter_fill", (), (words,), -(-nbytes // 16), numbers)

    def each(self) -> KernelLaunch:
        how = (self.kind, self.index, SCATTERS[self.name], self.shape)
        pointers = (self.indices, self.updates, self.out)
        return self.step("tj_scatter_each", how, pointers, self.w.updates)

    def atomic(self) -> NativeCall:
        how = (self.kind, self.index, SCATTERS[self.name], self.shape)
        narrow = self.dtype.itemsize < 4
        words = Field("scratch", 0, f"tj_computing<{self.kind}>*", "words")
        pointers = (self.indices, self.updates, words if narrow else self.out)
        combine = self.step("tj_scatter_atomic", how, pointers, self.w.updates)
        if not narrow:
            return NativeCall((self.begin(), combine))
        count = self.w.lanes * self.w.size
        if 4 * count > MOST_SCRATCH:
            return self.linked()
        kind = (self.kind,)
        widen = self.step("tj_scatter_widen", kind, (self.x, words), count, {"count": count})
        end = self.step("tj_scatter_narrow", kind, (self.out, words), count, {"count": count})
        return NativeCall((widen, combine, end), aligned(4 * count))

    def marked(self) -> NativeCall:
        nbytes = self.marks()[1]
        winners = Field("scratch", 0, f"{self.number}*", "winners")
        how = (self.index, self.number, str(self.whole).lower(), self.shape)
        mark = self.step("tj_scatter_mark", how, (self.indices, winners), self.keys)
        pointers = (self.indices, self.updates, self.out, winners)
        won = self.step("tj_scatter_won", (self.kind, *how), pointers, self.w.updates)
        return NativeCall((self.begin(), self.fill(0, nbytes, -1), mark, won), aligned(nbytes))

    def linked(self) -> NativeCall:
        links = Field("scratch", 0, "int*", "links")
        whole = str(self.whole).lower()
        how = (self.index, self.number, whole, str(THREADS), self.shape)
        windows = self.windows()
        link = self.step(
            "tj_scatter_links", how, (self.indices, links), self.keys,
            {"chunk": CHUNK, "to": windows},
        )  # fmt: skip
        own = (self.kind, self.index, SCATTERS[self.name], whole, str(CHUNK), self.shape)
        pointers = (self.indices, self.updates, self.out, links)
        width = self.w.width if self.whole else 1
        steps = [
            self.step(
                "tj_scatter_linked", own, pointers, min(self.keys - first, CHUNK) * width,
                {"first": first, "to": windows},
            )
            for first in range(0, self.keys, CHUNK)
        ]  # fmt: skip
        return NativeCall((self.begin(), link, *steps), aligned(4 * self.keys))

    def fixed(self) -> NativeCall:
        count = self.w.lanes * self.w.size
        nbytes = self.fixed_point()[1]
        sums = Field("scratch", 0, "unsigned long long*", "sums")
        scales = Field("scratch", nbytes - 4 * count, "int*", "scales")
        how = (self.kind, self.index, self.shape)
        # As many bits as leave room for the carries of all updates.
        bits = 62 - self.w.batch.bit_length()
        windows, work = self.windows(), self.w.updates
        return NativeCall(
            (
                self.fill(0, nbytes, 0),
                self.step("tj_scatter_scales", how, (self.indices, self.updates, scales), work),
                self.step(
                    "tj_scatter_sums", how, (self.indices, self.updates, sums, scales), work,
                    {"bits": bits, "to": windows},
                ),
                self.step(
                    "tj_scatter_totals", (self.kind,), (self.x, self.out, sums, scales), count,
                    {"bits": bits, "count": count},
                ),
            ),
            aligned(nbytes),
        )  # fmt: skip
