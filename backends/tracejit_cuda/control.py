"""Control: loops and branches that the host runs, because a library takes part in them.

Nothing waits for the device but what must see a flag.  A loop of known length is enqueued, most of
it by replaying a recorded graph.  A loop that goes on while a flag holds runs ahead of the flag in
batches of trips: what would be a trip too many finds its gate closed and writes nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from tracejit.ir.plan import (
    Assign,
    Branch,
    Callback,
    Copy,
    Launch,
    LibraryCall,
    Point,
    Repeat,
    Step,
    While,
    all_steps,
)
from tracejit_cuda.actions import Actions
from tracejit_cuda.call import Action, Run, Words
from tracejit_cuda.segments import Segment, find_segments, is_device_only
from tracejit_cuda.source import global_part

__all__ = ["STATE_WORDS", "Control"]

MOST_AHEAD = 64
"""Trips that run ahead of a flag that the host has not seen."""
REPLAYED = 8
"""Trips of a loop from which they are recorded as a graph."""
# The state of an executable, in bytes: the barrier, the gate and its count, an open gate.
_GATE_AT, _OPEN_AT = 128, 192
STATE_WORDS = np.zeros(64, np.uint32)
STATE_WORDS[_OPEN_AT // 4] = 1


class Control(Actions):
    """Makes the actions of all steps."""

    def compile(self, steps: Sequence[Step], gated: bool = False) -> list[Action]:
        """Return the actions of steps; if `gated`, they do nothing where the gate is closed."""
        actions: list[Action] = []
        for item in find_segments(steps):
            actions += self._action(item, gated)
        return actions

    def _action(self, s: Step | Segment, gated: bool) -> list[Action]:
        if isinstance(s, Segment):
            kernel = self.segment(s, gated)
            if kernel is None:
                return [a for inner in s.steps for a in self._action(inner, gated)]
            moves = [self.assign(x) for x in s.steps if isinstance(x, Assign)]
            return [kernel, *moves]
        if isinstance(s, Launch):
            return [self.launch(s, gated)] if s.rows else []
        if isinstance(s, Copy):
            return [self.copy(s, gated)]
        if isinstance(s, Assign):
            return [self.assign(s)]
        if isinstance(s, Point):
            return [self.point(s)]
        if isinstance(s, Repeat):
            return [self._repeat(s, gated)]
        if isinstance(s, While):
            return [self._while(s, gated)]
        if isinstance(s, Branch):
            return [self._branch(s, gated)]
        if isinstance(s, LibraryCall):
            return self.library(s, gated)
        assert isinstance(s, Callback)
        return [self.callback(s, gated)]

    # ------------------------------------------------------------------ control

    def _repeat(self, s: Repeat, gated: bool) -> Action:
        count = s.count
        body = self.compile(s.body, gated)
        replayable = not gated and _replayable(s.body)

        def trips(run: Run, first: int, last: int) -> None:
            for trip in range(first, last):
                run.trip = (trip, count)
                for action in body:
                    action(run)

        def act(run: Run) -> None:
            outer = run.trip
            done = 0
            if replayable and count > REPLAYED:
                done = self._replay(run, count, trips)
            trips(run, done, count)
            run.trip = outer

        return act

    def _replay(
        self, run: Run, count: int, trips: Callable[[Run, int, int], None]
    ) -> int:
        """Run most trips of a loop from a graph; return how many are done.

        Pointers that are exchanged come back after a few trips: as many make the graph.
        """
        seen = [tuple(run.places)]
        for done in range(1, REPLAYED // 2 + 1):
            trips(run, done - 1, done)
            now = tuple(run.places)
            if now in seen:
                period = len(seen) - seen.index(now)
                record = functools.partial(trips, run, 0, period)
                graph = self.runtime.capture(record, self.device)
                times = (count - done) // period
                for _ in range(times):
                    graph.launch()
                return done + times * period
            seen.append(now)
        return done

    def _while(self, s: While, gated: bool) -> Action:
        ahead = not gated and _runs_ahead((*s.condition, *s.body))
        condition = self.compile(s.condition, ahead or gated)
        body = self.compile(s.body, ahead or gated)
        if ahead:
            return self._while_ahead(s, condition, body)
        runtime, device, predicate = self.runtime, self.device, s.predicate

        def act(run: Run) -> None:
            outer = run.trip
            trip = 0
            while True:
                run.trip = (trip, 0)
                for action in condition:
                    action(run)
                if not runtime.peek(run.places[predicate], _BOOL, device):
                    break
                for action in body:
                    action(run)
                trip += 1
            run.trip = outer

        return act

    def _while_ahead(
        self, s: While, condition: Sequence[Action], body: Sequence[Action]
    ) -> Action:
        """Return a loop that looks at its flag after 1, 2, 4, ... trips.

        The gate closes at the first false flag; it counts the trips before.
        """
        name = self.add(_GATE)
        words = Words(2, (s.predicate,), ())
        runtime, device = self.runtime, self.device

        def act(run: Run) -> None:
            outer = run.trip
            gate = runtime.address(self.state) + _GATE_AT
            run.gate = gate
            trip, batch = 0, 1
            while True:
                # The gate is open, and no trip is counted.
                runtime.copy(gate, gate - _GATE_AT + _OPEN_AT, 8, device)
                ends = []
                for _ in range(batch):
                    run.trip = (trip, 0)
                    for action in condition:
                        action(run)
                    arguments = words.fill(run.places, (gate, gate + 4))
                    runtime.launch(self.functions[name], 1, 32, 0, arguments, device)
                    ends.append(run.places.copy())
                    for action in body:
                        action(run)
                    trip += 1
                counted = int(runtime.peek(gate + 4, _INT32, device))
                if counted < batch:
                    run.places[:] = ends[counted]
                    break
                batch = min(2 * batch, MOST_AHEAD)
            run.gate = 0
            run.trip = outer

        return act

    def _branch(self, s: Branch, gated: bool) -> Action:
        branches = [self.compile(steps, gated) for steps in s.branches]
        runtime, device, index = self.runtime, self.device, s.index

        def act(run: Run) -> None:
            chosen = int(runtime.peek(run.places[index], _INT32, device))
            for action in branches[min(max(chosen, 0), len(branches) - 1)]:
                action(run)

        return act


_BOOL = np.dtype(np.bool_)
_INT32 = np.dtype(np.int32)
_GATE = global_part(
    "gate",
    ["if (threadIdx.x == 0) { const bool go = *a.go && *a.flag; *a.go = go; *a.count += go; }"],
    [("bool*", "go"), ("int*", "count"), ("const bool*", "flag")],
    32,
    (),
)


def _replayable(steps: Sequence[Step]) -> bool:
    """Whether all trips enqueue the same work, up to exchanged pointers, and none asks the host."""
    return all(
        isinstance(s, (Launch, Copy, Assign)) or (isinstance(s, LibraryCall) and s.name == "matmul")
        for s in all_steps(tuple(steps))
    )


def _runs_ahead(steps: Sequence[Step]) -> bool:
    """Whether steps never wait for the host: loops and branches inside are the device's alone.

    Nor may a function of the user be called for a trip that is then thrown away.
    """
    return all(
        is_device_only((s,))
        if isinstance(s, (While, Branch))
        else not (isinstance(s, Callback) and s.host)
        for s in all_steps(tuple(steps))
    )
