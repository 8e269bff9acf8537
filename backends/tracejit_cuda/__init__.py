"""The CUDA backend of tracejit: the loop IR printed as CUDA C++, compiled by NVRTC, run by CuPy.

Importing this package imports nothing heavy; :func:`make_backend` does.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["make_backend"]


def make_backend() -> Any:
    """Return the backend; CuPy is imported when a device is asked for."""
    return importlib.import_module("tracejit_cuda.backend").CudaBackend()
