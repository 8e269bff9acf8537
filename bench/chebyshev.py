"""Make ``tracejit/ops/fits.py``: polynomials of which special functions are made in kernels.

``python bench/chebyshev.py > tracejit/ops/fits.py`` interpolates at Chebyshev's points, by mpmath
in 200 bits, to the least degree whose error is below 2**-56 of the largest value, and rounds the
coefficients of powers to float64.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import mpmath as mp

mp.mp.prec = 200
TOLERANCE = mp.mpf(2) ** -56
SWITCH = 8

HEAD = '''"""Polynomials of which special functions are made in kernels, low powers first.

Written by ``bench/chebyshev.py``, which says what each is; their variable goes from -1 to 1.
"""

from __future__ import annotations
'''


def fit(f: Callable[[Any], Any]) -> list[Any]:
    """Return the coefficients of the powers of a polynomial that is `f` on [-1, 1]."""
    n = 64
    values = [f(mp.cos(mp.pi * (i + mp.mpf(1) / 2) / n)) for i in range(n)]
    series = []
    for k in range(n):
        angles = (mp.cos(mp.pi * k * (i + mp.mpf(1) / 2) / n) for i in range(n))
        series.append(2 * mp.fsum(v * c for v, c in zip(values, angles, strict=True)) / n)
    series[0] /= 2
    largest = max(abs(v) for v in values)
    degree = max(k for k, c in enumerate(series) if abs(c) > TOLERANCE * largest)
    before, current = [mp.mpf(1)], [mp.mpf(0), mp.mpf(1)]
    powers = [mp.mpf(0)] * (degree + 1)
    for k in range(degree + 1):
        for p, c in enumerate(before):
            powers[p] += series[k] * c
        following = [mp.mpf(0), *[2 * c for c in current]]
        for p, c in enumerate(before):
            following[p] -= c
        before, current = current, following
    return powers


def _erfcx(t: Any) -> Any:
    """(1 + 2 x) erfcx(x), x = 4 (1 + t) / (1 - t)."""
    if t == 1:
        return 2 / mp.sqrt(mp.pi)
    x = 4 * (1 + t) / (1 - t)
    return (1 + 2 * x) * mp.erfc(x) * mp.exp(x * x)


def near(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `f` of x in [0, 8], x = 4 (1 + t)."""
    return lambda t: f(SWITCH * (1 + t) / 2)


def near_square(f: Callable[[Any], Any], end: int = SWITCH) -> Callable[[Any], Any]:
    """Return `f` of x in [0, end], x^2 = end^2 (1 + t) / 2."""
    return lambda t: f(end * mp.sqrt((1 + t) / 2))


def far(f: Callable[[Any], Any], start: int = SWITCH) -> Callable[[Any], Any]:
    """Return `f` of x in [start, inf), start / x = (1 + t) / 2."""
    return lambda t: f(2 * start / (1 + t))


def far_square(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `f` of x in [8, inf), (8 / x)^2 = (1 + t) / 2."""
    return lambda t: f(SWITCH / mp.sqrt((1 + t) / 2))


def _phase(order: int, which: str) -> Callable[[Any], Any]:
    """Return P, or (x / 8) Q: J = r (P cos(c) - Q sin(c)), Y = r (P sin(c) + Q cos(c)).

    Here ``r = sqrt(2 / (pi x))`` and ``c = x - (2 order + 1) pi / 4``.
    """

    def value(x: Any) -> Any:
        c = x - (2 * order + 1) * mp.pi / 4
        r = mp.sqrt(2 / (mp.pi * x))
        j, y = mp.besselj(order, x), mp.bessely(order, x)
        if which == "P":
            return (j * mp.cos(c) + y * mp.sin(c)) / r
        return (y * mp.cos(c) - j * mp.sin(c)) / r * x / SWITCH

    return value


def _log(x: Any) -> Any:
    return 2 / mp.pi * mp.log(x)


TABLE: dict[str, Callable[[Any], Any]] = {
    "ERFCX": _erfcx,
    "I0E_NEAR": near(lambda x: mp.exp(-x) * mp.besseli(0, x)),
    "I0E_FAR": far(lambda x: mp.sqrt(x) * mp.exp(-x) * mp.besseli(0, x)),
    "I1E_NEAR": near(lambda x: mp.exp(-x) * mp.besseli(1, x) / x),
    "I1E_FAR": far(lambda x: mp.sqrt(x) * mp.exp(-x) * mp.besseli(1, x)),
    "J0_NEAR": near_square(lambda x: mp.besselj(0, x)),
    "J1_NEAR": near_square(lambda x: mp.besselj(1, x) / x),
    "Y0_NEAR": near_square(lambda x: mp.bessely(0, x) - _log(x) * mp.besselj(0, x)),
    "Y1_NEAR": near_square(
        lambda x: (mp.bessely(1, x) - _log(x) * mp.besselj(1, x) + 2 / (mp.pi * x)) / x
    ),
    "P0": far_square(_phase(0, "P")),
    "Q0": far_square(_phase(0, "Q")),
    "P1": far_square(_phase(1, "P")),
    "Q1": far_square(_phase(1, "Q")),
    "I0_SMALL": near_square(lambda x: mp.besseli(0, x), 2),
    "I1_SMALL": near_square(lambda x: mp.besseli(1, x) / x, 2),
    "K0_NEAR": near_square(lambda x: mp.besselk(0, x) + mp.log(x / 2) * mp.besseli(0, x), 2),
    "K0_FAR": far(lambda x: mp.sqrt(x) * mp.exp(x) * mp.besselk(0, x), 2),
    "K1_NEAR": near_square(
        lambda x: (mp.besselk(1, x) - 1 / x - mp.log(x / 2) * mp.besseli(1, x)) / x, 2
    ),
    "K1_FAR": far(lambda x: mp.sqrt(x) * mp.exp(x) * mp.besselk(1, x), 2),
}


def main() -> None:
    """Print the module."""
    print(HEAD)
    print("__all__ = [")
    for name in sorted(TABLE):
        print(f'    "{name}",')
    print("]")
    for name, function in TABLE.items():
        coefficients = fit(function)
        print(name, len(coefficients), file=sys.stderr)
        print(f"\n{name} = (")
        for c in coefficients:
            print(f"    {float(c)!r},")
        print(")", flush=True)


if __name__ == "__main__":
    main()
