"""Random bits: the threefry2x32 block cipher, a counter-based generator.

References
----------
J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, Parallel random numbers: as easy as 1, 2, 3,
SC '11.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.primitive import Primitive, define
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES
from tracejit.ops._pointwise import batch_pointwise, pointwise_shape, same_dtype
from tracejit.ops.arithmetic import at

__all__ = ["threefry2x32"]

U32 = DTYPES["u32"]
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_BLOCK = 1 << 15
"""Elements computed at a time by NumPy, so that the 20 rounds stay in cache."""


def threefry2x32(k0: Any, k1: Any, x0: Any, x1: Any) -> list[Any]:
    """Encrypt pairs of words with Threefry-2x32, 20 rounds.

    Parameters
    ----------
    k0, k1 : Array, uint32
        The two words of the key.
    x0, x1 : Array, uint32
        The two words of the counter; the shapes of all four are one, or rank 0.

    Returns
    -------
    list of two Arrays, the shape of the operands, uint32
        The random words.
    """
    out: list[Any] = threefry2x32_p.bind(k0, k1, x0, x1)
    return out


_shape = pointwise_shape("threefry2x32", same_dtype("threefry2x32", lambda d: d == U32, "uint32"))


def _threefry_shape(*avals: ShapedArray) -> list[ShapedArray]:
    return [_shape(*avals)] * 2


def _rounds(
    words: Sequence[Any],
    add: Callable[[Any, Any], Any],
    xor: Callable[[Any, Any], Any],
    rotate: Callable[[Any, int], Any],
    word: Callable[[int], Any],
) -> tuple[Any, Any]:
    """Run the cipher on any kind of words."""
    k0, k1, x0, x1 = words
    keys = (k0, k1, xor(xor(k0, k1), word(_PARITY)))
    x0, x1 = add(x0, keys[0]), add(x1, keys[1])
    for step in range(1, 6):
        for bits in _ROTATIONS[(step - 1) % 2]:
            x0 = add(x0, x1)
            x1 = xor(rotate(x1, bits), x0)
        x0 = add(x0, keys[step % 3])
        x1 = add(x1, add(keys[(step + 1) % 3], word(step)))
    return x0, x1


def _on_arrays(xp: Any, *words: Any) -> tuple[Any, Any]:
    def rotate(x: Any, bits: int) -> Any:
        return (x << np.uint32(bits)) | (x >> np.uint32(32 - bits))

    return _rounds(words, xp.add, xp.bitwise_xor, rotate, np.uint32)


def _threefry_impl(xp: Any, *words: Any) -> list[Any]:
    shape = np.broadcast_shapes(*[w.shape for w in words])
    size = int(np.prod(shape))
    if xp is not np or size <= _BLOCK:
        return list(_on_arrays(xp, *words))
    flat = [w.reshape(-1) if w.shape else w for w in words]
    outs = [np.empty(size, U32), np.empty(size, U32)]
    for start in range(0, size, _BLOCK):
        part = slice(start, start + _BLOCK)
        outs[0][part], outs[1][part] = _on_arrays(xp, *[w[part] if w.shape else w for w in flat])
    return [out.reshape(shape) for out in outs]


def _threefry_lower(k: Any, *words: Any) -> list[Any]:
    def add(x: Any, y: Any) -> Any:
        return k.apply("add", x, y)

    def xor(x: Any, y: Any) -> Any:
        return k.apply("xor", x, y)

    def word(value: int) -> Any:
        return k.scalar(value, U32)

    def rotate(x: Any, bits: int) -> Any:
        left = k.apply("shl", x, word(bits))
        return k.apply("or", left, k.apply("shr_logical", x, word(32 - bits)))

    # Equal scalars are one object, so the two outputs share their rounds.
    def output(which: int) -> Callable[[Any], Any]:
        def load(index: Any) -> Any:
            return _rounds([at(w, index) for w in words], add, xor, rotate, word)[which]

        return load

    return [output(0), output(1)]


threefry2x32_p: Primitive = define(
    "threefry2x32",
    multiple=True,
    impl=_threefry_impl,
    shape=_threefry_shape,
    jvp="its operands are integers, which have no tangents",
    transpose="it is not linear, so it is never transposed",
    batch=batch_pointwise(lambda: threefry2x32_p),
    lower=_threefry_lower,
)
