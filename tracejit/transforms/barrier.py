"""optimization_barrier: values that the compiler does not recognise as those they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.core.primitive import define
from tracejit.core.pytree import tree_flatten, tree_unflatten
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Equation
from tracejit.transforms.dce import dce_rules, separate

__all__ = ["barrier_p", "optimization_barrier"]


def optimization_barrier(operand: Any) -> Any:
    """Return `operand`, of which the compiler does not know that it is the same.

    What is computed from the result is not merged with what is computed from `operand`, so that
    :func:`~tracejit.checkpoint` computes again what it shall not store.

    Parameters
    ----------
    operand : pytree of arrays
        The values.

    Returns
    -------
    pytree of arrays
        The same values; compiled, they cost nothing.
    """
    leaves, treedef = tree_flatten(operand)
    return tree_unflatten(treedef, barrier_p.bind(*leaves)) if leaves else operand


def _jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    given = iter(barrier_p.bind(*(t for t in tangents if not isinstance(t, Zero))))
    return barrier_p.bind(*primals), [t if isinstance(t, Zero) else next(given) for t in tangents]


def _transpose(cts: Sequence[Any], *operands: Any) -> list[Any]:
    del operands
    given = iter(barrier_p.bind(*(ct for ct in cts if not isinstance(ct, Zero))))
    return [ct if isinstance(ct, Zero) else next(given) for ct in cts]


def _batch(
    operands: Sequence[Any], axes: Sequence[int | None]
) -> tuple[list[Any], list[int | None]]:
    return barrier_p.bind(*operands), list(axes)


def _shape(*avals: ShapedArray) -> list[ShapedArray]:
    return list(avals)


def _dce(equation: Equation, live: tuple[bool, ...]) -> Equation:
    keep = [n for n, flag in enumerate(live) if flag]
    return equation._replace(
        inputs=tuple(equation.inputs[n] for n in keep),
        outputs=tuple(equation.outputs[n] for n in keep),
    )


barrier_p = define(
    "optimization_barrier",
    multiple=True,
    keeps_weak=False,
    impl=lambda xp, *arrays: list(arrays),
    shape=_shape,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    lower="the compiler removes it once repeated equations are merged",
)
dce_rules[barrier_p] = _dce
separate.add(barrier_p)
