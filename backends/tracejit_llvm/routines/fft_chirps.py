"""Fourier transforms of lengths with large prime factors, as convolutions (Bluestein 1970).

As ``2 j k = j^2 + k^2 - (k - j)^2``, a transform is a product by ``c[j] = exp(+-i pi j^2 / n)``, a
convolution by its conjugate, and that product again.  The convolution is done by transforms of a
length without such factors, along the same axis; what is here are the products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tracejit_llvm.routines.fft_passes import Pair, Vectors
from tracejit_llvm.routines.writing import Kernel, module_text
from tracejit_llvm.text import Module

__all__ = ["EACH", "ChirpForm", "chirp_text"]

EACH = 256
"""Points of an axis that are one row of a launch."""


class ChirpForm(NamedTuple):
    """What the code depends on.

    Attributes
    ----------
    scalar, lanes : str, int
        Of a vector.
    kind : str
        ``complex``, ``forward`` from real numbers or ``inverse`` to them.
    apart : bool
        Whether neighbours along the axis are apart in memory.
    """

    scalar: str
    lanes: int
    kind: str
    apart: bool


def chirp_text(form: ChirpForm) -> str:
    """Return the module of ``begin``, ``multiply`` and ``end``.

    Their buffers are source and target.  Sizes: points of the transform; of source and target along
    the axis, and how many of the target are written; what lies between neighbours; pieces of an
    axis; where source and target begin, in bytes.  Floats: by what points are multiplied.
    """
    module = Module()
    for name in ("begin", "multiply", "end"):
        _Chirp(module, name, form).write()
    return module_text(module)


class _Chirp:
    def __init__(self, module: Module, name: str, form: ChirpForm) -> None:
        self.name, self.form = name, form
        self.f = Kernel(module, name)
        self.source = form.kind if name == "begin" else "complex"
        self.target = "real" if name == "end" and form.kind == "inverse" else "pairs"

    def write(self) -> None:
        f = self.f
        self.n, have, want, count, self.inner, pieces = (f.size(k) for k in range(6))
        x, y = (f.at(f.buffer(k), f.size(6 + k), "i8") for k in (0, 1))
        scalar = self.form.scalar

        def piece(r: str, _: list[str]) -> None:
            o = f.i("sdiv", r, pieces)
            lo = f.i("mul", f.i("sub", r, f.i("mul", o, pieces)), EACH)
            hi = f.least(count, f.i("add", lo, EACH))
            parts = 1 if self.source == "forward" else 2, 1 if self.target == "real" else 2
            self.x, self.y = (
                f.at(base, f.i("mul", f.i("mul", f.i("mul", o, rows), self.inner), p), scalar)
                for base, rows, p in ((x, have, parts[0]), (y, want, parts[1]))
            )
            for start, stop, how in self.sections(count):
                self.section(f.greatest(lo, start), f.least(hi, stop), how)

        f.loop("%begin", "%end", piece)
        f.end()

    def sections(self, count: str) -> list[tuple[str, str, str]]:
        """Return parts of an axis, and how they are read."""
        f, n = self.f, self.n
        if self.name != "begin":
            return [("0", count, "pairs")]
        rest = (n, count, "zero")
        if self.source != "inverse":
            return [("0", n, "real" if self.source == "forward" else "pairs"), rest]
        middle = f.i("sdiv", f.i("add", n, 1), 2)
        after = f.i("add", f.i("sdiv", n, 2), 1)
        # The first, and the one in the middle of an even number, are their own mirror images.
        return [
            ("0", "1", "own"), ("1", middle, "pairs"), (middle, after, "own"),
            (after, n, "mirror"), rest,
        ]  # fmt: skip

    def section(self, lo: str, hi: str, how: str) -> None:
        f = self.f
        if not self.form.apart:
            self.over(lo, hi, lambda v, k: self.some(v, k, k, how))
            return

        def row(k: str, _: list[str]) -> None:
            self.over("0", self.inner, lambda v, i: self.some(v, k, i, how))

        f.loop(lo, hi, row)

    def over(self, lo: str, hi: str, body: Callable[[Vectors, str], None]) -> None:
        """Append a loop by vectors, then one by elements."""
        f, form = self.f, self.form
        wide, one = (Vectors(f, form.scalar, n) for n in (form.lanes, 1))
        whole = f.i("and", f.greatest(f.i("sub", hi, lo), 0), -form.lanes)
        middle = f.i("add", lo, whole)
        f.loop(lo, middle, lambda k, _: body(wide, k), step=form.lanes)
        f.loop(middle, hi, lambda k, _: body(one, k))

    def some(self, v: Vectors, k: str, i: str, how: str) -> None:
        """Append the product of neighbours: from point `k` on, or at `k` from `i` on."""
        f = self.f
        apart = self.form.apart
        to = f.i("add", f.i("mul", k, self.inner), i) if apart else k
        z: Pair
        if how == "zero":
            z = "zeroinitializer", "zeroinitializer"
        else:
            turn = f.at("%floats", f.i("mul", k, 2), v.scalar)
            factor = (
                (v.loaded(turn, 0), v.loaded(turn, 1)) if apart
                else v.read(turn, "pairs", v.lanes)
            )  # fmt: skip
            z = v.times(self.read(v, k, i, to, how), factor)
        parts = 1 if self.target == "real" else 2
        v.write(z, f.at(self.y, f.i("mul", to, parts), v.scalar), self.target, v.lanes)

    def read(self, v: Vectors, k: str, i: str, at: str, how: str) -> Pair:
        f = self.f
        if how == "real":
            return v.read(f.at(self.x, at, v.scalar), "real", 0)
        if how == "mirror":
            mirror = f.i("sub", self.n, k)
            if self.form.apart:
                at = f.i("add", f.i("mul", mirror, self.inner), i)
            else:
                at = f.i("sub", mirror, v.lanes - 1)
        z = v.read(f.at(self.x, f.i("mul", at, 2), v.scalar), "pairs", v.lanes)
        if how == "own":
            return z[0], "zeroinitializer"
        if how == "mirror":
            if not self.form.apart:
                order = range(v.lanes - 1, -1, -1)
                z = (
                    f.shuffle(z[0], z[0], v.scalar, v.lanes, order),
                    f.shuffle(z[1], z[1], v.scalar, v.lanes, order),
                )
            return z[0], v.neg(z[1])
        return z
