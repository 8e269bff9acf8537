"""Control flow: loops small enough for one block and larger, with and without libraries inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit import lax
from tracejit.testing.conformance.case import Case, floats, given, integers
from tracejit.testing.conformance.stencils import diffuse, laplacian

__all__ = ["CASES"]


def repeated(step: Callable[[Any], Any], n: int) -> Callable[[Any], Any]:
    """Return a program that takes a step `n` times."""
    return lambda x: lax.fori_loop(0, n, lambda _, x: step(x), x)


def counted(x: Any) -> Any:
    """A loop that uses its number."""
    return lax.fori_loop(2, 9, lambda i, x: x * 0.5 + i, x)


def traced_bounds(n: Any, x: Any) -> Any:
    return lax.fori_loop(0, n, lambda i, x: x + i.astype(x.dtype) * 0.1, x)


def leapfrog(u: Any) -> Any:
    """A wave: the carries change places at each step."""

    def step(_: Any, carry: Any) -> Any:
        old, now = carry
        new = now.at[1:-1].set(2 * now[1:-1] - old[1:-1] + 0.2 * laplacian(now))
        return now, new

    return lax.fori_loop(0, 7, step, (u, u))


def wave_2d(u: Any) -> Any:
    def step(_: Any, carry: Any) -> Any:
        old, now = carry
        inner = (slice(1, -1), slice(1, -1))
        return now, now.at[inner].set(2 * now[inner] - old[inner] + 0.2 * laplacian(now))

    return lax.fori_loop(0, 5, step, (u, u * 0.9))


def swapped(x: Any, y: Any) -> Any:
    return lax.fori_loop(0, 5, lambda i, c: (c[1] + i, c[0] * 2, c[1]), (x, y, x))


def lorenz(state: Any) -> Any:
    """Integrate three scalars by Runge and Kutta until a time is reached."""

    def slope(v: Any) -> Any:
        x, y, z = v
        return 10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z

    def along(v: Any, k: Any, h: float) -> Any:
        return tuple(a + h * b for a, b in zip(v, k, strict=True))

    def step(carry: Any) -> Any:
        t, v = carry
        h = 0.01
        a = slope(v)
        b = slope(along(v, a, h / 2))
        c = slope(along(v, b, h / 2))
        d = slope(along(v, c, h))
        total = tuple(p + 2 * q + 2 * r + s for p, q, r, s in zip(a, b, c, d, strict=True))
        return t + h, along(v, total, h / 6)

    start = (state[0] * 0, (state[0], state[1], state[2]))
    return lax.while_loop(lambda c: c[0] < 0.5, step, start)


def collatz(n: Any) -> Any:
    def step(carry: Any) -> Any:
        n, count = carry
        return tnp.where(n % 2 == 0, n // 2, 3 * n + 1), count + 1

    return lax.while_loop(lambda c: c[0] != 1, step, (n, 0))


def newton(x: Any) -> Any:
    """Square roots of an array until the largest error is small."""

    def off(y: Any) -> Any:
        return abs(y * y - x).max() > 1e-5

    return lax.while_loop(off, lambda y: 0.5 * (y + x / y), x + 1)


def never(x: Any) -> Any:
    return lax.while_loop(lambda x: x.sum() < -1e9, lambda x: x * 2, x)


def conjugate_gradients(b: Any) -> Any:
    def apply(x: Any) -> Any:
        p = tnp.pad(x, 1)
        return 2.5 * x - p[2:] - p[:-2]

    def step(carry: Any) -> Any:
        x, r, p, rr, n = carry
        ap = apply(p)
        alpha = rr / (p @ ap)
        x, r = x + alpha * p, r - alpha * ap
        new = r @ r
        return x, r, r + (new / rr) * p, new, n + 1

    start = (tnp.zeros_like(b), b, b, b @ b, 0)
    return lax.while_loop(lambda c: (c[3] > 1e-16) & (c[4] < 60), step, start)[0]


def nested(x: Any) -> Any:
    """Loops in loops, the inner one as long as the outer one says."""

    def outer(i: Any, x: Any) -> Any:
        x = lax.fori_loop(0, i, lambda j, x: x + j * 0.01, x)
        return lax.while_loop(lambda x: x.max() > 1.0, lambda x: x * 0.7, x)

    return lax.fori_loop(0, 5, outer, x)


def nested_repeats(x: Any) -> Any:
    return lax.fori_loop(
        0, 3, lambda i, x: lax.fori_loop(0, 4, lambda j, x: diffuse(x) + 0.01 * j, x) * 0.9, x
    )


def recurrence(x: Any, w: Any) -> Any:
    """A scan with inputs and outputs."""

    def step(h: Any, row: Any) -> Any:
        h = tnp.tanh(h * w + row)
        return h, (h * 2, h.sum())

    return lax.scan(step, tnp.zeros(x.shape[1], x.dtype), x)


def discounted(x: Any) -> Any:
    """A scan from the end."""
    return lax.scan(lambda c, row: (0.9 * c + row, c), x[0] * 0, x, reverse=True)


def trajectory(x: Any) -> Any:
    def step(c: Any, _: Any) -> Any:
        c = diffuse(c)
        return c, c[::3]

    return lax.scan(step, x, None, length=9)


def chosen(n: Any, x: Any) -> Any:
    branches = [tnp.sin, lambda x: x * 2, lambda x: x.sum() + x, lambda x: x[::-1]]
    return lax.switch(n, branches, x), lax.cond(n > 1, tnp.cos, lambda x: x - 1, x)


def choices_in_a_loop(x: Any) -> Any:
    """Branches that data chooses, in a loop."""

    def step(i: Any, x: Any) -> Any:
        x = lax.cond(x.sum() > 0, lambda x: x - 0.3, lambda x: x + 0.5, x)
        return lax.switch(i % 3, [lambda x: x * 1.1, tnp.sin, lambda x: x[::-1]], x)

    return lax.fori_loop(0, 8, step, x)


def loop_in_a_branch(n: Any, x: Any) -> Any:
    return lax.cond(n > 0, repeated(lambda x: tnp.sin(x) + 0.1, 6), lambda x: x * 3, x)


def power_iteration(a: Any) -> Any:
    """A loop that calls a library at each step."""

    def step(_: Any, x: Any) -> Any:
        y = a @ x
        return y / tnp.sqrt((y * y).sum())

    return lax.fori_loop(0, 12, step, tnp.ones((a.shape[0], 3), a.dtype))


def matrix_powers(a: Any) -> Any:
    return lax.while_loop(
        lambda c: abs(c[0]).max() > 1e-3, lambda c: (c[0] @ a, c[1] + 1), (a, 0)
    )


def sorted_in_a_loop(x: Any) -> Any:
    return lax.fori_loop(0, 4, lambda i, x: tnp.sort(x * 1.5 % 1.0) + 0.01 * i, x)


def sorted_until(x: Any) -> Any:
    """A loop that no one but the host can end, with a library inside."""
    return lax.while_loop(
        lambda c: (c[0][0] < 0.5) & (c[1] < 9),
        lambda c: (tnp.sort(c[0] + 0.07 * c[0][::-1]), c[1] + 1),
        (x, 0),
    )


def library_and_branches(x: Any) -> Any:
    """A branch around a library, in a loop whose end is data."""

    def step(c: Any) -> Any:
        x, n = c
        x = lax.cond(n % 2 == 0, lambda x: x @ x * 0.1, lambda x: x + 0.01, x)
        return x, n + 1

    return lax.while_loop(lambda c: (c[1] < 5) & (c[0].sum() < 1e6), step, (x, 0))


def long_series(x: Any) -> Any:
    """A loop with a long reduction, whose stages need each other's results."""

    def step(_: Any, x: Any) -> Any:
        return x / tnp.sqrt((x * x).mean()) + 0.1 * tnp.roll(x, 1)

    return lax.fori_loop(0, 3, step, x)


def bodies(p: Any, v: Any) -> Any:
    """Move points that attract one another."""

    def step(_: Any, carry: Any) -> Any:
        p, v = carry
        away = p[None] - p[:, None]
        squared = (away**2).sum(-1) + 0.1
        v = v + 0.01 * (away / (squared * tnp.sqrt(squared))[..., None]).sum(1)
        return p + 0.01 * v, v

    return lax.fori_loop(0, 4, step, (p, v))


def mapped(x: Any) -> Any:
    return lax.map(lambda row: tnp.cumsum(row) * row.max(), x)


def life(board: Any) -> Any:
    def step(_: Any, b: Any) -> Any:
        shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
        near = sum(tnp.roll(b, s, (0, 1)) for s in shifts)
        return ((near == 3) | ((b == 1) & (near == 2))).astype(b.dtype)

    return lax.fori_loop(0, 6, step, board)


F64 = np.float64
X, N = floats, integers

CASES = [
    Case("fori/counted", counted, given(X(50))),
    Case("fori/scalar", repeated(lambda x: tnp.cos(x), 50), given(X())),
    Case("fori/traced", traced_bounds, given(N(low=6, high=7), X(33))),
    Case("fori/none", traced_bounds, given(N(low=-3, high=-2), X(33))),
    Case("fori/diffuse/1d", repeated(diffuse, 10), given(X(200))),
    Case("fori/diffuse/2d", repeated(diffuse, 6), given(X(30, 31, dtype=F64))),
    Case("fori/diffuse/donated", repeated(diffuse, 6), given(X(30, 31)), donated=(0,)),
    Case("fori/diffuse/grid", repeated(diffuse, 3), given(X(150, 160)), notes="many blocks"),
    Case("fori/diffuse/wide", repeated(diffuse, 3), given(X(200, 256)), notes="16 bytes at once"),
    Case("fori/series", repeated(lambda x: x * 0.5 + tnp.sin(x), 40), given(X(40000))),
    Case("fori/one", repeated(tnp.sin, 1), given(X(100))),
    Case("leapfrog", leapfrog, given(X(300, dtype=F64))),
    Case("leapfrog/2d", wave_2d, given(X(40, 41))),
    Case("leapfrog/2d/grid", wave_2d, given(X(160, 150))),
    Case("swapped", swapped, given(X(40), X(40))),
    Case("swapped/donated", swapped, given(X(40), X(40)), donated=(0, 1)),
    Case("while/lorenz", lorenz, given(X(3, dtype=F64, low=1, high=5)), tolerance=1e3),
    Case("while/collatz", collatz, given(N(low=27, high=28))),
    Case("while/newton", newton, given(X(400, low=1, high=9))),
    Case("while/newton/grid", newton, given(X(20000, low=1, high=9))),
    Case("while/never", never, given(X(70))),
    Case("while/conjugate_gradients", conjugate_gradients, given(X(120, dtype=F64)), tolerance=1e4),
    Case("nested", nested, given(X(60, dtype=F64))),
    Case("nested/repeats", nested_repeats, given(X(25, 26))),
    Case("scan/recurrence", recurrence, given(X(20, 30), X(30)), tolerance=4),
    Case("scan/recurrence/wide", recurrence, given(X(5, 4000, low=0), X(4000, low=0)), tolerance=9),
    Case("scan/reverse", discounted, given(X(15, 40, dtype=F64))),
    Case("scan/trajectory", trajectory, given(X(100))),
    Case("scan/scalars", lambda x: lax.scan(lambda c, v: (c * 0.5 + v, c), 0.0, x), given(X(200))),
    Case("scan/long", trajectory, given(X(30000))),
    Case("switch", chosen, given(N(low=2, high=3), X(70))),
    Case("switch/clamped", chosen, given(N(low=9, high=10), X(70))),
    Case("switch/first", chosen, given(N(low=0, high=1), X(70))),
    Case("choices_in_a_loop", choices_in_a_loop, given(X(80))),
    Case("choices_in_a_loop/grid", choices_in_a_loop, given(X(20000, low=0))),
    Case("loop_in_a_branch", loop_in_a_branch, given(N(low=1, high=2), X(64))),
    Case("library/power_iteration", power_iteration, given(X(40, 40, low=0.1)), tolerance=4),
    Case("library/matrix_powers", matrix_powers, given(X(40, 40, low=-0.05, high=0.05)),
         tolerance=4),
    Case("library/sort", sorted_in_a_loop, given(X(300, dtype=F64, low=0, high=1))),
    Case("library/sort_until", sorted_until, given(X(90, dtype=F64, low=0.01, high=1))),
    Case("library/branches", library_and_branches, given(X(40, 40, low=0)), tolerance=20),
    Case("long_series", long_series, given(X(40000, dtype=F64))),
    Case("bodies", bodies, given(X(40, 3, dtype=F64), X(40, 3, dtype=F64))),
    Case("map", mapped, given(X(9, 30, dtype=F64))),
    Case("life", life, given(N(30, 31, low=0, high=2))),
]  # fmt: skip
