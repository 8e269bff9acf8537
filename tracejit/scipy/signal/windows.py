"""``tracejit.scipy.signal.windows``: SciPy's windows, as constants.

Their parameters are known while tracing, so that SciPy computes them then.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import tracejit.numpy as tnp

__all__ = [
    "barthann", "bartlett", "blackman", "blackmanharris", "bohman", "boxcar", "chebwin", "cosine",
    "dpss", "exponential", "flattop", "gaussian", "general_cosine", "general_gaussian",
    "general_hamming", "get_window", "hamming", "hann", "kaiser", "kaiser_bessel_derived",
    "lanczos", "nuttall", "parzen", "taylor", "triang", "tukey",
]  # fmt: skip


def _window(name: str) -> Callable[..., Any]:
    def window(*args: Any, **kwargs: Any) -> Any:
        return tnp.asarray(getattr(_library(), name)(*args, **kwargs))

    window.__name__ = window.__qualname__ = name
    window.__doc__ = f"As :func:`scipy.signal.windows.{name}`, of known arguments; a constant."
    return window


def _library() -> Any:
    return importlib.import_module("scipy.signal.windows")


barthann = _window("barthann")
bartlett = _window("bartlett")
blackman = _window("blackman")
blackmanharris = _window("blackmanharris")
bohman = _window("bohman")
boxcar = _window("boxcar")
chebwin = _window("chebwin")
cosine = _window("cosine")
dpss = _window("dpss")
exponential = _window("exponential")
flattop = _window("flattop")
gaussian = _window("gaussian")
general_cosine = _window("general_cosine")
general_gaussian = _window("general_gaussian")
general_hamming = _window("general_hamming")
get_window = _window("get_window")
hamming = _window("hamming")
hann = _window("hann")
kaiser = _window("kaiser")
kaiser_bessel_derived = _window("kaiser_bessel_derived")
lanczos = _window("lanczos")
nuttall = _window("nuttall")
parzen = _window("parzen")
taylor = _window("taylor")
triang = _window("triang")
tukey = _window("tukey")
