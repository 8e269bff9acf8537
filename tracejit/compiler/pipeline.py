"""The compiler as a list: Program -> simplify -> canonicalise -> blocks -> plan.

==============  =========================================================  ================
repeats         equal steps in a row: a few of them are compiled           ``repeats.py``
simplify        inline calls; drop repeated and dead equations             ``simplify.py``
hoist           what is the same in each trip of a loop, before it         ``invariant.py``
canonicalise    contractions into the form of a matrix library             ``contract.py``
split sums      sums of complex numbers into those of their parts          ``complex_sums.py``
decide          what is stored, and what is recomputed where it is read    ``fuse.py``
lower           equations into loaders, what has no loops set apart        ``blocks.py``
split regions   piecewise domains cut into boxes                           ``regions.py``
group           tasks of one domain into one kernel                        ``group.py``
schedule        loop order, vectors, blocks of long reductions             ``schedule.py``
recurrences     loops over a few scalars into one kernel each              ``recurrence.py``
plan memory     in-place writes, the arena, the buffers of loops           ``memory.py``
assemble        slots, kernels, steps                                      ``assemble.py``
split parts     complex elements into real and imaginary parts             ``parts.py``
lift            sizes and literals become arguments                        ``lift.py``
==============  =========================================================  ================
"""

from __future__ import annotations

from collections.abc import Sequence

from tracejit.compiler.assemble import assemble
from tracejit.compiler.blocks import build_block
from tracejit.compiler.complex_sums import split_sums
from tracejit.compiler.contract import canonicalise
from tracejit.compiler.invariant import hoist
from tracejit.compiler.repeats import equal_trips, plan_of_trips
from tracejit.compiler.simplify import simplify
from tracejit.ir.plan import Plan
from tracejit.ir.program import Program
from tracejit.ir.target import Target

__all__ = ["compile_program", "prepare"]


def prepare(program: Program) -> Program:
    """Return `program` simplified, with canonical contractions and real sums."""
    simple = simplify(program)
    moved = hoist(simple)
    return split_sums(canonicalise(simple if moved is simple else simplify(moved)))


def compile_program(program: Program, target: Target, donated: Sequence[bool] = ()) -> Plan:
    """Return the plan of a Program.

    Parameters
    ----------
    program : Program
        What to compute.
    target : Target
        What runs it.
    donated : sequence of bool
        Which inputs may be overwritten.
    """

    def compiled(whole: Program) -> Plan:
        return assemble(whole.name, build_block(prepare(whole), target), target, donated)

    trips = equal_trips(program) if target.kind == "cpu" else None
    repeated = None if trips is None else plan_of_trips(trips, compiled)
    return compiled(program) if repeated is None else repeated
