"""Arrays of keys of :mod:`tracejit.random`: what ``random.key`` returns.

A :class:`KeyArray` is a node of pytrees with one child, its *words*: an array of uint32 with one
axis more, of length 2.  So programs know arrays of numbers alone, and every transformation takes
keys.  Users see a key as a leaf (:func:`tracejit.core.treedef.is_whole`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from tracejit.core.errors import BoundsError, DTypeError, ShapeError
from tracejit.core.treedef import PyTreeDef, register
from tracejit.ir.dtypes import float0

__all__ = [
    "KEY_DTYPE",
    "WORDS",
    "KeyArray",
    "KeyDType",
    "KeyOperandError",
    "extended",
    "holds_keys",
    "key_leaves",
    "prng_key",
]  # fmt: skip

WORDS = 2
"""Of a key of threefry2x32."""


class extended(np.generic):
    """The abstract type of elements that are no numbers."""


class prng_key(extended):
    """The abstract type of keys: ``issubdtype(key.dtype, dtypes.prng_key)``."""


class KeyDType:
    """The dtype of keys, ``key<fry>``.  There is one object of it."""

    __slots__ = ()
    name = "key<fry>"
    kind = "K"
    itemsize = 4 * WORDS
    type = prng_key

    def __repr__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyDType)

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> str:
        return "KEY_DTYPE"


KEY_DTYPE = KeyDType()


class KeyOperandError(DTypeError):
    """A key where a number is wanted."""


class KeyArray:
    """An array of keys.

    Made by :func:`tracejit.random.key`, :func:`~tracejit.random.split` and
    :func:`~tracejit.random.wrap_key_data`.

    Attributes
    ----------
    words : Array, shape ``(*shape, 2)``, uint32
        What the keys are made of; :func:`tracejit.random.key_data` for users.
    shape : tuple of int
        The shape; ``()`` for one key.
    dtype : KeyDType
        ``key<fry>``.
    """

    __slots__ = ("words",)
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    words: Any

    def __init__(self, words: Any) -> None:
        _set_words(self, words)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise DTypeError(f"keys are immutable; cannot set {name!r}")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return KeyArray, (self.words,)

    # ------------------------------------------------------------------ what it is

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape; ``()`` for one key."""
        return tuple(self.words.shape[:-1])

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of keys."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def dtype(self) -> KeyDType:
        """The dtype, ``key<fry>``."""
        return KEY_DTYPE

    @property
    def itemsize(self) -> int:
        """The number of bytes of a key."""
        return KEY_DTYPE.itemsize

    @property
    def nbytes(self) -> int:
        """The number of bytes of all keys."""
        return self.size * self.itemsize

    @property
    def device(self) -> Any:
        """The device of the words."""
        return self.words.device

    def devices(self) -> Any:
        """Return the set of that device."""
        return self.words.devices()

    def block_until_ready(self) -> KeyArray:
        """Wait until the words are computed."""
        self.words.block_until_ready()
        return self

    def __repr__(self) -> str:
        words = self.words
        known = isinstance(words, np.ndarray) or hasattr(words, "buf")
        text = str(np.asarray(words)) if known else repr(words)
        return f"Array({self.shape}, dtype={self.dtype}) overlaying:\n{text}"

    # -------------------------------------------------------------- parts and shapes

    def __getitem__(self, index: Any) -> KeyArray:
        given = index if isinstance(index, tuple) else (index,)
        if type(index) is not int and not any(x is Ellipsis for x in given):
            given = (*given, Ellipsis)  # the words of a key stay together
        used = sum(1 for x in given if x is not None and x is not Ellipsis)
        if used > self.ndim:
            raise BoundsError(f"too many indices: keys have shape {self.shape}; got {index!r}")
        return KeyArray(self.words[index] if type(index) is int else self.words[(*given, _ALL)])

    def __len__(self) -> int:
        if not self.shape:
            raise DTypeError("len() of one key: it has no axis; split it for several")
        return self.shape[0]

    def __iter__(self) -> Iterator[KeyArray]:
        if not self.shape:
            raise DTypeError("iteration over one key: it has no axis; split it for several")
        return map(KeyArray, self.words)

    def reshape(self, *shape: Any) -> KeyArray:
        """Return the keys in another shape."""
        given = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return KeyArray(self.words.reshape(*_filled(self.size, tuple(given)), WORDS))

    def ravel(self) -> KeyArray:
        """Return the keys along one axis."""
        return self.reshape(-1)

    flatten = ravel

    def squeeze(self, axis: Any = None) -> KeyArray:
        """Return the keys without axes of length 1."""
        if axis is None:
            return self.reshape(tuple(n for n in self.shape if n != 1))
        return KeyArray(self.words.squeeze(self._axes(axis)))

    def transpose(self, *axes: Any) -> KeyArray:
        """Return the keys with their axes permuted, reversed by default."""
        given = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        order = self._axes(given) if given else tuple(reversed(range(self.ndim)))
        return KeyArray(self.words.transpose(*order, self.ndim))

    @property
    def T(self) -> KeyArray:
        """The keys with their axes reversed."""
        return self.transpose()

    def swapaxes(self, axis1: int, axis2: int) -> KeyArray:
        """Return the keys with two axes exchanged."""
        return KeyArray(self.words.swapaxes(*self._axes((axis1, axis2))))

    def take(self, indices: Any, axis: int | None = None, mode: Any = None) -> KeyArray:
        """Return the keys at indices along an axis, of all in a row by default."""
        if axis is None:
            return self.ravel().take(indices, 0, mode)
        return KeyArray(self.words.take(indices, self._axes(axis)[0], mode=mode))

    def copy(self) -> KeyArray:
        """Return keys equal to these."""
        return KeyArray(self.words.copy())

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> KeyArray:
        return self.copy()

    def _axes(self, axes: Any) -> tuple[int, ...]:
        """Return axes counted from 0: the last one of the words is none of them."""
        given = axes if isinstance(axes, (tuple, list)) else (axes,)
        for axis in given:
            if not -self.ndim <= axis < self.ndim:
                raise ShapeError(f"keys of shape {self.shape} have no axis {axis}")
        return tuple(axis % self.ndim for axis in given)

    # ------------------------------------------------------------- no numbers

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, KeyArray):
            return NotImplemented
        return (self.words == other.words).all(-1)

    def __ne__(self, other: object) -> Any:
        if not isinstance(other, KeyArray):
            return NotImplemented
        return (self.words != other.words).any(-1)

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        del args, kwargs
        raise KeyOperandError(
            f"a key is no number: an array or a scalar is needed; got keys of shape {self.shape} "
            f"and dtype {self.dtype}. Draw numbers with it, tracejit.random.normal(key, shape), "
            "or take its words, tracejit.random.key_data(key)"
        )

    __array__ = __tracejit_array__ = _refuse
    __bool__ = __int__ = __float__ = __complex__ = __index__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _refuse
    __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __divmod__ = __rdivmod__ = _refuse
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _refuse
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _refuse
    __neg__ = __pos__ = __abs__ = __invert__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse


_ALL = slice(None)
_set_words = KeyArray.__dict__["words"].__set__


def _filled(size: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape of so many keys, -1 in it replaced."""
    rest = int(np.prod([n for n in shape if n != -1], dtype=np.int64))
    found = tuple(size // max(rest, 1) if n == -1 else n for n in shape)
    if shape.count(-1) > 1 or int(np.prod(found, dtype=np.int64)) != size:
        raise ShapeError(f"reshape: {size} keys do not fit shape {shape}")
    return found


class _Words:
    """The step of a key path from a key to its words, which users do not see."""

    __slots__ = ()

    def __str__(self) -> str:
        return ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Words)

    def __hash__(self) -> int:
        return hash(_Words)


def _of_words(aux: None, children: Any) -> Any:
    (words,) = children
    if type(words) is np.ndarray and words.dtype == float0:
        return np.zeros(words.shape[:-1], float0)  # the derivative by keys
    # What a transformation says of a leaf, such as whether it is batched, it says of the key.
    return words if type(words) is bool else KeyArray(words)


register(
    KeyArray,
    lambda keys: ((keys.words,), None),
    _of_words,
    builtin=True,
    keys=lambda keys, count: [_Words()],
    whole=True,
)


def holds_keys(x: Any) -> bool:
    """Whether an object is keys, or a nested sequence of them."""
    while type(x) in (list, tuple) and x:
        x = x[0]
    return type(x) is KeyArray


def key_leaves(treedef: PyTreeDef) -> list[bool]:
    """Return for each leaf of a structure whether it is the words of keys."""
    if not treedef.has_whole:
        return [False] * treedef.num_leaves
    if treedef.node is not None and treedef.node.type is KeyArray:
        return [True]
    return [flag for child in treedef.defs for flag in key_leaves(child)]
