"""The meaning of library calls in NumPy: what a backend's routines must compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.primitive import PRIMITIVES, impl

__all__ = ["run_library"]

Array = np.ndarray[Any, Any]

ACCUMULATE = {
    "cumsum": np.add,
    "cumprod": np.multiply,
    "cummax": np.maximum,
    "cummin": np.minimum,
    "cumlogsumexp": np.logaddexp,
}
COMBINE = {
    "scatter": None,
    "scatter_add": np.add,
    "scatter_mul": np.multiply,
    "scatter_min": np.minimum,
    "scatter_max": np.maximum,
}
MATRICES: dict[str, tuple[int, tuple[str, ...]]] = {
    "cholesky": (1, ()),
    "eig": (1, ("left", "right")),
    "eigh": (1, ("vectors",)),
    "lu": (1, ()),
    "lu_solve": (4, ("trans",)),
    "qr": (1, ("full",)),
    "svd": (1, ("full", "vectors")),
    "triangular_solve": (2, ("left", "lower", "trans", "conjugate", "unit")),
}
"""Operands and flags of what is done to stacks of matrices."""


def run_library(name: str, params: Sequence[int], buffers: Sequence[Array]) -> None:
    """Do what a :class:`tracejit.ir.plan.LibraryCall` says.

    Parameters
    ----------
    name : str
        Of the call.
    params : sequence of int
        Its description of the arrays.
    buffers : sequence of array, each of one axis
        What its slots hold; the last is written, of a sort the second half, of linear algebra what
        follows the operands.
    """
    if name == "sort":
        _sort(params, *buffers)
        return
    if name == "fft":
        _fft(params, *buffers)
        return
    if name == "csr_matmul":
        _sparse(params, *buffers)
        return
    if name in MATRICES:
        _of_matrices(name, params, buffers)
        return
    buffers = [b.view(b.real.dtype) if b.dtype.kind == "c" else b for b in buffers]
    with np.errstate(all="ignore"):
        if name == "matmul":
            _matmul(params, *buffers)
        elif name in ACCUMULATE:
            _scan(ACCUMULATE[name], params, *buffers)
        else:
            _scatter(COMBINE[name], params, *buffers)


def _of_matrices(name: str, params: Sequence[int], buffers: Sequence[Array]) -> None:
    """Do what the primitive does; the sizes say how the operands are shaped."""
    count, flags = MATRICES[name]
    end = len(params) - len(flags)
    batch, *sizes = params[:end]
    how: dict[str, Any] = dict(zip(flags, map(bool, params[end:]), strict=True))
    if name == "lu":
        how["constant"] = True
    m, n = sizes[0], sizes[-1]
    square = (batch, m, m)
    shapes = {
        "lu_solve": (square, square, (batch, m), (batch, m, n)),
        "triangular_solve": (square, (batch, m, n) if how.get("left") else (batch, n, m)),
    }.get(name, ((batch, m, n),))
    operands = [b.reshape(shape) for b, shape in zip(buffers[:count], shapes, strict=True)]
    primitive = PRIMITIVES[name]
    with np.errstate(all="ignore"):
        found = impl[primitive](np, *operands, **how)
    results = found if primitive.multiple else [found]
    for out, result in zip(buffers[count:], results, strict=True):
        out[:] = result.reshape(-1)


def _sparse(
    params: Sequence[int], data: Array, indices: Array, indptr: Array, x: Array, out: Array
) -> None:
    _, columns, k, _ = params
    with np.errstate(all="ignore"):
        primitive = impl[PRIMITIVES["csr_matmul"]]
        out[:] = primitive(np, data, indices, indptr, x.reshape(columns, k)).reshape(-1)


def _wide(x: Array) -> Array:
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind in "fV" else x


def _matmul(params: Sequence[int], a: Array, b: Array, out: Array) -> None:
    batch, m, n, k, transpose_a, transpose_b = params
    a = a.reshape(batch, k, m).swapaxes(1, 2) if transpose_a else a.reshape(batch, m, k)
    b = b.reshape(batch, n, k).swapaxes(1, 2) if transpose_b else b.reshape(batch, k, n)
    out[:] = (a @ b).reshape(-1)


def _scan(ufunc: np.ufunc, params: Sequence[int], x: Array, out: Array) -> None:
    outer, length, inner, reverse = params
    step = slice(None, None, -1 if reverse else 1)
    wide = _wide(x).reshape(outer, length, inner)[:, step]
    result = ufunc.accumulate(wide, axis=1, dtype=wide.dtype)[:, step]
    out[:] = result.astype(x.dtype).reshape(-1)


def _scatter(
    ufunc: np.ufunc | None,
    params: Sequence[int],
    x: Array,
    indices: Array,
    updates: Array,
    out: Array,
) -> None:
    lanes, batch, size, drop, _unique, n, *rest = params
    table = np.array(rest, np.int64)
    starts, window = table[: 2 * n].reshape(n, 2), table[2 * n + 1 :].reshape(-1, 2)
    width = int(window[:, 0].prod())
    out[:] = x
    if not updates.size:
        return
    at = indices.reshape(lanes, batch, n)
    if at.dtype == np.uint64:  # what int64 does not hold is beyond every array
        at = np.minimum(at, np.uint64(2**63 - 1))
    at = at.astype(np.int64)
    inside = ((at >= 0) & (at <= starts[:, 1])).all(-1)
    base = (np.clip(at, 0, starts[:, 1]) * starts[:, 0]).sum(-1) + np.arange(lanes)[:, None] * size
    places = base[..., None]
    for length, stride in window:
        places = (places[..., None] + np.arange(length) * stride).reshape(lanes, batch, -1)
    kept = np.repeat(np.logical_or(inside, not drop).reshape(-1), width)
    where, values = places.reshape(-1)[kept], updates[kept]
    if ufunc is None:
        for place, value in zip(where.tolist(), values, strict=True):
            out[place] = value
        return
    total = _wide(out).copy()
    ufunc.at(total, where, values.astype(total.dtype))
    out[:] = total.astype(out.dtype)


def _sort(params: Sequence[int], *buffers: Array) -> None:
    outer, length, inner, num_keys, wanted, _counted = params
    half = len(buffers) // 2
    arrays = [b.reshape(outer, length, inner) for b in buffers[:half]]
    order = np.lexsort([_wide(a) for a in reversed(arrays[:num_keys])], axis=1)
    for n, (x, out) in enumerate(zip(arrays, buffers[half:], strict=True)):
        if wanted >> n & 1:
            out[:] = np.take_along_axis(x, order, axis=1).reshape(-1)


def _fft(params: Sequence[int], x: Array, out: Array) -> None:
    kind, norm, length, rank, *rest = params
    shape, axes = tuple(rest[:rank]), tuple(rest[rank:])
    transform = getattr(np.fft, ("fftn", "ifftn", "rfftn", "irfftn")[kind])
    lengths = [*(shape[a] for a in axes[:-1]), length]
    named = ("backward", "ortho", "forward")[norm]
    out[:] = transform(x.reshape(shape), lengths, axes, named).reshape(-1).astype(out.dtype)
