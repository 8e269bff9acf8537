"""Iterative solvers of linear systems: they see the matrix only by its products.

Unknowns are pytrees.  Derivatives are those of the solution, found by the same solver with another
right-hand side (and the transposed matrix), whatever the iterations were.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.errors import DTypeError, ShapeError, StructureError, TracejitError
from tracejit.core.pytree import tree_flatten, tree_map
from tracejit.core.tracer import get_aval
from tracejit.flatten_util import ravel_pytree
from tracejit.ir.dtypes import is_inexact

__all__ = ["bicgstab", "cg", "gmres"]

Product = Callable[[Any], Any]
Iterate = Callable[[Product, Any, Any, Product], Any]


def _product(name: str, A: Any) -> Product:
    if callable(A):
        product: Product = A
        return product
    matrix = A if hasattr(A, "__matmul__") and not hasattr(A, "__array__") else tnp.asarray(A)
    shape = tuple(matrix.shape)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ShapeError(f"{name}: a function, or a square matrix; got shape {shape}")
    return lambda x: matrix @ x


def _solved(
    name: str, A: Any, b: Any, x0: Any, M: Any, symmetric: bool, iterate: Iterate
) -> tuple[Any, None]:
    """Solve, with everything as one vector.

    Parameters
    ----------
    iterate : callable
        ``iterate(product, b, x0, preconditioned)`` returns the solution.
    """
    leaves, treedef = tree_flatten(b)
    b = treedef.unflatten([tnp.asarray(x) for x in leaves])
    for leaf in tree_flatten(b)[0]:
        if not is_inexact(get_aval(leaf).dtype):
            raise DTypeError(
                f"{name}: right-hand sides of an inexact dtype; got {get_aval(leaf)}. "
                "Convert it: b.astype(float)"
            )
    if x0 is None:
        x0 = tree_map(tnp.zeros_like, b)
    if tree_flatten(x0)[1] != treedef:
        raise StructureError(f"{name}: x0 of the structure of b; got {tree_flatten(x0)[1]}")
    shapes = [[tnp.shape(x) for x in tree_flatten(tree)[0]] for tree in (x0, b)]
    if shapes[0] != shapes[1]:
        raise ShapeError(f"{name}: x0 of the shapes of b, {shapes[1]}; got {shapes[0]}")
    product = _product(name, A)
    # A preconditioner changes the way, not the end: it has no derivative.
    before = (lambda x: x) if M is None else _product(name, M)

    def run(apply: Product, y: Any, start: Any) -> Any:
        flat, unravel = ravel_pytree(y)

        def on_vectors(f: Product) -> Product:
            return lambda v: ravel_pytree(f(unravel(v)))[0].astype(flat.dtype)

        out = iterate(on_vectors(apply), flat, start(flat, unravel), on_vectors(before))
        return unravel(out)

    given = lambda flat, unravel: lax.stop_gradient(ravel_pytree(x0)[0]).astype(flat.dtype)
    none = lambda flat, unravel: tnp.zeros_like(flat)
    x = lax.custom_linear_solve(
        product,
        b,
        lambda apply, y: run(apply, y, given),
        lambda apply, y: run(apply, y, none),
        # The transpose of a Hermitian matrix is itself only if it is real.
        symmetric=symmetric and not any(map(tnp.iscomplexobj, tree_flatten(b)[0])),
    )
    return x, None


def _norm(x: Any) -> Any:
    return tnp.sqrt(tnp.real(tnp.vdot(x, x)))


def cg(
    A: Any, b: Any, x0: Any = None, *, tol: float = 1e-5, atol: float = 0.0,
    maxiter: int | None = None, M: Any = None,
) -> tuple[Any, None]:  # fmt: skip
    """Solve ``A x = b`` by conjugate gradients (Hestenes and Stiefel 1952).

    Parameters
    ----------
    A : callable, or Array, shape (n, n), or sparse matrix
        The matrix, Hermitian and positive definite: a function of a pytree like `b`.
    b : pytree of arrays, inexact
        The right-hand side.
    x0 : pytree, optional
        Where to start; zeros by default.
    tol, atol : float, optional
        Iterations end when the residual is below ``max(tol * norm(b), atol)``.
    maxiter : int, optional
        How many at most; ten times the size of `b` by default.
    M : callable or Array, optional
        A preconditioner, an approximate inverse.

    Returns
    -------
    x : pytree like `b`
        The solution, or what was reached.
    info : None
        For compatibility.

    Raises
    ------
    ShapeError, StructureError, DTypeError
        If the operands do not fit.
    """

    def iterate(apply: Product, b: Any, x0: Any, before: Product) -> Any:
        limit = 10 * b.size if maxiter is None else maxiter
        bound = tnp.maximum(tol * _norm(b), atol)

        def goes_on(state: Any) -> Any:
            _, r, _, _, k = state
            return (_norm(r) > bound) & (k < limit)

        def step(state: Any) -> Any:
            x, r, p, gamma, k = state
            q = apply(p)
            alpha = gamma / tnp.vdot(p, q)
            x, r = x + alpha * p, r - alpha * q
            z = before(r)
            new = tnp.vdot(r, z)
            return x, r, z + (new / gamma) * p, new, k + 1

        r = b - apply(x0)
        z = before(r)
        return lax.while_loop(goes_on, step, (x0, r, z, tnp.vdot(r, z), 0))[0]

    return _solved("cg", A, b, x0, M, True, iterate)


def bicgstab(
    A: Any, b: Any, x0: Any = None, *, tol: float = 1e-5, atol: float = 0.0,
    maxiter: int | None = None, M: Any = None,
) -> tuple[Any, None]:  # fmt: skip
    """Solve ``A x = b`` by stabilised bi-conjugate gradients (van der Vorst 1992).

    Any matrix with an inverse; see :func:`cg` for the arguments.
    """

    def iterate(apply: Product, b: Any, x0: Any, before: Product) -> Any:
        limit = 10 * b.size if maxiter is None else maxiter
        bound = tnp.maximum(tol * _norm(b), atol)

        def goes_on(state: Any) -> Any:
            _, r, *_, k = state
            # A breakdown makes k negative.
            return (_norm(r) > bound) & (k < limit) & (k >= 0)

        def step(state: Any) -> Any:
            x, r, p, q, alpha, omega, rho, k = state
            new = tnp.vdot(shadow, r)
            beta = new / rho * alpha / omega
            p = r + beta * (p - omega * q)
            there = before(p)
            q = apply(there)
            alpha = new / tnp.vdot(shadow, q)
            s = r - alpha * q
            half = before(s)
            t = apply(half)
            early = _norm(s) <= bound
            length = tnp.vdot(t, t)
            omega = tnp.vdot(t, s) / tnp.where(length == 0, tnp.ones_like(length), length)
            x = tnp.where(early, x + alpha * there, x + alpha * there + omega * half)
            r = tnp.where(early, s, s - omega * t)
            k = tnp.where((omega == 0) | (alpha == 0), -11, k + 1)
            return x, r, p, q, alpha, omega, new, k

        r = b - apply(x0)
        shadow = r
        one = tnp.ones((), b.dtype)
        start = (x0, r, tnp.zeros_like(r), tnp.zeros_like(r), one, one, one, 0)
        return lax.while_loop(goes_on, step, start)[0]

    return _solved("bicgstab", A, b, x0, M, False, iterate)


def gmres(
    A: Any, b: Any, x0: Any = None, *, tol: float = 1e-5, atol: float = 0.0, restart: int = 20,
    maxiter: int | None = None, M: Any = None, solve_method: str = "batched",
) -> tuple[Any, None]:  # fmt: skip
    """Solve ``A x = b`` by generalised minimal residuals (Saad and Schultz 1986).

    Parameters
    ----------
    A, b, x0, tol, atol, M
        As in :func:`cg`, for any matrix with an inverse; `M` is applied from the left, and the
        residual is that of the preconditioned system.
    restart : int, optional
        After how many products the basis is given up.
    maxiter : int, optional
        How many restarts at most; ten times the size of `b` by default.
    solve_method : str, optional
        ``batched`` or ``incremental``; accepted for compatibility: rotations end the inner
        iterations as soon as the residual is small.

    Raises
    ------
    TracejitError
        If `solve_method` is neither, or `restart` below 1.
    """
    if solve_method not in ("batched", "incremental") or restart < 1:
        raise TracejitError(
            "gmres: solve_method batched or incremental and restart at least 1; got "
            f"{solve_method!r} and {restart}"
        )

    def iterate(apply: Product, b: Any, x0: Any, before: Product) -> Any:
        m = min(restart, b.size)
        limit = 10 * b.size if maxiter is None else maxiter
        bound = tnp.maximum(tol * _norm(b), atol)
        right = _norm(before(b))
        # The bound is of the true residual, the iterations see the preconditioned one.
        inner = bound * tnp.where(right > 0, right / tnp.where(right > 0, _norm(b), 1.0), 1.0)

        def goes_on(state: Any) -> Any:
            _, r, k = state
            return (_norm(r) > bound) & (k < limit)

        def step(state: Any) -> Any:
            x, r, k = state
            x = x + _cycle(partial(_both, before, apply), before(r), m, inner)
            return x, b - apply(x), k + 1

        return lax.while_loop(goes_on, step, (x0, b - apply(x0), 0))[0]

    return _solved("gmres", A, b, x0, M, False, iterate)


def _both(before: Product, apply: Product, x: Any) -> Any:
    return before(apply(x))


def _cycle(apply: Product, r: Any, m: int, bound: Any) -> Any:
    """Return the step of least residual in the space of `m` products."""
    n, dtype = r.shape[0], r.dtype
    length = _norm(r)
    basis = tnp.zeros((m + 1, n), dtype).at[0].set(r / tnp.where(length > 0, length, 1.0))
    triangle = tnp.eye(m, dtype=dtype)
    state = (basis, triangle, tnp.zeros(m, dtype), tnp.zeros(m, dtype),
             tnp.zeros(m + 1, dtype).at[0].set(length.astype(dtype)), 0)  # fmt: skip

    def goes_on(state: Any) -> Any:
        *_, g, k = state
        return (k < m) & (tnp.abs(g[k]) > bound)

    def step(state: Any) -> Any:
        basis, triangle, cs, sn, g, k = state
        w = apply(basis[k])
        scale = _norm(w)
        # Gram and Schmidt, twice: once is not orthogonal enough.
        h = tnp.conj(basis) @ w
        w = w - h @ basis
        again = tnp.conj(basis) @ w
        w, h = w - again @ basis, h + again
        size = _norm(w)
        eps = tnp.finfo(dtype).eps
        breakdown = size <= eps * scale
        basis = basis.at[k + 1].set(tnp.where(breakdown, 0, w / tnp.where(breakdown, 1, size)))

        def rotate(i: Any, h: Any) -> Any:
            p, q = h[i], h[i + 1]
            return h.at[i].set(cs[i] * p + sn[i] * q).at[i + 1].set(
                -tnp.conj(sn[i]) * p + cs[i] * q
            )

        h = lax.fori_loop(0, k, rotate, h)
        below = tnp.where(breakdown, 0, size).astype(dtype)
        a = h[k]
        hyp = tnp.sqrt(tnp.abs(a) ** 2 + tnp.abs(below) ** 2)
        some = hyp > 0
        # c real, s such that the element below becomes 0.
        phase = tnp.where(tnp.abs(a) > 0, a / tnp.where(tnp.abs(a) > 0, tnp.abs(a), 1), 1)
        c = tnp.where(some, tnp.abs(a) / tnp.where(some, hyp, 1), 1).astype(dtype)
        s = tnp.where(some, phase * tnp.conj(below) / tnp.where(some, hyp, 1), 0).astype(dtype)
        h = h.at[k].set(tnp.where(some, phase * hyp, 1).astype(dtype))
        column = tnp.where(tnp.arange(m + 1) <= k, h, 0)[:m]
        triangle = triangle.at[:, k].set(column)
        g = g.at[k + 1].set(-tnp.conj(s) * g[k]).at[k].set(c * g[k])
        return basis, triangle, cs.at[k].set(c), sn.at[k].set(s), g, k + 1

    basis, triangle, _, _, g, k = lax.while_loop(goes_on, step, state)
    g = tnp.where(tnp.arange(m) < k, g[:m], 0)
    y = lax.linalg.triangular_solve(triangle, g[:, None], left_side=True)[:, 0]
    return y @ basis[:m]
