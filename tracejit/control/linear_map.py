"""``linear_map``: a linear function whose transpose, or derivative, is given.

Residuals come first, then tangents, in which it is linear.  Such are the derivative of a function
whose user gave a backward rule, which is its transpose, and the solution of linear equations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.control.interpret import interpret
from tracejit.control.keyed import Keyed
from tracejit.control.programs import arranged, callees
from tracejit.core.errors import MissingRuleError
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program
from tracejit.ops._pointwise import add
from tracejit.transforms.batching import (
    axis_in_progress,
    batch_flat,
    batch_program,
    force_axis,
    lanes_aval,
)
from tracejit.transforms.jvp import instantiate_zero, jvp_program
from tracejit.transforms.stage import evaluate

__all__ = ["LinearMap", "apply_linear", "linear_map_p"]


class LinearMap(Keyed):
    """A function of residuals and tangents, linear in these, and its transpose.

    Attributes
    ----------
    in_avals : tuple of ShapedArray
        Of the tangents.
    out_avals : tuple of ShapedArray
        Of the results.
    n_aux : int
        How many of the last results are no part of the map: their derivatives are zero.
    """

    in_avals: tuple[ShapedArray, ...]
    out_avals: tuple[ShapedArray, ...]
    n_aux: int = 0

    def forward(self) -> Program:
        """Return the Program of residuals and tangents; the same one at each call."""
        raise NotImplementedError

    def backward(self, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        """Return the cotangents of the tangents, perhaps Zero, of cotangents, perhaps Zero."""
        raise NotImplementedError

    def jvp(
        self,
        residuals: Sequence[Any],
        changes: Sequence[Any],
        tangents: Sequence[Any],
        directions: Sequence[Any],
        outs: Sequence[Any],
    ) -> list[Any]:
        """Return the derivatives of `outs`, perhaps Zero.

        Parameters
        ----------
        residuals, tangents : sequence of values
            The operands.
        changes, directions : sequence of values or Zero
            Their tangents; some are not Zero.
        outs : sequence of values
            The results.
        """
        found: list[Any] = [Zero(aval) for aval in self.out_avals]
        if not all(isinstance(t, Zero) for t in directions):
            found = apply_linear(self, residuals, [instantiate_zero(t) for t in directions])
        flags = [not isinstance(t, Zero) for t in changes]
        if any(flags):
            both, nonzero = jvp_program(self.forward(), [*flags, *[False] * len(directions)])
            only, constants = arranged(both, None, range(len(outs), len(both.outputs)))
            given = [t for t, flag in zip(changes, flags, strict=True) if flag]
            more = iter(evaluate(only, [*constants, *residuals, *tangents, *given]))
            for n, flag in enumerate(nonzero):
                if flag:
                    t = next(more)
                    found[n] = t if isinstance(found[n], Zero) else add(found[n], t)
        return found


class _Lanes(LinearMap):
    """A map on all lanes: tangents and results have the batch axis in front."""

    def __init__(self, base: LinearMap, size: int, axes: tuple[int | None, ...], name: Any) -> None:
        super().__init__((base, size, axes, name))
        self.base = base
        self.size = size
        self.axes = axes  # of the residuals
        self.name = name
        self.in_avals = tuple(lanes_aval(a, 0, size) for a in base.in_avals)
        self.out_avals = tuple(lanes_aval(a, 0, size) for a in base.out_avals)
        self.n_aux = base.n_aux
        self.__name__ = f"{getattr(base, '__name__', 'linear')}_vmap"

    def forward(self) -> Program:
        axes = (*self.axes, *(0 for _ in self.in_avals))
        outs = (0,) * len(self.out_avals)
        return batch_program(self.base.forward(), self.size, axes, outs, self.name)[0]

    def backward(self, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        count = len(residuals)
        nonzero: list[bool] = []

        def lane(*args: Any) -> list[Any]:
            given = iter(args[count:])
            every = [
                Zero(aval) if isinstance(ct, Zero) else next(given)
                for ct, aval in zip(cts, self.base.out_avals, strict=True)
            ]
            found = self.base.backward(args[:count], every)
            nonzero[:] = [not isinstance(x, Zero) for x in found]
            return [x for x in found if not isinstance(x, Zero)]

        given = [ct for ct in cts if not isinstance(ct, Zero)]
        axes = [*self.axes, *(0 for _ in given)]
        outs, out_axes = batch_flat(lane, self.size, axes, [*residuals, *given], self.name)
        found = iter(zip(outs, out_axes, strict=True))
        return [
            force_axis(*next(found), 0, self.size) if flag else Zero(aval)
            for flag, aval in zip(nonzero, self.in_avals, strict=True)
        ]

    def jvp(
        self,
        residuals: Sequence[Any],
        changes: Sequence[Any],
        tangents: Sequence[Any],
        directions: Sequence[Any],
        outs: Sequence[Any],
    ) -> list[Any]:
        nonzero: list[bool] = []
        parts = (residuals, tangents, outs, changes, directions)
        axes = [*self.axes, *[0] * (len(tangents) + len(outs)), *self.axes, *[0] * len(directions)]
        every = [x for part in parts for x in part]
        kept = [n for n, x in enumerate(every) if not isinstance(x, Zero)]

        def lane(*args: Any) -> list[Any]:
            given = dict(zip(kept, args, strict=True))
            found = [given.get(n, every[n]) for n in range(len(every))]
            rest = iter(found)
            one = [[next(rest) for _ in part] for part in parts]
            # A Zero of a lane has the type of a lane: of the residual, or the tangent.
            one[3] = [
                Zero(get_aval(x)) if isinstance(t, Zero) else t
                for x, t in zip(one[0], one[3], strict=True)
            ]
            one[4] = [
                Zero(aval) if isinstance(t, Zero) else t
                for aval, t in zip(self.base.in_avals, one[4], strict=True)
            ]
            found = self.base.jvp(one[0], one[3], one[1], one[4], one[2])
            nonzero[:] = [not isinstance(x, Zero) for x in found]
            return [x for x in found if not isinstance(x, Zero)]

        found, found_axes = batch_flat(
            lane, self.size, [axes[n] for n in kept], [every[n] for n in kept], self.name
        )
        each = iter(zip(found, found_axes, strict=True))
        return [
            force_axis(*next(each), 0, self.size) if flag else Zero(aval)
            for flag, aval in zip(nonzero, self.out_avals, strict=True)
        ]


def apply_linear(linear: LinearMap, residuals: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
    """Apply a map, as one equation.

    Parameters
    ----------
    linear : LinearMap
        The map.
    residuals : sequence of values
        What it depends on.
    tangents : sequence of values
        What it is linear in.
    """
    if not linear.out_avals:
        return []
    if not linear.in_avals:
        return [instantiate_zero(Zero(aval)) for aval in linear.out_avals]
    found: list[Any] = linear_map_p.bind(*residuals, *tangents, linear=linear)
    return found


def _linear_shape(*avals: ShapedArray, linear: LinearMap) -> list[ShapedArray]:
    del avals
    return list(linear.out_avals)


def _linear_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, linear: LinearMap
) -> tuple[list[Any], list[Any]]:
    count = len(primals) - len(linear.in_avals)
    outs = apply_linear(linear, primals[:count], primals[count:])
    found = linear.jvp(
        primals[:count], tangents[:count], primals[count:], tangents[count:], outs
    )
    kept = len(outs) - linear.n_aux
    return outs, [*found[:kept], *(Zero(aval) for aval in linear.out_avals[kept:])]


def _linear_transpose(
    cts: Sequence[Any], *operands: Any, linear: LinearMap
) -> list[Any]:
    count = len(operands) - len(linear.in_avals)
    residuals = operands[:count]
    if any(isinstance(x, Linear) for x in residuals):
        raise MissingRuleError(
            "there is no transposition of a custom derivative by the values that it was taken at: "
            "it is linear in the tangents only"
        )
    return [*[None] * count, *linear.backward(residuals, cts)]


def _linear_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, linear: LinearMap
) -> tuple[list[Any], list[int]]:
    size = next(get_aval(x).shape[b] for x, b in zip(operands, axes, strict=True) if b is not None)
    count = len(operands) - len(linear.in_avals)
    lanes = _Lanes(linear, size, tuple(axes[:count]), axis_in_progress(size))
    tangents = [
        force_axis(x, axis, 0, size)
        for x, axis in zip(operands[count:], axes[count:], strict=True)
    ]
    outs = apply_linear(lanes, operands[:count], tangents)
    return outs, [0] * len(outs)


linear_map_p: Primitive = define(
    "linear_map",
    multiple=True,
    control=True,
    keeps_weak=False,
    impl=lambda xp, *arrays, linear: interpret(xp, linear.forward(), arrays),
    shape=_linear_shape,
    jvp=_linear_jvp,
    transpose=_linear_transpose,
    batch=_linear_batch,
    lower="its equations are inlined by the compiler",
)
callees[linear_map_p] = lambda avals, params: params["linear"].forward()
