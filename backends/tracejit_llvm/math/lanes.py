"""Lanes: float arithmetic on vectors, in which the mathematical functions are written.

Operations are IEEE operations, one each; only :meth:`Lanes.fma` fuses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache

import llvmlite.binding as llvm

from tracejit_llvm.text import Code, float_text, integers, spread, suffix, vector

__all__ = ["Lanes", "is_wide"]


LONG = 6
"""Coefficients from which a polynomial is evaluated by pairs."""


@lru_cache(maxsize=1)
def is_wide() -> bool:
    """Whether the machine has 32 registers of 64 bytes."""
    return bool(llvm.get_host_cpu_features().get("avx512f", False))


class Lanes:
    """Writes instructions on float32 or float64 lanes at the end of a :class:`Code`.

    Attributes
    ----------
    single : bool
        Whether the lanes are float32.
    n : int
        The number of lanes; 0 for a scalar.
    """

    __slots__ = ("code", "mantissa", "n", "scalar", "single", "type", "word", "words")

    def __init__(self, code: Code, scalar: str, n: int) -> None:
        self.code = code
        self.scalar = scalar
        self.single = scalar == "float"
        self.n = n
        self.type = vector(scalar, n)
        self.word = "i32" if self.single else "i64"
        self.words = vector(self.word, n)
        self.mantissa = 23 if self.single else 52

    # ------------------------------------------------------------------ constants
    def c(self, x: float) -> str:
        """Return a constant."""
        return spread(float_text(x, self.scalar), self.scalar, self.n)

    def i(self, x: int) -> str:
        """Return an integer constant as wide as the floats."""
        return spread(str(x), self.word, self.n)

    def either(self, single: float, double: float) -> str:
        """Return one constant for float32 or another for float64."""
        return self.c(single if self.single else double)

    # ------------------------------------------------------------------ arithmetic
    def add(self, a: str, b: str) -> str:
        """Return ``a + b``."""
        return self.code.op(f"fadd {self.type} {a}, {b}")

    def sub(self, a: str, b: str) -> str:
        """Return ``a - b``."""
        return self.code.op(f"fsub {self.type} {a}, {b}")

    def mul(self, a: str, b: str) -> str:
        """Return ``a * b``."""
        return self.code.op(f"fmul {self.type} {a}, {b}")

    def div(self, a: str, b: str) -> str:
        """Return ``a / b``."""
        return self.code.op(f"fdiv {self.type} {a}, {b}")

    def neg(self, a: str) -> str:
        """Return ``-a``."""
        return self.code.op(f"fneg {self.type} {a}")

    def intrinsic(self, name: str, *arguments: str, flags: str = "") -> str:
        """Call an intrinsic whose operands and result are these lanes."""
        full = f"llvm.{name}.{suffix(self.scalar, self.n)}"
        return self.code.call(self.type, full, *((self.type, a) for a in arguments), flags=flags)

    def fma(self, a: str, b: str, c: str) -> str:
        """Return ``a * b + c`` rounded once."""
        return self.intrinsic("fma", a, b, c)

    def abs(self, a: str) -> str:
        """Return the absolute value."""
        return self.intrinsic("fabs", a)

    def copysign(self, a: str, b: str) -> str:
        """Return `a` with the sign of `b`."""
        return self.intrinsic("copysign", a, b)

    def sqrt(self, a: str) -> str:
        """Return the square root."""
        return self.intrinsic("sqrt", a)

    def trunc(self, a: str) -> str:
        """Return the integer part."""
        return self.intrinsic("trunc", a)

    def horner(self, x: str, coefficients: Sequence[float], chain: bool = False) -> str:
        """Return a polynomial, low powers first; if it is long, of its pairs or fours of terms.

        A long chain of operations that wait for each other fills the processor's queues; it is more
        accurate (`chain`) where neighbours nearly cancel.
        """
        terms = [self.c(c) for c in coefficients]
        if len(terms) >= LONG and not chain:
            terms = self._paired(x, terms)
            x = self.mul(x, x)
            if len(terms) >= LONG - 1:
                terms = self._paired(x, terms)
                x = self.mul(x, x)
        result = terms[-1]
        for term in terms[-2::-1]:
            result = self.fma(result, x, term)
        return result

    def _paired(self, x: str, terms: Sequence[str]) -> list[str]:
        """Return ``a + b x`` for each two terms."""
        last = [] if len(terms) % 2 == 0 else [terms[-1]]
        return [self.fma(b, x, a) for a, b in zip(terms[::2], terms[1::2], strict=False)] + last

    @property
    def scales(self) -> bool:
        """Whether these lanes can be scaled by powers of two in one instruction."""
        return self.n * (4 if self.single else 8) == 64 and is_wide()

    def scaled(self, x: str, k: str) -> str:
        """Return ``x * 2**k`` for a whole float k, rounded once."""
        kind, mask = ("ps", "i16") if self.single else ("pd", "i8")
        return self.code.call(
            self.type, f"llvm.x86.avx512.mask.scalef.{kind}.512", (self.type, x), (self.type, k),
            (self.type, x), (mask, "-1"), ("i32", "4"),
        )  # fmt: skip

    def lookup(self, table: Sequence[float], index: str) -> str:
        """Return the entries of a `table` of 16 that the low 4 bits of integers name.

        It is in registers where these hold 16 float32, or 8 float64 in each of two; else in memory.
        """
        if not self.n or not is_wide():
            return self._loaded(table, index)
        code, wide = self.code, 16 if self.single else 8
        full, words = vector(self.scalar, wide), vector(self.word, wide)
        entries = [f"{self.scalar} {float_text(x, self.scalar)}" for x in table]
        parts = [f"<{', '.join(entries[k:k + wide])}>" for k in range(0, 16, wide)]
        found = []
        for start in range(0, self.n, wide):
            names = index
            if self.n != wide:
                lanes = [min(start + k, self.n - 1) for k in range(wide)]
                names = code.op(
                    f"shufflevector {self.words} {index}, {self.words} poison, "
                    f"<{wide} x i32> {integers(lanes, 'i32')}"
                )
            if self.single:
                name = "llvm.x86.avx512.permvar.sf.512"
                found.append(code.call(full, name, (full, parts[0]), (words, names)))
            else:
                name = "llvm.x86.avx512.vpermi2var.pd.512"
                operands = (full, parts[0]), (words, names), (full, parts[1])
                found.append(code.call(full, name, *operands))
        n = wide
        while len(found) > 1:
            half, n = vector(self.scalar, n), 2 * n
            order = integers(range(n), "i32")
            found = [
                code.op(f"shufflevector {half} {a}, {half} {b}, <{n} x i32> {order}")
                for a, b in zip(found[::2], found[1::2], strict=True)
            ]
        if n == self.n:
            return found[0]
        order = integers(range(self.n), "i32")
        return code.op(
            f"shufflevector {full} {found[0]}, {full} poison, <{self.n} x i32> {order}"
        )

    def _loaded(self, table: Sequence[float], index: str) -> str:
        code, scalar = self.code, self.scalar
        entries = ", ".join(f"{scalar} {float_text(x, scalar)}" for x in table)
        name = f"@table_{hashlib.sha256(entries.encode()).hexdigest()[:16]}"
        kind = f"[{len(table)} x {scalar}]"
        code.module.definitions[name] = f"{name} = private constant {kind} [{entries}]"
        index = self.word_op("and", index, self.i(len(table) - 1))
        result = "poison"
        for lane in range(max(self.n, 1)):
            at = code.op(f"extractelement {self.words} {index}, i64 {lane}") if self.n else index
            place = code.op(f"getelementptr {kind}, ptr {name}, i64 0, {self.word} {at}")
            x = code.op(f"load {scalar}, ptr {place}, align {4 if self.single else 8}")
            if not self.n:
                return x
            result = code.op(f"insertelement {self.type} {result}, {scalar} {x}, i64 {lane}")
        return result

    # ------------------------------------------------------------------ bits
    def bits(self, a: str) -> str:
        """Return the bits as integers."""
        return self.code.op(f"bitcast {self.type} {a} to {self.words}")

    def unbits(self, a: str) -> str:
        """Return the floats that have these bits."""
        return self.code.op(f"bitcast {self.words} {a} to {self.type}")

    def word_op(self, op: str, a: str, b: str) -> str:
        """Return an integer operation."""
        return self.code.op(f"{op} {self.words} {a}, {b}")

    # ------------------------------------------------------------------ choices
    def compare(self, how: str, a: str, b: str) -> str:
        """Return a comparison (``olt``, ``une``, ...)."""
        return self.code.op(f"fcmp {how} {self.type} {a}, {b}")

    def select(self, condition: str, a: str, b: str) -> str:
        """Return `a` where the condition holds, else `b`."""
        c = vector("i1", self.n)
        return self.code.op(f"select {c} {condition}, {self.type} {a}, {self.type} {b}")

    def logic(self, op: str, a: str, b: str) -> str:
        """Return ``and``, ``or`` or ``xor`` of conditions."""
        return self.code.op(f"{op} {vector('i1', self.n)} {a}, {b}")

    def clamp(self, x: str, lo: float, hi: float) -> str:
        """Return `x` within bounds; nan stays."""
        x = self.select(self.compare("olt", x, self.c(lo)), self.c(lo), x)
        return self.select(self.compare("ogt", x, self.c(hi)), self.c(hi), x)

    def rare(
        self, condition: str, usual: Sequence[str], other: Callable[[], Sequence[str]]
    ) -> list[str]:
        """Return `usual`, or what `other` writes and returns where any lane meets a condition.

        It is a branch that is not expected to be taken; the values are of these lanes' type and
        are replaced in all lanes.
        """
        code = self.code
        flag = condition
        if self.n:
            name = f"llvm.vector.reduce.or.{suffix('i1', self.n)}"
            flag = code.call("i1", name, (vector("i1", self.n), condition))
        number, before = code.module.fresh(), code.label
        code.line(f"br i1 {flag}, label %rare{number}, label %usual{number}, !prof !0")
        code.start(f"rare{number}")
        values = other()
        after = code.label
        code.line(f"br label %usual{number}")
        code.start(f"usual{number}")
        return [
            code.op(f"phi {self.type} [ {a}, %{before} ], [ {b}, %{after} ]")
            for a, b in zip(usual, values, strict=True)
        ]

    # ------------------------------------------------------------------ conversions
    def doubled(self, *values: str) -> tuple[Lanes, list[str]]:
        """Return float64 lanes, and `values` widened to them."""
        wide = Lanes(self.code, "double", self.n)
        if not self.single:
            return wide, list(values)
        return wide, [self.code.op(f"fpext {self.type} {v} to {wide.type}") for v in values]

    def narrowed(self, wide: Lanes, value: str) -> str:
        """Return a value of `wide` rounded to these lanes."""
        if wide.type == self.type:
            return value
        return self.code.op(f"fptrunc {wide.type} {value} to {self.type}")
