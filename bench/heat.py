"""One step of the heat equation, written in the four ways that users write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.harness import Case
from bench.ways import compiled, torch_compiled

__all__ = ["cases"]

K = 0.2
Function = Callable[..., Any]


def with_slices(xp: Any) -> Function:
    """The border is put back by two concatenations."""

    def heat(u: Any) -> Any:
        c = u[1:-1, 1:-1]
        inner = c + K * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4.0 * c)
        rows = xp.concatenate([u[1:-1, :1], inner, u[1:-1, -1:]], axis=1)
        return xp.concatenate([u[:1], rows, u[-1:]], axis=0)

    return heat


def with_roll(xp: Any) -> Function:
    """Periodic."""

    def heat(u: Any) -> Any:
        around = xp.roll(u, 1, 0) + xp.roll(u, -1, 0) + xp.roll(u, 1, 1) + xp.roll(u, -1, 1)
        return u + K * (around - 4.0 * u)

    return heat


def with_pad(xp: Any) -> Function:
    """Zero outside."""

    def heat(u: Any) -> Any:
        p = xp.pad(u, 1)
        return u + K * (p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4.0 * u)

    return heat


def _inner(u: Any) -> Any:
    c = u[1:-1, 1:-1]
    return c + K * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4.0 * c)


def with_at(u: Any) -> Any:
    """The inside is set; the border stays."""
    return u.at[1:-1, 1:-1].set(_inner(u))


def with_at_numpy(u: Any) -> Any:
    """The same in NumPy, and in torch."""
    out = u.copy() if isinstance(u, np.ndarray) else u.clone()
    out[1:-1, 1:-1] = _inner(u)
    return out


def torch_roll(u: Any) -> Any:
    """`with_roll` in torch's words."""
    import torch

    around = torch.roll(u, 1, 0) + torch.roll(u, -1, 0) + torch.roll(u, 1, 1) + torch.roll(u, -1, 1)
    return u + K * (around - 4.0 * u)


def torch_slices(u: Any) -> Any:
    """`with_slices` in torch's words."""
    import torch

    rows = torch.cat([u[1:-1, :1], _inner(u), u[1:-1, -1:]], 1)
    return torch.cat([u[:1], rows, u[-1:]], 0)


def torch_pad(u: Any) -> Any:
    """`with_pad` in torch's words."""
    import torch

    p = torch.nn.functional.pad(u, (1, 1, 1, 1))
    return u + K * (p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4.0 * u)


def numba_fixed() -> Function:
    """Loops over the inside; the border stays."""
    import numba

    @numba.njit(parallel=True)
    def heat(u: Any) -> Any:
        k = u.dtype.type(K)
        four = u.dtype.type(4.0)
        out = np.empty_like(u)
        n, m = u.shape
        out[0], out[n - 1] = u[0], u[n - 1]
        for i in numba.prange(1, n - 1):
            out[i, 0], out[i, m - 1] = u[i, 0], u[i, m - 1]
            for j in range(1, m - 1):
                around = u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1]
                out[i, j] = u[i, j] + k * (around - four * u[i, j])
        return out

    return heat


def numba_periodic() -> Function:
    """Loops over all, the columns of the border apart."""
    import numba

    @numba.njit(parallel=True)
    def heat(u: Any) -> Any:
        k = u.dtype.type(K)
        four = u.dtype.type(4.0)
        out = np.empty_like(u)
        n, m = u.shape
        for i in numba.prange(n):
            up, down = (i - 1) % n, (i + 1) % n
            for j in range(1, m - 1):
                around = u[up, j] + u[down, j] + u[i, j - 1] + u[i, j + 1]
                out[i, j] = u[i, j] + k * (around - four * u[i, j])
            for j in (0, m - 1):
                around = u[up, j] + u[down, j] + u[i, (j - 1) % m] + u[i, (j + 1) % m]
                out[i, j] = u[i, j] + k * (around - four * u[i, j])
        return out

    return heat


def cases(quick: bool) -> list[Case]:
    """Return the rows."""
    named: dict[str, dict[str, Callable[[], Function]]] = {
        "heat, slices": compiled(
            lambda lib: with_slices(lib.xp), "numpy",
            numba=numba_fixed, torch=torch_compiled(lambda torch: torch_slices),
        ),
        "heat, roll": compiled(
            lambda lib: with_roll(lib.xp), "numpy",
            numba=numba_periodic, torch=torch_compiled(lambda torch: torch_roll),
        ),
        "heat, pad": compiled(
            lambda lib: with_pad(lib.xp), "numpy", torch=torch_compiled(lambda torch: torch_pad)
        ),
        "heat, at.set": compiled(
            lambda lib: with_at,
            numpy=lambda: with_at_numpy,
            numba=numba_fixed,
            torch=torch_compiled(lambda torch: with_at_numpy),
        ),
    }  # fmt: skip
    rows = []
    for n in (256, 1024) if quick else (256, 1024, 4096):
        for dtype, tolerance in (("float64", 1e-13), ("float32", 1e-5)):
            arguments = _arguments(n, dtype)
            rows += [
                Case(name, f"{n}x{n}", dtype, arguments, functions, tolerance)
                for name, functions in named.items()
            ]
    return rows


def _arguments(n: int, dtype: str) -> Callable[[], tuple[Any, ...]]:
    return lambda: (np.random.default_rng(0).standard_normal((n, n)).astype(dtype),)
