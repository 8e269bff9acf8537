"""How Fourier transforms come into the lanes of vectors, and out of them.

What is transformed together is a *group* of neighbours, as many as a vector has lanes.  A *stage*
holds a group point by point, ``[points, lanes]`` numbers.  Real arrays of even length are complex
ones of half the length: what lies at even and at odd places are the two parts.
"""

from __future__ import annotations

from tracejit_llvm.routines.fft_passes import Vectors
from tracejit_llvm.routines.writing import Function, Typed
from tracejit_llvm.text import Module, vector

__all__ = [
    "MOVE_PARAMETERS",
    "REAL_PARAMETERS",
    "write_from_half",
    "write_segments",
    "write_to_half",
    "write_turned",
]

MOVE_PARAMETERS: tuple[Typed, ...] = (
    ("ptr", "%x"), ("ptr", "%stage"), ("i64", "%first"), ("i64", "%lanes"), ("i64", "%period"),
    ("i64", "%outer"), ("i64", "%lane"), ("i64", "%point"), ("i64", "%rows"),
)  # fmt: skip
"""What is moved: the array; the stage; the first transform of the group, out of how many; where
transform ``o period + l`` starts, at ``o outer + l lane``; and how far apart are its points."""


def write_segments(
    module: Module, name: str, scalar: str, lanes: int, parts: int, inwards: bool
) -> None:
    """Write how a group moves whose transforms lie side by side, but in several segments.

    Parameters
    ----------
    module : Module
        Where the function stands.
    name : str
        Of the function; it takes :data:`MOVE_PARAMETERS`, of which `lane` is 1.
    scalar, lanes : str, int
        Of a vector.
    parts : int
        Scalars of an element.
    inwards : bool
        Whether it moves from the array to the stage.
    """
    f = Function(module, name, MOVE_PARAMETERS)
    v = Vectors(f, scalar, lanes)
    full, mask = v.full, vector("i1", lanes)
    kind = f"v{lanes}f{8 * v.align}"
    end = f.least("%lanes", f.i("add", "%first", lanes))

    def segment(state: list[str]) -> tuple[str, list[str]]:
        q = state[0]
        o = f.i("sdiv", q, "%period")
        i = f.i("sub", q, f.i("mul", o, "%period"))
        count = f.least(f.i("sub", "%period", i), f.i("sub", end, q))
        scalars = f.i("mul", count, parts)
        masks = [
            f.first(f.greatest(f.i("sub", scalars, h * lanes), 0), lanes) for h in range(parts)
        ]
        start = f.i("mul", f.i("add", f.i("mul", o, "%outer"), i), parts)
        outside = f.at("%x", start, scalar)
        inside = f.at("%stage", f.i("mul", f.i("sub", q, "%first"), parts), scalar)
        apart = f.i("mul", "%point", parts)

        def row(j: str, _: list[str]) -> None:
            j = f.unseen(j)
            a = f.at(outside, f.i("mul", j, apart), scalar)
            b = f.at(inside, f.i("mul", j, parts * lanes), scalar)
            for h in range(parts):
                ends = (a, b) if inwards else (b, a)
                source, target = (f.at(p, h * lanes, scalar) for p in ends)
                x = f.call(
                    full, f"llvm.masked.load.{kind}.p0", ("ptr", source), ("i32", f"{v.align}"),
                    (mask, masks[h]), (full, "zeroinitializer"),
                )  # fmt: skip
                f.module.declare("void", f"llvm.masked.store.{kind}.p0", [full, "ptr", "i32", mask])
                f.line(
                    f"call void @llvm.masked.store.{kind}.p0({full} {x}, ptr {target}, "
                    f"i32 {v.align}, {mask} {masks[h]})"
                )

        f.loop(0, "%rows", row)
        after = f.i("add", q, count)
        return f.i("slt", after, end), [after]

    f.repeat([("i64", "%first")], segment)
    f.end()


def write_turned(
    module: Module, name: str, scalar: str, lanes: int, parts: int, inwards: bool
) -> None:
    """Write how a group moves whose transforms are rows of points side by side.

    The function takes :data:`MOVE_PARAMETERS`, of which `point` is 1; there are at least as many
    rows as elements in a vector.  Lanes without a transform hold the last one.
    """
    f = Function(module, name, MOVE_PARAMETERS)
    v = Vectors(f, scalar, lanes)
    many = lanes // parts
    last = f.i("sub", "%lanes", 1)
    back = f.i("sub", "%rows", many)
    # The later half goes first, and the later lanes, so that the last transform is written last.
    for h in reversed(range(parts)):
        places = []
        for k in range(many):
            q = f.least(last, f.i("add", "%first", h * many + k))
            o = f.i("sdiv", q, "%period")
            i = f.i("sub", q, f.i("mul", o, "%period"))
            start = f.i("add", f.i("mul", o, "%outer"), f.i("mul", i, "%lane"))
            places.append(f.at("%x", f.i("mul", start, parts), scalar))

        def block(
            p: str, _: list[str], places: list[str] = places, h: int = h
        ) -> None:
            p = f.unseen(f.least(p, back))
            outside = [f.at(place, f.i("mul", p, parts), scalar) for place in places]
            row = f.at("%stage", f.i("mul", p, parts * lanes), scalar)
            inside = [f.at(row, (k * parts + h) * lanes, scalar) for k in range(many)]
            source, target = (outside, inside) if inwards else (inside, outside)
            square = [f.load(v.full, place, align=v.align) for place in source]
            square = _transposed(f, v, square, parts)
            for x, place in reversed(list(zip(square, target, strict=True))):
                f.store(v.full, x, place, align=v.align)

        f.loop(0, "%rows", block, step=many)
    f.end()


def _transposed(f: Function, v: Vectors, rows: list[str], parts: int) -> list[str]:
    """Append the transpose of a square of elements."""
    many, n = len(rows), v.lanes
    rows = list(rows)
    step = 1
    while step < many:
        low = [k if not k // parts & step else n + k - step * parts for k in range(n)]
        high = [k + step * parts if not k // parts & step else n + k for k in range(n)]
        for i in range(many):
            if not i & step:
                a, b = rows[i], rows[i + step]
                rows[i] = f.shuffle(a, b, v.scalar, n, low)
                rows[i + step] = f.shuffle(a, b, v.scalar, n, high)
        step *= 2
    return rows


REAL_PARAMETERS: tuple[Typed, ...] = (
    ("ptr", "%z"), ("i64", "%n"), ("ptr", "%x"), ("i64", "%stride"), ("i64", "%count"),
    ("ptr", "%table"),
)  # fmt: skip
"""What leads from a complex transform `z` of length `n` to that of real numbers, `x`, and back:
how many scalars apart its points are, how many of them there are, and how they are turned."""


def write_to_half(module: Module, scalar: str, lanes: int, odd: bool) -> None:
    """Write ``to_half``, which makes twice the transform of real numbers, once if `odd`.

    Of the transform ``Z`` of even and odd places as parts, those of the even places are
    ``2 E = Z[k] + conj(Z[n-k])``, of the odd ones ``2 O = (Z[k] - conj(Z[n-k])) / i``; and
    ``X[k] = E + w^k O``, ``X[n-k] = conj(E - w^k O)``.  What is wanted of the other half follows
    by symmetry.
    """
    f = Function(module, "to_half", REAL_PARAMETERS)
    v = Vectors(f, scalar, lanes)

    def at(k: str) -> str:
        return f.at("%x", f.i("mul", k, "%stride"), scalar)

    def read(k: str) -> tuple[str, str]:
        return v.read(f.at("%z", f.i("mul", k, 2 * lanes), scalar), "parts", lanes)

    def copy(k: str, _: list[str]) -> None:
        v.write(read(k), at(k), "pairs", lanes)

    def two(k: str, _: list[str]) -> None:
        k = f.unseen(k)
        mirror = f.i("sub", "%n", k)
        z, w = read(k), read(f.choose(f.i("eq", k, 0), 0, mirror))
        even = v.add(z[0], w[0]), v.sub(z[1], w[1])
        rest = v.add(z[1], w[1]), v.sub(w[0], z[0])
        place = f.at("%table", f.i("mul", k, 2), scalar)
        t = v.times(rest, (v.loaded(place, 0), v.loaded(place, 1)))
        v.write(v.plus(even, t), at(k), "pairs", lanes)
        v.write((v.sub(even[0], t[0]), v.sub(t[1], even[1])), at(mirror), "pairs", lanes)

    def other(k: str, _: list[str]) -> None:
        x = v.read(at(f.i("sub", f.i("mul", "%n", 2), k)), "pairs", lanes)
        v.write((x[0], v.neg(x[1])), at(k), "pairs", lanes)

    if odd:
        f.loop(0, "%count", copy)
    else:
        f.loop(0, f.i("add", f.i("sdiv", "%n", 2), 1), two)
        f.loop(f.i("add", "%n", 1), "%count", other)
    f.end()


def write_from_half(module: Module, scalar: str, lanes: int, odd: bool) -> None:
    """Write ``from_half``, the way back of :func:`write_to_half`; what must be real is taken so."""
    f = Function(module, "from_half", REAL_PARAMETERS)
    v = Vectors(f, scalar, lanes)

    def read(k: str) -> tuple[str, str]:
        return v.read(f.at("%x", f.i("mul", k, "%stride"), scalar), "pairs", lanes)

    def write(k: str, z: tuple[str, str]) -> None:
        v.write(z, f.at("%z", f.i("mul", k, 2 * lanes), scalar), "parts", lanes)

    def mirrored(k: str, _: list[str]) -> None:
        x = read(k)
        write(k, x)
        write(f.i("sub", "%n", k), (x[0], v.neg(x[1])))

    def two(k: str, _: list[str]) -> None:
        k = f.unseen(k)
        mirror = f.i("sub", "%n", k)
        a, b = read(k), read(mirror)
        even = v.add(a[0], b[0]), v.sub(a[1], b[1])
        rest = v.sub(a[0], b[0]), v.add(a[1], b[1])
        place = f.at("%table", f.i("mul", k, 2), scalar)
        t = v.times(rest, (v.loaded(place, 0), v.loaded(place, 1)))
        write(k, (v.sub(even[0], t[1]), v.add(even[1], t[0])))
        write(mirror, (v.add(even[0], t[1]), v.sub(t[0], even[1])))

    a = read("0")[0]
    if odd:
        write("0", (a, "zeroinitializer"))
        f.loop(1, "%count", mirrored)
    else:
        b = read("%n")[0]
        write("0", (v.add(a, b), v.sub(a, b)))
        f.loop(1, f.i("add", f.i("sdiv", "%n", 2), 1), two)
    f.end()
