"""What moves memory: elementwise functions of large arrays, transposition, random bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.cuda import libraries
from bench.cuda.rows import Aim, DeviceCase, Ways, Work, filled, shown, written

__all__ = ["cases"]

Function = Callable[..., Any]
ITEM = {"float32": 4, "float64": 8}
TOLERANCE = {"float32": 1e-6, "float64": 1e-14}


def _kernel_copy(xp: Any) -> Function:
    del xp
    return lambda x: x + 1.0


def _axpy(xp: Any) -> Function:
    del xp
    return lambda x, y: 2.5 * x + y


def _fused(xp: Any) -> Function:
    return lambda x, y, z: xp.sqrt(x * x + y * y) * 0.5 + xp.maximum(x, z) - xp.abs(y * z)


def _transpose(xp: Any) -> Function:
    return lambda x: xp.transpose(x)


def _transposed_copy(xp: Any) -> Function:
    return lambda x: xp.ascontiguousarray(x.T)  # in NumPy and CuPy a transpose is a view


def _bits(size: int) -> Ways:
    def same_bits() -> Function:
        import tracejit

        with tracejit.device("cpu"):
            key = tracejit.random.key(7)
            bits = np.asarray(tracejit.random.bits(key, (size,)))
        xp = libraries.array_library()
        return lambda: xp.asarray(bits)

    def own() -> Function:
        import tracejit

        key = tracejit.device_put(tracejit.random.key(7), "cuda")
        compiled = libraries.tracejit_jit(lambda key: tracejit.random.bits(key, (size,)))
        return lambda: compiled(key)

    def jax() -> Function:
        import jax

        key = jax.random.PRNGKey(7)
        compiled = jax.jit(lambda key: jax.random.bits(key, (size,), "uint32"))
        return lambda: compiled(key)

    return {"reference": same_bits, "tracejit": own, "jax": jax}


def cases(quick: bool) -> list[DeviceCase]:
    """Return the rows."""
    n = 1_000 if quick else 100_000_000
    square = (37, 50) if quick else (8192, 8192)
    copy = (1_024,) if quick else (1 << 28,)
    rows = [
        DeviceCase(
            "x + 1", shown(copy), "float32", lambda: (filled(copy, "float32"),),
            written(_kernel_copy), 1e-6, work=Work(bytes=2 * 4 * copy[0]),
            aims=(Aim("copy", 0.9),),
        )
    ]  # fmt: skip
    elementwise = (("axpy", _axpy, 2), ("fused elementwise", _fused, 3))
    for dtype in ("float32", "float64"):
        for name, make, operands in elementwise:
            work = Work(bytes=(operands + 1) * ITEM[dtype] * n)
            rows.append(
                DeviceCase(
                    name, shown((n,)), dtype, _vectors(n, dtype, operands), written(make),
                    TOLERANCE[dtype], work=work, aims=(Aim("copy", 0.9),),
                )
            )  # fmt: skip
    for dtype in ("float32", "float64"):
        ways = written(_transpose)
        ways |= {name: written(_transposed_copy)[name] for name in ("reference", "cupy")}
        rows.append(
            DeviceCase(
                "transpose", shown(square), dtype, _matrix(square, dtype), ways, 0.0,
                work=Work(bytes=2 * ITEM[dtype] * math.prod(square)), aims=(Aim("copy", 0.8),),
            )
        )  # fmt: skip
    rows.append(
        DeviceCase(
            "random bits", shown((n,)), "uint32", tuple, _bits(n), 0.0, work=Work(bytes=4 * n)
        )
    )
    return rows


def _vectors(n: int, dtype: str, operands: int) -> Callable[[], tuple[Any, ...]]:
    return lambda: tuple(filled((n,), dtype, seed) for seed in range(operands))


def _matrix(shape: tuple[int, int], dtype: str) -> Callable[[], tuple[Any, ...]]:
    return lambda: (filled(shape, dtype),)
