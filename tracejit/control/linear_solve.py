"""``custom_linear_solve``: the solution of linear equations, differentiated by its equation.

From ``A x = b`` follows ``A dx = db - dA x``: forward mode solves for another right-hand side, with
the same solver; reverse mode with the solver of the transposed equation.  The solver itself is
never differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracejit.control.closures import joined, value_here
from tracejit.control.custom_leaves import leaf_name, result_leaves
from tracejit.control.linear_map import LinearMap, apply_linear
from tracejit.control.programs import arranged
from tracejit.control.stepwise import untransformed
from tracejit.core.errors import DTypeError, MissingRuleError, StructureError
from tracejit.core.pytree import PyTreeDef, tree_flatten, tree_unflatten
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_inexact
from tracejit.ir.program import Program
from tracejit.ops.arithmetic import neg, sub
from tracejit.ops.convert import convert_element_type
from tracejit.transforms.dce import dce
from tracejit.transforms.flat import array_or_tracer
from tracejit.transforms.jvp import instantiate_zero, jvp_program
from tracejit.transforms.stage import (
    check_outputs,
    evaluate,
    function_name,
    hoist_constants,
    stage,
)
from tracejit.transforms.stage_known import stage_for
from tracejit.transforms.transpose import transpose_program

__all__ = ["Solver", "custom_linear_solve", "strong_leaves", "tangents_of"]

Fun = Callable[..., Any]


def custom_linear_solve(
    matvec: Fun,
    b: Any,
    solve: Callable[[Fun, Any], Any],
    transpose_solve: Callable[[Fun, Any], Any] | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """Solve ``matvec(x) = b`` by a solver that is not differentiated.

    Parameters
    ----------
    matvec : callable
        Linear: takes a pytree like `b`, returns one.  The values that it closes over are what the
        matrix is made of, and derivatives by them exist.
    b : pytree of arrays, floating or complex
        The right-hand side.
    solve : callable
        ``solve(matvec, b)`` returns the solution, or with `has_aux` a pair of it and anything else.
    transpose_solve : callable, optional
        The same for the transposed matrix: ``transpose_solve(vecmat, b)``; reverse mode needs it.
    symmetric : bool
        Whether the matrix equals its transpose: `solve` is then used for this, too.
    has_aux : bool
        Whether the solvers return ``(x, aux)``.  ``aux`` has no derivatives.

    Returns
    -------
    pytree of arrays, or pair of it and a pytree with `has_aux`
        The solution.

    Raises
    ------
    StructureError, ShapeError, DTypeError
        If `matvec` or a solver returns something unlike `b`; names the leaf.
    MissingRuleError
        In reverse mode without `transpose_solve`, unless `symmetric`.

    Examples
    --------
    >>> import tracejit
    >>> import tracejit.numpy as tnp
    >>> def solution(a, b):
    ...     return tracejit.lax.custom_linear_solve(
    ...         lambda x: a * x, b, lambda matvec, b: b / a, symmetric=True)
    >>> [float(x) for x in tracejit.grad(solution, (0, 1))(2.0, 8.0)]
    [-2.0, 0.5]
    """
    leaves, treedef = tree_flatten(b)
    leaves = strong_leaves("custom_linear_solve: b", leaves, treedef)
    avals = tuple(get_aval(x) for x in leaves)
    what = f"custom_linear_solve: the result of {function_name(solve)}"
    solver = Solver(what, solve, treedef, avals, "b", has_aux)
    if untransformed():  # nobody differentiates
        outs = solver(matvec)(*map(array_or_tracer, leaves))
        return solver.result(outs)

    def product(*x: Any) -> list[Any]:
        name = f"custom_linear_solve: the result of {function_name(matvec)}"
        return result_leaves(name, matvec(tree_unflatten(treedef, x)), treedef, avals, "b")

    matrix = dce(stage(product, avals, function_name(matvec)))
    solved, _ = stage_for(solver(matvec), avals, lambda: leaves, function_name(solve))
    programs = [matrix, dce(solved)]
    if transpose_solve is not None and not symmetric:
        name = function_name(transpose_solve)
        plain, constants = hoist_constants(matrix)
        linear = [n >= len(constants) for n in range(len(plain.inputs))]
        transposed = transpose_program(plain, linear)

        def vecmat(y: Any) -> Any:
            given = "custom_linear_solve: the argument of vecmat"
            cts = result_leaves(given, y, treedef, avals, "b")
            found = evaluate(transposed, [*constants, *cts])
            return tree_unflatten(treedef, map(array_or_tracer, found))

        back = Solver(
            f"custom_linear_solve: the result of {name}", transpose_solve, treedef, avals, "b",
            has_aux,
        )  # fmt: skip
        programs.append(dce(stage(back(vecmat), avals, name)))
    programs, residuals = joined(programs)
    matrix, solved, *rest = programs
    linear_map = _Solution(matrix, solved, rest[0] if rest else None, symmetric, avals)
    residuals = [value_here("custom_linear_solve", x) for x in residuals]
    return solver.result(apply_linear(linear_map, residuals, leaves))


def strong_leaves(what: str, leaves: Sequence[Any], treedef: PyTreeDef) -> list[Any]:
    """Return floating or complex leaves, none of them weak.

    Raises
    ------
    DTypeError
        Names the leaf that is neither.
    """
    found = []
    for n, x in enumerate(leaves):
        aval = get_aval(x)
        if not is_inexact(aval.dtype):
            raise DTypeError(
                f"{what}{leaf_name(treedef, n)} must be floating or complex; got {aval}"
            )
        found.append(convert_element_type(x, aval.dtype) if aval.weak else x)
    return found


class Solver:
    """A solver of the user as a function of leaves, whose results are checked.

    Parameters
    ----------
    what : str
        Its result, for messages.
    solve : callable
        ``solve(fun, x)`` returns a solution, or with `has_aux` ``(solution, aux)``.
    treedef : PyTreeDef
        The structure of ``x`` and of the solution.
    avals : sequence of ShapedArray
        Their types.
    like : str
        What ``x`` is, for messages.
    has_aux : bool
        Whether there is more than a solution.
    """

    def __init__(
        self,
        what: str,
        solve: Callable[[Fun, Any], Any],
        treedef: PyTreeDef,
        avals: Sequence[ShapedArray],
        like: str,
        has_aux: bool,
    ) -> None:
        self._what = what
        self._solve = solve
        self._treedef = treedef
        self._avals = avals
        self._like = like
        self._has_aux = has_aux
        self._aux_treedef: PyTreeDef

    def __call__(self, fun: Fun) -> Fun:
        """Return the solver of `fun`: takes leaves, returns those of the solution and ``aux``."""

        def solved(*leaves: Any) -> list[Any]:
            x = self._solve(fun, tree_unflatten(self._treedef, leaves))
            aux = None
            if self._has_aux:
                if not isinstance(x, (tuple, list)) or len(x) != 2:
                    got = type(x).__name__
                    raise StructureError(
                        f"with has_aux=True, {self._what} must be a pair (solution, aux); got {got}"
                    )
                x, aux = x
            found, self._aux_treedef = tree_flatten(aux)
            check_outputs(self._solve, aux, found)
            return [
                *result_leaves(self._what, x, self._treedef, self._avals, self._like),
                *found,
            ]

        return solved

    def result(self, outs: Sequence[Any]) -> Any:
        """Return what the user sees of the leaves, after a call."""
        count = len(self._avals)
        values = [array_or_tracer(x) for x in outs]
        x = tree_unflatten(self._treedef, values[:count])
        if not self._has_aux:
            return x
        return x, tree_unflatten(self._aux_treedef, values[count:])


class _Solution(LinearMap):
    """The solution of linear equations as a function of the right-hand side.

    Parameters
    ----------
    matrix : Program
        Takes what the equations depend on, and a solution; returns a right-hand side.
    solved : Program
        The inverse of that; may return more.
    transposed : Program, optional
        Solves the equations of the transposed matrix.
    symmetric : bool
        Whether these are the same equations.
    avals : tuple of ShapedArray
        Of a solution.
    """

    def __init__(
        self,
        matrix: Program,
        solved: Program,
        transposed: Program | None,
        symmetric: bool,
        avals: tuple[ShapedArray, ...],
    ) -> None:
        super().__init__((matrix, solved, transposed, symmetric))
        self.matrix = matrix
        self.solved = solved
        self.transposed = transposed
        self.symmetric = symmetric
        self.in_avals = avals
        self.out_avals = solved.out_avals
        self.n_aux = len(solved.outputs) - len(avals)
        self.__name__ = solved.name

    def forward(self) -> Program:
        return self.solved

    def backward(self, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        given = cts[: len(self.in_avals)]
        if all(isinstance(ct, Zero) for ct in given):
            return [Zero(aval) for aval in self.in_avals]
        flipped = self
        if not self.symmetric:
            if self.transposed is None:
                raise MissingRuleError(
                    "custom_linear_solve: reverse mode solves the equations of the transposed "
                    f"matrix, which {self.solved.name} does not do. Give transpose_solve, or "
                    "symmetric=True if the matrix equals its transpose"
                )
            count = len(residuals)
            linear = [n >= count for n in range(len(self.matrix.inputs))]
            back = transpose_program(self.matrix, linear)
            flipped = _Solution(back, self.transposed, self.solved, False, self.in_avals)
        found = apply_linear(flipped, residuals, [instantiate_zero(ct) for ct in given])
        return found[: len(given)]

    def jvp(
        self,
        residuals: Sequence[Any],
        changes: Sequence[Any],
        tangents: Sequence[Any],
        directions: Sequence[Any],
        outs: Sequence[Any],
    ) -> list[Any]:
        del tangents
        x = outs[: len(self.in_avals)]
        right = list(directions)
        for n, t in enumerate(tangents_of(self.matrix, changes, [*residuals, *x])):
            if not isinstance(t, Zero):
                right[n] = neg(t) if isinstance(right[n], Zero) else sub(right[n], t)
        if all(isinstance(t, Zero) for t in right):
            return [Zero(aval) for aval in self.out_avals]
        return apply_linear(self, residuals, [instantiate_zero(t) for t in right])


def tangents_of(
    program: Program, tangents: Sequence[Any], operands: Sequence[Any]
) -> list[Any]:
    """Return the tangents, perhaps Zero, of a Program of which the first inputs have tangents.

    Parameters
    ----------
    program : Program
        What to differentiate.
    tangents : sequence of values or Zero
        Of its first inputs; those of the others are zero.
    operands : sequence of values
        Its inputs.
    """
    flags = [n < len(tangents) and not isinstance(tangents[n], Zero) for n in range(len(operands))]
    if not any(flags):
        return [Zero(aval) for aval in program.out_avals]
    both, nonzero = jvp_program(program, flags)
    only, constants = arranged(both, None, range(len(program.outputs), len(both.outputs)))
    given = [t for t in tangents if not isinstance(t, Zero)]
    found = iter(evaluate(only, [*constants, *operands, *given]))
    return [
        next(found) if flag else Zero(aval)
        for flag, aval in zip(nonzero, program.out_avals, strict=True)
    ]
