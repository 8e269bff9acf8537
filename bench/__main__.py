"""``python -m bench``: time every workload with every peer and print one table.

``--device cuda`` runs the workloads of :mod:`bench.cuda` instead of those of the host.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

from bench import (
    chains,
    compile_time,
    heat,
    kernels,
    learning,
    loops,
    memory,
    reductions,
    sorting,
    stencils,
    tiny,
    tracing,
    whole,
)
from bench.cuda import command, libraries
from bench.harness import Case, Effort, Outcome, Timed, measure
from bench.peers import NAMES, Peer, installed, load
from bench.roofline import HEADING, columns, share, size_of

WORKLOADS = (
    tiny,
    heat,
    stencils,
    loops,
    chains,
    reductions,
    sorting,
    kernels,
    learning,
    compile_time,
    tracing,
    memory,
    whole,
)
FULL = Effort(sample=0.05, rounds=11, most=12.0)
QUICK = Effort(sample=0.02, rounds=5, most=3.0)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmarks that the arguments ask for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Ratios are the peer's time over tracejit's: above 1, tracejit is faster.",
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where to run; cpu if not given"
    )
    parser.add_argument("--filter", default="", help="only rows that contain this text")
    parser.add_argument("--quick", action="store_true", help="fewer sizes, shorter samples")
    parser.add_argument(
        "--peers",
        help=f"of {','.join(NAMES[1:])}, on cuda of {','.join(libraries.NAMES[1:])}; "
        "all that are installed if not given",
    )
    parser.add_argument("--threads", type=int, help="threads of every library that can be told")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the medians too")
    parser.add_argument("--list", action="store_true", help="print the rows and stop")
    options = parser.parse_args(argv)
    os.environ["TRACEJIT_CACHE_DIR"] = ""  # a first call is one that finds nothing on disk
    if options.device == "cuda":
        return command.run(options)

    rows = [
        case
        for workload in WORKLOADS
        for case in workload.cases(options.quick)
        if options.filter.lower() in f"{case.name} {case.size} {case.dtype}".lower()
    ]
    if not rows:
        print(f"bench: no row contains {options.filter!r}", file=sys.stderr)
        return 2
    if options.list:
        print(*(f"{case.name} | {case.size} | {case.dtype}" for case in rows), sep="\n")
        return 0
    asked = NAMES if options.peers is None else ("tracejit", "numpy", *options.peers.split(","))
    unknown = sorted(set(asked) - set(NAMES))
    if unknown:
        print(f"bench: --peers must be of {', '.join(NAMES[1:])}; got {unknown}", file=sys.stderr)
        return 2
    peers = _peers([name for name in installed() if name in asked], options.threads)
    outcomes = _run(rows, peers, QUICK if options.quick else FULL)
    if options.json is not None:
        _write(options.json, outcomes, peers)
    return 0


def _peers(names: Iterable[str], threads: int | None) -> list[Peer]:
    peers = []
    for name in names:
        try:
            peers.append(load(name, threads))
        except Exception as error:
            print(f"bench: without {name}: {type(error).__name__}: {error}", file=sys.stderr)
    return peers


def _run(rows: list[Case | Timed], peers: list[Peer], effort: Effort) -> list[Outcome]:
    others = [peer.name for peer in peers if peer.name != "tracejit"]
    print("  ".join(f"{peer.name} {peer.version}" for peer in peers))
    print(f"ratio = peer's time / tracejit's (in brackets: the peer's time); {os.cpu_count()} CPUs")
    print(
        "moved = bytes of tracejit's kernels; /least = over those of arguments and results; "
        "triad = share of a triad's bandwidth"
    )
    print(
        f"{'case':26} {'size':>10} {'dtype':8} {'tracejit':>10}{HEADING}"
        + "".join(f" {name:>17}" for name in others)
    )
    outcomes = []
    for case in rows:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome = measure(case, peers, effort)
        outcomes.append(outcome)
        print(_row(outcome, others), flush=True)
    if any(outcome.name.startswith(whole.PREFIX) for outcome in outcomes):
        print(_headline(outcomes, others))
    return outcomes


def _headline(outcomes: list[Outcome], others: list[str]) -> str:
    """Return the last line: the geometric mean over the whole programs, by peer."""
    cells = []
    for name in others:
        mean, count = whole.geometric_mean(outcomes, name)
        cells.append(f" {mean:>7.2f} ({count:>2} rows)" if count else f" {'-':>17}")
    return f"{'whole: geometric mean':{57 + len(HEADING)}}" + "".join(cells)


def _row(outcome: Outcome, others: list[str]) -> str:
    own = outcome.seconds.get("tracejit")
    shown = size_of if outcome.unit == "B" else _duration
    cells = []
    for name in others:
        if name in outcome.errors:
            cells.append(f" {'error':>17}")
        elif name not in outcome.seconds:
            cells.append(f" {'-':>17}")
        else:
            taken = outcome.seconds[name]
            ratio = "" if own is None else f"{taken / own:.2f}"
            cells.append(f" {ratio:>7} ({shown(taken):>7})")
    first = "-" if own is None else shown(own)
    head = f"{outcome.name:26} {outcome.size:>10} {outcome.dtype:8} {first:>10}"
    head += columns(outcome.traffic, outcome.call)
    errors = "".join(f"\n    error: {name}: {text}" for name, text in outcome.errors.items())
    return head + "".join(cells) + errors


def _duration(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _write(path: Path, outcomes: list[Outcome], peers: list[Peer]) -> None:
    content = {
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {peer.name: peer.version for peer in peers},
        "rows": [
            {
                "case": o.name,
                "size": o.size,
                "dtype": o.dtype,
                "seconds" if o.unit == "s" else "bytes": o.seconds,
                "errors": o.errors,
                **({} if o.traffic is None else o.traffic._asdict()),
                "share": None if o.traffic is None or not o.call else share(o.traffic, o.call),
            }
            for o in outcomes
        ],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
