"""Between Fourier transforms of real rows and those of their even and odd places, along the rows.

For few or long rows: what :mod:`.fft_lanes` does for the lanes of a group is done here for
neighbouring points of one row, whose mirror images are neighbours too, in the other order.
"""

from __future__ import annotations

from tracejit_llvm.routines.fft_passes import Pair, Vectors
from tracejit_llvm.routines.writing import Kernel, module_text
from tracejit_llvm.text import Module

__all__ = ["PIECE", "halves_text"]

PIECE = 32
"""Vectors of points that are one row of a launch."""


def halves_text(scalar: str, lanes: int) -> str:
    """Return the module of ``to_half`` and ``from_half``.

    Their buffers are source and target; their sizes the length `n` of the complex transform, the
    pieces of each row, where source and target begin, in bytes, and whether ``to_half`` writes the
    other half too; their floats ``exp(-+ i pi k / n)`` for ``k <= n / 2``.  There are twice as many
    points as lanes at least.
    """
    module = Module()
    for name in ("to_half", "from_half"):
        _Halves(module, name, scalar, lanes).write()
    return module_text(module)


class _Halves:
    def __init__(self, module: Module, name: str, scalar: str, lanes: int) -> None:
        self.forward = name == "to_half"
        self.f = Kernel(module, name)
        self.v = Vectors(self.f, scalar, lanes)

    def write(self) -> None:
        f, lanes = self.f, self.v.lanes
        self.n, pieces = f.size(0), f.size(1)
        x, y = (f.at(f.buffer(k), f.size(2 + k), "i8") for k in (0, 1))
        half = f.i("sdiv", self.n, 2)
        last = f.i("sub", f.i("add", half, 1), lanes)
        more = f.i("add", self.n, 1)
        self.whole = f.i("ne", f.size(4), 0)
        self.twice = f.i("mul", self.n, 2)
        more = f.choose(self.whole, self.twice, more)
        x_row, y_row = (self.n, more) if self.forward else (more, self.n)

        def piece(r: str, _: list[str]) -> None:
            o = f.i("sdiv", r, pieces)
            at = f.i("sub", r, f.i("mul", o, pieces))
            self.x = self.at(x, f.i("mul", o, x_row))
            self.y = self.at(y, f.i("mul", o, y_row))
            f.when(f.i("eq", at, 0), self.ends)
            start = f.i("add", 1, f.i("mul", at, PIECE * lanes))
            end = f.least(f.i("add", half, 1), f.i("add", start, PIECE * lanes))
            f.loop(start, end, lambda k, _: self.some(f.least(k, last)), step=lanes)

        f.loop("%begin", "%end", piece)
        f.end()

    def at(self, base: str, k: str | int) -> str:
        return self.f.at(base, self.f.i("mul", k, 2), self.v.scalar)

    def ends(self) -> None:
        """Append the first point and its mirror image, which are real."""
        f, scalar = self.f, self.v.scalar
        a = f.load(scalar, self.x)
        b = f.load(scalar, self.x, 1) if self.forward else f.load(scalar, self.at(self.x, self.n))
        both, other = (f.op(f"{op} {scalar} {a}, {b}") for op in ("fadd", "fsub"))
        if not self.forward:
            f.store(scalar, both, self.y)
            f.store(scalar, other, self.y, 1)
            return
        for place, value in ((self.y, both), (self.at(self.y, self.n), other)):
            doubled = f.op(f"fadd {scalar} {value}, {value}")
            f.store(scalar, doubled, place)
            f.store(scalar, "0.0", place, 1)

    def some(self, k: str) -> None:
        """Append as many points as lanes, from `k` on."""
        f, v = self.f, self.v
        mirror = f.i("sub", f.i("sub", self.n, k), v.lanes - 1)
        a = v.read(self.at(self.x, k), "pairs", v.lanes)
        b = self.backwards(v.read(self.at(self.x, mirror), "pairs", v.lanes))
        turn = v.read(self.at("%floats", k), "pairs", v.lanes)
        even = v.add(a[0], b[0]), v.sub(a[1], b[1])
        if self.forward:
            t = v.times((v.add(a[1], b[1]), v.sub(b[0], a[0])), turn)
            one, other = v.plus(even, t), (v.sub(even[0], t[0]), v.sub(t[1], even[1]))
        else:
            t = v.times((v.sub(a[0], b[0]), v.add(a[1], b[1])), turn)
            one = v.sub(even[0], t[1]), v.add(even[1], t[0])
            other = v.add(even[0], t[1]), v.sub(t[0], even[1])
        v.write(one, self.at(self.y, k), "pairs", v.lanes)
        v.write(self.backwards(other), self.at(self.y, mirror), "pairs", v.lanes)
        if self.forward:
            f.when(self.whole, lambda: self.rest(k, one, other))

    def rest(self, k: str, one: Pair, other: Pair) -> None:
        """Append the mirror images in the other half."""
        f, v = self.f, self.v
        mirror = f.i("sub", f.i("sub", self.twice, k), v.lanes - 1)
        one, other = ((z[0], v.neg(z[1])) for z in (one, other))
        v.write(self.backwards(one), self.at(self.y, mirror), "pairs", v.lanes)
        v.write(other, self.at(self.y, f.i("add", self.n, k)), "pairs", v.lanes)

    def backwards(self, z: Pair) -> Pair:
        f, v = self.f, self.v
        order = range(v.lanes - 1, -1, -1)
        re, im = (f.shuffle(part, part, v.scalar, v.lanes, order) for part in z)
        return re, im
