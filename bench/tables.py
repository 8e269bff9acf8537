"""Make the tables in ``tracejit_llvm/math``: numbers that float64 holds, or nearly holds, exactly.

``python bench/tables.py [NAME ...]`` prints the named tuples, or all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import mpmath as mp

mp.mp.prec = 140
GRID = 42
"""Binary places of tabulated logarithms: multiples of a short log(2) are added without error."""
SHORT = 64
"""What inverses are multiples of 1 over, so that ``x y - 1`` is exact up to 2**-5."""
START = mp.mpf("0.986328125")


def _roots() -> list[float]:
    """Return ``2**(i / 16)``."""
    return [float(mp.mpf(2) ** (mp.mpf(i) / 16)) for i in range(16)]


def _lost(factor: float = 1.0) -> list[float]:
    """Return the error of a number times the roots, relative to it."""
    exact = [factor * mp.mpf(2) ** (mp.mpf(i) / 16) for i in range(16)]
    return [float(e / mp.mpf(float(e)) - 1) for e in exact]


def _inverses() -> list[float]:
    """Return multiples of 1/64, or 1/32, that bring 16 intervals near 1; the first is around 1."""
    result = [1.0]
    start = 2 * START - 1
    for i in range(1, 16):
        ends = [start + mp.mpf(i) / 16, start + mp.mpf(i + 1) / 16]
        errors = {}
        for n in range(SHORT // 2, SHORT):
            y = mp.mpf(n) / SHORT
            error = max(abs(end * y - 1) for end in ends)
            if error < mp.mpf(1 if n % 2 else 2) / 32:
                errors[float(y)] = error
        result.append(min(errors, key=errors.__getitem__))
    return result


def _logarithms(base: Any, which: int) -> list[float]:
    """Return the negative logarithms of the inverses on the grid, or what is missing there."""
    result = []
    for y in _inverses():
        exact = -mp.log(mp.mpf(y)) / mp.log(base)
        short = mp.nint(exact * 2**GRID) / 2**GRID
        result.append(float(exact - short if which else short))
    return result


TABLES: dict[str, Callable[[], list[float]]] = {
    "ROOTS": _roots,
    "ROOTS_LOST": _lost,
    "ROOTS_LOST_75": partial(_lost, 0.75),
    "INVERSES": _inverses,
    "LOGARITHMS": partial(_logarithms, mp.e, 0),
    "LOGARITHMS_LOST": partial(_logarithms, mp.e, 1),
    "LOGARITHMS2": partial(_logarithms, 2, 0),
    "LOGARITHMS2_LOST": partial(_logarithms, 2, 1),
    "LOGARITHMS10": partial(_logarithms, 10, 0),
    "LOGARITHMS10_LOST": partial(_logarithms, 10, 1),
}


def main(names: list[str]) -> None:
    """Print the tuples."""
    for name in names or TABLES:
        print(f"{name} = (")
        for x in TABLES[name]():
            print(f"    {x!r},")
        print(")", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
