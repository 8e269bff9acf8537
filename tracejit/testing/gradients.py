"""Derivatives against differences, of any function of pytrees, forward and reverse, any order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import DTypeError
from tracejit.core.pytree import tree_flatten, tree_map, tree_unflatten
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import float0, is_complex, is_float, is_inexact
from tracejit.transforms.api import jvp, vjp

__all__ = ["check_grads"]

TOLERANCE = {"float16": 1e-1, "bfloat16": 3e-1, "float32": 1e-2, "complex64": 1e-2}
STEP = {"float16": 1e-1, "bfloat16": 1e-1, "float32": 1e-2, "complex64": 1e-2}
DIRECTIONS = 2
"""Random directions in which each derivative is compared."""


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Compare derivatives with central differences along random directions.

    Parameters
    ----------
    f : callable
        Of `args`; its results are pytrees of arrays.
    args : sequence of pytrees
        Where to differentiate; floating or complex.
    order : int
        Up to which derivative.
    modes : sequence of str, optional
        ``fwd`` and ``rev``: which products to compare.
    atol, rtol : float, optional
        Tolerances; by the dtypes, 1e-6 in double precision at order 1, ten times more each order.
    eps : float, optional
        The step of the differences; by the dtypes, 1e-5 in double precision.

    Raises
    ------
    AssertionError
        If a derivative differs.
    DTypeError
        If an argument is neither floating nor complex.
    ValueError
        If a mode is not known or the order is below 1.
    """
    if set(modes) - {"fwd", "rev"} or order < 1:
        raise ValueError(
            f"check_grads: modes among fwd and rev, order at least 1; got {modes!r} and {order!r}"
        )
    leaves, treedef = tree_flatten(tuple(args))
    for leaf in leaves:
        if not is_inexact(get_aval(leaf).dtype):
            raise DTypeError(f"check_grads: floating or complex arguments; got {get_aval(leaf)}")
    names = [str(get_aval(leaf).dtype) for leaf in leaves]
    step = eps if eps is not None else max([STEP.get(n, 1e-5) for n in names], default=1e-5)
    tolerance = max([TOLERANCE.get(n, 1e-6) for n in names], default=1e-6)

    def flat(*values: Any) -> Any:
        return f(*tree_unflatten(treedef, list(values)))

    rng = np.random.default_rng(0)
    _check(flat, [tnp.asarray(x) for x in leaves], order, tuple(modes), step, (
        tolerance if atol is None else atol, tolerance if rtol is None else rtol
    ), rng)  # fmt: skip


def _check(
    f: Callable[..., Any],
    xs: list[Any],
    order: int,
    modes: tuple[str, ...],
    step: float,
    within: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    for _ in range(DIRECTIONS):
        ts = [_direction(rng, x) for x in xs]
        wanted = _difference(f, xs, ts, step)
        if "fwd" in modes:
            _, tangent = jvp(f, tuple(xs), tuple(ts))
            _compare("jvp", tangent, wanted, within)
        if "rev" in modes:
            out, pull = vjp(f, *xs)
            ct = tree_map(lambda x: _direction(rng, x), out)
            _compare("vjp", _dot(pull(ct), ts), _dot(ct, wanted), within)
    if order == 1:
        return
    within = (10 * within[0], 10 * within[1])
    ts = [_direction(rng, x) for x in xs]
    if "fwd" in modes:
        _check(lambda *x: jvp(f, x, tuple(ts))[1], xs, order - 1, modes, step, within, rng)
    if "rev" in modes:
        ct = tree_map(lambda x: _direction(rng, x), f(*xs))
        _check(lambda *x: vjp(f, *x)[1](ct), xs, order - 1, modes, step, within, rng)


def _direction(rng: np.random.Generator, x: Any) -> Any:
    aval = get_aval(x)
    if not is_inexact(aval.dtype):
        return np.zeros(aval.shape, float0)
    t = np.asarray(rng.normal(size=aval.shape))
    if is_complex(aval.dtype):
        t = t + 1j * rng.normal(size=aval.shape)
    return tnp.asarray(t.astype(aval.dtype))


def _difference(f: Callable[..., Any], xs: list[Any], ts: list[Any], step: float) -> Any:
    ahead = f(*(x + step * t for x, t in zip(xs, ts, strict=True)))
    behind = f(*(x - step * t for x, t in zip(xs, ts, strict=True)))

    def quotient(a: Any, b: Any) -> Any:
        a, b = np.asarray(a), np.asarray(b)
        if not is_inexact(a.dtype):
            return np.zeros(a.shape)
        wide = np.complex128 if is_complex(a.dtype) else np.float64
        return (a.astype(wide) - b.astype(wide)) / (2 * step)

    return tree_map(quotient, ahead, behind)


def _dot(xs: Any, ys: Any) -> Any:
    """Return the real part of the sum of products: the pairing of cotangents and tangents."""
    pairs = zip(tree_flatten(xs)[0], tree_flatten(ys)[0], strict=True)
    return math.fsum(
        float(np.real(np.sum(np.asarray(x).astype(complex) * np.asarray(y).astype(complex))))
        for x, y in pairs
        if is_inexact(np.asarray(x).dtype)
    )


def _compare(name: str, found: Any, wanted: Any, within: tuple[float, float]) -> None:
    atol, rtol = within
    for x, y in zip(tree_flatten(found)[0], tree_flatten(wanted)[0], strict=True):
        x = np.asarray(x)
        if is_float(x.dtype) or is_complex(x.dtype):
            np.testing.assert_allclose(
                x.astype(complex), y, rtol=rtol, atol=atol,
                err_msg=f"check_grads: {name} differs from the difference quotient",
            )  # fmt: skip
