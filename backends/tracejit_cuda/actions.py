"""Actions: the steps of a plan that do one thing: launch, copy, exchange, call a library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from tracejit.ir.plan import (
    Assign,
    Callback,
    Copy,
    Launch,
    LibraryCall,
    Plan,
    Point,
    all_steps,
)
from tracejit_cuda.call import Action, Run, Words, aligned_slots
from tracejit_cuda.forms import THREADS, Form, blocks_for, choose, work
from tracejit_cuda.libraries import NATIVE_CALLS, native_call
from tracejit_cuda.native import NativeCall
from tracejit_cuda.persistent import MOST_WORDS, emit_segment
from tracejit_cuda.runtime import Function, Properties, Runtime
from tracejit_cuda.segments import Segment
from tracejit_cuda.source import Part, global_part, launch_part

__all__ = ["Actions", "Services"]

ONE_BLOCK = 1 << 14
"""Elements a step of a loop up to which one block runs the loop."""
RESIDENT_THREADS = 512
"""Threads of a block of a persistent loop: fewer blocks meet sooner."""


class Services(Protocol):
    """What an executable uses of its backend."""

    @property
    def runtime(self) -> Runtime:
        """What runs kernels."""

    @property
    def deterministic(self) -> bool:
        """Whether every run must give the same bits."""

    def functions(self, parts: Sequence[Part], device: int) -> dict[str, Function]:
        """Return loaded kernels by name; those that are new are compiled together."""

    def call_library(
        self, function: Callable[..., Any], buffers: Sequence[Any], device: int
    ) -> list[Any]:
        """Return what ``function(xp, *arrays)`` does, as buffers."""

    def call_host(
        self, function: Callable[..., Any], buffers: Sequence[Any], device: int
    ) -> list[Any]:
        """Return what ``function(numpy, *arrays)`` does on the host, as buffers."""


class Actions:
    """Makes the actions of a plan's steps, and collects the kernels that they launch.

    Parameters
    ----------
    plan : Plan
        What to run.
    services : Services
        The backend.
    device : int
        The number of the device.

    Attributes
    ----------
    parts : dict of str to Part
        The kernels, by name.
    functions : dict of str to Function
        The same, once they are loaded.
    state : buffer
        The barrier of persistent loops, and what gates trips that are run ahead.
    """

    def __init__(self, plan: Plan, services: Services, device: int) -> None:
        self.plan = plan
        self.services = services
        self.runtime = services.runtime
        self.device = device
        self.properties: Properties = self.runtime.properties(device)
        self.parts: dict[str, Part] = {}
        self.functions: dict[str, Function] = {}
        self.state: Any = None
        self._aligned = aligned_slots(plan)
        self._forms: dict[Launch, Form] = {}

    def form(self, s: Launch) -> Form:
        """Return the form in which a launch runs."""
        if s not in self._forms:
            elements = max((self.plan.slots[n].aval.size for n in s.slots), default=1)
            self._forms[s] = choose(
                self.plan.kernels[s.kernel],
                s.sizes,
                [self._aligned[n] for n in s.slots],
                elements,
                self.properties.multiprocessors,
            )
        return self._forms[s]

    def add(self, part: Part) -> str:
        """Collect a kernel; return its name."""
        self.parts[part.name] = part
        return part.name

    def launch(self, s: Launch, gated: bool) -> Action:
        """Return the launch of a kernel of the plan."""
        kernel, form = self.plan.kernels[s.kernel], self.form(s)
        blocks = blocks_for(kernel, form, s.sizes, self.properties.multiprocessors)
        name = self.add(launch_part(kernel, form, gated))
        words = Words(int(gated), s.slots, [*s.sizes, *map(float, s.floats)])
        threads = form.threads

        def act(run: Run) -> None:
            arguments = words.fill(run.places, (run.gate,) if gated else ())
            self.runtime.launch(
                self.functions[name], blocks, threads, 0, arguments, self.device
            )

        return act

    def segment(self, segment: Segment, gated: bool) -> Action | None:
        """Return the launch of a kernel that takes many steps; ``None`` if they are too many."""
        launches = [s for s in all_steps(segment.steps) if isinstance(s, Launch)]
        largest = max((work(self.plan.kernels[s.kernel], s.sizes) for s in launches), default=1)
        copied = max(
            (s.nbytes // 8 for s in all_steps(segment.steps) if isinstance(s, Copy)), default=1
        )
        single = max(largest, copied // 4) <= ONE_BLOCK
        most = max(largest, 1)
        threads = min(1024, max(32, -(-most // 32) * 32)) if single else RESIDENT_THREADS
        forms = {s: self.form(s) for s in launches}
        # A block that keeps rows in registers needs the threads that it was cut for.
        threads = max([threads, *(f.threads for f in forms.values() if f.keeps)])
        code = emit_segment(self.plan, segment, forms, threads, single, gated)
        prefix = 1 + int(gated)
        if prefix + len(code.slots) + len(code.numbers) > MOST_WORDS:
            return None
        name = self.add(code.part)
        words = Words(prefix, code.slots, code.numbers)
        wanted = max(
            (
                blocks_for(
                    self.plan.kernels[s.kernel],
                    forms[s]._replace(threads=threads),
                    s.sizes,
                    self.properties.multiprocessors,
                )
                for s in launches
            ),
            default=1,
        )

        def act(run: Run) -> None:
            state = self.runtime.address(self.state)
            first = (state, run.gate) if gated else (state,)
            arguments = words.fill(run.places, first)
            function = self.functions[name]
            blocks = 1
            if not single:
                resident = self.runtime.resident_blocks(
                    function, threads, code.shared, self.device
                )
                blocks = max(1, min(wanted, resident))
            self.runtime.launch(
                function,
                blocks,
                threads,
                code.shared,
                arguments,
                self.device,
                cooperative=blocks > 1,
            )

        return act

    # -------------------------------------------------------------------- moves

    def copy(self, s: Copy, gated: bool) -> Action:
        """Return a copy of bytes."""
        target, source, nbytes = s
        if not gated:
            runtime, device = self.runtime, self.device

            def act(run: Run) -> None:
                to, of = run.places[target], run.places[source]
                if to != of and nbytes:
                    runtime.copy(to, of, nbytes, device)

            return act
        gate = self._gated_copy(nbytes)
        return lambda run: gate(run, run.places[target], run.places[source])

    def _gated_copy(self, nbytes: int) -> Callable[[Run, int, int], None]:
        name = self.add(_COPY)
        words = Words(3, (), (nbytes,))
        blocks = max(1, min(-(-nbytes // 4096), self.properties.multiprocessors * 8))

        def act(run: Run, target: int, source: int) -> None:
            arguments = words.fill((), (run.gate, target, source))
            self.runtime.launch(
                self.functions[name], blocks, THREADS, 0, arguments, self.device
            )

        return act

    def assign(self, s: Assign) -> Action:
        """Return an exchange of pointers."""
        targets, sources = s

        def act(run: Run) -> None:
            places = run.places
            moved = [places[n] for n in sources]
            for n, place in zip(targets, moved, strict=True):
                places[n] = place

        return act

    def point(self, s: Point) -> Action:
        """Return the setting of a pointer by the number of the trip."""
        target, base, stride, reverse = s

        def act(run: Run) -> None:
            trip, count = run.trip
            at = count - 1 - trip if reverse else trip
            run.places[target] = run.places[base] + at * stride

        return act

    # ---------------------------------------------------------------- libraries

    def library(self, s: LibraryCall, gated: bool) -> list[Action]:
        """Return the actions of a library call."""
        if s.name in NATIVE_CALLS:
            dtypes = [self.plan.slots[n].aval.dtype for n in s.slots]
            native = native_call(s, dtypes, self.properties, self.services.deterministic)
            return [self._native(s, native, gated)]
        if s.name != "matmul":
            raise ValueError(f"there is no library call {s.name!r}")
        batch, m, n, k, transpose_a, transpose_b = s.params
        left = (batch, k, m) if transpose_a else (batch, m, k)
        right = (batch, n, k) if transpose_b else (batch, k, n)

        def product(xp: Any, a: Any, b: Any, *out: Any) -> list[Any]:
            a, b = a.reshape(left), b.reshape(right)
            a = a.swapaxes(1, 2) if transpose_a else a
            b = b.swapaxes(1, 2) if transpose_b else b
            if not out:
                return [xp.matmul(a, b)]
            xp.matmul(a, b, out=out[0].reshape(batch, m, n))
            return list(out)

        inputs = s.slots[:2] if gated else s.slots
        call = self.services.call_library
        return [self._evaluated(s.name, product, inputs, s.slots[2:], gated, call)]

    def _native(self, s: LibraryCall, call: NativeCall, gated: bool) -> Action:
        """Return the launches of a library call that kernels of ours answer."""
        runtime, device = self.runtime, self.device
        prefix = int(gated)
        parts = []
        for launch in call.launches:
            scratch = launch.values("scratch")
            slots = [s.slots[n] for n in launch.values("slot")]
            words = Words(prefix + len(scratch), slots, launch.values("long"))
            parts.append((launch, self.add(launch.part(gated)), scratch, words))

        def act(run: Run) -> None:
            first: tuple[int, ...] = (run.gate,) if gated else ()
            start = 0
            if call.scratch_bytes:
                held = runtime.empty((call.scratch_bytes,), _BYTE, device)
                run.kept.append(held)
                start = runtime.address(held)
            for launch, name, scratch, words in parts:
                arguments = words.fill(run.places, (*first, *(start + n for n in scratch)))
                runtime.launch(
                    self.functions[name], launch.blocks, launch.threads, 0, arguments, device
                )

        return act

    def callback(self, s: Callback, gated: bool) -> Action:
        """Return the call of a function over the device's array namespace, or the host's."""
        assert not (s.host and gated), "a function of the user is never run ahead"
        call = self.services.call_host if s.host else self.services.call_library
        return self._evaluated(s.name, s.function, s.inputs, s.outputs, gated, call)

    def _evaluated(
        self,
        name: str,
        function: Callable[..., Any],
        inputs: Sequence[int],
        outputs: Sequence[int],
        gated: bool,
        call: Callable[..., list[Any]],
    ) -> Action:
        """Return a call of a library: its results are copied to their places."""
        avals = [self.plan.slots[n].aval for n in inputs]
        wanted = [self.plan.slots[n].aval for n in outputs]
        copies = [self._gated_copy(a.nbytes) for a in wanted] if gated else []
        runtime, device = self.runtime, self.device

        def act(run: Run) -> None:
            arrays = [
                runtime.view(run.places[n], a.shape, a.dtype, device, run)
                for n, a in zip(inputs, avals, strict=True)
            ]
            results = call(function, arrays, device)
            if len(results) != len(wanted):
                raise ValueError(f"{name} must return {len(wanted)} arrays; got {len(results)}")
            for number, (result, aval) in enumerate(zip(results, wanted, strict=True)):
                if result.size != aval.size or result.dtype != aval.dtype:
                    raise ValueError(
                        f"{name}: a library must return an array of {aval}; got shape "
                        f"{result.shape} and dtype {result.dtype}"
                    )
                target, source = run.places[outputs[number]], runtime.address(result)
                if gated:
                    copies[number](run, target, source)
                elif aval.nbytes and target != source:
                    runtime.copy(target, source, aval.nbytes, device)
            run.kept.append(results)

        return act


_BYTE = np.dtype(np.uint8)
_COPY = global_part(
    "copy",
    ["if (*a.go) tj_copy((int)blockIdx.x, (int)gridDim.x, a.target, a.source, a.nbytes);"],
    [
        ("const bool*", "go"),
        ("char*", "target"),
        ("const char*", "source"),
        ("long long", "nbytes"),
    ],
    THREADS,
    (),
)
