"""Keys: unsigned integers in the order of the elements, alone or with where they came from.

A float becomes its bits, those of a negative number inverted; every NaN is the greatest key, and
-0.0 is 0.0.  A key of at most 32 bits and an index are one 64-bit word, longer ones are a pair; so
what is equal stays in order.  A complex number is sorted by its imaginary, then by its real part,
then by a class, that says which parts are NaN: NumPy puts numbers with a NaN last, those whose
real part is one behind the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.ir.dtypes import DTYPES, is_bool, is_float, is_unsigned, real_of
from tracejit_llvm.routines.writing import Function
from tracejit_llvm.text import Code, spread, vector

__all__ = ["CLASS", "Keys"]

CLASS = 2
"""Stands for the class of a complex number, where 0 and 1 are its parts."""

_EXPONENT = {
    DTYPES["f16"]: 0x7C00, DTYPES["bf16"]: 0x7F80, DTYPES["f32"]: 0x7F800000,
    DTYPES["f64"]: 0x7FF0000000000000,
}  # fmt: skip
"""The bits of infinity."""


class Keys:
    """The keys of one dtype.

    Parameters
    ----------
    dtype : dtype
        Of the array.
    part : int
        Of complex numbers, which part, or :data:`CLASS`.
    indexed : bool
        Whether an index goes with each key.

    Attributes
    ----------
    bits : int
        Of a key.
    word : str
        The type of a key and its index; for a pair, a vector.
    nbytes : int
        Of a word.
    """

    def __init__(self, dtype: np.dtype[Any], part: int, indexed: bool) -> None:
        self.parts = 2 if dtype.kind == "c" else 1
        self.real = DTYPES["u8"] if is_bool(dtype) else real_of(dtype)
        self.part, self.indexed = part, indexed
        self.memory = f"i{8 * self.real.itemsize}"
        self.bits = 8 if part == CLASS else 8 * self.real.itemsize
        self.pair = indexed and self.bits == 64
        self.word = "i64" if indexed or self.bits == 64 else "i32"
        self.shift = 32 if indexed and not self.pair else 0
        self.nbytes = 16 if self.pair else int(self.word[1:]) // 8
        self.special = is_float(self.real) and not indexed

    # ------------------------------------------------------------------ keys
    def _c(self, x: int, n: int, bits: int = 0) -> str:
        bits = bits or 8 * self.real.itemsize
        x &= (1 << bits) - 1
        return spread(str(x - (1 << bits) if x >> (bits - 1) else x), f"i{bits}", n)

    def nan(self, f: Code, x: str, n: int) -> str:
        """Append whether bits are those of a NaN."""
        kind = vector(self.memory, n)
        size = f.op(f"and {kind} {x}, {self._c(~self.sign, n)}")
        return f.op(f"icmp ugt {kind} {size}, {self._c(_EXPONENT[self.real], n)}")

    @property
    def sign(self) -> int:
        """The bit of the sign."""
        return 1 << (8 * self.real.itemsize - 1)

    def encode(self, f: Code, x: str, n: int) -> str:
        """Append the key of bits in memory."""
        kind, flags = vector(self.memory, n), vector("i1", n)
        if is_unsigned(self.real):
            return x
        sign = self._c(self.sign, n)
        if not is_float(self.real):
            return f.op(f"xor {kind} {x}, {sign}")
        zero = f.op(f"icmp eq {kind} {x}, {sign}")
        plus = f.op(f"select {flags} {zero}, {kind} {self._c(0, n)}, {kind} {x}")
        last = self._c(8 * self.real.itemsize - 1, n)
        all_bits = f.op(f"ashr {kind} {plus}, {last}")
        key = f.op(f"xor {kind} {plus}, {f.op(f'or {kind} {all_bits}, {sign}')}")
        return f.op(
            f"select {flags} {self.nan(f, x, n)}, {kind} {self._c(-1, n)}, {kind} {key}"
        )

    def decode(self, f: Code, key: str, n: int) -> str:
        """Append the bits of a key, a NaN and 0.0 for those that are not told apart."""
        kind = vector(self.memory, n)
        if is_unsigned(self.real):
            return key
        sign = self._c(self.sign, n)
        if not is_float(self.real):
            return f.op(f"xor {kind} {key}, {sign}")
        last = self._c(8 * self.real.itemsize - 1, n)
        all_bits = f.op(f"ashr {kind} {key}, {last}")
        positive = f.op(f"xor {kind} {all_bits}, {self._c(-1, n)}")
        return f.op(f"xor {kind} {key}, {f.op(f'or {kind} {positive}, {sign}')}")

    def unusual(self, f: Code, x: str, n: int) -> str:
        """Append whether bits are not those of their key: a NaN's or those of -0.0."""
        kind = vector(self.memory, n)
        zero = f.op(f"icmp eq {kind} {x}, {self._c(self.sign, n)}")
        return f.op(f"or {vector('i1', n)} {zero}, {self.nan(f, x, n)}")

    def classed(self, f: Code, real: str, imaginary: str, n: int) -> str:
        """Append the class of a complex number, as bits of a word."""
        flags, kind = vector("i1", n), vector(self.word, n)
        two = f.op(f"zext {flags} {self.nan(f, real, n)} to {kind}")
        one = f.op(f"zext {flags} {self.nan(f, imaginary, n)} to {kind}")
        twice = f.op(f"add {kind} {two}, {two}")
        return f.op(f"add {kind} {twice}, {one}")

    # ------------------------------------------------------------------ words
    def widened(self, f: Code, key: str, n: int) -> str:
        """Append a key as an integer of a word's length."""
        if self.memory == self.word or self.part == CLASS:
            return key
        return f.op(f"zext {vector(self.memory, n)} {key} to {vector(self.word, n)}")

    def shortened(self, f: Code, word: str, n: int) -> str:
        """Append what :meth:`widened` had."""
        if self.memory == self.word:
            return word
        return f.op(f"trunc {vector(self.word, n)} {word} to {vector(self.memory, n)}")

    def packed(self, f: Code, key: str, index: str, n: int) -> str:
        """Append a word of a widened key and an index; not for pairs."""
        if not self.indexed:
            return key
        kind = vector(self.word, n)
        high = f.op(f"shl {kind} {key}, {spread('32', 'i64', n)}")
        return f.op(f"or {kind} {high}, {index}")

    def index_of(self, f: Code, word: str, n: int) -> str:
        """Append the index in a packed word, as i64."""
        kind = vector(self.word, n)
        return f.op(f"and {kind} {word}, {spread('4294967295', 'i64', n)}")

    # ------------------------------------------------------------------ words in memory
    @property
    def stored(self) -> str:
        """The type of a word in memory."""
        return "<2 x i64>" if self.pair else self.word

    def joined(self, f: Function, key: str, index: str) -> str:
        """Append a word of a widened key and an index."""
        if not self.pair:
            return self.packed(f, key, index, 0)
        word = f.op(f"insertelement <2 x i64> poison, i64 {key}, i64 0")
        return f.op(f"insertelement <2 x i64> {word}, i64 {index}, i64 1")

    def high(self, f: Function, word: str) -> str:
        """Append the part of a word that holds the key; :attr:`shift` says where."""
        return f.op(f"extractelement <2 x i64> {word}, i64 0") if self.pair else word

    def index(self, f: Function, word: str) -> str:
        """Append the index of a word, as i64."""
        if self.pair:
            return f.op(f"extractelement <2 x i64> {word}, i64 1")
        return self.index_of(f, word, 0)
