"""What times amount to, and how they are shown: rates, shares of the copy, aims, ratios."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.cuda.machine import Machine
from bench.cuda.rows import DeviceCase, DeviceTimed
from bench.harness import Outcome

__all__ = ["content", "duration", "heading", "line", "quantities", "verdicts"]

Row = DeviceCase | DeviceTimed

BEYOND_CACHE = 4
"""How many times the cache a row must move for its rate to be one of memory."""


def quantities(
    row: Row, outcome: Outcome, machine: Machine, copy: float | None
) -> dict[str, float]:
    """Return what the times of a row amount to.

    Parameters
    ----------
    row : DeviceCase or DeviceTimed
        The row.
    outcome : Outcome
        Its times.
    machine : Machine
        What it ran on.
    copy : float or None
        The measured copy bandwidth in bytes a second.

    Returns
    -------
    dict of str to float
        Rates (``"GB/s"``, ``"Gpoint/s"``, ``"TFLOP/s"``), ``"copy"``, the share of the copy
        bandwidth, for what does not fit the cache; what the row counts; and for each peer its time
        over tracejit's.  Empty for a simulated run.
    """
    own = outcome.seconds.get("tracejit")
    if own is None or machine.simulated:
        return {}
    out: dict[str, float] = {}
    if isinstance(row, DeviceTimed):
        out |= row.counted
    else:
        work = row.work
        if work.bytes:
            out["GB/s"] = work.bytes / own / 1e9
            if copy and work.bytes >= BEYOND_CACHE * machine.cache_bytes:
                out["copy"] = work.bytes / own / copy
        if work.points:
            out["Gpoint/s"] = work.points / own / 1e9
        if work.flops:
            out["TFLOP/s"] = work.flops / own / 1e12
    for name, taken in outcome.seconds.items():
        if name != "tracejit":
            out[name] = taken / own
    return out


def verdicts(row: Row, found: dict[str, float], machine: Machine, quick: bool) -> dict[str, str]:
    """Return for each aim ``"met"``, ``"not met"`` or why nothing is said of it."""
    if machine.simulated:
        return {str(aim): "simulated" for aim in row.aims}
    if quick:
        return {str(aim): "quick" for aim in row.aims}
    said = {None: "not measured", True: "met", False: "not met"}
    return {str(aim): said[aim.met(found)] for aim in row.aims}


def heading(peers: Sequence[str]) -> str:
    """Return the titles of the columns."""
    own = f"{'case':24} {'size':>20} {'dtype':8} {'tracejit':>9} {'rate':>13} {'copy':>5}"
    return own + "".join(f" {name:>17}" for name in peers) + "  aim"


def line(
    row: Row, outcome: Outcome, found: dict[str, float], said: dict[str, str],
    peers: Sequence[str], simulated: bool,
) -> str:  # fmt: skip
    """Return a row of the table, and a line for each library that failed.

    A simulated run shows that results are right: no times, since those of the simulator would be
    read as those of a GPU.
    """
    own = outcome.seconds.get("tracejit")
    cells = [f"{outcome.name:24} {outcome.size:>20} {outcome.dtype:8}"]
    if simulated:
        cells.append("simulated: " + "  ".join(f"{name} right" for name in outcome.seconds))
    else:
        cells.append(f"{'-' if own is None else duration(own):>9}")
        cells.append(f"{_rate(found):>13} {_share(found):>5}")
        cells += [_peer(name, outcome, found) for name in peers]
        cells += [f" {aim}: {word}" for aim, word in said.items()]
    errors = "".join(f"\n    error: {name}: {text}" for name, text in outcome.errors.items())
    return " ".join(cells).rstrip() + errors


def _rate(found: dict[str, float]) -> str:
    for unit in ("Gpoint/s", "GB/s", "TFLOP/s"):
        if unit in found:
            figures = ".3g" if found[unit] < 1000 else ".0f"
            return f"{found[unit]:{figures}} {unit}"
    return ""


def _share(found: dict[str, float]) -> str:
    return f"{found['copy']:.0%}" if "copy" in found else ""


def _peer(name: str, outcome: Outcome, found: dict[str, float]) -> str:
    if name in outcome.errors:
        return f"{'error':>17}"
    if name not in outcome.seconds:
        return f"{'-':>17}"
    ratio = f"{found[name]:.2f}" if name in found else ""
    return f"{ratio:>7} ({duration(outcome.seconds[name]):>7})"


def duration(seconds: float) -> str:
    """Return seconds in three figures."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def content(
    row: Row, outcome: Outcome, found: dict[str, float], said: dict[str, str], machine: Machine
) -> dict[str, Any]:
    """Return a row for the file; without times if they are the simulator's."""
    return {
        "case": outcome.name,
        "size": outcome.size,
        "dtype": outcome.dtype,
        "on": machine.card,
        "seconds": {} if machine.simulated else outcome.seconds,
        "right": sorted(outcome.seconds),
        "quantities": found,
        "aims": said,
        "errors": outcome.errors,
    }
