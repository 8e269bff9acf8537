"""``custom_root``: the root of a function, differentiated by the implicit function theorem.

From ``f(x, a) = 0`` follows ``f_x dx = -f_a da``: linear equations, in both modes.  The solver is
never differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracejit.control.closures import joined, value_here
from tracejit.control.custom_leaves import result_leaves
from tracejit.control.custom_rule import Rules, bind_custom
from tracejit.control.linear_solve import (
    Solver,
    custom_linear_solve,
    strong_leaves,
    tangents_of,
)
from tracejit.control.stepwise import untransformed
from tracejit.core.pytree import tree_flatten, tree_unflatten
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.program import Program
from tracejit.ops.arithmetic import neg
from tracejit.transforms.dce import dce
from tracejit.transforms.flat import array_or_tracer
from tracejit.transforms.jvp import instantiate_zero, jvp_program
from tracejit.transforms.stage import evaluate, function_name, hoist_constants, stage
from tracejit.transforms.stage_known import stage_for

__all__ = ["custom_root"]

Fun = Callable[..., Any]


def custom_root(
    f: Fun,
    initial_guess: Any,
    solve: Callable[[Fun, Any], Any],
    tangent_solve: Callable[[Fun, Any], Any],
    has_aux: bool = False,
) -> Any:
    """Solve ``f(x) = 0`` by a solver that is not differentiated.

    Parameters
    ----------
    f : callable
        Takes a pytree like `initial_guess`, returns one.  Derivatives of the root by the values
        that it closes over exist.
    initial_guess : pytree of arrays, floating or complex
        Where the solver starts; the root has no derivatives by it.
    solve : callable
        ``solve(f, initial_guess)`` returns the root, or with `has_aux` a pair of it and anything
        else.
    tangent_solve : callable
        ``tangent_solve(g, y)`` returns the ``x`` for which ``g(x) = y``; ``g`` is linear: the
        derivative of `f` at the root, or its transpose.
    has_aux : bool
        Whether `solve` returns ``(x, aux)``.  ``aux`` has no derivatives.

    Returns
    -------
    pytree of arrays, or pair of it and a pytree with `has_aux`
        The root.

    Raises
    ------
    StructureError, ShapeError, DTypeError
        If a function returns something unlike `initial_guess`; names the leaf.

    Examples
    --------
    >>> import tracejit
    >>> def root_of(a):
    ...     def newton(f, x):
    ...         step = lambda x: x - f(x) / tracejit.grad(f)(x)
    ...         return tracejit.lax.fori_loop(0, 20, lambda _, x: step(x), x)
    ...     return tracejit.lax.custom_root(
    ...         lambda x: x**2 - a, 1.0, newton, lambda g, y: y / g(1.0))
    >>> float(root_of(4.0)), float(tracejit.grad(root_of)(4.0))
    (2.0, 0.25)
    """
    leaves, treedef = tree_flatten(initial_guess)
    leaves = strong_leaves("custom_root: initial_guess", leaves, treedef)
    avals = tuple(get_aval(x) for x in leaves)
    like = "initial_guess"
    solver = Solver(
        f"custom_root: the result of {function_name(solve)}", solve, treedef, avals, like, has_aux
    )
    if untransformed():  # nobody differentiates
        return solver.result(solver(f)(*map(array_or_tracer, leaves)))

    def value(*x: Any) -> list[Any]:
        what = f"custom_root: the result of {function_name(f)}"
        return result_leaves(what, f(tree_unflatten(treedef, x)), treedef, avals, like)

    function = dce(stage(value, avals, function_name(f)))
    solved, _ = stage_for(solver(f), avals, lambda: leaves, function_name(solve))
    plain, constants = hoist_constants(function)
    count = len(avals)
    linear = [n >= len(constants) for n in range(len(plain.inputs))]
    derivative, _ = jvp_program(plain, linear, True)

    def tangent(*args: Any) -> list[Any]:
        x = args[:count]

        def along(dx: Any) -> Any:
            what = "custom_root: the argument of the linearized function"
            directions = result_leaves(what, dx, treedef, avals, like)
            found = evaluate(derivative, [*constants, *x, *directions])[count:]
            return tree_unflatten(treedef, map(array_or_tracer, found))

        right = tree_unflatten(treedef, args[count:])
        dx = custom_linear_solve(along, right, tangent_solve, tangent_solve)
        return tree_flatten(dx)[0]

    implicit = dce(stage(tangent, (*avals, *avals), f"{function.name}_implicit"))
    (function, solved, implicit), residuals = joined([function, dce(solved), implicit])
    rules = _Implicit(function, solved, implicit, count)
    residuals = [value_here("custom_root", x) for x in residuals]
    return solver.result(bind_custom(solved, rules, [*residuals, *leaves]))


class _Implicit(Rules):
    """The derivative of a root.

    Parameters
    ----------
    function : Program
        What has the root: of what it depends on, and the root.
    solved : Program
        Returns the root, perhaps more.
    implicit : Program
        Solves the linear equations: of what they depend on, the root, and the right-hand side.
    count : int
        How many leaves a root has.
    """

    def __init__(self, function: Program, solved: Program, implicit: Program, count: int) -> None:
        super().__init__((function, solved, implicit))
        self.function = function
        self.implicit = implicit
        self.count = count
        self.__name__ = solved.name

    def jvp(
        self, program: Program, operands: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        outs = bind_custom(program, self, operands)
        found: list[Any] = [Zero(get_aval(x)) for x in outs]
        x = outs[: self.count]
        residuals = operands[: -self.count]
        changes = tangents_of(self.function, tangents[: -self.count], [*residuals, *x])
        if not all(isinstance(t, Zero) for t in changes):
            right = [neg(instantiate_zero(t)) for t in changes]
            found[: self.count] = evaluate(self.implicit, [*residuals, *x, *right])
        return outs, found

    def batch(
        self, size: int, batched: tuple[bool, ...]
    ) -> tuple[Program, Sequence[int | None]] | None:
        return None
