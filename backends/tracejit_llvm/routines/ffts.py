"""Fourier transforms, one axis after another.

============================  ====================================================================
an axis                       way
============================  ====================================================================
usual                         groups of neighbouring transforms in the lanes (:mod:`.fft_axis`)
of few transforms, or long    ``[n1, n2]``: along the first, turned, along the second (Bailey 1990);
                              of real rows, those of half the length (:mod:`.fft_halves`)
with a factor above 13        a convolution (:mod:`.fft_chirps`)
============================  ====================================================================

Results do not depend on the number of threads: what is in a lane does not depend on the others.

References
----------
D. H. Bailey, FFTs in external or hierarchical memory, J. Supercomputing 4 (1990) 23-35.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np

from tracejit.backend.threads import default_threads
from tracejit.ir.dtypes import is_complex, real_of
from tracejit_llvm.routines.calls import (
    SCRATCH,
    LibraryFunction,
    LibraryStep,
    LibrarySteps,
    aligned,
)
from tracejit_llvm.routines.fft_axis import TABLES, AxisForm, axis_text
from tracejit_llvm.routines.fft_chirps import EACH, ChirpForm, chirp_text
from tracejit_llvm.routines.fft_halves import PIECE, halves_text
from tracejit_llvm.routines.fft_passes import RADICES

__all__ = ["fft_steps", "radices_of"]

FORWARD, INVERSE, REAL_FORWARD, REAL_INVERSE = range(4)
"""Kinds."""
STACK = 600 << 10
"""Bytes of scratch memory up to which it is taken from the stack."""
LONG = 64 << 10
"""Bytes of the real parts of a transform above which it is split, if it can be."""
BRIEF = 2e6
"""Nanoseconds of a launch below which its code is generated quickly: that takes a third of the
time, and the code a twentieth to a fifth more; the bits are the same."""
BETWEEN = 2 << 20
"""Bytes between the two steps of those, at best."""
MOST_BLOCKS = 32
TEAMS = 2
"""Rows of a launch whose scratch memory is not, for each thread."""

Array = np.ndarray[Any, Any]


class Side(NamedTuple):
    """Where transforms lie; see :data:`tracejit_llvm.routines.fft_lanes.MOVE_PARAMETERS`."""

    period: int
    outer: int
    lane: int
    point: int


class Place(NamedTuple):
    """Bytes from the start of a buffer."""

    slot: int
    offset: int


class Axis(NamedTuple):
    """The transforms along one axis.

    Attributes
    ----------
    kind : str
        Of :class:`tracejit_llvm.routines.fft_axis.AxisForm`.
    lanes, length : int
        How many there are, of how many points.
    source, target : Side
        Where they lie.
    rows : (int, int)
        Points in memory of source and target.
    places : (Place, Place)
        Of source and target.
    sign : float
        1 or -1: their direction.
    scale : float
        Is multiplied by what they come to.
    """

    kind: str
    lanes: int
    length: int
    source: Side
    target: Side
    rows: tuple[int, int]
    places: tuple[Place, Place]
    sign: float
    scale: float = 1.0


@lru_cache(maxsize=256)
def radices_of(n: int) -> tuple[int, ...] | None:
    """Return the passes of a transform of length `n`, or None if it has another factor."""
    found = []
    rest = n
    twos = (rest & -rest).bit_length() - 1
    rest >>= twos
    if twos % 3 == 1 and twos > 3:
        found, twos = [4, 4], twos - 4
    elif twos % 3:
        found, twos = [2 ** (twos % 3)], twos - twos % 3
    found += [8] * (twos // 3)
    for r in RADICES[3:]:
        while rest % r == 0:
            found.append(r)
            rest //= r
    return (tuple(found) or (1,)) if rest == 1 else None


def _roots(n: int, powers: Array) -> Array:
    """Return ``exp(2 pi i powers / n)``, rounded once or nearly so."""
    eighth = 8 * (powers % n)
    octant = (eighth + n) // (2 * n)  # the nearest quarter
    angle = (eighth - octant * 2 * n).astype(np.longdouble) * (
        np.arctan(np.longdouble(1)) / np.longdouble(n)
    )
    c, s = np.cos(angle).astype(np.float64), np.sin(angle).astype(np.float64)
    quarter = octant % 4
    return np.choose(quarter, [c, -s, -c, s]) + 1j * np.choose(quarter, [s, c, -s, -c])


class Passes(NamedTuple):
    """A length, its passes, where their turns are, and the turns as floats."""

    radices: tuple[int, ...]
    places: tuple[tuple[int, int, int, int], ...]
    floats: Array


@lru_cache(maxsize=64)
def _passes(n: int, sign: float) -> Passes:
    radices = radices_of(n)
    assert radices is not None
    places, tables = [], []
    m, s, at = n, 1, TABLES
    for r in radices[:-1]:
        whole, m = m, m // r
        p, j = np.mgrid[:m, 1:r]
        turns = _roots(whole, p * j).reshape(-1)
        tables.append(turns if sign > 0 else turns.conj())
        places.append((r, m, s, at))
        at += 2 * turns.size
        s *= r
    places.append((radices[-1], 1, s, 0))
    return Passes(radices, tuple(places), np.concatenate([*tables, []]).view(np.float64))


@lru_cache(maxsize=1)
def _vector_bytes() -> int:
    return 64 if llvm.get_host_cpu_features().get("avx512f", False) else 32


def fft_steps(params: tuple[int, ...], dtypes: Sequence[np.dtype[Any]]) -> LibrarySteps:
    """Return how a Fourier transform is computed.

    Parameters
    ----------
    params : tuple of int
        Of the library call: ``(kind, norm, last, rank, shape..., axes...)``.
    dtypes : sequence of dtype
        Of the operand and the result.
    """
    kind, norm, last, rank, *rest = params
    shape, axes = rest[:rank], rest[rank:]
    return _Call(kind, norm, last, shape, axes, dtypes).steps()


class _Call:
    def __init__(
        self, kind: int, norm: int, last: int, shape: list[int], axes: list[int],
        dtypes: Sequence[np.dtype[Any]],
    ) -> None:  # fmt: skip
        self.kind, self.last, self.shape, self.axes = kind, last, shape, axes
        self.real_in, self.real_out = (not is_complex(d) for d in dtypes)
        self.dtype = real_of(dtypes[0])
        self.scalar = "float" if self.dtype.itemsize == 4 else "double"
        self.lanes = _vector_bytes() // self.dtype.itemsize
        forward = kind in (FORWARD, REAL_FORWARD)
        self.sign = -1.0 if forward else 1.0
        size = math.prod(shape[a] for a in axes[:-1]) * last
        self.scale = {0: 1.0 if forward else 1.0 / size, 1: 1.0 / math.sqrt(size)}.get(
            norm, 1.0 / size if forward else 1.0
        )
        self.scratch = 0

    def steps(self) -> LibrarySteps:
        shape = list(self.shape)
        if not math.prod(shape):
            return LibrarySteps(())
        # The halved axis is the first one of real numbers, and the last one to them.
        order = self.axes[-1:] + self.axes[:-1]
        if self.real_out:
            order = order[1:] + order[:1]
        found: list[LibraryStep] = []
        place = Place(0, 0)
        for n, axis in enumerate(order):
            ends = n == len(order) - 1
            kind = "complex"
            if self.real_in and n == 0:
                kind = "forward"
            elif self.real_out and ends:
                kind = "inverse"
            to = Place(1, 0) if ends or not self.real_out else place
            if to == Place(0, 0):
                to = self.reserve(math.prod(shape) * 2 * self.dtype.itemsize)
            found += self.along(kind, shape, axis, (place, to), self.scale if ends else 1.0)
            place = to
        return LibrarySteps(tuple(found), self.scratch)

    def reserve(self, nbytes: int) -> Place:
        """Return a place in scratch memory."""
        place = Place(SCRATCH, self.scratch)
        self.scratch += aligned(nbytes)
        return place

    def along(
        self, kind: str, shape: list[int], axis: int, places: tuple[Place, Place], scale: float
    ) -> list[LibraryStep]:
        """Return the steps of one axis; its length in `shape` becomes that of the result."""
        outer, have, inner = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
        n = self.last if kind == "inverse" else have
        want = n // 2 + 1 if kind == "forward" and self.kind == REAL_FORWARD else n
        shape[axis] = want
        lanes = outer * inner
        if radices_of(n) is None:
            return self.bluestein(kind, outer, n, inner, (have, want), places, scale)
        if kind == "complex":
            return self.plain(outer, n, inner, places, scale, self.sign)
        if inner == 1 and not n % 2:
            split = self.split(n // 2, lanes)
            if split is not None:
                return self.halved(kind, lanes, n // 2, split, places, scale)
        source, target = _side(outer, have, inner), _side(outer, want, inner)
        return [
            self.step(Axis(kind, lanes, n, source, target, (have, want), places, self.sign, scale))
        ]

    def plain(
        self, outer: int, n: int, inner: int, places: tuple[Place, Place], scale: float, sign: float
    ) -> list[LibraryStep]:
        """Return the steps of complex transforms of a length without large prime factors."""
        lanes = outer * inner
        split = self.split(n, lanes) if inner == 1 else None
        if split is not None:
            return self.bailey(lanes, n, split, places, scale, sign)
        side = _side(outer, n, inner)
        return [self.step(Axis("complex", lanes, n, side, side, (n, n), places, sign, scale))]

    def bluestein(
        self, kind: str, outer: int, n: int, inner: int, rows: tuple[int, int],
        places: tuple[Place, Place], scale: float,
    ) -> list[LibraryStep]:  # fmt: skip
        m = _convolution_length(n)
        work = self.reserve(outer * m * inner * 2 * self.dtype.itemsize)
        chirp, kernel = _chirp(n, m, self.sign)
        form = ChirpForm(self.scalar, self.lanes, kind, inner > 1)

        def product(
            name: str, ends: tuple[Place, Place], have: int, want: int, count: int, by: Array
        ) -> LibraryStep:
            pieces = -(-count // EACH)
            cost = 1.0 * outer * count * inner
            return LibraryStep(
                LibraryFunction(chirp_text, (form,), name, brief=cost < BRIEF),
                (ends[0].slot, ends[1].slot),
                (n, have, want, count, inner, pieces, ends[0].offset, ends[1].offset),
                outer * pieces, cost, True,
                by.view(np.float64).astype(self.dtype),
            )  # fmt: skip

        there = work, work
        return [
            product("begin", (places[0], work), rows[0], m, m, chirp),
            *self.plain(outer, m, inner, there, 1.0, -1.0),
            product("multiply", there, m, m, m, kernel),
            *self.plain(outer, m, inner, there, 1.0, 1.0),
            product("end", (work, places[1]), m, rows[1], rows[1], chirp * scale),
        ]

    def split(self, n: int, lanes: int) -> int | None:
        """Return the first factor of a length by which it is split, or None if it is not."""
        few = lanes < 2 * self.lanes and n >= 8 * self.lanes
        if not few and n * self.dtype.itemsize <= LONG:
            return None
        found = [
            n1 for n1 in range(2, math.isqrt(n) * 2 + 1) if n % n1 == 0 and not n // n1 % self.lanes
        ]
        return min(found, key=lambda n1: abs(n1 - n // n1), default=None)

    def bailey(
        self, outer: int, n: int, n1: int, places: tuple[Place, Place], scale: float, sign: float
    ) -> list[LibraryStep]:
        n2 = n // n1
        nbytes = n * 2 * self.dtype.itemsize
        # As many at a time as leave what is between in a cache.
        many = min(outer, max(BETWEEN // nbytes, -(-outer // MOST_BLOCKS), 1))
        between = self.reserve(many * nbytes)
        columns = Side(n2, n, 1, n2)
        found = []
        for o in range(0, outer, many):
            count = min(many, outer - o)
            source, target = (Place(p.slot, p.offset + o * nbytes) for p in places)
            first = Axis(
                "complex", count * n2, n1, columns, columns, (n1, n1), (source, between), sign
            )
            second = Axis(
                "complex", count * n1, n2, Side(count * n1, 0, n2, 1), Side(n1, n, 1, n1),
                (n2, n2), (between, target), sign, scale,
            )  # fmt: skip
            found += [self.step(first, n), self.step(second)]
        return found

    def halved(
        self, kind: str, lanes: int, n: int, n1: int, places: tuple[Place, Place], scale: float
    ) -> list[LibraryStep]:
        """Return the steps of few or long real rows, of ``2 n`` points."""
        forward = kind == "forward"
        between = self.reserve(lanes * n * 2 * self.dtype.itemsize)
        ends = (between, places[1]) if forward else (places[0], between)
        pieces = -(-n // (2 * self.lanes * PIECE))
        name = "to_half" if forward else "from_half"
        cost = 0.5 * lanes * n
        half = LibraryStep(
            LibraryFunction(halves_text, (self.scalar, self.lanes), name, brief=cost < BRIEF),
            (ends[0].slot, ends[1].slot),
            (n, pieces, ends[0].offset, ends[1].offset, int(forward and self.kind != REAL_FORWARD)),
            lanes * pieces, cost, True,
            _half_turns(n, self.sign).astype(self.dtype),
        )  # fmt: skip
        if forward:
            there = places[0], between
            return [*self.bailey(lanes, n, n1, there, scale / 2, self.sign), half]
        return [half, *self.bailey(lanes, n, n1, (between, places[1]), scale, self.sign)]

    def step(self, axis: Axis, turned: int = 0) -> LibraryStep:
        """Return the launch for an axis.

        If `turned`, it is the first factor of transforms of that length.
        """
        kind, lanes, n = axis.kind, axis.lanes, axis.length
        real, odd = kind != "complex", bool(n % 2)
        if real and not odd:
            n //= 2
        passes = _passes(n, axis.sign)
        radices = passes.radices
        source, from_form = self.side(axis.source, axis.rows[0], kind == "forward")
        target, to_form = self.side(axis.target, axis.rows[1], kind == "inverse")
        begins = len(radices) > 1
        between = passes.places[1:-1]
        form = AxisForm(
            self.scalar, self.lanes, kind, real and odd, from_form, to_form,
            radices[0] if begins else 0, tuple(sorted({p[0] for p in between})), radices[-1],
            "lanewise" if turned else "scaled",
        )  # fmt: skip
        groups = -(-lanes // self.lanes)
        most = max(n, *(r for r, is_real in zip(axis.rows, (kind == "forward", kind == "inverse"),
                                                strict=True) if not is_real))  # fmt: skip
        buffer = aligned((most + 3) * 2 * self.lanes * self.dtype.itemsize)
        rows, each, arena, at = groups, 1, 0, 0
        if 2 * buffer > STACK:
            each = -(-groups // (TEAMS * default_threads()))
            rows = -(-groups // each)
            arena, at = 2 * buffer, self.reserve(2 * buffer * rows).offset
        scale = axis.scale / 2 if kind == "forward" and not odd else axis.scale
        half = real and not odd
        constants = _constants(self.dtype, n, axis.sign, scale, turned, self.lanes, half)
        own = TABLES + passes.floats.size
        around = period = 0
        if turned:
            period = axis.source.period // self.lanes
            around = own + n * 2 * self.lanes
        sizes = (
            lanes, groups, each, arena, at, buffer, n, axis.places[0].offset,
            axis.places[1].offset, *source, *target, *axis.rows, passes.places[0][1],
            passes.places[-1][2], own, around, period, own, len(between),
            *(number for p in between for number in p),
        )  # fmt: skip
        buffers = (axis.places[0].slot, axis.places[1].slot, SCRATCH)
        cost = groups * n * (2.0 * len(radices) + 3.0)
        function = LibraryFunction(axis_text, (form,), "transform", brief=cost < BRIEF)
        return LibraryStep(function, buffers, sizes, rows, cost, True, constants)

    def side(self, side: Side, rows: int, is_real: bool) -> tuple[Side, str]:
        """Return where transforms lie, and how their groups do."""
        if side.point == 1:
            if rows >= (self.lanes if is_real else self.lanes // 2):
                return side, "rows"
            return Side(1, side.lane, 1, 1), "segments"
        return side, "segments" if side.period % self.lanes else "columns"


@lru_cache(maxsize=32)
def _constants(
    dtype: np.dtype[Any], n: int, sign: float, scale: float, turned: int, lanes: int, half: bool
) -> Array:
    """Return the floats of a launch."""
    floats = [np.array([sign, scale]), _passes(n, sign).floats]
    if turned:
        floats += _turns(turned, n, lanes, sign)
    elif half:
        floats.append(_half_turns(n, sign))
    return np.concatenate(floats).astype(dtype)


def _side(outer: int, rows: int, inner: int) -> Side:
    if inner == 1:
        return Side(outer, 0, rows, 1)
    return Side(inner, rows * inner, 1, inner)


@lru_cache(maxsize=256)
def _convolution_length(n: int) -> int:
    """Return how long a transform must be that convolves `n` points, and is quick."""
    found = 16
    while found < 2 * n - 1:
        found *= 2
    for odd in (9, 15, 5, 3):
        power = found // 16
        while power * odd >= 2 * n - 1 and power >= 8:
            found, power = min(found, power * odd), power // 2
    return found


@lru_cache(maxsize=16)
def _chirp(n: int, m: int, sign: float) -> tuple[Array, Array]:
    """Return by what points are multiplied, and the transform of what they are convolved with."""
    k = np.arange(n)
    chirp = _roots(2 * n, k * k)
    if sign < 0:
        chirp = chirp.conj()
    kernel = np.zeros(m, np.complex128)
    kernel[:n] = chirp.conj()
    kernel[m - n + 1 :] = kernel[n - 1 : 0 : -1]
    return chirp, np.fft.fft(kernel) / m


@lru_cache(maxsize=16)
def _half_turns(n: int, sign: float) -> Array:
    """Return by what the transform of odd places is turned, beside that of even ones."""
    turns = _roots(2 * n, np.arange(n // 2 + 1))
    return (turns if sign > 0 else turns.conj()).view(np.float64)


@lru_cache(maxsize=16)
def _turns(n: int, n1: int, lanes: int, sign: float) -> list[Array]:
    """Return by what the first of two factors is turned: single lanes, and whole groups."""
    k = np.arange(n1)
    own = _roots(n, np.outer(k, np.arange(lanes)))
    around = _roots(n, np.outer(np.arange(0, n // n1, lanes), k))
    if sign < 0:
        own, around = own.conj(), around.conj()
    parts = np.stack([own.real, own.imag], axis=1)
    return [parts.reshape(-1), around.reshape(-1).view(np.float64)]
