"""The CPU backend of tracejit: kernels as LLVM text, compiled by llvmlite.

Importing this package imports nothing heavy; :func:`make_backend` does.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["make_backend"]


def make_backend() -> Any:
    """Return the backend; llvmlite is imported now."""
    return importlib.import_module("tracejit_llvm.backend").LLVMBackend()
