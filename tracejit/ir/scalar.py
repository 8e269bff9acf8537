"""Scalar expressions: the closed vocabulary in which kernels compute.

An :class:`Expr` is hash-consed: equal expressions are the same object, so a printer or emitter
that remembers what it has seen computes common subexpressions once.

Structure of the special operations (all others are pointwise, ``args`` their operands):

=========  ==========================================  =========================================
op         attr                                        args
=========  ==========================================  =========================================
const      a Python number                             none
index      :class:`IndexVar`                           none; int64
affine     ``(constant, coefficients)``                terms (int64); sum of coefficient * term
load       number of the buffer in its kernel          (offset in elements,)
float      number of the float argument                none: a literal lifted out of the kernel
ref        name of a reduction's result                none
convert    none                                        (operand,); dtype is the result's
bitcast    none                                        (operand,); dtype is the result's
select     none                                        (condition, then, otherwise)
reduce     ``(op, loops)``: before scheduling only     (body,) or (value, index) for arg-reductions
complex    none: before assembly only                  (real part, imaginary part)
real       none: before assembly only                  (a complex load,)
imag       none: before assembly only                  (a complex load,)
=========  ==========================================  =========================================

Coefficients, constants and loop bounds are ints, or :class:`Size` once sizes are arguments.
Kernels compute in bool, int8 to uint64, float32 and float64; float16 and bfloat16 exist in loads,
stores and converts alone.  A complex value is a ``complex`` of two real expressions or a load; all
that is computed is computed with the parts (:mod:`tracejit.compiler.complex_scalars`), and when
kernels are assembled, complex loads and stores become those of their parts
(:mod:`tracejit.compiler.parts`).
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from tracejit.ir.dtypes import DTYPES, complex_of, is_bool, is_complex, is_float, real_of

__all__ = [
    "COMPARISONS",
    "COSTS",
    "Expr",
    "IndexVar",
    "Loop",
    "Size",
    "affine",
    "apply",
    "const",
    "convert",
    "free_vars",
    "imag",
    "index",
    "pair",
    "real",
    "substitute",
    "walk",
]

I64 = DTYPES["i64"]
BOOL = DTYPES["bool"]
F32 = DTYPES["f32"]
F64 = DTYPES["f64"]


class IndexVar:
    """A loop variable.  Before sizes are lifted, its values are known to be in ``[0, extent)``."""

    __slots__ = ("extent", "name")

    def __init__(self, name: str, extent: int) -> None:
        self.name = name
        self.extent = extent

    def __repr__(self) -> str:
        return self.name


class Size(NamedTuple):
    """An integer argument of a kernel: a length, stride, offset or bound."""

    number: int

    def __repr__(self) -> str:
        return f"n{self.number}"


Integer = int | Size


class Loop(NamedTuple):
    """A loop over ``lo <= var < hi``; `vector` marks the one whose iterations fill lanes."""

    var: IndexVar
    lo: Integer
    hi: Integer
    vector: bool = False


class Expr:
    """A scalar expression; make one with the functions of this module only."""

    __slots__ = ("__weakref__", "args", "attr", "dtype", "op")

    op: str
    args: tuple[Expr, ...]
    dtype: np.dtype[Any]
    attr: Any

    def __repr__(self) -> str:
        return show(self)


_table: dict[tuple[Any, ...], Expr] = {}
_most = 400_000
"""Expressions in the table, above which those that nobody holds are dropped."""
_dropping = threading.Lock()


def _make(op: str, args: tuple[Expr, ...], dtype: np.dtype[Any], attr: Any = None) -> Expr:
    key = (op, args, dtype, attr, type(attr))
    found = _table.get(key)
    if found is None:
        if _dropping.locked():  # by another thread: the expression may be on its way back
            with _dropping:
                found = _table.get(key)
            if found is not None:
                return found
        if len(_table) > _most:
            _drop()
        found = Expr()
        found.op, found.args, found.dtype, found.attr = op, args, dtype, attr
        _table[key] = found
    return found


def _drop() -> None:
    """Drop the expressions that nobody holds.

    Kernels are kept for long and compiled again, so what they hold must stay what is found.
    """
    global _most
    with _dropping:
        if len(_table) <= _most:
            return
        _walks.clear()
        _forget_free()
        held = [weakref.ref(e) for e in _table.values()]
        _table.clear()
        for reference in held:
            e = reference()
            if e is not None:
                _table[e.op, e.args, e.dtype, e.attr, type(e.attr)] = e
        _most = max(_most, 2 * len(_table))


def raw(op: str, args: tuple[Expr, ...], dtype: np.dtype[Any], attr: Any = None) -> Expr:
    """Return the expression as given, without simplification."""
    return _make(op, args, dtype, attr)


def const(value: Any, dtype: np.dtype[Any]) -> Expr:
    """Return a constant; -0.0, nan and inf keep their bits."""
    if is_complex(dtype):
        number, part = complex(value), real_of(dtype)
        return pair(const(number.real, part), const(number.imag, part))
    if is_bool(dtype):
        value = bool(value)
    elif is_float(dtype):
        value = float(np.asarray(value, dtype)) if dtype != F64 else float(value)
        if value != value:
            value = math.nan  # one object, which is equal to itself in the table
    else:
        value = int(value)
    return _make("const", (), dtype, _Number(repr(value), value))


class _Number(NamedTuple):
    """A number; the text keeps -0.0 and 0.0 apart."""

    text: str
    value: Any

    def __repr__(self) -> str:
        return self.text


def value_of(e: Expr) -> Any:
    """Return the Python number of a ``const``."""
    return e.attr.value


def pair(x: Expr, y: Expr) -> Expr:
    """Return the complex number with these real and imaginary parts."""
    return _make("complex", (x, y), complex_of(x.dtype))


def real(e: Expr) -> Expr:
    """Return the real part of a complex expression."""
    return e.args[0] if e.op == "complex" else _make("real", (e,), real_of(e.dtype))


def imag(e: Expr) -> Expr:
    """Return the imaginary part of a complex expression."""
    return e.args[1] if e.op == "complex" else _make("imag", (e,), real_of(e.dtype))


_PARTS: dict[str, Callable[..., Expr]] = {"complex": pair, "real": real, "imag": imag}


def index(var: IndexVar) -> Expr:
    """Return the value of a loop variable."""
    return _make("index", (), I64, var)


def affine(constant: Integer, terms: Iterable[tuple[Integer, Expr]]) -> Expr:
    """Return ``constant + sum(c * term)`` in canonical form (ints before lifting only)."""
    total: Any = constant
    gathered: dict[Expr, Any] = {}
    for c, term in terms:
        if term.op == "affine":
            inner, coefs = term.attr
            total += c * inner
            for d, t in zip(coefs, term.args, strict=True):
                gathered[t] = gathered.get(t, 0) + c * d
        elif term.op == "const":
            total += c * value_of(term)
        else:
            gathered[term] = gathered.get(term, 0) + c
    kept = [(t, c) for t, c in gathered.items() if c != 0]
    if not kept:
        return const(total, I64)
    if total == 0 and len(kept) == 1 and kept[0][1] == 1:
        return kept[0][0]
    kept.sort(key=lambda tc: _order(tc[0]))
    return _make("affine", tuple(t for t, _ in kept), I64, (total, tuple(c for _, c in kept)))


def _order(e: Expr) -> Any:
    return (0, e.attr.name) if e.op == "index" else (1, show(e))


def split_affine(e: Expr) -> tuple[Integer, tuple[tuple[Integer, Expr], ...]]:
    """Return ``(constant, ((coefficient, term), ...))`` of any int64 expression."""
    if e.op == "affine":
        constant, coefs = e.attr
        return constant, tuple(zip(coefs, e.args, strict=True))
    if e.op == "const":
        return value_of(e), ()
    return 0, ((1, e),)


def split_ints(e: Expr) -> tuple[int, tuple[tuple[int, Expr], ...]]:
    """As :func:`split_affine`, before sizes are lifted: every coefficient is an int."""
    constant, terms = split_affine(e)
    assert isinstance(constant, int)
    return constant, tuple((c, t) for c, t in terms if isinstance(c, int))


COMPARISONS = frozenset(
    ("eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite")
)
"""Operations whose result is bool."""

COSTS: dict[str, int] = {
    **dict.fromkeys(("const", "index", "affine", "float", "ref", "bitcast", "convert"), 0),
    **dict.fromkeys(("load",), 1),
    **dict.fromkeys(
        ("add", "sub", "mul", "neg", "abs", "sign", "min", "max", "select", "copysign",
         "eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "and", "or", "xor",
         "not", "shl", "shr_arithmetic", "shr_logical", "popcount", "clz", "fma",
         "floor", "ceil", "trunc", "round", "nextafter"), 1),
    **dict.fromkeys(("div", "sqrt", "rsqrt"), 6),
    **dict.fromkeys(("quot", "rem"), 20),
    **dict.fromkeys(
        ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tanh", "cbrt",
         "sinh", "cosh", "hypot", "tan", "asin", "acos", "atan", "asinh", "acosh", "atanh"), 16),
    **dict.fromkeys(
        ("atan2", "erf", "erfc",
         "erfinv", "erfinvgiles", "lgamma", "digamma", "pow"), 30),
}  # fmt: skip
"""Relative cost of an operation; its keys are the vocabulary."""


_FOLDED: dict[str, Any] = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}


_PLAIN = frozenset(("const", "neg"))
"""Operands beside which an operation of two may be simpler than it is written."""


def apply(op: str, *args: Expr) -> Expr:
    """Return a pointwise operation, folding trivial cases that are exact.

    Raises
    ------
    KeyError
        If `op` is not in the vocabulary.
    """
    if op in _PARTS:
        return _PARTS[op](*args)
    COSTS[op]
    a = args[0]
    if len(args) == 2 and op not in COMPARISONS and _PLAIN.isdisjoint((a.op, args[1].op)):
        return _make(op, args, a.dtype)
    if op == "select":
        c, x, y = args
        if c.op == "const":
            return x if value_of(c) else y
        if x is y:
            return x
        if is_complex(x.dtype):
            return pair(apply(op, c, real(x), real(y)), apply(op, c, imag(x), imag(y)))
        return _make(op, args, x.dtype)
    if op in COMPARISONS:
        if len(args) == 2 and args[0].op == args[1].op == "const":
            x, y = value_of(args[0]), value_of(args[1])
            folded = {"eq": x == y, "ne": x != y, "lt": x < y, "le": x <= y, "gt": x > y,
                      "ge": x >= y}[op]  # fmt: skip
            return const(folded, BOOL)
        return _make(op, args, BOOL)
    if is_float(a.dtype):
        if op in _FOLDED and a.op == args[1].op == "const":
            with np.errstate(all="ignore"):
                numbers = [v.dtype.type(value_of(v)) for v in args]
                return const(_FOLDED[op](*numbers), a.dtype)
        if op == "mul":
            for x, y in ((a, args[1]), (args[1], a)):
                if y.op == "const" and value_of(y) == 1.0:
                    return x
        elif op == "div" and args[1].op == "const" and _exact_reciprocal(value_of(args[1])):
            return apply("mul", a, const(1.0 / value_of(args[1]), a.dtype))
        elif op == "sub" and args[1].op == "const" and args[1].attr.text == "0.0":
            return a
        elif op == "neg" and a.op == "const":
            return const(-value_of(a), a.dtype)
        elif op == "neg" and a.op == "neg":
            return a.args[0]
        return _make(*_signed(op, args), a.dtype)
    elif is_bool(a.dtype) and op in ("and", "or"):
        for x, y in ((a, args[1]), (args[1], a)):
            if x.op == "const":
                return y if bool(value_of(x)) == (op == "and") else x
    return _make(op, args, a.dtype)


def _signed(op: str, args: tuple[Expr, ...]) -> tuple[str, tuple[Expr, ...]]:
    """Return an operation on floats without the negations that others do: the bits are the same.

    Derivatives backward are full of them, for the second operand of each difference has one.
    """
    if op == "neg" and args[0].op == "mul":
        for x, y in (args[0].args, args[0].args[::-1]):
            if x.op == "const":
                return "mul", (const(-value_of(x), x.dtype), y)
    if op not in ("add", "sub", "mul"):
        return op, args
    x, y = args
    if op == "mul":
        if x.op == y.op == "neg":
            return op, (x.args[0], y.args[0])
        for c, z in ((x, y), (y, x)):
            if c.op == "const" and z.op == "neg":
                return op, (const(-value_of(c), c.dtype), z.args[0])
    elif y.op == "neg":
        return "sub" if op == "add" else "add", (x, y.args[0])
    elif x.op == "neg" and op == "add":
        return "sub", (y, x.args[0])
    return op, args


def _exact_reciprocal(x: float) -> bool:
    if x == 0.0 or x != x or x in (float("inf"), float("-inf")):
        return False
    mantissa, exponent = np.frexp(x)
    return bool(abs(mantissa) == 0.5 and -120 < exponent < 120)


def convert(x: Expr, dtype: np.dtype[Any]) -> Expr:
    """Return `x` converted to `dtype` as NumPy converts (floats to ints truncate)."""
    if x.dtype is dtype or x.dtype == dtype:
        return x
    if is_complex(dtype):
        part = real_of(dtype)
        if is_complex(x.dtype):
            return pair(convert(real(x), part), convert(imag(x), part))
        return pair(convert(x, part), const(0.0, part))
    if is_complex(x.dtype):
        if not is_bool(dtype):
            return convert(real(x), dtype)
        zero = const(0.0, real_of(x.dtype))
        return apply("or", apply("ne", real(x), zero), apply("ne", imag(x), zero))
    if x.op == "const":
        v = value_of(x)
        if is_float(dtype) or is_bool(dtype):
            return const(v, dtype)
        if not is_float(x.dtype):
            return const(np.asarray(v).astype(dtype).item(), dtype)
        if abs(v) < 2.0**31:  # false for nan
            return const(np.asarray(int(v)).astype(dtype).item(), dtype)
    return _make("convert", (x,), dtype)


def walk(roots: Iterable[Expr]) -> tuple[Expr, ...]:
    """Return every expression below `roots`, each once, operands before their users.

    The last walks are kept, for one kernel is walked by many.
    """
    key = tuple(roots)
    found = _walks.get(key)
    if found is not None:
        return found
    seen: set[Expr] = set()
    order: list[Expr] = []
    stack: list[Expr | None] = [*key]
    while stack:
        e = stack.pop()
        if e is None:  # what stands below has its operands now
            order.append(stack.pop())  # type: ignore[arg-type]
        elif e not in seen:
            seen.add(e)
            if e.args:
                stack += (e, None, *e.args)
            else:
                order.append(e)
    if len(_walks) >= _MAX_WALKS:
        _walks.clear()
    out = _walks[key] = tuple(order)
    return out


_walks: dict[tuple[Expr, ...], tuple[Expr, ...]] = {}
_MAX_WALKS = 32


def free_vars(e: Expr) -> frozenset[IndexVar]:
    """Return the loop variables that `e` depends on."""
    known = _free
    found = known.get(e)
    if found is None:
        for x in walk((e,)):
            if x in known:
                continue
            if x.op == "index":
                known[x] = frozenset((x.attr,))
            else:
                inner: frozenset[IndexVar] = frozenset().union(*(known[a] for a in x.args))
                if x.op == "reduce":
                    inner -= {loop.var for loop in x.attr[1]}
                known[x] = inner
        found = known[e]
        if len(known) > _MAX_FREE:
            _forget_free()
    return found


_free: dict[Expr, frozenset[IndexVar]] = {}
_MAX_FREE = 400_000


def _forget_free() -> None:
    """Start anew; who is reading goes on with what there was."""
    global _free
    _free = {}


def substitute(roots: Iterable[Expr], replace: Callable[[Expr], Expr | None]) -> list[Expr]:
    """Rebuild `roots` with `replace` asked first at every node; ``None`` keeps going down."""
    roots = list(roots)
    done: dict[Expr, Expr] = {}
    stack = list(roots)
    while stack:
        e = stack[-1]
        if e in done:
            stack.pop()
            continue
        swapped = replace(e)
        if swapped is not None:
            done[e] = swapped
            stack.pop()
            continue
        waiting = [a for a in e.args if a not in done]
        if waiting:
            stack.extend(waiting)
            continue
        stack.pop()
        done[e] = rebuild(e, tuple(done[a] for a in e.args))
    return [done[r] for r in roots]


def rebuild(e: Expr, args: tuple[Expr, ...]) -> Expr:
    """Return `e` over other operands, simplified anew."""
    if args == e.args:
        return e
    if e.op == "affine":
        constant, coefs = e.attr
        if isinstance(constant, int) and all(isinstance(c, int) for c in coefs):
            return affine(constant, zip(coefs, args, strict=True))
        return _make("affine", args, I64, e.attr)
    if e.op == "convert":
        return convert(args[0], e.dtype)
    if e.op in ("load", "bitcast", "reduce"):
        return _make(e.op, args, e.dtype, e.attr)
    return apply(e.op, *args)


def show(e: Expr) -> str:
    """Return the text of an expression, without abbreviating what is shared."""
    if e.op == "const":
        return str(e.attr.text)
    if e.op == "index":
        return str(e.attr.name)
    if e.op == "float":
        return f"f{e.attr}"
    if e.op == "ref":
        return str(e.attr)
    args = ", ".join(show(a) for a in e.args)
    if e.op == "affine":
        constant, coefs = e.attr
        parts = [
            show(t) if c == 1 else f"{c!r}*{show(t)}" for c, t in zip(coefs, e.args, strict=True)
        ]
        text = " + ".join([*parts, *([repr(constant)] if constant != 0 else [])])
        return text.replace("+ -", "- ")
    if e.op == "load":
        return f"b{e.attr}[{args}]"
    if e.op == "reduce":
        op, loops = e.attr
        over = ", ".join(f"{v.var} in {v.lo!r}:{v.hi!r}" for v in loops)
        return f"{op}({args} for {over})"
    if e.op == "convert":
        return f"{e.dtype}({args})"
    return f"{e.op}({args})"
