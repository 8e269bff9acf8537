"""Decide which arrays of a Program are stored, and which are recomputed where they are read.

The loader of an equation can always be inlined into its readers.  It is stored instead if it is
an output, a reduction, an operand of something that is not a loop nest, or if recomputing it costs
more than a round trip through memory: ``cost * (accesses - 1) > BUDGET``, where the accesses are
the distinct index maps by which it is read from stored arrays.  A five-point stencil reads its
operand at five; a chain of stencils is thus stored at each step, never expanded.  Arrays of one
shape that may be written by one kernel share an access; where one of them reads a neighbour of
another they are written one after the other, and what both need would be computed twice.  What is
dear and broadcast along outer axes would be computed for each of their indices.
"""

from __future__ import annotations

import math
from collections.abc import Set

from tracejit.compiler.loaders import WRITTEN_OUT
from tracejit.ir.dtypes import is_complex
from tracejit.ir.program import Equation, Program, Var
from tracejit.ir.scalar import COSTS

__all__ = ["BUDGET", "decide", "is_written_out"]

BUDGET = 12.0
"""Cost units (about a vector instruction an element) that a stored array may save."""

REPEATED = 3
"""Accesses that stand for one that is repeated: what costs more than half a budget is stored."""

FEW_LANES = 8
"""Elements that do not fill a vector."""

PARTS = 3
"""How much dearer a complex operation is than a real one, about."""

_MANY = 64
_SHAPE_OPS = frozenset(
    ("transpose", "broadcast_in_dim", "reshape", "slice", "pad", "concatenate", "flip",
     "dynamic_slice", "dynamic_update_slice", "gather", "iota", "sliding_windows")
)  # fmt: skip
_MOVES = _SHAPE_OPS - {"broadcast_in_dim", "reshape", "iota"}

Path = tuple[int, bool]


def _own_cost(eq: Equation) -> float:
    name = eq.primitive.name
    if name in _SHAPE_OPS:
        return 0.5
    if name == "threefry2x32":
        return 100.0
    if name in ("complex", "real", "imag", "conj"):
        return 0.5
    cost = float(COSTS.get(name, 4))
    return PARTS * cost if any(is_complex(a.aval.dtype) for a in eq.inputs) else cost


def is_written_out(eq: Equation) -> bool:
    """Whether a reduction is over so few elements that it is an operation on them."""
    size = math.prod(eq.outputs[0].aval.shape)
    return 0 < math.prod(eq.inputs[0].aval.shape) <= WRITTEN_OUT * size


def _same_index(eq: Equation, position: int) -> bool:
    """Whether operand `position` is read at the index of the result."""
    shape, name = eq.inputs[position].aval.shape, eq.primitive.name
    return (
        name not in _SHAPE_OPS
        and not name.startswith(("reduce_", "arg"))
        and (not shape or shape == eq.outputs[0].aval.shape)
    )


def _is_repeated(eq: Equation, position: int, lanes: bool) -> bool:
    """Whether an operand would be computed again in each trip of a loop that it does not move in.

    An operand that is broadcast along inner axes is computed before the loops over these; if they
    are short, that is once for fewer elements than a vector has `lanes`.
    """
    shape = eq.inputs[position].aval.shape
    if eq.primitive.name == "dot_general":
        ((mine, _), _) = eq.params["dimension_numbers"]
        summed = math.prod(eq.inputs[0].aval.shape[a] for a in mine)
        return bool(math.prod(eq.outputs[0].aval.shape) * summed > math.prod(shape))
    if eq.primitive.name != "broadcast_in_dim":
        return False
    places = eq.params["axes"]
    moves = [place for place, length in zip(places, shape, strict=True) if length > 1]
    out = eq.outputs[0].aval.shape
    last = max(moves, default=0)
    short = lanes and bool(moves) and 1 < math.prod(out[last + 1 :]) < FEW_LANES
    return short or any(out[a] > 1 for a in range(last) if a not in moves)


def decide(
    program: Program, opaque: Set[int], forced: Set[Var], free: Set[Var], lanes: bool = True
) -> set[Var]:
    """Return the Vars to store.

    Parameters
    ----------
    program : Program
        Simplified.
    opaque : set of int
        Numbers of the equations that are not loop nests.
    forced : set of Var
        Stored in any case.
    free : set of Var
        Reductions and others whose expressions cannot be inlined.
    lanes : bool
        Whether kernels compute vectors, and not one element a thread.
    """
    must = {a for a in program.outputs if isinstance(a, Var)} | forced | free
    for n, eq in enumerate(program.equations):
        if n in opaque:
            must.update(a for a in eq.inputs if isinstance(a, Var))
            must.update(eq.outputs)
        elif eq.primitive.name == "sliding_windows":  # each element is in several
            must.update(a for a in eq.inputs if isinstance(a, Var))
    if len(must) == 1 and not opaque and _is_plain(program):
        return must  # one loop, in which everything is read once
    _store_unshaped(program, opaque, must)
    full = _costs(program, opaque, must)
    paths = _paths(program, opaque, must, full, lanes)
    candidates = must | {v for v, at in paths.items() if _pays(full.get(v, 0.0), len(at))}
    if len(candidates) == len(must):
        return must
    # Which kernels come one after the other shows when it is known what is stored.
    paths = _paths(program, opaque, candidates, None, lanes)
    more = candidates | {v for v, at in paths.items() if _pays(full.get(v, 0.0), len(at))}
    # Forward again with exact costs: what became cheap because its operands are stored is inlined.
    if len(more) > len(candidates):
        candidates = more
        paths = _paths(program, opaque, candidates, None, lanes)
    chosen = set(must)
    costs: dict[Var, float] = {}
    for n, eq in enumerate(program.equations):
        cost = _cost(eq, costs, chosen)
        for v in eq.outputs:
            costs[v] = cost
            if n not in opaque and v in candidates and _pays(cost, len(paths.get(v, ()))):
                chosen.add(v)
    _store_unshaped(program, opaque, chosen)
    return chosen


def _is_plain(program: Program) -> bool:
    """Whether every operand is read at the index of the result."""
    for eq in program.equations:
        for position in range(len(eq.inputs)):
            if not _same_index(eq, position):
                return False
    return True


def _store_unshaped(program: Program, opaque: Set[int], stored: set[Var]) -> None:
    """Add the operands of reshapes that are stored.

    They then are computed over axes of their own, and the reshape is the same memory; else the
    place of every element in its operand would be found by divisions.  Results of the program are
    written where the caller wants them.
    """
    computed = {v for n, eq in enumerate(program.equations) if n not in opaque for v in eq.outputs}
    for eq in reversed(program.equations):
        a = eq.inputs[0] if eq.primitive.name == "reshape" else None
        out = eq.outputs[0] if eq.outputs else None
        if a in computed and out in stored and out not in program.outputs:
            stored.add(a)


def _pays(cost: float, accesses: int) -> bool:
    return accesses > 1 and cost * (accesses - 1) > BUDGET


def _cost(eq: Equation, costs: dict[Var, float], stored: Set[Var]) -> float:
    total = _own_cost(eq)
    for a in eq.inputs:
        if isinstance(a, Var):
            total += 0.5 if a in stored else costs.get(a, 0.5)
    if eq.primitive.name.startswith("reduce_") and is_written_out(eq):
        total *= math.prod(eq.inputs[0].aval.shape) / math.prod(eq.outputs[0].aval.shape)
    return min(total, 1e9)


def _costs(program: Program, opaque: Set[int], stored: Set[Var]) -> dict[Var, float]:
    costs: dict[Var, float] = {}
    for n, eq in enumerate(program.equations):
        cost = 0.5 if n in opaque else _cost(eq, costs, stored)
        for v in eq.outputs:
            costs[v] = cost
    return costs


def _order(program: Program, opaque: Set[int], stored: Set[Var]) -> dict[Var, int]:
    """Return after how many kernels, at least, the kernel of each Var can run.

    What reads a stored array elsewhere than at its own index runs after the kernel that stores it;
    reductions and broadcasts do not count, for they may share a loop over rows.
    """
    order: dict[Var, int] = {}
    leaves: dict[Var, int] = {}  # the last kernel whose stored array an expression reads
    for n, eq in enumerate(program.equations):
        name = eq.primitive.name
        elsewhere = name in _MOVES
        at, leaf = 0, -1
        for a in eq.inputs:
            if isinstance(a, Var) and a in order:
                read = order[a] if a in stored else leaves[a]
                at = max(at, order[a], read + 1 if elsewhere or n in opaque else 0)
                leaf = max(leaf, read)
        for v in eq.outputs:
            order[v], leaves[v] = at, leaf
    return order


def _paths(
    program: Program,
    opaque: Set[int],
    stored: Set[Var],
    costs: dict[Var, float] | None,
    lanes: bool,
) -> dict[Var, set[Path]]:
    """Return for each Var the index maps by which stored arrays read it.

    With `costs`, a Var that it pays to store ends the paths through it.
    """
    found: dict[Var, set[Path]] = {}
    order = _order(program, opaque, stored)
    for n in range(len(program.equations) - 1, -1, -1):
        eq = program.equations[n]
        if n in opaque:
            continue
        mine: set[Path] = set()
        for v in eq.outputs:
            at = found.get(v, set())
            ends = v in stored or (costs is not None and _pays(costs.get(v, 0.0), len(at)))
            if ends:
                # Arrays of one shape are likely to be written by one kernel, at one index.
                reduction = v.aval.shape != (eq.inputs[0].aval.shape if eq.inputs else v.aval.shape)
                kernel = id(v) if reduction else order.get(v, 0)
                mine.add((hash((v.aval.shape, kernel)), False))
            else:
                mine |= at
        name = eq.primitive.name
        for position, a in enumerate(eq.inputs):
            if not isinstance(a, Var):
                continue
            if _same_index(eq, position):
                steps = mine
            elif name == "concatenate":
                # One piece is read at any index, so the pieces count as one access.
                steps = {(hash((p, n)), True) for p, _ in mine}
            elif name == "slice":
                steps = {(p, True) if of else (hash((p, n)), False) for p, of in mine}
            else:
                times = REPEATED if _is_repeated(eq, position, lanes) else 1
                steps = {(hash((p, n, position, k)), False) for p, _ in mine for k in range(times)}
            into = found.setdefault(a, set())
            if len(into) < _MANY:
                into |= steps
    return found
