"""A plan made native: its kernels loaded, its steps as work to enqueue on one stream."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.ir.plan import Plan
from tracejit_cuda.actions import Services
from tracejit_cuda.call import Run
from tracejit_cuda.control import STATE_WORDS, Control
from tracejit_cuda.source import unit

__all__ = ["CudaExecutable"]


class CudaExecutable:
    """Runs a plan; may be called from several threads at once.

    Parameters
    ----------
    plan : Plan
        What to run.
    services : Services
        The backend.
    device : int
        The number of the device.
    """

    def __init__(self, plan: Plan, services: Services, device: int) -> None:
        self.plan = plan
        self.services = services
        self.runtime = services.runtime
        self.device = device
        self._lock = threading.RLock()  # a callback may call the same function
        self.constants = [self._upload(c) for c in plan.constants]
        control = Control(plan, services, device)
        self._actions = control.compile(plan.steps)
        self.source = unit(control.parts.values())
        control.functions = services.functions(tuple(control.parts.values()), device)
        control.state = self.runtime.upload(STATE_WORDS, device)
        self.control = control
        self._start = [
            self.runtime.address(self.constants[s.number]) if s.kind == "constant" else 0
            for s in plan.slots
        ]

    def _upload(self, constant: Any) -> Any:
        buf = getattr(constant, "buf", constant)
        if isinstance(buf, (np.ndarray, np.generic, int, float, bool)):
            return self.runtime.upload(np.asarray(buf, order="C"), self.device)
        return buf

    def __call__(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Enqueue the plan on buffers of the device.

        Parameters
        ----------
        inputs, outputs : sequence of buffers
            Of the shapes and dtypes of the plan; inputs may be host arrays, which are copied.
        """
        runtime = self.runtime
        run = Run(self._start.copy(), self.device)
        places = run.places
        ready = [
            runtime.upload(x, self.device) if isinstance(x, np.ndarray) else x for x in inputs
        ]
        address = runtime.address
        arena = 0
        if self.plan.arena_bytes:
            held = runtime.empty((self.plan.arena_bytes,), _BYTE, self.device)
            run.kept.append(held)
            arena = address(held)
        for n, s in enumerate(self.plan.slots):
            kind = s.kind
            if kind == "input":
                places[n] = address(ready[s.number])
            elif kind == "output":
                places[n] = address(outputs[s.number])
            elif kind == "arena":
                places[n] = arena + s.number
        with self._lock:
            runtime.label = self.plan.name
            for action in self._actions:
                action(run)

    def text(self, stage: str) -> str:
        """Return the source of the plan's kernels as ``"cuda"``."""
        if stage != "cuda":
            raise ValueError(f"the stage of this backend is 'cuda'; got {stage!r}")
        return self.source


_BYTE = np.dtype(np.uint8)
