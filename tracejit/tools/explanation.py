"""What ``explain`` finds, as data that prints as a table, in a notebook as one of HTML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

__all__ = ["Explanation", "StepReport"]


@dataclass(frozen=True)
class StepReport:
    """One step of a compiled function.

    Attributes
    ----------
    kind : {"kernel", "library", "callback"}
        What runs it.
    what : str
        The kernel's number, the routine, or the primitive.
    depth : int
        How many loops and branches it stands in.
    bytes : int
        Bytes that one run of it reads and writes; see :mod:`tracejit.tools.traffic`.
    operations : int
        Scalar operations of one run, about.
    lines : tuple of str
        The user lines that were fused into it.
    runs : int
        How often one call runs it; a loop of unknown length counts one trip.
    """

    kind: str
    what: str
    depth: int
    bytes: int
    operations: int
    lines: tuple[str, ...]
    runs: int = 1


@dataclass(frozen=True)
class Explanation:
    """What became of a function; printing it shows a table.

    Attributes
    ----------
    name : str
        The function.
    steps : tuple of StepReport
        In order.
    notes : tuple of str
        What was stored or not fused, why, and on which line.
    kernels : int
        Different kernels.
    platform : {"cpu", "cuda"}
        Where it runs.
    callbacks : int
        Steps that call back to NumPy; on a GPU the array library of the device, CuPy.
    operations : int
        Scalar operations of one call, recomputation included; see
        :mod:`tracejit.tools.operations` for what counts.
    bytes : int
        Bytes that the steps of one call read and write; see :mod:`tracejit.tools.traffic`.
    arena_bytes, argument_bytes, output_bytes : int
        Memory of one call: scratch, arguments, results.
    counters : dict of str to int
        Of the whole process: kernels compiled, found in memory, found on disk, callbacks made.
    compiling : dict of str to int
        By how much these rose as the function was compiled for this explanation.
    bounded : bool
        Whether the number of trips of all its loops is known.
    seconds : float or None
        Time of a call, if it was timed.
    bandwidth : float or None
        Bytes a second of a triad over as much memory, if it was timed on the host.
    """

    name: str
    steps: tuple[StepReport, ...]
    notes: tuple[str, ...]
    kernels: int
    platform: str
    callbacks: int
    operations: int
    bytes: int
    arena_bytes: int
    argument_bytes: int
    output_bytes: int
    counters: dict[str, int]
    compiling: dict[str, int] = field(default_factory=dict)
    bounded: bool = True
    seconds: float | None = None
    bandwidth: float | None = None

    @property
    def least_bytes(self) -> int:
        """Bytes of arguments and results: what any program must move."""
        return self.argument_bytes + self.output_bytes

    @property
    def peak_bytes(self) -> int:
        """The most memory in use during a call: arguments, results and scratch."""
        return self.least_bytes + self.arena_bytes

    @property
    def share(self) -> float | None:
        """Bytes moved a second over those of the triad; None if not timed, or not bounded."""
        if self.seconds is None or self.bandwidth is None or not self.bounded:
            return None
        return self.bytes / self.seconds / self.bandwidth

    def __str__(self) -> str:
        lines = [f"{self.name}: {self._counts()}", *self._memory()]
        for step in self.steps:
            indent = "  " * (step.depth + 1)
            times = f", {step.runs:,} times" if step.runs > 1 else ""
            lines.append(
                f"{indent}{step.kind} {step.what}: moves {_size(step.bytes)}, "
                f"{step.operations:,} operations{times}"
            )
            lines += [f"{indent}    {line}" for line in step.lines]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  {line}" for line in self._counted()]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        rows = []
        for step in self.steps:
            lines = "<br>".join(map(escape, step.lines))
            cells = (
                "&emsp;" * step.depth + escape(f"{step.kind} {step.what}"),
                f"{step.runs:,}",
                _size(step.bytes),
                f"{step.operations:,}",
                f"<code>{lines}</code>" if lines else "",
            )
            rows.append("".join(f'<td style="text-align:left">{c}</td>' for c in cells))
        titles = ("step", "runs", "moves", "operations", "lines")
        head = "".join(f'<th style="text-align:left">{t}</th>' for t in titles)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return (
            f"<p><b>{escape(self.name)}</b>: {escape(self._counts())}<br>"
            f"{'<br>'.join(map(escape, self._memory()))}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"{_list(self.notes)}<p><small>{'<br>'.join(map(escape, self._counted()))}</small></p>"
        )

    def _counts(self) -> str:
        calls = "callbacks to NumPy" if self.platform == "cpu" else "calls of CuPy"
        return (
            f"{len(self.steps)} steps, {self.kernels} kernels, "
            f"{self.callbacks} {calls}, {self.operations:,} operations"
        )

    def _memory(self) -> list[str]:
        lines = [
            f"memory of a call: arguments {_size(self.argument_bytes)}, results "
            f"{_size(self.output_bytes)}, scratch {_size(self.arena_bytes)}, "
            f"at most {_size(self.peak_bytes)}",
            f"moves {_size(self.bytes)} a call, at least {_size(self.least_bytes)}"
            + ("" if self.bounded else "; loops of unknown length counted with one trip"),
        ]
        if self.seconds is not None:
            share = "" if self.share is None else f", {self.share:.0%} of a triad's bandwidth"
            lines.append(f"takes {_duration(self.seconds)} a call{share}")
        return lines

    def _counted(self) -> list[str]:
        found = [
            ("this compilation", {k: v for k, v in self.compiling.items() if v}),
            ("the process", self.counters),
        ]
        return [f"{of}: " + ", ".join(f"{k} {v}" for k, v in c.items()) for of, c in found if c]


def _list(notes: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<ul>{items}</ul>" if items else ""


def _size(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return ""


def _duration(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
