"""Fused multiply-adds in NumPy: the exact sum rounded once, ties and all."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tracejit.ops._fused import fma


def rounded(x: Fraction, digits: int) -> float:
    """Return the nearest number of so many binary digits, an even one of two."""
    if not x:
        return 0.0
    size = abs(x)
    exponent = size.numerator.bit_length() - size.denominator.bit_length() - digits
    while size >= Fraction(2) ** (exponent + digits):
        exponent += 1
    unit = Fraction(2) ** exponent  # round() takes the even one
    return float(round(x / unit) * unit)


@pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 24), (np.float64, 53)])
def test_exactly(dtype: Any, digits: int) -> None:
    rng = np.random.default_rng(0)
    columns: list[list[Any]] = [[], [], []]
    for short in (2, digits // 2, digits - 1, digits):  # short numbers make ties
        for far in (0, 2, digits, 2 * digits):
            for column, way in zip(columns, (0, far // 2, far), strict=True):
                whole = rng.integers(-(2**short), 2**short, 200)
                column.append(np.ldexp(whole.astype(dtype), rng.integers(-way, way + 1, 200)))
    # The product is next to 1, half a unit of the sum: what it is beside 1 decides.
    small, large = 2.0 ** -(digits * 5 // 6), 2.0**digits
    for x, y in ((1 + small, 1 - small), (-1 - small, 1 + small)):
        for c in (large, large + 2, -large, -large - 2):
            for column, number in zip(columns, (x, y, c), strict=True):
                column.append(np.array([number], dtype))
    a, b, c = (np.concatenate(column) for column in columns)
    found = fma(a, b, c)
    assert found.dtype == dtype
    wanted = [
        rounded(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)), digits)
        for x, y, z in zip(a, b, c, strict=True)
    ]
    np.testing.assert_array_equal(found, wanted)
    assert (found != a * b + c).any()  # which is rounded twice
    np.testing.assert_array_equal(fma(a, b[0], c[0]), fma(a, 0 * a + b[0], 0 * a + c[0]))
