"""Key paths: the way from the root of a pytree to a leaf, as errors and reports print it.

Imports nothing of tracejit.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "DictKey",
    "FlattenedIndexKey",
    "GetAttrKey",
    "KeyEntry",
    "KeyPath",
    "SequenceKey",
    "keystr",
]

KeyEntry = Any
"""One step of a path: one of the four classes here, or whatever a registered node gives."""
KeyPath = tuple[KeyEntry, ...]
"""The steps from the root."""


@dataclass(frozen=True, slots=True)
class DictKey:
    """The step into a mapping: ``['key']``."""

    key: Hashable

    def __str__(self) -> str:
        return f"[{self.key!r}]"


@dataclass(frozen=True, slots=True)
class SequenceKey:
    """The step into a tuple or list: ``[idx]``."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx}]"


@dataclass(frozen=True, slots=True)
class GetAttrKey:
    """The step to an attribute: ``.name``."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@dataclass(frozen=True, slots=True)
class FlattenedIndexKey:
    """The step to the `key`-th child of a node that was registered without keys."""

    key: int

    def __str__(self) -> str:
        return f"[<flat index {self.key}>]"


def _simple(entry: KeyEntry) -> str:
    match entry:
        case DictKey(key=step) | SequenceKey(idx=step) | GetAttrKey(name=step):
            return str(step)
        case FlattenedIndexKey(key=step):
            return str(step)
        case _:
            return str(entry)


def keystr(keys: KeyPath, *, simple: bool = False, separator: str = "") -> str:
    """Write a key path as text.

    Parameters
    ----------
    keys : tuple of key entries
        The path, as :func:`tree_flatten_with_path` gives it.
    simple : bool, default False
        Write the bare keys, without brackets, quotes and dots.
    separator : str, default ''
        What to put between the steps.

    Returns
    -------
    str
        The text.

    Examples
    --------
    >>> path = (DictKey("layers"), SequenceKey(2), GetAttrKey("weight"))
    >>> keystr(path)
    "['layers'][2].weight"
    >>> keystr(path, simple=True, separator="/")
    'layers/2/weight'
    """
    return separator.join(map(_simple if simple else str, keys))
