"""Sorts: rows along any axis, by one key or several, with what goes along.

==========================  =================================================================
rows                        way
==========================  =================================================================
short                       networks, a row in each lane (:mod:`.sort_network`)
middling, or many           radix, a group of rows by one thread (:mod:`.sort_radix`)
long                        radix, a row by all threads
==========================  =================================================================

One array alone is sorted by its keys.  Otherwise the keys give an order, the last one first, and
each array is then taken in it.  Sorts are stable; what comes out does not depend on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit_llvm.routines.calls import (
    SCRATCH,
    LibraryFunction,
    LibraryStep,
    LibrarySteps,
    aligned,
)
from tracejit_llvm.routines.sort_keys import CLASS
from tracejit_llvm.routines.sort_network import LONGEST, lanes_of, network_text
from tracejit_llvm.routines.sort_radix import (
    HEAD,
    counters_of,
    digits_of,
    radix_text,
    word_bytes,
)
from tracejit_llvm.routines.sort_rows import SortForm
from tracejit_llvm.routines.writing import Kernel, module_text
from tracejit_llvm.text import Module

__all__ = ["sort_steps", "take_text"]

FEW_ROWS = 4
"""Rows from which a network sorts longer ones."""
SHORT = 96
"""Length up to which it sorts a single one."""
LONG = 1 << 15
"""Length from which a row may be sorted by many threads, if there are few."""
VERY_LONG = 1 << 18
"""Length from which it is, however many there are."""
MOST_GROUPS = 64
GROUP_BYTES = 64 << 20
"""Scratch memory of all groups together, if that leaves a few."""
BLOCK = 1 << 14
"""Words of a block, at least."""
MOST_BLOCKS = 32
TAKEN = 1 << 12
"""Elements that are taken by one thread."""


def sort_steps(params: tuple[int, ...], dtypes: Sequence[np.dtype[Any]]) -> LibrarySteps:
    """Return how arrays are sorted.

    Parameters
    ----------
    params : tuple of int
        Of the library call: ``(outer, length, inner, num_keys, wanted, counted)``.
    dtypes : sequence of dtype
        Of the arrays.
    """
    outer, length, inner, num_keys, wanted, counted = params
    if not (outer * length * inner and wanted):
        return LibrarySteps(())
    count = len(dtypes)
    shape = (outer, length, inner)
    if count == 1 and dtypes[0].kind != "c":
        return _one_key(SortForm(dtypes[0], 0, False, False), shape, (0, 1, SCRATCH), 0)
    order = aligned(4 * outer * length * inner)
    steps: list[LibraryStep] = []
    scratch = order
    for n in reversed(range(num_keys)):
        for part in (1, 0, CLASS) if dtypes[n].kind == "c" else (0,):
            form = SortForm(dtypes[n], part, True, bool(steps))
            own = _one_key(form, shape, (n, n, SCRATCH), order)
            steps += own.steps
            scratch = max(scratch, own.scratch_bytes)
    lines = max(1, TAKEN // inner)
    for n, dtype in enumerate(dtypes):
        if not wanted >> n & 1:
            continue
        arguments = (dtype.itemsize, bool(counted >> n & 1))
        function = LibraryFunction(take_text, arguments, "take")
        sizes = (*shape, lines)
        rows = -(-outer * length // lines)
        cost = (0.5 if arguments[1] else 2.0) * outer * length * inner
        steps.append(LibraryStep(function, (n, count + n, SCRATCH), sizes, rows, cost))
    return LibrarySteps(tuple(steps), scratch)


def _one_key(
    form: SortForm, shape: tuple[int, int, int], buffers: tuple[int, ...], start: int
) -> LibrarySteps:
    """Return the launches for one key; own scratch memory begins at `start`."""
    outer, length, inner = shape
    rows, total = outer * inner, outer * length * inner
    if length <= (LONGEST if rows >= FEW_ROWS else SHORT):
        groups = -(-rows // lanes_of(form))
        cost = total * (1.0 + 0.15 * length.bit_length() ** 2) * (3 if form.indexed else 1)
        function = LibraryFunction(network_text, (form, inner == 1), "network")
        return LibrarySteps((LibraryStep(function, buffers, shape, groups, cost),), start)
    digits, counters, nbytes = digits_of(form), counters_of(form), word_bytes(form)
    halves = 2 * aligned(length * nbytes)
    cost = 2.0 * total * (1 + len(digits))
    if length < (LONG if rows < FEW_ROWS else VERY_LONG):
        each = halves + 4 * counters * len(digits)
        groups = min(rows, MOST_GROUPS, max(8, GROUP_BYTES // each))
        function = LibraryFunction(radix_text, (form, False), "rows")
        step = LibraryStep(function, buffers, (*shape, start, groups), groups, cost)
        return LibrarySteps((step,), start + aligned(groups * each))
    block = max(BLOCK, -(-length // MOST_BLOCKS))
    blocks = -(-length // block)
    steps = []
    for row in range(rows):
        sizes = (*shape, row, start, block, blocks)

        def launch(
            name: str, shared: bool, rest: tuple[int, ...] = (), sizes: tuple[int, ...] = sizes
        ) -> None:
            function = LibraryFunction(radix_text, (form, True), name)
            own = 2.0 * length if shared else 1000.0
            count = blocks if shared else 1
            steps.append(LibraryStep(function, buffers, (*sizes, *rest), count, own, shared))

        launch("prepare", False)
        launch("load", True)
        launch("choose", False)
        for n, (low, bits) in enumerate(digits):
            own = (n, low, (1 << bits) - 1)
            launch("count", True, own)
            launch("offsets", False, own)
            launch("move", True, own)
        launch("settle_long", False, (len(digits),))
        launch("store", True, (len(digits),))
        if not form.indexed:
            launch("finish", False)
    scratch = start + HEAD + halves + 4 * counters * max(blocks + 1, len(digits))
    return LibrarySteps(tuple(steps), aligned(scratch))


def take_text(itemsize: int, counted: bool) -> str:
    """Return the module of ``take``, which puts elements of `itemsize` bytes into an order.

    Its rows are pieces of some lines along the last axis.  If `counted`, the elements are numbers
    of places: those in the order.
    """
    module = Module()
    f = Kernel(module, "take")
    x, out, order = (f.buffer(k) for k in range(3))
    outer, length, inner, lines = (f.size(k) for k in range(4))
    kind = f"i{8 * itemsize}"
    lo = f.i("mul", "%begin", lines)
    hi = f.least(f.i("mul", "%end", lines), f.i("mul", outer, length))

    def one_outer(o: str, _: list[str]) -> None:
        start = f.i("mul", o, length)
        base = f.i("mul", start, inner)
        first = f.greatest(f.i("sub", lo, start), 0)
        last = f.least(f.i("sub", hi, start), length)

        def line(at: str, _: list[str]) -> None:
            own = f.i("add", base, f.i("mul", at, inner))

            def one(i: str, _: list[str]) -> None:
                to = f.i("add", own, i)
                number = f.load("i32", order, to)
                if counted:
                    how = {1: "trunc", 2: "trunc", 4: "bitcast", 8: "zext"}[itemsize]
                    f.store(kind, f.op(f"{how} i32 {number} to {kind}"), out, to)
                    return
                source = f.op(f"zext i32 {number} to i64")
                there = f.i("add", f.i("add", base, f.i("mul", source, inner)), i)
                f.store(kind, f.load(kind, x, there, align=1), out, to, align=1)

            f.loop(0, inner, one)

        f.loop(first, last, line)

    end = f.i("add", f.i("sdiv", f.i("sub", hi, 1), length), 1)
    f.loop(f.i("sdiv", lo, length), end, one_outer)
    f.end()
    return module_text(module)
