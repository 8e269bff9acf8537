"""Passes of Fourier transforms: one factor of the length, as many transforms at once as lanes.

A transform of length ``r m`` is ``m`` butterflies of `r` numbers and ``r`` transforms of length `m`
(Stockham's autosort form, by decimation in frequency), so a pass reads ``x[q + s (p + m k)]`` and
writes ``y[q + s (r p + j)]``, for ``q < s``, ``p < m``.  Every lane of a vector is a transform of
its own, so the factors by which the results are turned are scalars.  A direction is a sign among
the constants, so both share their code.

References
----------
C. Van Loan, Computational Frameworks for the Fast Fourier Transform, SIAM 1992, 1.7 and 2.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from tracejit_llvm.routines.writing import Function
from tracejit_llvm.text import Module, float_text, spread, suffix, vector

__all__ = ["PASS_PARAMETERS", "RADICES", "Pass", "Vectors", "write_pass"]

RADICES = (8, 4, 2, 13, 11, 7, 5, 3)
"""Lengths of butterflies, in the order in which a length is divided by them."""

PASS_PARAMETERS = (
    ("ptr", "%x"), ("i64", "%x.stride"), ("i64", "%x.apart"), ("ptr", "%y"),
    ("i64", "%y.stride"), ("i64", "%y.apart"), ("i64", "%m"), ("i64", "%s"), ("ptr", "%table"),
    ("ptr", "%constants"), ("ptr", "%lanewise"),
)  # fmt: skip
"""What each pass takes: where the rows lie, how many scalars apart, and how many their vectors;
`m`, `s` and the turns; the direction and the scale; for ``lanewise`` ends the turns of the group.
"""

Pair = tuple[str, str]
"""Vectors of real and of imaginary parts."""


class Pass(NamedTuple):
    """What the code of a pass depends on.

    Attributes
    ----------
    radix : int
        In :data:`RADICES`, or 1.
    source, target : str
        What a row is: ``pairs``, numbers whose parts lie side by side as in arrays; ``parts``, a
        vector of real parts and one of imaginary parts; or ``real``, one of real parts.
    end : str
        What is done at last: ``turned`` by the table, ``scaled``, or ``lanewise``: turned by what
        depends on the lane too.
    """

    radix: int
    source: str
    target: str
    end: str

    @property
    def name(self) -> str:
        """Its function."""
        return f"{self.end}_{self.source}_{self.target}{self.radix}"


class Vectors:
    """Arithmetic of vectors in the text of a function.

    Parameters
    ----------
    f : Function
        Which grows.
    scalar : str
        ``float`` or ``double``.
    lanes : int
        Of a vector.
    """

    def __init__(self, f: Function, scalar: str, lanes: int) -> None:
        self.f, self.scalar, self.lanes = f, scalar, lanes
        self.full = vector(scalar, lanes)
        self.align = 4 if scalar == "float" else 8
        self._fma = f"llvm.fmuladd.{suffix(scalar, lanes)}"

    def constant(self, x: float) -> str:
        """Return one number in all lanes."""
        return spread(float_text(x, self.scalar), self.scalar, self.lanes)

    def loaded(self, base: str, index: str | int) -> str:
        """Append the load of a scalar into all lanes."""
        return self.f.splat(self.f.load(self.scalar, base, index), self.scalar, self.lanes)

    def add(self, a: str, b: str) -> str:
        """Append ``a + b``."""
        return self.f.op(f"fadd {self.full} {a}, {b}")

    def sub(self, a: str, b: str) -> str:
        """Append ``a - b``."""
        return self.f.op(f"fsub {self.full} {a}, {b}")

    def mul(self, a: str, b: str) -> str:
        """Append ``a b``."""
        return self.f.op(f"fmul {self.full} {a}, {b}")

    def neg(self, a: str) -> str:
        """Append ``-a``."""
        return self.f.op(f"fneg {self.full} {a}")

    def fma(self, a: str, b: str, c: str) -> str:
        """Append ``a b + c``."""
        v = self.full
        return self.f.call(v, self._fma, (v, a), (v, b), (v, c))

    def fms(self, a: str, b: str, c: str) -> str:
        """Append ``c - a b``."""
        return self.fma(self.neg(a), b, c)

    def plus(self, a: Pair, b: Pair) -> Pair:
        """Append the sum of complex numbers."""
        return self.add(a[0], b[0]), self.add(a[1], b[1])

    def minus(self, a: Pair, b: Pair) -> Pair:
        """Append their difference."""
        return self.sub(a[0], b[0]), self.sub(a[1], b[1])

    def times(self, a: Pair, b: Pair) -> Pair:
        """Append their product."""
        re = self.fms(a[1], b[1], self.mul(a[0], b[0]))
        return re, self.fma(a[0], b[1], self.mul(a[1], b[0]))

    def across(self, a: Pair, by: str, b: Pair) -> tuple[Pair, Pair]:
        """Append ``a + i by b`` and ``a - i by b`` for a real `by`."""
        up = self.fms(by, b[1], a[0]), self.fma(by, b[0], a[1])
        down = self.fma(by, b[1], a[0]), self.fms(by, b[0], a[1])
        return up, down

    def read(self, place: str, how: str, apart: str | int) -> Pair:
        """Append the load of a row."""
        f, n = self.f, self.lanes
        a = f.load(self.full, place, align=self.align)
        if how == "real":
            return a, "zeroinitializer"
        b = f.load(self.full, f.at(place, apart, self.scalar), align=self.align)
        if how == "parts":
            return a, b
        even = f.shuffle(a, b, self.scalar, n, range(0, 2 * n, 2))
        return even, f.shuffle(a, b, self.scalar, n, range(1, 2 * n, 2))

    def write(self, z: Pair, place: str, how: str, apart: str | int) -> None:
        """Append the store of a row."""
        f, n = self.f, self.lanes
        a, b = z
        if how == "pairs":
            order = [k // 2 + n * (k % 2) for k in range(2 * n)]
            a, b = (f.shuffle(*z, self.scalar, n, order[k : k + n]) for k in (0, n))
        f.store(self.full, a, place, align=self.align)
        if how != "real":
            f.store(self.full, b, f.at(place, apart, self.scalar), align=self.align)


def write_pass(module: Module, one: Pass, scalar: str, lanes: int) -> None:
    """Write the function of a pass, with :data:`PASS_PARAMETERS`."""
    f = Function(module, one.name, PASS_PARAMETERS)
    v = Vectors(f, scalar, lanes)
    r, row = one.radix, 2 * lanes
    butterfly = _butterfly(v, r)
    scale = v.loaded("%constants", 1) if one.end == "scaled" else ""
    x_apart, y_apart = (
        lanes if how == "pairs" else f"%{end}.apart"
        for end, how in (("x", one.source), ("y", one.target))
    )
    apart = f.i("mul", "%m", "%s")
    x_steps = [f.i("mul", f.i("mul", apart, "%x.stride"), k) for k in range(1, r)]
    y_steps = [f.i("mul", f.i("mul", "%s", "%y.stride"), k) for k in range(1, r)]

    def at(base: str, index: str, stride: str, steps: list[str]) -> list[str]:
        first = f.at(base, f.i("mul", index, stride), scalar)
        return [first, *(f.at(first, step, scalar) for step in steps)]

    def some(p: str, q: str) -> None:
        p, q = f.unseen(p), f.unseen(q)
        turns = f.at("%table", f.i("mul", p, 2 * (r - 1)), scalar)
        start = f.i("add", q, f.i("mul", p, "%s"))
        z = [v.read(place, one.source, x_apart) for place in at("%x", start, "%x.stride", x_steps)]
        out = butterfly(z)
        to = f.i("add", q, f.i("mul", f.i("mul", p, "%s"), r))
        for j, (y, place) in enumerate(zip(out, at("%y", to, "%y.stride", y_steps), strict=True)):
            done = y
            if one.end == "scaled":
                done = v.mul(y[0], scale), v.mul(y[1], scale)
            elif one.end == "turned" and j:
                turn = v.loaded(turns, 2 * j - 2), v.loaded(turns, 2 * j - 1)
                done = v.times(y, turn)
            elif one.end == "lanewise":
                k = f.i("add", q, f.i("mul", "%s", j))
                around = f.at("%lanewise", f.i("mul", k, 2), scalar)
                own = v.read(f.at("%table", f.i("mul", k, row), scalar), "parts", lanes)
                done = v.times(y, v.times((v.loaded(around, 0), v.loaded(around, 1)), own))
            v.write(done, place, one.target, y_apart)

    def inner(p: str) -> None:
        f.loop(0, "%s", lambda q, _: some(p, q))

    if one.end == "turned":
        f.loop(0, "%m", lambda p, _: some(p, "0") if one.source != "parts" else inner(p))
    else:
        inner("0")
    f.end()


def _butterfly(v: Vectors, r: int) -> Callable[[list[Pair]], list[Pair]]:
    """Append what a butterfly needs once; return what appends one."""
    sign = v.loaded("%constants", 0)
    if r in (1, 2):
        return lambda z: z if r == 1 else [v.plus(*z), v.minus(*z)]
    if r == 4:
        return lambda z: _four(v, sign, z)
    if r == 8:
        return lambda z: _eight(v, sign, z)
    half = r // 2
    sines = [
        v.mul(sign, v.constant(math.sin(2 * math.pi * k / r))) for k in range(1, half + 1)
    ]
    return lambda z: _odd(v, sines, z)


def _four(v: Vectors, sign: str, z: list[Pair]) -> list[Pair]:
    a, c = v.plus(z[0], z[2]), v.minus(z[0], z[2])
    b, d = v.plus(z[1], z[3]), v.minus(z[1], z[3])
    up, down = v.across(c, sign, d)
    return [v.plus(a, b), up, v.minus(a, b), down]


def _eight(v: Vectors, sign: str, z: list[Pair]) -> list[Pair]:
    even = _four(v, sign, z[0::2])
    a, c = v.plus(z[1], z[5]), v.minus(z[1], z[5])
    b, d = v.plus(z[3], z[7]), v.minus(z[3], z[7])
    root = v.constant(math.sqrt(0.5))
    first, third = v.across(c, sign, d)
    # first (1 + i sign) and third (-1 + i sign), both yet to be divided by the root of 2.
    one = v.fms(sign, first[1], first[0]), v.fma(sign, first[0], first[1])
    three = v.fma(sign, third[1], third[0]), v.fms(sign, third[0], third[1])
    ab, ac = v.plus(a, b), v.minus(a, b)
    pairs = [
        (v.plus(even[0], ab), v.minus(even[0], ab)),
        _both(v, root, one, even[1]),
        v.across(even[2], sign, ac),
        _both(v, root, three, even[3])[::-1],
    ]
    return [p[0] for p in pairs] + [p[1] for p in pairs]


def _both(v: Vectors, by: str, a: Pair, b: Pair) -> tuple[Pair, Pair]:
    """Append ``b + by a`` and ``b - by a`` for a real `by`."""
    up = v.fma(by, a[0], b[0]), v.fma(by, a[1], b[1])
    return up, (v.fms(by, a[0], b[0]), v.fms(by, a[1], b[1]))


def _odd(v: Vectors, sines: list[str], z: list[Pair]) -> list[Pair]:
    r, half = len(z), len(z) // 2
    sums = [v.plus(z[k], z[r - k]) for k in range(1, half + 1)]
    others = [v.minus(z[k], z[r - k]) for k in range(1, half + 1)]
    first = z[0]
    for t in sums:
        first = v.plus(first, t)
    out = [first] * r
    for j in range(1, half + 1):
        middle = z[0]
        side: Pair | None = None
        for k, (t, u) in enumerate(zip(sums, others, strict=True), 1):
            angle = j * k % r
            cosine = v.constant(math.cos(2 * math.pi * angle / r))
            middle = v.fma(cosine, t[0], middle[0]), v.fma(cosine, t[1], middle[1])
            sine = sines[min(angle, r - angle) - 1]
            if side is None:
                side = v.mul(sine, u[0]), v.mul(sine, u[1])
            elif angle <= half:
                side = v.fma(sine, u[0], side[0]), v.fma(sine, u[1], side[1])
            else:
                side = v.fms(sine, u[0], side[0]), v.fms(sine, u[1], side[1])
        assert side is not None
        out[j] = v.sub(middle[0], side[1]), v.add(middle[1], side[0])
        out[r - j] = v.add(middle[0], side[1]), v.sub(middle[1], side[0])
    return out
