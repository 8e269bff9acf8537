"""Sorts, cumulative operations, and reading and adding at places that are data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bench.harness import Case
from bench.ways import Library, compiled

__all__ = ["cases"]

Function = Callable[..., Any]
Shape = tuple[int, ...]


def _along(name: str, axis: int) -> Callable[[Library], Function]:
    return lambda lib: lambda x: getattr(lib.xp, name)(x, axis=axis)


def _numbers(shape: Shape, dtype: str) -> Callable[[], tuple[Any, ...]]:
    return lambda: (np.random.default_rng(0).standard_normal(shape).astype(dtype),)


def _labels(shape: Shape, dtype: str) -> Callable[[], tuple[Any, ...]]:
    return lambda: (np.random.default_rng(0).integers(0, 1000, shape).astype(dtype),)


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _one(
    name: str, shape: Shape, axis: int, dtype: str, arguments: Any = _numbers, tolerance: float = 0
) -> Case:
    label = f"{name}, axis {axis}" if len(shape) > 1 else name
    if arguments is _labels:
        label += " of labels"
    functions = compiled(_along(name, axis), "numpy")
    if name == "argsort":  # of equal elements the first comes first, as it does for the others
        stable = partial(np.argsort, axis=axis, kind="stable")
        functions = compiled(_along(name, axis), numpy=lambda: stable)
    return Case(label, _text(shape), dtype, arguments(shape, dtype), functions, tolerance)


def _unique(n: int, dtype: str, arguments: Any) -> Case:
    """Its result has a length that depends on the data, so it is not jitted."""

    def builder(name: str) -> Callable[[], Function]:
        def build() -> Function:
            if name == "numpy":
                return np.unique
            if name == "jax":
                import jax

                return jax.numpy.unique
            import tracejit.numpy as tnp

            return tnp.unique

        return build

    functions = {name: builder(name) for name in ("tracejit", "jax", "numpy")}
    label = "unique of labels" if arguments is _labels else "unique"
    return Case(label, str(n), dtype, arguments((n,), dtype), functions, 0)


def _segment_sum(n: int, places: int, width: int, index: str) -> Case:
    """Rows of numbers added up by a label, as ``segment_sum`` does it."""
    shape: Shape = (width,) if width > 1 else ()

    def make(lib: Library) -> Function:
        xp = lib.xp
        return lambda i, u: xp.zeros((places, *shape), u.dtype).at[i].add(u)

    def by_numpy() -> Function:
        def total(i: Any, u: Any) -> Any:
            out = np.zeros((places, *shape), u.dtype)
            np.add.at(out, i, u)
            return out

        return total

    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        return random.integers(0, places, n).astype(index), random.random((n, *shape))

    size = f"{n}x{width} to {places}" if width > 1 else f"{n} to {places}"
    functions = compiled(make, numpy=by_numpy)
    return Case(f"segment_sum by {index}", size, "float64", arguments, functions, 1e-11)


def _gather(n: int, width: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        shape = (n, width) if width > 1 else (n,)
        return random.random(shape), random.integers(0, n, n)

    functions = compiled(lambda lib: lambda x, i: x[i], "numpy")
    size = f"{n}x{width}" if width > 1 else str(n)
    return Case("gather", size, "float64", arguments, functions, 0)


def cases(quick: bool) -> list[Case]:
    """Return the rows."""
    many = 100_000 if quick else 1_000_000
    shapes: list[tuple[Shape, int]] = [((many,), 0), ((1000,), 0)]
    if not quick:
        shapes += [((1000, 1000), 1), ((1000, 1000), 0), ((10_000, 100), 1)]
    rows = []
    for name in ("sort", "argsort"):
        rows += [_one(name, shape, axis, "float64") for shape, axis in shapes]
        rows += [_one(name, shape, axis, "float32") for shape, axis in shapes[:3]]
        rows.append(_one(name, (many,), 0, "int64", _labels))
    rows += [_unique(many, "float64", _numbers), _unique(many, "int64", _labels)]
    for shape, axis in shapes[:4]:
        rows.append(_one("cumsum", shape, axis, "float64", tolerance=1e-10))
    rows.append(_one("cumsum", (many,), 0, "float32", tolerance=1e-4))
    rows += [_segment_sum(many, p, 1, "int64") for p in (100, 10_000)]
    for width, places in ((8, 10_000), (64, 1000)):
        rows.append(_segment_sum(many // width, places, width, "int32"))
    rows += [_gather(many, 1), _gather(many // 16, 16)]
    return rows
