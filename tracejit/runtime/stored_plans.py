"""Plans on disk: a Program that an earlier process compiled is not lowered again.

A plan is kept under a hash of all that it follows from: the Program without its lines, what the
compiler knows of the machine, and the files of this package.  Programs with control flow, captured
arrays, or primitives that others define are compiled each time.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracejit.backend.diskcache import DiskCache, cache_dir
from tracejit.compiler.stored import plan_from_bytes, plan_to_bytes
from tracejit.core.primitive import impl, lower
from tracejit.ir.dtypes import short_name
from tracejit.ir.plan import Plan
from tracejit.ir.program import Atom, Literal, Program
from tracejit.ir.target import Target

__all__ = ["plan_of"]

LEAST_EQUATIONS = 32
"""Equations from which a plan is worth a file."""
MOST_EQUATIONS = 5_000

_LOWERING = ("compiler", "core", "ir", "ops", "transforms")
"""The folders whose files say how Programs without control flow are lowered."""

_PLAIN = (bool, int, float, str, type(None), np.dtype)

_disk = DiskCache(lambda: cache_dir("plans"))


class _Unknown(Exception):
    """What a Program says cannot be told by its text."""


def plan_of(
    program: Program, target: Target, donated: Sequence[bool], compiled: Callable[[], Plan]
) -> Plan:
    """Return the plan of a Program, from the disk if it is there.

    Parameters
    ----------
    program : Program
        What to compute.
    target : Target
        What runs it; other plans than those of the host are not kept.
    donated : sequence of bool
        Which inputs may be overwritten.
    compiled : callable
        Returns the plan.
    """
    size = len(program.equations)
    if target.kind != "cpu" or not LEAST_EQUATIONS <= size <= MOST_EQUATIONS:
        return compiled()
    if program.constants or _disk.folder is None:
        return compiled()
    try:
        key = _key(program, target, donated)
    except _Unknown:
        return compiled()
    stored = _disk.get(key)
    found = None if stored is None else plan_from_bytes(stored, program)
    if found is None:
        found = compiled()
        written = plan_to_bytes(found, program)
        if written is not None:
            _disk.put(key, written)
    return found


def _key(program: Program, target: Target, donated: Sequence[bool]) -> str:
    """Return a hash of what the plan follows from."""
    numbers: dict[Atom, int] = {}
    avals: dict[Any, int] = {}
    rows: list[Any] = []

    def read(a: Atom) -> Any:
        if type(a) is Literal:
            return repr(a.value), avals.setdefault(a.aval, len(avals))
        return numbers[a]

    def write(v: Any) -> int:
        numbers[v] = len(numbers)
        return avals.setdefault(v.aval, len(avals))

    inputs = [write(v) for v in program.inputs]
    for eq in program.equations:
        if not _is_ours(eq.primitive):
            raise _Unknown
        operands = [read(a) for a in eq.inputs]
        params = [(name, _param(value)) for name, value in eq.params.items()]
        rows.append((eq.primitive.name, operands, params, [write(v) for v in eq.outputs]))
    results = [read(a) for a in program.outputs]
    types = [(a.shape, short_name(a.dtype), a.weak) for a in avals]
    known = (_versions(), _machine(target), inputs, rows, results, types, list(donated))
    return hashlib.sha256(f"plan\n{known!r}".encode()).hexdigest()


def _param(value: Any) -> Any:
    if type(value) is tuple or type(value) is list:
        return type(value).__name__, [_param(v) for v in value]
    if isinstance(value, np.dtype):
        return "dtype", short_name(value)
    if not isinstance(value, _PLAIN):
        raise _Unknown
    return value


@functools.lru_cache(maxsize=512)
def _is_ours(primitive: Any) -> bool:
    """Whether the files of this package say all of how a primitive is lowered."""
    if primitive.control or primitive.effectful or primitive.host:
        return False
    rule = lower.get(primitive) or impl.get(primitive)  # without loops, a library's
    return rule is not None and str(getattr(rule, "__module__", "")).startswith("tracejit.")


@functools.lru_cache(maxsize=8)
def _machine(target: Target) -> str:
    known = target.kind, target.cache_bytes, sorted(target.natively), sorted(target.libraries)
    return repr(known)


@functools.cache
def _versions() -> str:
    """Return a hash of the files that lower Programs: their names, sizes and times."""
    digest = hashlib.sha256(np.__version__.encode())
    for name in _LOWERING:
        with os.scandir(Path(__file__).parents[1] / name) as found:
            for file in sorted(found, key=lambda f: f.name):
                if file.name.endswith(".py"):
                    status = file.stat()
                    text = f"{file.path} {status.st_size} {status.st_mtime_ns}\n"
                    digest.update(text.encode())
    return digest.hexdigest()
