"""Put contractions in the form a matrix library takes.

Every ``dot_general`` becomes transposes and reshapes around one with canonical dimension numbers:
stacks of matrices ``[b, m, k]`` (or ``[b, k, m]``) and ``[b, k, n]`` (or ``[b, n, k]``), so that an
operand is only copied if its axes cannot be grouped where they lie.  A product that is only read
transposed (the gradient of a weight) has its operands exchanged, and the product with a transposed
matrix (``x @ w.T``) reads the matrix as it lies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tracejit.core.primitive import PRIMITIVES, Primitive
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Atom, Equation, Literal, Program, Var

__all__ = ["SMALL_MATRIX", "canonicalise", "stacks"]

SMALL_MATRIX = 8
"""Products whose three lengths are at most so are loops, not library calls."""


def stacks(eq: Equation) -> tuple[int, int, int, int, bool, bool] | None:
    """Return ``(batch, m, n, k, transpose_a, transpose_b)`` of a canonical equation, or None."""
    if eq.primitive.name != "dot_general":
        return None
    (lc, rc), (lb, rb) = eq.params["dimension_numbers"]
    a, b = eq.inputs[0].aval, eq.inputs[1].aval
    if a.ndim != 3 or b.ndim != 3 or lb != (0,) or rb != (0,) or len(lc) != 1:
        return None
    k = a.shape[lc[0]]
    m, n = a.shape[3 - lc[0]], b.shape[3 - rc[0]]
    return a.shape[0], m, n, k, lc[0] == 1, rc[0] == 2


def canonicalise(program: Program) -> Program:
    """Return `program` with every ``dot_general`` in canonical form."""
    if not any(eq.primitive.name == "dot_general" for eq in program.equations):
        return program
    program = _turned(program)
    equations: list[Equation] = []
    turned: dict[Atom, Equation] = {}
    for eq in program.equations:
        if eq.primitive.name == "transpose":
            turned[eq.outputs[0]] = eq
        elif eq.primitive.name == "dot_general" and not turned.keys().isdisjoint(eq.inputs):
            eq = _untransposed(eq, turned)
        if eq.primitive.name == "dot_general" and stacks(eq) is None:
            _rewrite(eq, equations)
        else:
            equations.append(eq)
    return program.replace(equations=equations)


def _turned(program: Program) -> Program:
    """Return `program` with transposed products in place of transposes of products."""
    reads: dict[Atom, int] = dict.fromkeys((a for a in program.outputs if isinstance(a, Var)), 2)
    transposes: dict[Atom, Equation] = {}
    for eq in program.equations:
        for a in eq.inputs:
            if isinstance(a, Var):
                reads[a] = reads.get(a, 0) + 1
        if eq.primitive.name == "transpose":
            transposes[eq.inputs[0]] = eq
    gone: set[Var] = set()
    equations: list[Equation] = []
    for eq in program.equations:
        out = eq.outputs[0] if eq.outputs else None
        if out in gone:
            continue
        if eq.primitive.name == "dot_general" and out in transposes and reads[out] == 1:
            (lc, rc), (lb, rb) = eq.params["dimension_numbers"]
            x, y = eq.inputs
            b = len(lb)
            left = x.aval.ndim - len(lc)
            right = y.aval.ndim - len(rc) - b
            order = (*range(b), *range(left, left + right), *range(b, left))
            turn = transposes[out]
            if turn.params["permutation"] == order:
                params = {**eq.params, "dimension_numbers": ((rc, lc), (rb, lb))}
                gone.update(turn.outputs)
                eq = eq._replace(inputs=(y, x), params=params, outputs=turn.outputs)
        equations.append(eq)
    return program.replace(equations=equations) if gone else program


def _orders(ndim: int, batch: Sequence[int], contract: Sequence[int]) -> tuple[list[int], ...]:
    """Return the orders of axes that group them for a library: free axes first, and last."""
    free = [a for a in range(ndim) if a not in batch and a not in contract]
    return [*batch, *free, *contract], [*batch, *contract, *free]


def _untransposed(eq: Equation, turned: dict[Atom, Equation]) -> Equation:
    """Return a product that reads operands before their transpositions, where no copy is needed."""
    inputs = list(eq.inputs)
    contract, batch = (list(axes) for axes in eq.params["dimension_numbers"])
    for side, x in enumerate(eq.inputs):
        turn = turned.get(x)
        if turn is None:
            continue
        source = turn.inputs[0]
        permutation = turn.params["permutation"]
        c, b = ([permutation[a] for a in axes[side]] for axes in (contract, batch))
        free = [p for a, p in enumerate(permutation) if a not in (*contract[side], *batch[side])]
        in_place = (o == sorted(o) for o in _orders(len(permutation), b, c))
        if isinstance(source, Var) and free == sorted(free) and any(in_place):
            inputs[side], contract[side], batch[side] = source, tuple(c), tuple(b)
    numbers = (tuple(contract), tuple(batch))
    return eq._replace(inputs=tuple(inputs), params={**eq.params, "dimension_numbers": numbers})


def _rewrite(eq: Equation, out: list[Equation]) -> None:
    (lc, rc), (lb, rb) = eq.params["dimension_numbers"]
    x, y = eq.inputs

    def emit(name: str, operand: Atom, to: Sequence[int], **params: Any) -> Atom:
        if name == "transpose" and params["permutation"] == tuple(range(operand.aval.ndim)):
            return operand
        if name == "reshape" and tuple(to) == operand.aval.shape:
            return operand
        v = Var(ShapedArray(tuple(to), operand.aval.dtype))
        primitive: Primitive = PRIMITIVES[name]
        out.append(Equation(primitive, (operand,), params, (v,), eq.source))
        return v

    def stack(
        operand: Atom, batch: Sequence[int], contract: Sequence[int], contract_first: bool
    ) -> tuple[Atom, int, list[int]]:
        shape = operand.aval.shape
        free = [a for a in range(len(shape)) if a not in batch and a not in contract]
        orders = _orders(len(shape), batch, contract)
        # Prefer the order that needs no transposition; else the one gemm likes best.
        order = orders[1] if contract_first else orders[0]
        for candidate in orders:
            if candidate == sorted(candidate):
                order = candidate
                break
        contract_axis = 2 if order == orders[0] else 1
        moved = emit(
            "transpose", operand, [shape[a] for a in order], permutation=tuple(order)
        )
        b = math.prod(shape[a] for a in batch)
        f = math.prod(shape[a] for a in free)
        c = math.prod(shape[a] for a in contract)
        three = (b, f, c) if contract_axis == 2 else (b, c, f)
        return emit("reshape", moved, three, shape=three), contract_axis, [shape[a] for a in free]

    assert not isinstance(x, Literal) or not x.aval.shape
    a, la, m_shape = stack(x, lb, lc, contract_first=False)
    b, rb_axis, n_shape = stack(y, rb, rc, contract_first=True)
    batch_shape = [x.aval.shape[i] for i in lb]
    result = eq.outputs[0]
    three = (math.prod(batch_shape), math.prod(m_shape), math.prod(n_shape))
    v = Var(ShapedArray(three, result.aval.dtype)) if three != result.aval.shape else result
    params = {**eq.params, "dimension_numbers": (((la,), (rb_axis,)), ((0,), (0,)))}
    out.append(Equation(eq.primitive, (a, b), params, (v,), eq.source))
    if v is not result:
        shape = result.aval.shape
        out.append(Equation(PRIMITIVES["reshape"], (v,), {"shape": shape}, (result,), eq.source))
