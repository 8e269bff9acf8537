"""Arrays from files, texts and iterables, and into files: NumPy's formats, read by NumPy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tracejit.core.array import from_numpy
from tracejit.ir.dtypes import DTYPES, bfloat16
from tracejit.numpy.creation import committed
from tracejit.numpy.promotion import dtype_or, known, operand

__all__ = [
    "fromfile", "fromiter", "fromregex", "fromstring", "genfromtxt", "load", "loadtxt", "save",
    "savetxt", "savez", "savez_compressed",
]  # fmt: skip

_F64 = DTYPES["f64"]


def _made(x: np.ndarray[Any, Any]) -> Any:
    return committed(from_numpy(np.ascontiguousarray(x) if x.ndim else x))


def _value(name: str, x: Any) -> np.ndarray[Any, Any]:
    return np.asarray(known(operand(x), f"{name}()", "Return the array, and save it outside."))


def fromfile(
    file: Any, dtype: Any = float, count: int = -1, sep: str = "", offset: int = 0
) -> Any:
    """As :func:`numpy.fromfile`."""
    return _made(np.fromfile(file, dtype_or(dtype, _F64), count, sep, offset))


def fromiter(iter: Iterable[Any], dtype: Any, count: int = -1) -> Any:
    """As :func:`numpy.fromiter`."""
    return _made(np.fromiter(iter, dtype_or(dtype, _F64), count))


def fromstring(string: str, dtype: Any = float, count: int = -1, *, sep: str) -> Any:
    """As :func:`numpy.fromstring`, of text."""
    return _made(np.fromstring(string, dtype_or(dtype, _F64), count, sep=sep))


def fromregex(file: Any, regexp: Any, dtype: Any, encoding: str | None = None) -> Any:
    """As :func:`numpy.fromregex`, for one plain dtype: a field a match."""
    fields = np.dtype([("value", dtype_or(dtype, _F64))])
    return _made(np.fromregex(file, regexp, fields, encoding)["value"])


def loadtxt(fname: Any, dtype: Any = float, **options: Any) -> Any:
    """As :func:`numpy.loadtxt`, for plain dtypes."""
    found = np.loadtxt(fname, dtype_or(dtype, _F64), **options)
    return tuple(map(_made, found)) if isinstance(found, (list, tuple)) else _made(found)


def genfromtxt(fname: Any, dtype: Any = float, **options: Any) -> Any:
    """As :func:`numpy.genfromtxt`, for plain dtypes."""
    return _made(np.genfromtxt(fname, dtype_or(dtype, _F64), **options))


def load(file: Any, *args: Any, **options: Any) -> Any:
    """As :func:`numpy.load`: an array of a ``.npy`` file, the mapping of a ``.npz`` file.

    The mapping is NumPy's own, and holds NumPy arrays.
    """
    found = np.load(file, *args, **options)
    if not isinstance(found, np.ndarray):
        return found
    if found.dtype == np.dtype("V2"):  # the format has no name for it
        found = found.view(bfloat16)
    return _made(found)


def save(file: Any, arr: Any, *args: Any, **options: Any) -> None:
    """As :func:`numpy.save`; :func:`load` reads bfloat16 too."""
    np.save(file, _value("save", arr), *args, **options)


def savez(file: Any, *args: Any, **kwds: Any) -> None:
    """As :func:`numpy.savez`."""
    named: dict[str, Any] = {name: _value("savez", x) for name, x in kwds.items()}
    np.savez(file, *(_value("savez", x) for x in args), **named)


def savez_compressed(file: Any, *args: Any, **kwds: Any) -> None:
    """As :func:`numpy.savez_compressed`."""
    named: dict[str, Any] = {name: _value("savez_compressed", x) for name, x in kwds.items()}
    np.savez_compressed(file, *(_value("savez_compressed", x) for x in args), **named)


def savetxt(fname: Any, X: Any, *args: Any, **options: Any) -> None:
    """As :func:`numpy.savetxt`."""
    np.savetxt(fname, _value("savetxt", X), *args, **options)
