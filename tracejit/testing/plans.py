"""A slow interpreter of Plans: what a backend must compute, with every access checked.

It runs the compiler's output without a backend, so that a test can tell an error of the compiler
from one of code generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.array import host_array
from tracejit.ir.plan import (
    Assign,
    Branch,
    Callback,
    Copy,
    Launch,
    LibraryCall,
    Plan,
    Point,
    Repeat,
    Step,
    While,
)
from tracejit.testing.kernels import run_kernel
from tracejit.testing.libraries import run_library

__all__ = ["run_plan"]

Place = tuple[np.ndarray[Any, Any], int]


def run_plan(plan: Plan, inputs: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    """Return the outputs of `plan` on host arrays, which are not changed.

    Parameters
    ----------
    plan : Plan
        From :func:`tracejit.compiler.pipeline.compile_program`.
    inputs : sequence of array_like
        One an input, of its shape and dtype.
    """
    return _Run(plan, inputs).outputs()


class _Run:
    def __init__(self, plan: Plan, inputs: Sequence[Any]) -> None:
        self.plan = plan
        self.results = [np.full(a.shape, 85, np.uint8).astype(a.dtype) for a in plan.outputs]
        arrays = [
            np.array(host_array(x), a.dtype) for x, a in zip(inputs, plan.inputs, strict=True)
        ]
        # Fresh memory is full of a pattern, so that reading what was never written shows.
        arena = np.full(plan.arena_bytes, 0xA5, np.uint8)
        constants = [np.array(host_array(c)) for c in plan.constants]
        self.places: list[Place | None] = []
        for slot in plan.slots:
            if slot.kind == "arena":
                self.places.append((arena, slot.number))
            elif slot.kind == "pointer":
                self.places.append(None)
            else:
                source = {"input": arrays, "output": self.results, "constant": constants}
                array = source[slot.kind][slot.number]
                self.places.append((array.reshape(-1).view(np.uint8), 0))

    def outputs(self) -> list[np.ndarray[Any, Any]]:
        self.run(self.plan.steps, 0, 0)
        return self.results

    def view(self, number: int) -> np.ndarray[Any, Any]:
        """Return the elements in a slot, flat."""
        place = self.places[number]
        assert place is not None, f"slot {number} is read before it points anywhere"
        memory, offset = place
        aval = self.plan.slots[number].aval
        assert offset + aval.nbytes <= memory.size, f"slot {number} reaches beyond its memory"
        return memory[offset : offset + aval.nbytes].view(aval.dtype)

    def run(self, steps: Sequence[Step], trip: int, count: int) -> None:
        for step in steps:
            if isinstance(step, Launch):
                kernel = self.plan.kernels[step.kernel]
                # A pointer may stand for a value of another dtype of the same width, and kernels
                # see complex numbers as pairs.
                buffers = [
                    self.view(n).view(p.dtype)
                    for n, p in zip(step.slots, kernel.buffers, strict=True)
                ]
                run_kernel(kernel, buffers, step.sizes, step.floats, 0, step.rows)
            elif isinstance(step, Copy):
                self._copy(step)
            elif isinstance(step, Assign):
                moved = [self.places[n] for n in step.sources]
                for target, place in zip(step.targets, moved, strict=True):
                    self.places[target] = place
            elif isinstance(step, Point):
                place = self.places[step.base]
                assert place is not None
                at = count - 1 - trip if step.reverse else trip
                self.places[step.target] = (place[0], place[1] + at * step.stride)
            elif isinstance(step, Repeat):
                for t in range(step.count):
                    self.run(step.body, t, step.count)
            elif isinstance(step, While):
                self._while(step)
            elif isinstance(step, Branch):
                chosen = int(self.view(step.index)[0])
                self.run(step.branches[min(max(chosen, 0), len(step.branches) - 1)], trip, count)
            elif isinstance(step, Callback):
                self._callback(step)
            else:
                self._library(step)

    def _copy(self, step: Copy) -> None:
        target, source = self.places[step.target], self.places[step.source]
        assert target is not None
        assert source is not None
        moved = source[0][source[1] : source[1] + step.nbytes].copy()
        assert moved.size == step.nbytes
        target[0][target[1] : target[1] + step.nbytes] = moved

    def _while(self, step: While) -> None:
        trip = 0
        while True:
            self.run(step.condition, trip, 0)
            if not self.view(step.predicate)[0]:
                return
            self.run(step.body, trip, 0)
            trip += 1

    def _callback(self, step: Callback) -> None:
        slots = self.plan.slots
        arrays = [self.view(n).reshape(slots[n].aval.shape) for n in step.inputs]
        for array in arrays:
            array.flags.writeable = False
        for n, result in zip(step.outputs, step.function(np, *arrays), strict=True):
            self.view(n)[:] = np.asarray(result).reshape(-1)

    def _library(self, step: LibraryCall) -> None:
        run_library(step.name, step.params, [self.view(n) for n in step.slots])
