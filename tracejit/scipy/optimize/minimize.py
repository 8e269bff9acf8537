"""Minimisation without bounds: BFGS, with all of the approximate inverse Hessian or its history."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.errors import DTypeError, ShapeError, TracejitError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_float
from tracejit.scipy.optimize.line_search import line_search
from tracejit.scipy.sparse.linalg import gmres
from tracejit.transforms.api import grad, jacfwd, value_and_grad

__all__ = ["OptimizeResults", "minimize"]

DENSE = 200
"""Unknowns up to which the derivative of the minimum factors the Hessian."""

LIMITED = ("l-bfgs", "l-bfgs-b", "l-bfgs-experimental-do-not-rely-on-this")


class OptimizeResults(NamedTuple):
    """What a minimisation found.

    Attributes
    ----------
    x : Array, shape (n,)
        The minimum; the only entry with derivatives.
    success : Array, shape (), bool
        Whether the gradient became small.
    status : Array, shape (), int
        0: it did; 1: too many iterations; 3: the line search failed; 5: values became NaN.
    fun : Array, shape ()
        The function there.
    jac : Array, shape (n,)
        The gradient there.
    hess_inv : Array, shape (n, n), or None
        The approximate inverse Hessian, of BFGS.
    nfev, njev, nit : Array, shape (), int
        Evaluations of the function and of its gradient, and iterations.
    """

    x: Any
    success: Any
    status: Any
    fun: Any
    jac: Any
    hess_inv: Any
    nfev: Any
    njev: Any
    nit: Any


class _Progress(NamedTuple):
    x: Any
    value: Any
    gradient: Any
    memory: Any
    evaluations: Any
    iteration: Any
    status: Any  # -1 while it goes on


class _History(NamedTuple):
    steps: Any  # (m, n), the newest last
    changes: Any  # of the gradient
    weights: Any  # 1 / (step . change), 0 where there is none yet
    scale: Any


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    *,
    method: str = "BFGS",
    tol: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> OptimizeResults:
    """Find a local minimum of a function of a vector.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns a scalar; it must have a gradient.
    x0 : Array, shape (n,), real floating
        Where to start.
    args : tuple, optional
        Further arguments of `fun`.
    method : str
        ``BFGS``, or ``L-BFGS`` (which keeps the last steps only; also by the names ``L-BFGS-B`` and
        ``l-bfgs-experimental-do-not-rely-on-this``; there are no bounds).
    tol : float, optional
        The largest component of the gradient at which to stop; 1e-5 by default.
    options : mapping, optional
        ``maxiter``, ``gtol`` (as `tol`), ``norm`` (of the gradient), ``line_search_maxiter``
        (``maxls``), ``maxcor`` (steps that L-BFGS keeps, 10).

    Returns
    -------
    OptimizeResults

    Raises
    ------
    TracejitError
        If the method or an option is not known.
    ShapeError
        If `x0` is no vector or `fun` returns no scalar.
    DTypeError
        If `x0` is not real and floating.

    Notes
    -----
    Nocedal and Wright, *Numerical Optimization*, 2006: algorithms 6.1, 7.4 and 3.5.  Derivatives of
    ``x`` by whatever `fun` depends on are those of the root of its gradient.
    """
    x0 = tnp.asarray(x0)
    aval = get_aval(x0)
    if aval.ndim != 1:
        raise ShapeError(f"minimize: x0 as a vector (n,); got shape {aval.shape}")
    if not is_float(aval.dtype):
        raise DTypeError(f"minimize: x0 of a real floating dtype; got {aval.dtype}")
    chosen = dict(options or {})
    gtol = chosen.pop("gtol", 1e-5 if tol is None else tol)
    order = chosen.pop("norm", math.inf)
    n = aval.shape[0]
    maxiter = chosen.pop("maxiter", None)
    maxiter = 200 * max(n, 1) if maxiter is None else maxiter
    tries = chosen.pop("line_search_maxiter", chosen.pop("maxls", 30))
    kept = chosen.pop("maxcor", 10)
    if chosen:
        raise TracejitError(
            f"minimize: options maxiter, gtol, norm, line_search_maxiter, maxcor; got "
            f"{sorted(chosen)}"
        )
    if method.lower() == "bfgs":
        begin, along, learn = _full()
    elif method.lower() in LIMITED:
        begin, along, learn = _limited(kept)
    else:
        raise TracejitError(f"minimize: method BFGS or L-BFGS; got {method!r}")

    def function(x: Any) -> Any:
        out = tnp.asarray(fun(x, *args))
        if out.ndim:
            raise ShapeError(f"minimize: a function that returns a scalar; got shape {out.shape}")
        return out

    def solve(gradient: Callable[[Any], Any], x: Any) -> Any:
        evaluate = value_and_grad(lambda x: tnp.asarray(function(x), x.dtype))

        def size(g: Any) -> Any:
            return tnp.linalg.norm(g, order)

        value, slope = evaluate(x)
        lost = ~(tnp.isfinite(value) & tnp.isfinite(slope).all())
        status = tnp.where(lost, 5, tnp.where(size(slope) <= gtol, 0, -1))
        start = _Progress(
            x, value, slope, begin(x, slope), tnp.asarray(1), tnp.asarray(0), status
        )

        def step(now: _Progress) -> _Progress:
            p = -along(now.memory, now.gradient)
            # Where the approximation is no descent, the gradient is.
            p = tnp.where(tnp.vdot(p, now.gradient) < 0, p, -now.gradient)
            first = tnp.where(now.iteration == 0, _first_step(now.gradient), 1.0)
            found = line_search(evaluate, now.x, p, now.value, now.gradient, first, tries)
            change = found.gradient - now.gradient
            memory = learn(now.memory, found.length * p, change, now.iteration)
            iteration = now.iteration + 1
            wrong = ~(tnp.isfinite(found.value) & tnp.isfinite(found.gradient).all())
            status = tnp.where(iteration >= maxiter, 1, -1)
            status = tnp.where(found.failed & (found.length == 0), 3, status)
            status = tnp.where(size(found.gradient) <= gtol, 0, status)
            status = tnp.where(wrong, 5, status)
            count = now.evaluations + found.evaluations
            return _Progress(now.x + found.length * p, found.value, found.gradient, memory, count,
                             iteration, status)  # fmt: skip

        end = lax.while_loop(lambda now: now.status < 0, step, start)
        inverse = end.memory if method.lower() == "bfgs" else ()
        return end.x, (end.status, end.value, end.gradient, inverse, end.evaluations, end.iteration)

    x, aux = lax.custom_root(grad(function), x0, solve, _newton_step, has_aux=True)
    status, value, slope, inverse, count, iterations = aux
    return OptimizeResults(
        x, status == 0, status, value, slope, None if isinstance(inverse, tuple) else inverse,
        count, count, iterations,
    )  # fmt: skip


def _first_step(gradient: Any) -> Any:
    size = tnp.sum(tnp.abs(gradient))
    return tnp.minimum(1.0, 1.0 / tnp.where(size > 0, size, 1.0))


def _newton_step(hessian: Callable[[Any], Any], y: Any) -> Any:
    """Solve with the Hessian at the minimum."""
    if y.shape[0] <= DENSE:
        return tnp.linalg.solve(jacfwd(hessian)(tnp.zeros_like(y)), y)
    return gmres(hessian, y, tol=1e-10, restart=50)[0]


def _full() -> tuple[Callable[..., Any], ...]:
    """Keep the whole inverse of the approximate Hessian."""

    def begin(x: Any, slope: Any) -> Any:
        return tnp.eye(x.shape[0], dtype=x.dtype)

    def along(inverse: Any, gradient: Any) -> Any:
        return inverse @ gradient

    def learn(inverse: Any, s: Any, y: Any, iteration: Any) -> Any:
        sy = tnp.vdot(s, y)
        good = sy > 1e-14 * tnp.vdot(y, y)
        # Nocedal and Wright, 6.20: the scale of the first one.
        scale = tnp.where(good & (iteration == 0), sy / tnp.where(good, tnp.vdot(y, y), 1.0), 1.0)
        inverse = inverse * scale
        rho = tnp.where(good, 1.0 / tnp.where(good, sy, 1.0), 0.0)
        hy = inverse @ y
        outer = tnp.outer(s, hy)
        term = (1.0 + rho * tnp.vdot(y, hy)) * tnp.outer(s, s)
        return inverse + rho * (term - outer - outer.T)

    return begin, along, learn


def _limited(kept: int) -> tuple[Callable[..., Any], ...]:
    """Keep the last steps, of which the product with the inverse follows."""

    def begin(x: Any, slope: Any) -> _History:
        zeros = tnp.zeros((kept, x.shape[0]), x.dtype)
        return _History(zeros, zeros, tnp.zeros(kept, x.dtype), tnp.ones((), x.dtype))

    def along(h: _History, gradient: Any) -> Any:
        def back(q: Any, entry: Any) -> Any:
            s, y, rho = entry
            alpha = rho * tnp.vdot(s, q)
            return q - alpha * y, alpha

        def forth(r: Any, entry: Any) -> Any:
            s, y, rho, alpha = entry
            return r + s * (alpha - rho * tnp.vdot(y, r)), None

        q, alphas = lax.scan(back, gradient, h[:3], reverse=True)
        return lax.scan(forth, h.scale * q, (*h[:3], alphas))[0]

    def learn(h: _History, s: Any, y: Any, iteration: Any) -> _History:
        sy, yy = tnp.vdot(s, y), tnp.vdot(y, y)
        good = sy > 1e-14 * yy

        def push(old: Any, new: Any) -> Any:
            return tnp.where(good, tnp.concatenate([old[1:], new[None]]), old)

        rho = 1.0 / tnp.where(good, sy, 1.0)
        scale = tnp.where(good, sy / tnp.where(good, yy, 1.0), h.scale)
        return _History(push(h.steps, s), push(h.changes, y), push(h.weights, rho), scale)

    return begin, along, learn
