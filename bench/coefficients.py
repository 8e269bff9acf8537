"""Make the polynomial coefficients in ``tracejit_llvm/math`` (minimax, by Remez exchange).

``python bench/coefficients.py [NAME ...]`` prints the named tuples, or all of them, with the base-2
logarithm of the largest weighted error.  All arithmetic is done by mpmath in 240 bits; coefficients
are rounded to float64 at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import mpmath as mp
from scipy.special import erfinv

mp.mp.prec = 240
Function = Callable[[Any], Any]


def minimax(
    f: Function, a: Any, b: Any, degree: int, weight: Function = lambda x: mp.mpf(1)
) -> tuple[list[Any], Any]:
    """Return the polynomial p, low powers first, with the least max of ``|weight * (f - p)|``."""
    a, b = mp.mpf(a), mp.mpf(b)
    n = degree + 2
    points = [(a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * i / (n - 1)) for i in range(n)]
    fine = 24 * n
    grid = [(a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * i / fine) for i in range(fine + 1)]
    exact = [f(x) for x in grid]
    weights = [weight(x) for x in grid]
    largest = mp.inf
    coefficients: list[Any] = []
    for _ in range(12):
        matrix, right = mp.matrix(n, n), mp.matrix(n, 1)
        for i, x in enumerate(points):
            for j in range(degree + 1):
                matrix[i, j] = x**j
            matrix[i, degree + 1] = (-1) ** i / weight(x)
            right[i] = f(x)
        solution = mp.lu_solve(matrix, right)
        coefficients = [solution[j] for j in range(degree + 1)]
        errors = [
            w * (y - mp.polyval(coefficients[::-1], x))
            for x, y, w in zip(grid, exact, weights, strict=True)
        ]
        largest = max(abs(e) for e in errors)
        extremes: list[tuple[Any, Any]] = []
        for x, e in zip(grid, errors, strict=True):
            if extremes and (e > 0) == (extremes[-1][1] > 0):
                if abs(e) > abs(extremes[-1][1]):
                    extremes[-1] = (x, e)
            else:
                extremes.append((x, e))
        while len(extremes) > n:
            extremes.pop(0 if abs(extremes[0][1]) < abs(extremes[-1][1]) else -1)
        if len(extremes) < n or largest < abs(solution[degree + 1]) * mp.mpf("1.02"):
            break
        points = [x for x, _ in extremes]
    return coefficients, largest


def _odd(f: Function, terms: list[Any]) -> Function:
    """Return ``z -> (f(x) - terms) / x**(2 * len(terms) + 1)`` with ``x = sqrt(z)``."""

    def tail(z: Any) -> Any:
        x = mp.sqrt(z)
        known = sum((c * x ** (2 * i + 1) for i, c in enumerate(terms)), mp.mpf(0))
        return (f(x) - known) / x ** (2 * len(terms) + 1)

    return tail


TINY = mp.mpf(10) ** -20
HALF_LN2 = mp.log(2) / 2 * mp.mpf("1.0005")
LN2_32ND = mp.log(2) / 32 * mp.mpf("1.0005")
HALF_PI = mp.pi / 2 * mp.mpf("1.001")
QUARTER_PI = mp.pi / 4 * mp.mpf("1.001")
LOG_BELOW, LOG_ABOVE = -mp.mpf("0.0396"), mp.mpf("0.0352")


def _exp_tail(x: Any) -> Any:
    return (mp.exp(x) - 1 - x) / x**2 if abs(x) > 1e-30 else mp.mpf(1) / 2


def _square(x: Any) -> Any:
    return x * x if abs(x) > 1e-6 else mp.mpf("1e-12")


def _near_z(z: Any) -> Any:
    return z + mp.mpf("1e-10")


def _log_tail(t: Any) -> Any:
    return (mp.log1p(t) - t) / t**2 if abs(t) > 1e-30 else mp.mpf(-1) / 2


def _log_third(t: Any) -> Any:
    return (mp.log1p(t) - t + t * t / 2) / t**3 if abs(t) > 1e-20 else mp.mpf(1) / 3


def _exp2_slope(x: Any) -> Any:
    return (mp.mpf(2) ** x - 1) / x if abs(x) > 1e-30 else mp.log(2)


def _erf_tail(z: Any) -> Any:
    return mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1


def _scaled_erfc(q: Any) -> Any:
    x = 4 * (1 + q) / (1 - q)
    if x > 1000:
        return 2 / mp.sqrt(mp.pi) * (1 + 1 / (2 * x)) * (1 - 1 / (2 * x * x))
    return (1 + 2 * x) * mp.erfc(x) * mp.exp(x * x)


def _scaled_erfinv(w: Any) -> Any:
    """Return ``erfinv(x) / x`` by Newton's method, with ``w = -log(1 - x**2)``."""
    if w < mp.mpf("1e-30"):
        return mp.sqrt(mp.pi) / 2
    x, rest = mp.sqrt(-mp.expm1(-w)), mp.exp(-w) / (1 + mp.sqrt(-mp.expm1(-w)))
    y = mp.mpf(erfinv(float(x))) if w < 20 else mp.sqrt(w - mp.log(w) / 2 - mp.mpf("0.5"))
    for _ in range(12):
        # On the logarithm of erfc, which is nearly a parabola.
        c = mp.erfc(y)
        step = mp.log(c / rest) * c * mp.exp(y * y) * mp.sqrt(mp.pi) / 2
        y += step
        if abs(step) < mp.mpf(10) ** -50 * y:
            break
    return y / x


def _log_gamma(t: Any) -> Any:
    nearest = mp.nint(t)
    if abs(t - nearest) < mp.mpf(10) ** -25:  # a removable singularity
        t = nearest + (mp.mpf(10) ** -25 if nearest < 1 else -(mp.mpf(10) ** -25))
    return mp.loggamma(t + 2) / ((t + 1) * t)


TABLE: dict[str, tuple[Any, ...]] = {
    "EXP64": (_exp_tail, -HALF_LN2, HALF_LN2, 10, _square),
    "EXP_SHORT64": (_exp_tail, -LN2_32ND, LN2_32ND, 4, _square),
    "EXP_SHORT32": (_exp_tail, -LN2_32ND, LN2_32ND, 1, _square),
    "EXPM1_SHORT64": (_exp_tail, -LN2_32ND, LN2_32ND, 5, _square),
    "EXP32": (_exp_tail, -HALF_LN2, HALF_LN2, 4, _square),
    "LOG_SHORT64": (_log_tail, LOG_BELOW, LOG_ABOVE, 8, lambda t: abs(t) + mp.mpf("1e-6")),
    "LOG_SHORT32": (_log_tail, LOG_BELOW, LOG_ABOVE, 4, lambda t: abs(t) + mp.mpf("1e-6")),
    "LOG_THIRD64": (
        _log_third, LOG_BELOW, LOG_ABOVE, 8, lambda t: abs(t) ** 3 + mp.mpf("1e-12"),
    ),
    "LOG_THIRD32": (
        _log_third, LOG_BELOW, LOG_ABOVE, 3, lambda t: abs(t) ** 3 + mp.mpf("1e-12"),
    ),
    "LOG_DIRECT32": (
        _log_tail, mp.sqrt(0.5) - mp.mpf("1.0003"), mp.sqrt(2) - mp.mpf("0.9997"), 8,
        lambda t: abs(t) + mp.mpf("1e-6"),
    ),
    "ATANH32": (_odd(mp.atanh, [1]), TINY, mp.mpf("0.083"), 4, _near_z),
    "ATANH64": (_odd(mp.atanh, [1]), TINY, mp.mpf("0.083"), 8, _near_z),
    "EXP2_32": (_exp2_slope, -mp.mpf("0.5005"), mp.mpf("0.5005"), 5),
    "CBRT32": (
        lambda e: (1 - e) ** (-mp.mpf(1) / 3), -mp.mpf("0.1025"), mp.mpf("0.1025"), 2,
    ),
    "CBRT64": (
        lambda e: (1 - e) ** (-mp.mpf(1) / 3), -mp.mpf("0.1025"), mp.mpf("0.1025"), 6,
    ),
    "SIN64": (_odd(mp.sin, [1]), TINY, HALF_PI**2, 8, _near_z),
    "SIN32": (_odd(mp.sin, [1]), TINY, HALF_PI**2, 3, _near_z),
    "TAN64": (_odd(mp.tan, [1]), TINY, QUARTER_PI**2, 14, _near_z),
    "TAN32": (_odd(mp.tan, [1]), TINY, QUARTER_PI**2, 6, _near_z),
    "ATAN_WIDE64": (_odd(mp.atan, [1]), TINY, 1, 21, _near_z),
    "ATAN_WIDE32": (_odd(mp.atan, [1]), TINY, 1, 9, _near_z),
    "ASIN64": (_odd(mp.asin, [1]), TINY, mp.mpf("0.2502"), 12, _near_z),
    "ASIN32": (_odd(mp.asin, [1]), TINY, mp.mpf("0.2502"), 4, _near_z),
    "ERF64": (_erf_tail, TINY, 1, 11),
    "ERF32": (_erf_tail, TINY, 1, 6),
    "ERFC64": (_scaled_erfc, -1, mp.mpf("0.76"), 22),
    "LGAMMA64": (_log_gamma, -1, 1, 28),
    "ERFINV_CENTRAL": (lambda v: _scaled_erfinv(v + mp.mpf("3.125")), -3.125, 3.125, 25),
    "ERFINV_MIDDLE": (lambda v: _scaled_erfinv((v + mp.mpf("3.25")) ** 2), -0.75, 0.75, 21),
    "ERFINV_FAR": (lambda v: _scaled_erfinv((v + 5) ** 2), -1, mp.mpf("1.05"), 19),
    "COTANGENT": (lambda z: (1 / mp.sqrt(z) - mp.pi * mp.cot(mp.pi * mp.sqrt(z))) / mp.sqrt(z),
                  TINY, mp.mpf("0.25"), 16),
    "ERFC32": (_scaled_erfc, -1, mp.mpf("0.46"), 10),
}  # fmt: skip
"""name -> (function, lower end, upper end, degree, weight)."""


def main(names: list[str]) -> None:
    """Print the tuples."""
    for name in names or TABLE:
        coefficients, error = minimax(*TABLE[name])
        print(f"# largest weighted error 2**{mp.nstr(mp.log(error, 2), 4)}")
        print(f"{name} = (")
        for c in coefficients:
            print(f"    {float(c)!r},")
        print(")", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
