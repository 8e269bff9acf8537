"""What the namespace offers, as the Array API standard asks: devices, dtypes, capabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.core.devices import Device, device_at, find_device
from tracejit.core.devices import default_place as default
from tracejit.core.interpreter import bottom
from tracejit.ir.dtypes import DTYPES

__all__ = ["API_VERSION", "NamespaceInfo", "namespace_info"]

API_VERSION = "2025.12"
"""The version of the Array API standard that the namespace follows."""

_MOST_AXES = 64  # of NumPy's arrays, which hold the elements

_KINDS: dict[str, tuple[str, ...]] = {
    "bool": ("bool",),
    "signed integer": ("i8", "i16", "i32", "i64"),
    "unsigned integer": ("u8", "u16", "u32", "u64"),
    "real floating": ("f32", "f64"),
    "complex floating": ("c64", "c128"),
}
_KINDS["integral"] = _KINDS["signed integer"] + _KINDS["unsigned integer"]
_KINDS["numeric"] = _KINDS["integral"] + _KINDS["real floating"] + _KINDS["complex floating"]


class NamespaceInfo:
    """What ``__array_namespace_info__()`` returns."""

    __module__ = "tracejit.numpy"

    def capabilities(self) -> dict[str, Any]:
        """Return what holds of arrays whose values are known.

        While tracing, a boolean mask must be one that ``where`` or ``.at`` can take, or known,
        and sizes that depend on values must be given as ``size=``.
        """
        return {
            "boolean indexing": True,
            "data-dependent shapes": True,
            "max dimensions": _MOST_AXES,
        }

    def default_device(self) -> Device:
        """Return the device where arrays are made unless another is asked for."""
        return device_at(default.get())

    def default_dtypes(self, *, device: Any = None) -> dict[str, np.dtype[Any]]:
        """Return the dtypes that arrays have unless others are asked for, the same everywhere."""
        find_device(device)
        return {
            "real floating": DTYPES["f64"],
            "complex floating": DTYPES["c128"],
            "integral": DTYPES["i64"],
            "indexing": DTYPES["i64"],
        }

    def devices(self) -> tuple[Device, ...]:
        """Return the devices that can be used, the host first."""
        return tuple(bottom().devices())

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, np.dtype[Any]]:
        """Return the standard's dtypes by name, the same on every device.

        Parameters
        ----------
        device : Device or str, optional
            Where.
        kind : str or tuple of str, optional
            Only these kinds, in the words of :func:`tracejit.numpy.isdtype`.

        Raises
        ------
        ValueError
            If `kind` is no kind.
        """
        find_device(device)
        kinds = ("bool", "numeric") if kind is None else kind
        found: dict[str, np.dtype[Any]] = {}
        for one in kinds if isinstance(kinds, tuple) else (kinds,):
            if one not in _KINDS:
                raise ValueError(
                    f"dtypes: kind must be one of {', '.join(map(repr, _KINDS))}, or a tuple of "
                    f"them; got {one!r}"
                )
            found |= {DTYPES[short].name: DTYPES[short] for short in _KINDS[one]}
        return found


def namespace_info() -> NamespaceInfo:
    """Return what the namespace offers: ``__array_namespace_info__`` of the Array API standard."""
    return NamespaceInfo()
