"""The command: which rows and libraries there are, the table, the file."""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.cuda import (
    indexing,
    libraries,
    loops,
    machine,
    memory,
    overhead,
    products,
    reductions,
    report,
    stencils,
)
from bench.cuda.machine import Machine
from bench.cuda.rows import DeviceCase, DeviceTimed
from bench.harness import Effort, Outcome, measure
from bench.peers import Peer

__all__ = ["run", "select"]

WORKLOADS = (memory, reductions, stencils, indexing, products, loops, overhead)
FULL = Effort(sample=0.05, rounds=9, most=4.0)
QUICK = Effort(sample=0.02, rounds=5, most=2.0)
SIMULATED = Effort(sample=0.0, rounds=3, most=0.0)

Row = DeviceCase | DeviceTimed


def select(quick: bool, wanted: str) -> list[Row]:
    """Return the rows that contain a text."""
    return [
        row
        for workload in WORKLOADS
        for row in workload.cases(quick)
        if wanted.lower() in f"{row.name} {row.size} {row.dtype}".lower()
    ]


def run(options: argparse.Namespace) -> int:
    """Run the benchmarks that the arguments ask for; return the exit status.

    It is 2 if they cannot be run, and 1 if tracejit failed in a row.
    """
    rows = select(options.quick, options.filter)
    if not rows:
        return _refused(f"no row contains {options.filter!r}")
    if options.list:
        print(*(f"{row.name} | {row.size} | {row.dtype}" for row in rows), sep="\n")
        return 0
    simulated = libraries.simulated()
    known = libraries.NAMES[1:]
    asked = () if simulated else known
    if options.peers is not None:
        asked = tuple(name for name in options.peers.split(",") if name)
        if unknown := sorted(set(asked) - set(known)):
            return _refused(f"--peers must be of {', '.join(known)} on cuda; got {unknown}")
    if options.threads is not None:
        return _refused("--threads is for the host; a device has no such setting")
    if simulated and not options.quick:
        return _refused("the simulator of CUDA runs only --quick: full sizes would take days")
    if missing := _missing():
        return _refused(missing)
    found = machine.look()
    peers = _peers(["tracejit", *(name for name in known if name in asked)])
    return _run(rows, peers, found, options)


def _refused(why: str) -> int:
    print(f"bench: {why}", file=sys.stderr)
    return 2


def _missing() -> str:
    """Return ``""``, or in one line why there is no device."""
    import tracejit

    try:
        tracejit.devices("cuda")
    except RuntimeError as error:
        return str(error).splitlines()[0]  # what follows is where it was raised
    return ""


def _peers(names: Sequence[str]) -> list[Peer]:
    peers = []
    for name in names:
        try:
            peers.append(libraries.load(name))
        except Exception as error:
            print(f"bench: without {name}: {' '.join(str(error).split())}", file=sys.stderr)
    return peers


def _run(
    rows: Sequence[Row], peers: Sequence[Peer], found: Machine, options: argparse.Namespace
) -> int:
    copy = None if found.simulated else machine.copy_bandwidth()
    libraries.release()
    others = [peer.name for peer in peers if peer.name != "tracejit"]
    versions = {peer.name: peer.version for peer in peers if peer.name != "torch.compile"}
    versions |= {"numpy": np.__version__, "python": platform.python_version()}
    print(found.heading)
    print("  ".join(f"{name} {version}" for name, version in versions.items()))
    if copy is not None:
        print(f"copy of 1 GiB by CUDA, read and written: {copy / 1e9:.0f} GB/s on {found.card}")
        print("copy = share of that; ratio = peer's time / tracejit's (its time in brackets)")
    print(report.heading(others))
    effort = SIMULATED if found.simulated else QUICK if options.quick else FULL
    written: dict[str, Any] = {
        "machine": vars(found),
        "versions": versions,
        "copy_bytes_per_second": copy,
        "quick": options.quick,
        "rows": [],
    }
    failed = False
    for row in rows:
        outcome = _measured(row, peers, effort)
        quantities = report.quantities(row, outcome, found, copy)
        said = report.verdicts(row, quantities, found, options.quick)
        text = report.line(row, outcome, quantities, said, others, found.simulated)
        print(text, flush=True)
        written["rows"].append(report.content(row, outcome, quantities, said, found))
        if options.json is not None:  # after each row: a long run may be cut short
            options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
        failed |= "tracejit" not in outcome.seconds
    return int(failed)


def _measured(row: Row, peers: Sequence[Peer], effort: Effort) -> Outcome:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            outcome = measure(row, peers, effort, libraries.reference())
        except Exception as error:  # of the reference
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:160]
            outcome = Outcome(row.name, row.size, row.dtype, errors={"reference": text})
    gc.collect()
    libraries.release()
    return outcome
