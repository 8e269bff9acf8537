"""Assemble a Plan: place the values of a Block in memory, number the kernels, write the steps.

What a loop stacks is written straight to its place, what it scans is read from it; for what it
carries see :mod:`tracejit.compiler.carry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.compiler.carry import Carry
from tracejit.compiler.estimate import nanoseconds
from tracejit.compiler.libraries import library_call, of_sort
from tracejit.compiler.lift import lift
from tracejit.compiler.memory import (
    Arena,
    Takeovers,
    by_end,
    draft_values,
    in_place_pairs,
    last_uses,
)
from tracejit.compiler.parts import separated
from tracejit.compiler.recurrence import recurrent
from tracejit.compiler.schedule import Draft, schedule
from tracejit.compiler.values import Block, Group, Opaque, Value
from tracejit.core.primitive import impl
from tracejit.ir import scalar as s
from tracejit.ir.avals import ShapedArray
from tracejit.ir.kernel import Kernel, Store, expressions, statements
from tracejit.ir.plan import (
    Assign,
    Branch,
    Callback,
    Copy,
    Launch,
    LibraryCall,
    Note,
    Plan,
    Point,
    Repeat,
    Slot,
    Step,
    While,
)
from tracejit.ir.target import Target

__all__ = ["assemble"]

BOOL = ShapedArray((), "bool")
COUNT = ShapedArray((), "int64")


def assemble(
    name: str, block: Block, target: Target, donated: Sequence[bool] = ()
) -> Plan:
    """Return the plan of a block.

    Parameters
    ----------
    name : str
        For messages.
    block : Block
        From :func:`tracejit.compiler.blocks.build_block`.
    target : Target
        What it runs on.
    donated : sequence of bool
        Which inputs may be overwritten.
    """
    return _Assembler(name, block, target, donated).plan()


class _Scope:
    """One block being assembled: where its values are."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.slots: dict[Value, int] = {}
        self.drafts: dict[int, list[Draft]] = {}
        self.owned: dict[Value, int] = {}
        self.last: dict[Value, int] = {}
        self.shared: dict[Value, Value] = {}


class _Assembler:
    def __init__(
        self, name: str, block: Block, target: Target, donated: Sequence[bool]
    ) -> None:
        self.name = name
        self.root = block
        self.target = target
        self.donated = donated
        self.slots: list[Slot] = []
        self.kernels: list[Kernel] = []
        self.by_text: dict[str, int] = {}
        self.constants: list[Any] = []
        self.arena = Arena()
        self.aliases: dict[int, int] = {}
        self.notes: list[Note] = []

    def plan(self) -> Plan:
        block = self.root
        inputs = [self.slot("input", n, v.aval) for n, v in enumerate(block.inputs)]
        targets = [self.slot("output", n, v.aval) for n, v in enumerate(block.outputs)]
        consumable: dict[Value, Value | None] = {
            v: None for v, d in zip(block.inputs, self.donated, strict=False) if d
        }
        scope = _Scope(block)
        scope.slots.update(zip(block.inputs, inputs, strict=True))
        self.analyse(scope, consumable)
        steps, results = self.block(scope, targets)
        for n, (result, wanted) in enumerate(zip(results, targets, strict=True)):
            start = self.slots[result]
            donated = start.kind == "input" and block.inputs[start.number] in consumable
            if donated and start.number not in self.aliases.values():
                self.aliases[n] = start.number
            if wanted != result:
                steps.append(Copy(wanted, result, start.aval.nbytes))
        self.collect_notes(block)
        return Plan(
            name=self.name,
            kernels=tuple(self.kernels),
            steps=tuple(steps),
            slots=tuple(self.slots),
            inputs=tuple(v.aval for v in block.inputs),
            outputs=tuple(v.aval for v in block.outputs),
            constants=tuple(self.constants),
            arena_bytes=self.arena.peak,
            aliases=self.aliases,
            notes=tuple(self.notes),
        )

    def collect_notes(self, block: Block) -> None:
        self.notes.extend(block.notes)
        for item in block.items:
            if isinstance(item, Opaque):
                for body in item.bodies:
                    self.collect_notes(body)

    def slot(self, kind: str, number: int, aval: ShapedArray) -> int:
        self.slots.append(Slot(kind, number, aval))
        return len(self.slots) - 1

    def pointer(self, aval: ShapedArray) -> int:
        return self.slot("pointer", 0, aval)

    # -------------------------------------------------------------------- blocks

    def analyse(self, scope: _Scope, consumable: dict[Value, Value | None]) -> None:
        """Schedule the kernels of a block and find which of its values share storage.

        Parameters
        ----------
        scope : _Scope
            The block.
        consumable : dict of Value to Value or None
            Inputs whose memory may be overwritten once they are dead: by any value, or by the
            one output that is named (what a loop carries in the same place).
        """
        block = scope.block
        outputs = {v.base for v in block.outputs}
        readers = self._readers(block)
        for n, item in enumerate(block.items):
            if isinstance(item, Group):
                # The values that other items or the caller read.
                mine = {t.value for t in item.tasks}
                outside = {v for v in mine if v in outputs or readers.get(v, {n}) - {n}}
                drafts = item.drafts if outside == mine else None
                scope.drafts[n] = drafts or schedule(block.k, item, outside, self.target)
        scope.last = last_uses(block, scope.drafts)
        scope.shared = self._share(scope, consumable)

    def block(self, scope: _Scope, targets: Sequence[int]) -> tuple[list[Step], list[int]]:
        """Return the steps of a block, and the slots in which its outputs are at the end.

        Parameters
        ----------
        scope : _Scope
            Analysed, with the slots of the block's inputs.
        targets : sequence of int
            Slots into which the outputs should be written; an output that is computed lands there
            unless it could be updated in place of a consumable input.
        """
        block, shared, ending = scope.block, Takeovers(scope.shared), by_end(scope.last)
        for value, array in block.constants:
            self.constants.append(array)
            scope.slots[value] = self.slot("constant", len(self.constants) - 1, value.aval)
        wanted: dict[Value, int] = {}
        for v, t in zip(block.outputs, targets, strict=True):
            if v.base.kind == "temporary":
                wanted.setdefault(v.base, t)
        steps: list[Step] = []
        for n, item in enumerate(block.items):
            if isinstance(item, Group):
                if not scope.drafts[n]:  # an empty domain: nothing to write, but it has a place
                    for task in item.tasks:
                        self._place(scope, task.value, wanted, shared)
                for draft in scope.drafts[n]:
                    for v in draft.temporaries:
                        self._place(scope, v, wanted, shared)
                    for v in dict.fromkeys(draft_values(draft)):
                        self._place(scope, v, wanted, shared)
                    steps.append(self._launch(scope, draft))
                for draft in scope.drafts[n]:
                    for v in draft.temporaries:
                        self._drop(scope, v)
            else:
                for v in item.outputs:
                    self._place(scope, v, wanted, shared)
                steps.extend(self._opaque(scope, item))
            for v in ending.get(n, ()):
                self._drop(scope, v)
        results = [self.find(scope, v) for v in block.outputs]
        for v in list(scope.owned):
            self._drop(scope, v)
        return steps, results

    def _readers(self, block: Block) -> dict[Value, set[int]]:
        """Return for each value the numbers of the items that read it."""
        found: dict[Value, set[int]] = {}
        for n, item in enumerate(block.items):
            if isinstance(item, Opaque):
                reads = {v.base for v in item.inputs}
            else:
                reads = self._group_reads(block, item)
            for v in reads:
                found.setdefault(v, set()).add(n)
        return found

    def _group_reads(self, block: Block, group: Group) -> set[Value]:
        if group.reads is None:
            group.reads = set()
            group.drafts = schedule(block.k, group, {t.value for t in group.tasks}, self.target)
            for d in group.drafts:
                group.reads |= {v.base for v in draft_values(d)}
        return group.reads

    def _share(
        self, scope: _Scope, consumable: dict[Value, Value | None]
    ) -> dict[Value, Value]:
        """Return ``{value: value whose storage it takes}``, never closing a circle."""
        last = scope.last
        wanted = {v.base for v in scope.block.outputs if v.base.kind == "temporary"}
        takes: dict[Value, Value] = {}
        roots: dict[Value, Value] = {}
        given: set[Value] = set()
        ending = by_end(last)
        for n, item in enumerate(scope.block.items):
            dying = {
                v
                for v in ending.get(n, ())
                if v not in given and (v.kind == "temporary" or v in consumable)
            }
            if isinstance(item, Group):
                pairs = in_place_pairs(scope.drafts[n], dying)
            else:
                pairs = self._overwritten(item, dying)
            for out, v in pairs.items():
                root = roots.get(v, v)
                if root.kind != "temporary" and out in wanted and root not in consumable:
                    continue
                takes[out], roots[out] = v, root
                given.add(v)
        ends = {v: out for out, v in takes.items()}
        for v, allowed in consumable.items():
            end = v
            while end in ends:
                end = ends[end]
            if v in ends and allowed is not None and end is not allowed.base:
                del takes[ends[v]]
        return takes

    def _overwritten(self, item: Opaque, dying: set[Value]) -> dict[Value, Value]:
        """Return ``{written: read}`` for a library call that updates its first operand, or a loop.

        What a loop carries starts where its initial value lies, if that is read by nobody else.
        """
        reads = [v.base for v in item.inputs]
        if item.equation.primitive.name in ("scan", "while_loop"):
            first, count = _carried(item)
            pairs = list(zip(item.outputs[:count], reads[first : first + count], strict=True))
        else:
            routine = library_call(item.equation, self.target)
            in_place = routine is not None and routine.in_place
            pairs = [(item.outputs[0], reads[0])] if in_place else []
        return {out: v for out, v in pairs if v in dying and reads.count(v) == 1}

    def _place(
        self, scope: _Scope, v: Value, wanted: dict[Value, int], takes: Takeovers
    ) -> None:
        v = v.base
        if v in scope.slots:
            return
        root = takes.root(v)
        if root in scope.slots and root is not v:
            slot = scope.slots[root]
            scope.slots[v] = self._view(slot, v.aval)
            # The root may be dead; whose storage this takes lives until the step is done.
            owner = scope.owned.get(takes.direct[v])
            if owner is not None:
                scope.owned[v] = owner
            return
        # The storage of a chain of values that take it over: an output's place if one is an output.
        for w in (v, *takes.chain(root)):
            if w in wanted:
                scope.slots[v] = self._view(wanted[w], v.aval)
                return
        offset = self.arena.allocate(v.aval.nbytes)
        scope.slots[v] = self.slot("arena", offset, v.aval)
        scope.owned[v] = offset

    def _view(self, slot: int, aval: ShapedArray) -> int:
        """Return a slot at the same place with another aval."""
        found = self.slots[slot]
        if found.aval == aval or found.kind == "pointer":
            return slot
        return self.slot(found.kind, found.number, aval)

    def _drop(self, scope: _Scope, v: Value) -> None:
        offset = scope.owned.pop(v, None)
        if offset is not None and offset not in scope.owned.values():
            self.arena.release(offset)

    def find(self, scope: _Scope, v: Value) -> int:
        """Return the slot of a value; a view of another shape shares the pointer."""
        slot = scope.slots[v.base]
        return slot if v.base is v else self._view(slot, v.aval)

    # ------------------------------------------------------------------- kernels

    def _launch(self, scope: _Scope, draft: Draft) -> Launch:
        numbers: dict[Value, int] = {}
        by_slot: dict[Any, int] = {}
        buffers: list[list[Any]] = []
        slots: list[int] = []
        written: set[Any] = {st.buffer for st in statements(draft.body) if isinstance(st, Store)}
        for v in dict.fromkeys(draft_values(draft)):
            slot = scope.slots[v.base]
            mode = "out" if v in written else "in"
            key = self._storage(slot)
            if key in by_slot and buffers[by_slot[key]][0].aval.dtype == v.aval.dtype:
                number = by_slot[key]
                if buffers[number][1] != mode:
                    buffers[number][1] = "inout"
            else:
                number = len(buffers)
                by_slot[key] = number
                buffers.append([v, mode])
                slots.append(slot)
            numbers[v] = number
        read = {
            e.attr
            for st in statements(draft.body)
            for e in s.walk(expressions(st))
            if e.op == "load"
        }
        for v in written & read:
            buffers[numbers[v]][1] = "inout"
        kernel, sizes, floats = lift(
            separated(draft.body), [(v, mode) for v, mode in buffers], numbers
        )
        text = kernel.text()
        number = self.by_text.setdefault(text, len(self.kernels))
        if number == len(self.kernels):
            self.kernels.append(kernel)
        return Launch(
            number, tuple(slots), sizes, floats, draft.rows, nanoseconds(draft), draft.sources
        )

    def _storage(self, slot: int) -> Any:
        found = self.slots[slot]
        return (found.kind, found.number) if found.kind != "pointer" else slot

    # -------------------------------------------------------------------- opaque

    def _opaque(self, scope: _Scope, item: Opaque) -> list[Step]:
        name = item.equation.primitive.name
        if name in ("scan", "while_loop"):
            steps = self._in_registers(scope, item)
            if steps is not None:
                return steps
            return self._scan(scope, item) if name == "scan" else self._while(scope, item)
        if name == "cond":
            return self._cond(scope, item)
        if name == "empty":
            return []
        steps = []
        inputs = tuple(self._typed(self.find(scope, v), v.aval, steps) for v in item.inputs)
        outputs = tuple(self._typed(scope.slots[v], v.aval, steps) for v in item.outputs)
        eq = item.equation
        routine = library_call(eq, self.target)
        if routine is not None:
            slots = (*inputs, *outputs)
            params = routine.params
            if name == "sort":
                params = (*params, *of_sort(scope.block, scope.last, item))
            return [*steps, LibraryCall(routine.name, slots, params, eq.source)]
        host = eq.primitive.host
        return [*steps, Callback(name, _caller(eq), inputs, outputs, eq.source, host)]

    def _typed(self, slot: int, aval: ShapedArray, steps: list[Step]) -> int:
        """Return a slot at the same place that says `aval`, for those who ask it.

        A pointer that a loop carries may stand for a value of another shape, or of another dtype
        of the same width, that takes its place; kernels do not mind.
        """
        found = self.slots[slot].aval
        if (found.shape, found.dtype) == (aval.shape, aval.dtype):
            return slot
        if self.slots[slot].kind != "pointer":
            return self._view(slot, aval)
        pointer = self.pointer(aval)
        steps.append(Assign((pointer,), (slot,)))
        return pointer

    def _inner(self, body: Block, slots: Sequence[int]) -> _Scope:
        inner = _Scope(body)
        inner.slots.update(zip(body.inputs, slots, strict=False))
        return inner

    def _carry(self, scope: _Scope, item: Opaque, inner: _Scope) -> Carry:
        """Analyse the body of a loop and return its carried values, placed."""
        first, count = _carried(item)
        body = inner.block
        behind = first + len(body.inputs) - len(item.inputs)
        inputs, outputs = body.inputs[behind : behind + count], body.outputs[:count]
        self.analyse(inner, dict(zip(inputs, outputs, strict=True)))
        takes = Takeovers(inner.shared)
        roots = [takes.root(v.base) for v in outputs]
        carry = Carry(
            self,
            [v.aval for v in item.outputs[:count]],
            [self.find(scope, v) for v in item.inputs[first : first + count]],
            [scope.slots[v] for v in item.outputs[:count]],
            [r is v and roots.count(r) == 1 for r, v in zip(roots, inputs, strict=True)],
            any(v.base in inputs and v.base is not inputs[n] for n, v in enumerate(outputs)),
        )
        inner.slots.update(zip(inputs, carry.inside, strict=True))
        return carry

    def _cond(self, scope: _Scope, item: Opaque) -> list[Step]:
        index, *operands = [self.find(scope, v) for v in item.inputs]
        targets = [scope.slots[v] for v in item.outputs]
        branches = []
        for body in item.bodies:
            inner = self._inner(body, operands)
            self.analyse(inner, {})
            steps, results = self.block(inner, targets)
            steps += [
                Copy(t, r, self.slots[t].aval.nbytes)
                for t, r in zip(targets, results, strict=True)
                if t != r
            ]
            branches.append(tuple(steps))
        return [Branch(index, tuple(branches))]

    def _in_registers(self, scope: _Scope, item: Opaque) -> list[Step] | None:
        """Return the steps of a loop over a few scalars, or None if it is none."""
        if self.target.kind != "cpu":
            return None
        found = recurrent(item, self._drafts)
        if found is None:
            return None
        for value, array in found.constants:
            self.constants.append(array)
            scope.slots[value] = self.slot("constant", len(self.constants) - 1, value.aval)
        self.notes.append(found.note(item))
        first, count = _carried(item)
        initial, final = item.inputs[first : first + count], item.outputs[:count]

        def launches(trips: int, start: Sequence[Value], **how: Value) -> list[Step]:
            return [self._launch(scope, d) for d in found.drafts(trips, start, final, **how)]

        length = item.equation.params.get("length", 0)
        known = found.condition is None
        if known and length <= found.turn:
            return launches(length, initial)
        own = Value(COUNT if known else BOOL)
        offset = self.arena.allocate(own.aval.nbytes)
        scope.slots[own] = self.slot("arena", offset, own.aval)
        targets = [self.find(scope, v) for v in final]
        out: list[Step] = [
            Copy(t, i, self.slots[t].aval.nbytes)
            for t, i in zip(targets, [self.find(scope, v) for v in initial], strict=True)
            if t != i
        ]
        if known:
            self.constants.append(np.zeros((), np.int64))
            zero = self.slot("constant", len(self.constants) - 1, COUNT)
            out.append(Copy(scope.slots[own], zero, COUNT.nbytes))
            turns, rest = divmod(length, found.turn)
            out.append(Repeat(turns, tuple(launches(found.turn, final, done=own))))
            out += launches(rest, final, done=own) if rest else []
        elif found.lanes is None:
            turn = launches(found.turn, final, goes=own)
            out.append(While(tuple(turn), scope.slots[own], ()))
        else:
            test = self._test(scope, item, targets, scope.slots[own])
            out.append(While(test, scope.slots[own], tuple(launches(found.turn, final))))
        self.arena.release(offset)
        return out

    def _test(
        self, scope: _Scope, item: Opaque, carried: Sequence[int], predicate: int
    ) -> tuple[Step, ...]:
        """Return the steps of the condition of a loop, which write the predicate."""
        nc = item.equation.params["cond_nconsts"]
        consts = [self.find(scope, v) for v in item.inputs[:nc]]
        before = self._inner(item.bodies[0], [*consts, *carried])
        self.analyse(before, {})
        steps, (result,) = self.block(before, [predicate])
        if result != predicate:
            steps.append(Copy(predicate, result, 1))
        return tuple(steps)

    def _drafts(self, block: Block, group: Group) -> list[Draft]:
        """Return the kernels of a group if all of its results are stored."""
        self._group_reads(block, group)
        assert group.drafts is not None
        return group.drafts

    def _while(self, scope: _Scope, item: Opaque) -> list[Step]:
        params = item.equation.params
        nc, nb = params["cond_nconsts"], params["body_nconsts"]
        slots = [self.find(scope, v) for v in item.inputs]
        inner = self._inner(item.bodies[1], slots[nc : nc + nb])
        carry = self._carry(scope, item, inner)
        predicate_offset = self.arena.allocate(1)
        predicate = self.slot("arena", predicate_offset, BOOL)
        test = self._test(scope, item, carry.inside, predicate)
        steps, results = self.block(inner, carry.next)
        steps += carry.exchange(results)
        out: list[Step] = [
            *carry.start(),
            While(test, predicate, tuple(steps)),
            *carry.finish(),
        ]
        carry.release()
        self.arena.release(predicate_offset)
        return out

    def _scan(self, scope: _Scope, item: Opaque) -> list[Step]:
        params = item.equation.params
        n_consts, n_carry = params["n_consts"], params["n_carry"]
        length, reverse = params["length"], params["reverse"]
        slots = [self.find(scope, v) for v in item.inputs]
        (body,) = item.bodies
        xs = slots[n_consts + n_carry :]
        inner = self._inner(body, slots[:n_consts])
        carry = self._carry(scope, item, inner)
        ys = [scope.slots[v] for v in item.outputs[n_carry:]]
        steps: list[Step] = []
        x_slots, y_slots = [], []
        for x, v in zip(xs, body.inputs[n_consts + n_carry :], strict=True):
            p = self.pointer(v.aval)
            steps.append(Point(p, x, v.aval.nbytes, reverse))
            x_slots.append(p)
        for y, v in zip(ys, body.outputs[n_carry:], strict=True):
            p = self.pointer(v.aval)
            steps.append(Point(p, y, v.aval.nbytes, reverse))
            y_slots.append(p)
        inner.slots.update(zip(body.inputs[n_consts + n_carry :], x_slots, strict=True))
        inside, results = self.block(inner, [*carry.next, *y_slots])
        steps += inside
        for y, r in zip(y_slots, results[n_carry:], strict=True):
            if y != r:
                steps.append(Copy(y, r, self.slots[y].aval.nbytes))
        steps += carry.exchange(results[:n_carry])
        out: list[Step] = [*carry.start(), Repeat(length, tuple(steps)), *carry.finish()]
        carry.release()
        return out


def _carried(item: Opaque) -> tuple[int, int]:
    """Return the number of the first operand that a loop carries, and how many there are."""
    params = item.equation.params
    if item.equation.primitive.name == "scan":
        return params["n_consts"], params["n_carry"]
    return params["cond_nconsts"] + params["body_nconsts"], len(item.outputs)


def _caller(eq: Any) -> Any:
    """Return the NumPy meaning of an equation as a function of a namespace and its arrays."""
    rule, params = impl[eq.primitive], eq.params
    multiple = eq.primitive.multiple

    if eq.primitive.host:  # with the user's treatment of floating-point errors
        return lambda xp, *arrays: rule(xp, *arrays, **params)

    def call(xp: Any, *arrays: Any) -> list[Any]:
        with np.errstate(all="ignore"):
            out = rule(xp, *arrays, **params)
        return list(out) if multiple else [out]

    call.__name__ = eq.primitive.name
    return call
