"""A scan split in two: what is known runs now and stacks the residuals that the rest reads.

What every trip computes alike is computed once, before the loop; a residual that is a slice of an
operand is read from that.  Residuals of bools are stacked as bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.control.flags import joined, parted, together
from tracejit.control.programs import Hoisted, arranged, wrapped
from tracejit.control.pushforward import Split
from tracejit.core.primitive import PRIMITIVES
from tracejit.ir.program import Program, Var
from tracejit.transforms.dce import calls_host, has_effects
from tracejit.transforms.stage import evaluate

__all__ = ["ScanSplit"]


class ScanSplit:
    """A loop split in what is known, bound by `run`, and the rest.

    Parameters
    ----------
    operands : sequence
        Of the scan.
    unknown : sequence of bool
        Which of them are unknown.
    params : dict
        Its params.
    """

    def __init__(
        self, operands: Sequence[Any], unknown: Sequence[bool], params: dict[str, Any]
    ) -> None:
        self.operands = operands
        self.params = params
        self.body = Split.of(
            params["program"], unknown, params["n_consts"], params["n_carry"], stacked=True
        )

    def places(self) -> tuple[list[tuple[str, int]], list[int], list[int]]:
        """Return where the residuals are found.

        Returns
        -------
        places : list of (str, int)
            Of each residual, where it comes from: computed before the loop, an operand, an output
            of the loop; and its number there.
        before, loop : list of int
            The outputs of the known part that are computed before the loop, and in it.
        """
        n_consts, n_carry = self.params["n_consts"], self.params["n_carry"]
        unknown, known = self.body.unknown, self.body.known
        k_consts = unknown[:n_consts].count(False)
        k_carry = unknown[n_consts : n_consts + n_carry].count(False)
        n_known = len(known.outputs) - self.body.n_residuals
        invariant = _invariant(known, k_consts)
        here = {v: n for n, v in enumerate(known.inputs)}
        constants = {v for v, _ in known.constants}
        before: list[int] = []
        loop = list(range(n_known))
        stacked = {known.outputs[n]: n for n in range(k_carry, n_known)}
        places: list[tuple[str, int]] = []
        for n in range(n_known, len(known.outputs)):
            a = known.outputs[n]
            if type(a) is not Var or a in invariant or a in constants:
                places.append(("before", len(before)))
                before.append(n)
            elif here.get(a, -1) >= k_consts + k_carry:
                places.append(("operand", here[a]))
            else:
                if a not in stacked:
                    stacked[a] = len(loop)
                    loop.append(n)
                places.append(("loop", stacked[a]))
        return places, before, loop

    def stacked(self) -> int:
        """Return how many bytes each trip leaves for the rest."""
        known = self.body.known
        n_known = len(known.outputs) - self.body.n_residuals
        avals = [known.outputs[n].aval for n in self.places()[2][n_known:]]
        words = together(avals)
        saved = sum(avals[w[0]].nbytes * (len(w) - 1) for w in words)
        return sum(aval.nbytes for aval in avals) - saved

    def run(self) -> tuple[list[Any], list[Any], dict[str, Any]]:
        """Run the known loop.

        Returns
        -------
        known : list
            The known outputs.
        operands : list
            The operands of the rest.
        params : dict
            The params of the rest.
        """
        n_consts, n_carry = self.params["n_consts"], self.params["n_carry"]
        first = n_consts + n_carry
        unknown, known = self.body.unknown, self.body.known
        given = [x for x, u in zip(self.operands, unknown, strict=True) if not u]
        k_consts = unknown[:n_consts].count(False)
        k_carry = unknown[n_consts:first].count(False)
        n_known = len(known.outputs) - self.body.n_residuals
        places, before, loop = self.places()
        hoisted, extra = arranged(known, range(k_consts), before, effects=False)
        early = evaluate(hoisted, [*extra, *given[:k_consts]])
        body, extra = arranged(known, None, loop)
        words = together(body.out_avals[n_known:])
        body, of_words = _joining(body, n_known, words)
        extra = [*of_words, *extra]
        outs: list[Any] = []
        if loop or has_effects(body):
            outs = PRIMITIVES["scan"].bind(
                *extra,
                *given,
                program=body,
                length=self.params["length"],
                reverse=self.params["reverse"],
                n_consts=len(extra) + k_consts,
                n_carry=k_carry,
            )
        # What the loop stacks as it is comes first, then the words.
        bits = {n_known + n: (k, bit) for k, w in enumerate(words) for bit, n in enumerate(w)}
        alone = [n for n in range(len(loop)) if n not in bits]
        found = dict(zip(alone, outs, strict=False))
        sources: dict[str, Any] = {"before": early, "operand": given, "loop": found}
        flags = {m: bits[n] for m, (kind, n) in enumerate(places) if kind == "loop" and n in bits}
        kept = [place for m, place in enumerate(places) if m not in flags]
        residuals = [*(sources[kind][n] for kind, n in kept), *outs[len(alone) :]]
        kinds = [*(kind for kind, _ in kept), *["loop"] * len(words)]
        once = [n for n, kind in enumerate(kinds) if kind == "before"]
        each = [n for n, kind in enumerate(kinds) if kind != "before"]
        left = [x for x, u in zip(self.operands, unknown, strict=True) if u]
        c, k = sum(unknown[:n_consts]), sum(unknown[n_consts:first])
        count = len(kinds)
        order = [
            *once,
            *range(count, count + c + k),
            *each,
            *range(count + c + k, count + len(left)),
        ]
        rest, of_words = _parting(self.body.rest, len(places), [len(w) for w in words], flags)
        own = len(of_words)
        rest, extra = arranged(rest, [*range(own), *(own + n for n in order)])
        extra = [*extra, *of_words]
        operands = [*extra, *([*residuals, *left][n] for n in order)]
        return (
            outs[:n_known],
            operands,
            {
                **self.params,
                "program": rest,
                "n_consts": len(extra) + len(once) + c,
                "n_carry": k,
            },
        )

    def join(self, known: Sequence[Any], rest: Sequence[Any]) -> list[Any]:
        """Return the outputs of the whole."""
        now, later = iter(known), iter(rest)
        return [next(later) if u else next(now) for u in self.body.unknown_out]


def _invariant(program: Program, n_consts: int) -> set[Var]:
    """Return the variables of a body that are the same in every trip."""
    same = {*program.inputs[:n_consts], *(v for v, _ in program.constants)}
    for eq in program.equations:
        if not calls_host(eq) and all(type(a) is not Var or a in same for a in eq.inputs):
            same.update(eq.outputs)
    return same


def _joining(body: Program, first: int, words: Sequence[Sequence[int]]) -> Hoisted:
    """Return a body that stacks some of its outputs from `first` on in words, which come last."""
    if not words:
        return body, []

    def run(*inputs: Any) -> list[Any]:
        outs = evaluate(body, inputs)
        late = outs[first:]
        gone = {n for w in words for n in w}
        alone = [x for n, x in enumerate(late) if n not in gone]
        return [*outs[:first], *alone, *(joined([late[n] for n in w]) for w in words)]

    key = ("joining", first, tuple(map(tuple, words)))
    return wrapped(body, key, run, body.in_avals)


def _parting(
    rest: Program, count: int, words: Sequence[int], flags: dict[int, tuple[int, int]]
) -> Hoisted:
    """Return a rest that reads words, behind those of its residuals that stand alone.

    Parameters
    ----------
    rest : Program
        Of `count` residuals, and other inputs.
    words : sequence of int
        How many flags each has.
    flags : dict
        Which residuals are flags; the numbers of their words and bits.
    """
    if not words:
        return rest, []
    avals = rest.in_avals
    alone = [n for n in range(count) if n not in flags]
    end = len(alone) + len(words)
    of_words = {word: avals[n].update(dtype="uint8") for n, (word, _) in flags.items()}

    def run(*inputs: Any) -> list[Any]:
        found = dict(zip(alone, inputs, strict=False))
        bits = [parted(x, n) for x, n in zip(inputs[len(alone) : end], words, strict=True)]
        found.update((n, bits[word][bit]) for n, (word, bit) in flags.items())
        return evaluate(rest, [*(found[n] for n in range(count)), *inputs[end:]])

    kept = [*(avals[n] for n in alone), *(of_words[k] for k in range(len(words)))]
    key = ("parting", count, tuple(flags.items()))
    return wrapped(rest, key, run, [*kept, *avals[count:]])
