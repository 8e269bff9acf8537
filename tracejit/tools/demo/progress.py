"""A progress bar on standard error."""

from __future__ import annotations

import sys
import time
from typing import TextIO

__all__ = ["Progress"]

WIDTH = 32


class Progress:
    """Show how much of a job is done.

    On a terminal one line is redrawn; elsewhere three lines in all are written.

    Parameters
    ----------
    label : str
        What is being done.
    total : int
        Number of parts.
    stream : file, optional
        Standard error if not given.
    """

    def __init__(self, label: str, total: int, stream: TextIO | None = None) -> None:
        self.label, self.total = label, total
        self.stream = sys.stderr if stream is None else stream
        self.live = self.stream.isatty()
        self.began = time.perf_counter()
        self.marks = {(total + 1) // 2, total}

    def show(self, done: int) -> None:
        """Say that `done` of the parts are done."""
        seconds = time.perf_counter() - self.began
        share = done / self.total
        if self.live:
            full = round(WIDTH * share)
            bar = "#" * full + "." * (WIDTH - full)
            left = f"{seconds / share - seconds:5.1f} s left" if 0 < share < 1 else " " * 12
            end = "\n" if done == self.total else ""
            self.stream.write(
                f"\r{self.label} [{bar}] {100 * share:3.0f} %  {seconds:5.1f} s  {left}{end}"
            )
        elif done in self.marks:
            self.stream.write(f"{self.label} {100 * share:3.0f} %  {seconds:5.1f} s\n")
        self.stream.flush()
