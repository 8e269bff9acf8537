"""What can run the demonstration's functions: plain NumPy, tracejit, and JAX where installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tracejit as tj

__all__ = ["Engine", "jax_engine", "numpy_engine", "tracejit_engine"]

Function = Callable[..., Any]


@dataclass(frozen=True)
class Engine:
    """One way to run an array program.

    Attributes
    ----------
    name : str
        For tables.
    xp : module
        The array module.
    scan : callable
        ``scan(body, carry, length)`` with JAX's meaning: returns the last carry and the stacked
        outputs of ``body(carry, None)``.
    jit : callable
        Compile a function; the identity for NumPy.
    value_and_grad : callable or None
        Differentiate a function with respect to its first argument; None if it cannot.
    checkpoint : callable
        Recompute a function's intermediates in reverse mode instead of storing them.
    ready : callable
        Wait for a result to be there.
    """

    name: str
    xp: Any
    scan: Function
    jit: Function
    value_and_grad: Function | None
    checkpoint: Function
    ready: Function


def numpy_engine() -> Engine:
    """Return plain NumPy: the same functions, run one operation at a time."""
    return Engine("NumPy", np, _loop, _same, None, _same, _same)


def tracejit_engine(threads: int | None = None) -> Engine:
    """Return tracejit.

    Parameters
    ----------
    threads : int, optional
        Number of threads; tracejit's default if not given.
    """
    if threads is not None:
        tj.set_num_threads(threads)
    return _jax_like("tracejit", tj, tj.numpy, tj.lax)


def jax_engine() -> Engine | None:
    """Return JAX in double precision, or None if it is not installed."""
    if importlib.util.find_spec("jax") is None:
        return None
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    return _jax_like("JAX", jax, importlib.import_module("jax.numpy"), jax.lax)


def _jax_like(name: str, library: Any, xp: Any, lax: Any) -> Engine:
    def scan(body: Function, carry: Any, length: int) -> Any:
        return lax.scan(body, carry, None, length=length)

    return Engine(
        name,
        xp,
        scan,
        library.jit,
        library.value_and_grad,
        library.checkpoint,
        library.block_until_ready,
    )


def _same(value: Any) -> Any:
    return value


def _loop(body: Function, carry: Any, length: int) -> tuple[Any, Any]:
    outputs = []
    for _ in range(length):
        carry, output = body(carry, None)
        outputs.append(output)
    return carry, np.stack(outputs)
