"""Sums of rows, columns and all, the place of the largest, softmax, layer norm, running sums."""

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


def _sum(axis: int | None) -> Callable[[Any], Function]:
    return lambda xp: lambda x: xp.sum(x, axis=axis)


def _argmax(xp: Any) -> Function:
    return lambda x: xp.argmax(x)


def _softmax(xp: Any) -> Function:
    def softmax(x: Any) -> Any:
        e = xp.exp(x - xp.max(x, axis=1, keepdims=True))
        return e / xp.sum(e, axis=1, keepdims=True)

    return softmax


def _layer_norm(xp: Any) -> Function:
    def layer_norm(x: Any, scale: Any, shift: Any) -> Any:
        centred = x - xp.mean(x, axis=1, keepdims=True)
        variance = xp.mean(centred * centred, axis=1, keepdims=True)
        return centred / xp.sqrt(variance + 1e-5) * scale + shift

    return layer_norm


def _cumsum(xp: Any) -> Function:
    return lambda x: xp.cumsum(x, axis=0)


def _in_double(make: Callable[[Any], Function]) -> Ways:
    """Return ways whose reference computes in double precision: sums are long."""

    def reference() -> Function:
        function = make(libraries.array_library())
        return lambda x: function(x.astype(np.float64))

    return written(make) | {"reference": reference}


def cases(quick: bool) -> list[DeviceCase]:
    """Return the rows."""
    wide = (24, 136) if quick else (8192, 16384)
    rows_of = (16, 96) if quick else (32768, 4096)
    vector = (3_000,) if quick else (100_000_000,)
    items, both = math.prod(wide), math.prod(rows_of)
    aim = (Aim("copy", 0.85),)
    rows = []
    for name, axis, results in (("row sum", 1, wide[0]), ("column sum", 0, wide[1])):
        work = Work(bytes=4 * (items + results))
        rows.append(
            DeviceCase(
                name, shown(wide), "float32", _arguments(wide, "float32"), _in_double(_sum(axis)),
                1e-5, work=work, aims=aim,
            )
        )  # fmt: skip
    rows += [
        DeviceCase(
            "sum", shown(wide), dtype, _arguments(wide, dtype, 1.0), _in_double(_sum(None)),
            tolerance, work=Work(bytes=ITEM[dtype] * items), aims=aim,
        )
        for dtype, tolerance in (("float32", 1e-5), ("float64", 1e-12))
    ]  # fmt: skip
    rows.append(
        DeviceCase(
            "argmax", shown(wide), "float32", _arguments(wide, "float32"), written(_argmax), 0.0,
            work=Work(bytes=4 * items), aims=aim,
        )
    )  # fmt: skip
    rows.append(
        DeviceCase(
            "softmax", shown(rows_of), "float32", _arguments(rows_of, "float32"),
            written(_softmax), 1e-5, work=Work(bytes=8 * both), aims=aim,
        )
    )  # fmt: skip
    rows.append(
        DeviceCase(
            "layer norm", shown(rows_of), "float32",
            lambda: (
                filled(rows_of, "float32"),
                filled(rows_of[1:], "float32", 1),
                filled(rows_of[1:], "float32", 2),
            ),
            written(_layer_norm), 1e-5, work=Work(bytes=8 * both), aims=aim,
        )
    )  # fmt: skip
    rows += [
        DeviceCase(
            "cumsum", shown(vector), dtype, _arguments(vector, dtype, 1.0), _in_double(_cumsum),
            tolerance, work=Work(bytes=2 * ITEM[dtype] * vector[0]),
        )
        for dtype, tolerance in (("float32", 1e-4), ("float64", 1e-12))
    ]  # fmt: skip
    return rows


def _arguments(
    shape: tuple[int, ...], dtype: str, shift: float = 0.0
) -> Callable[[], tuple[Any, ...]]:
    """Return what makes an array; with a shift of 1 its sum does not cancel."""
    kind = np.dtype(dtype).type
    return lambda: (filled(shape, dtype) + kind(shift),)
