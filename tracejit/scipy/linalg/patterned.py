"""Matrices with a pattern: of few numbers, or of none but their size."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError

__all__ = [
    "block_diag", "circulant", "companion", "convolution_matrix", "dft", "fiedler", "hadamard",
    "hankel", "helmert", "hilbert", "invhilbert", "invpascal", "khatri_rao", "leslie", "pascal",
    "toeplitz",
]  # fmt: skip


def block_diag(*arrs: Any) -> Any:
    """As :func:`scipy.linalg.block_diag`: blocks along the diagonal, zeros elsewhere.

    Raises
    ------
    ShapeError
        If a block has more than two axes.
    """
    blocks = [tnp.atleast_2d(a) for a in arrs] or [tnp.zeros((1, 0))]
    if any(b.ndim != 2 for b in blocks):
        raise ShapeError(
            f"block_diag: blocks of at most 2 axes; got shapes {[b.shape for b in blocks]}"
        )
    dtype = tnp.result_type(*blocks)
    columns = sum(b.shape[1] for b in blocks)
    rows, at = [], 0
    for b in blocks:
        width = b.shape[1]
        rows.append(tnp.pad(b.astype(dtype), ((0, 0), (at, columns - at - width))))
        at += width
    return tnp.concatenate(rows, 0)


def _vector(name: str, x: Any) -> Any:
    x = tnp.asarray(x)
    if x.ndim != 1:
        raise ShapeError(f"{name}: a vector; got shape {x.shape}")
    return x


def toeplitz(c: Any, r: Any = None) -> Any:
    """As :func:`scipy.linalg.toeplitz`: equal along diagonals.

    Parameters
    ----------
    c : array_like
        The first column; of several axes, it is flattened.
    r : array_like, optional
        The first row, but for its first element; the conjugate of `c` by default.
    """
    c = tnp.ravel(tnp.asarray(c))
    r = tnp.conj(c) if r is None else tnp.ravel(tnp.asarray(r))
    m, n = c.shape[0], r.shape[0]
    dtype = tnp.result_type(c, r)
    values = tnp.concatenate([tnp.flip(c.astype(dtype)), r[1:].astype(dtype)])
    return values[np.arange(m)[::-1][:, None] + np.arange(n)[None, :]]


def hankel(c: Any, r: Any = None) -> Any:
    """As :func:`scipy.linalg.hankel`: equal along the other diagonals.

    Parameters
    ----------
    c : array_like
        The first column.
    r : array_like, optional
        The last row, but for its first element; zeros by default.
    """
    c = tnp.ravel(tnp.asarray(c))
    r = tnp.zeros_like(c) if r is None else tnp.ravel(tnp.asarray(r))
    dtype = tnp.result_type(c, r)
    values = tnp.concatenate([c.astype(dtype), r[1:].astype(dtype)])
    return values[np.arange(c.shape[0])[:, None] + np.arange(r.shape[0])[None, :]]


def circulant(c: Any) -> Any:
    """As :func:`scipy.linalg.circulant`: each column the one before, moved round by one."""
    c = _vector("circulant", c)
    n = c.shape[0]
    return c[(np.arange(n)[:, None] - np.arange(n)[None, :]) % max(n, 1)]


def companion(a: Any) -> Any:
    """As :func:`scipy.linalg.companion`: its eigenvalues are the roots of the polynomial `a`."""
    a = _vector("companion", a)
    n = a.shape[0]
    if n < 2:
        raise ShapeError(f"companion: at least two coefficients; got {n}")
    a = a if tnp.issubdtype(a.dtype, tnp.inexact) else a.astype(tnp.float64)
    first = -a[1:] / a[0]
    return tnp.concatenate([first[None], tnp.eye(n - 2, n - 1, dtype=first.dtype)], 0)


def convolution_matrix(a: Any, n: int, mode: str = "full") -> Any:
    """As :func:`scipy.linalg.convolution_matrix`: its product is the convolution with `a`."""
    a = _vector("convolution_matrix", a)
    if mode not in ("full", "same", "valid") or n < 1 or not a.shape[0]:
        raise ShapeError(
            "convolution_matrix: n at least 1, a not empty, mode full, same or valid; got "
            f"{n}, shape {a.shape} and {mode!r}"
        )
    m = a.shape[0]
    full = toeplitz(tnp.pad(a, (0, n - 1)), tnp.pad(a[:1], (0, n - 1)))
    if mode == "full":
        return full
    size = max(m, n) if mode == "same" else max(m, n) - min(m, n) + 1
    # As NumPy's convolve cuts; the middle of "same" is nearer to the end where it is not one.
    first = (m + n - 1 - size) // 2 if mode == "same" else min(m, n) - 1
    return full[first : first + size]


def fiedler(a: Any) -> Any:
    """As :func:`scipy.linalg.fiedler`: the distances of numbers from each other."""
    a = _vector("fiedler", a)
    return tnp.abs(a[:, None] - a[None, :])


def leslie(f: Any, s: Any) -> Any:
    """As :func:`scipy.linalg.leslie`: fecundities in a row, survivals below the diagonal."""
    f, s = _vector("leslie", f), _vector("leslie", s)
    if f.shape[0] != s.shape[0] + 1 or not s.shape[0]:
        raise ShapeError(f"leslie: one survival less than fecundities; got {f.shape}, {s.shape}")
    dtype = tnp.result_type(f, s)
    lower = tnp.pad(tnp.diag(s.astype(dtype)), ((0, 0), (0, 1)))
    return tnp.concatenate([f[None].astype(dtype), lower], 0)


def khatri_rao(a: Any, b: Any) -> Any:
    """As :func:`scipy.linalg.khatri_rao`: Kronecker products of columns."""
    a, b = tnp.asarray(a), tnp.asarray(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ShapeError(
            f"khatri_rao: matrices with equally many columns; got {a.shape} and {b.shape}"
        )
    return tnp.reshape(a[:, None, :] * b[None, :, :], (-1, a.shape[1]))


def _constant(name: str, *args: Any, **how: Any) -> Any:
    """Return a matrix that depends on no array: SciPy makes it while tracing."""
    return tnp.asarray(getattr(importlib.import_module("scipy.linalg"), name)(*args, **how))


def dft(n: int, scale: str | None = None) -> Any:
    """As :func:`scipy.linalg.dft`: the matrix of the discrete Fourier transform."""
    return _constant("dft", n, scale)


def hadamard(n: int, dtype: Any = int) -> Any:
    """As :func:`scipy.linalg.hadamard`."""
    return _constant("hadamard", n, dtype)


def helmert(n: int, full: bool = False) -> Any:
    """As :func:`scipy.linalg.helmert`."""
    return _constant("helmert", n, full)


def hilbert(n: int) -> Any:
    """As :func:`scipy.linalg.hilbert`: ``1 / (i + j + 1)``."""
    return _constant("hilbert", n)


def invhilbert(n: int, exact: bool = False) -> Any:
    """As :func:`scipy.linalg.invhilbert`."""
    return _constant("invhilbert", n, exact)


def invpascal(n: int, kind: str = "symmetric", exact: bool = True) -> Any:
    """As :func:`scipy.linalg.invpascal`."""
    return _constant("invpascal", n, kind, exact)


def pascal(n: int, kind: str = "symmetric", exact: bool = True) -> Any:
    """As :func:`scipy.linalg.pascal`: binomial coefficients."""
    return _constant("pascal", n, kind, exact)
