"""Bugs planted in emitted sources: the checked simulator, or the results, give every one away.

A plant is a substitution that is made at each place of a source in turn.  What still computes the
right thing is listed with the reason why it may.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from tracejit.control.interpret import interpret
from tracejit.testing.conformance import CASES
from tracejit_cuda.backend import CudaBackend
from tracejit_cuda.prelude import PRELUDE
from tracejit_cuda.runtime import CudaError
from tracejit_cuda.source import Part

BY_NAME = {case.name: case for case in CASES}


class Plant(NamedTuple):
    """A substitution that breaks a source."""

    pattern: str
    replacement: str


PLANTS = {
    "no barrier": Plant(r"__sync(?:threads|warp)\(\);|tj_grid_barrier\(a\.barrier, nb\);", ""),
    "<= in a loop": Plant(r"(?<=; )(\w+) < (\w+)(?=; )", r"\1 <= \2"),
    "<= in a guard": Plant(r"(?<=if \()(\w+) < (\w+)(?=\))", r"\1 <= \2"),
    "<= within a tile": Plant(r"&& (\w+) < (\w+)\)", r"&& \1 <= \2)"),
    "no guard of a chunk": Plant(r"if \((\w+) >= \w+ && \1 \+ \d+ <= \w+\)", "if (true)"),
    "no guard of a lane": Plant(r"if \((\w+) >= \w+ && \1 < \w+\)", "if (true)"),
    "stride of one block": Plant(r"\+= \(idx\)nb \* \(idx\)blockDim\.x", "+= (idx)blockDim.x"),
    "blocks alike": Plant(r"(?<= = )\(idx\)bid(?=[ ;])", "(idx)0"),
    "longer rows": Plant(r"= (m\d+) \* (i\d+)", r"= (\1 + 1) * \2"),
    "misaligned": Plant(
        r"(\*\((?:const )?tj_vec<\w+, (?:2|4|8)>\*\)\(b\d+ \+ \w+)\)", r"\1 + 1)"
    ),
    "all lead": Plant(r"if \(lane\d+ == 0\)", "if (true)"),
}



class Expected(NamedTuple):
    """What a case may hide.

    Attributes
    ----------
    barriers : int
        How many barriers are missed if they are not there.  The others part what the same thread
        reads and writes, in this case.
    harmless : tuple of (plant, pattern, reason)
        Which other plants compute the right thing nevertheless, by the line that they change.
    """

    barriers: int
    harmless: tuple[tuple[str, str, str], ...] = ()


CHUNKS = ("<= in a loop", r"int c\d+ = 0", "the guard of the chunk says the same")
BLOCK = [
    (kind, ".", "one block runs all") for kind in ("stride of one block", "blocks alike")
]
EXPECTED = {
    "elementwise/axpy/float32/33333": Expected(
        0,
        (
            ("<= in a loop", r"k\d+ < total", "the guards of chunk and lane say the same"),
            ("<= in a loop", r"int l\d+ = 0", "the guard of the lane says the same"),
        ),
    ),
    "stencils/diffuse/2d/float32": Expected(
        0,
        (
            ("stride of one block", r"k\d+ < total", "one block runs a rim"),
            ("longer rows", r"m0 \* i5\b", "row 0 is not moved"),
        ),
    ),
    "movement/transpose/2d/wide": Expected(
        2, (("<= in a loop", r"k\d+ < total", "the guards within a tile say the same"),)
    ),
    "reductions/softmax/1000": Expected(
        0,
        (
            CHUNKS,
            ("<= in a guard", r"j17\b", "what is computed too much is not stored"),
            ("longer rows", r"t18\b", "an offset that is not used"),
        ),
    ),
    "reductions/layer_norm/5000": Expected(0, (CHUNKS,)),
    "reductions/full/2d": Expected(
        0,
        (
            ("stride of one block", ".", "one block reduces the partial results"),
            ("blocks alike", r"threadIdx", "one block reduces the partial results"),
        ),
    ),
    "reductions/argmax/rows/33": Expected(0),
    "loops/leapfrog": Expected(2, (*BLOCK,)),
    "loops/while/newton/grid": Expected(
        3, (("stride of one block", r"k2 < total1", "all blocks write the same"),)
    ),
    "loops/fori/diffuse/grid": Expected(
        2, (("stride of one block", r"k\d+ < total", "one block runs a rim"),)
    ),
}
BARRIER = "no barrier"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some plants make loops endless."""
    monkeypatch.setenv("TRACEJIT_SIMULATOR_SECONDS", "1")


class Broken:
    """A case whose source can be exchanged."""

    def __init__(self, staged: Any, services: Any) -> None:
        self.staged = staged
        self.services = services
        self.executable = services.executable(staged)
        self.wanted = interpret(np, staged.program, staged.inputs)
        texts: dict[str, str] = {}

        def add(part: Part) -> None:
            for needed in part.needs:
                add(needed)
            texts[part.name] = part.text

        for part in services.parts.values():
            add(part)
        self.code = "\n\n".join(texts.values())
        self.names = re.compile(rf"\b({'|'.join(texts)})(_args)?\b")

    def renamed(self, code: str, number: int) -> str:
        """Return code whose functions have names of their own."""
        return self.names.sub(rf"\1_{number}\2", code)

    def load(self, source: str, numbers: range) -> list[dict[str, Any]]:
        """Compile a source with the kernels of several versions."""
        parts = self.services.parts
        names = [f"{name}_{n}" for n in numbers for name in parts]
        loaded = self.services.runtime.load(source, names, 0)
        return [{name: loaded[f"{name}_{n}"] for name in parts} for n in numbers]

    def is_caught(self, functions: dict[str, Any]) -> bool:
        """Whether a run fails or computes something else."""
        (waiting,) = self.services.waiting
        waiting.update(functions)
        runtime = self.services.runtime
        for order in ("forward", "reverse"):
            runtime.order = order
            inputs = [runtime.upload(x, 0) for x in self.staged.copies()]
            outputs = [runtime.empty(a.shape, a.dtype, 0) for a in self.executable.plan.outputs]
            try:
                self.executable(inputs, outputs)
            except CudaError:
                return True
            if self.staged.difference([x.get() for x in outputs], self.wanted):
                return True
        return False


def planted(code: str) -> Iterator[tuple[str, str, str]]:
    """Yield every plant: its kind, the line it changes, and the code with it."""
    for kind, plant in PLANTS.items():
        for found in re.finditer(plant.pattern, code):
            before, after = code[: found.start()], code[found.end() :]
            line = before.rpartition("\n")[2] + found[0] + after.partition("\n")[0]
            yield kind, line.strip(), before + found.expand(plant.replacement) + after


@pytest.mark.parametrize("name", EXPECTED)
def test_plants_are_caught(name: str, checked_runtime: Any, staged: Any, gathering: Any) -> None:
    broken = Broken(staged(BY_NAME[name]), gathering(CudaBackend(checked_runtime)))
    plants = list(planted(broken.code))
    sources = [broken.code, *(source for _, _, source in plants)]
    unit = PRELUDE + "\n\n".join(broken.renamed(s, n) for n, s in enumerate(sources))
    intact, *versions = broken.load(unit, range(len(sources)))
    assert not broken.is_caught(intact)
    caught = [broken.is_caught(functions) for functions in versions]
    barriers, harmless = EXPECTED[name]
    kinds = [kind for c, (kind, _, _) in zip(caught, plants, strict=True) if c]
    assert kinds.count(BARRIER) == barriers
    unseen = [
        f"{kind}: {line}"
        for c, (kind, line, _) in zip(caught, plants, strict=True)
        if not c
        and kind != BARRIER
        and not any(kind == k and re.search(pattern, line) for k, pattern, _ in harmless)
    ]
    assert not unseen, "computes the right thing, or is not noticed:\n" + "\n".join(unseen)
    assert kinds


GRID = "loops/while/newton/grid"
IN_THE_PRELUDE = {
    "no barrier before scratch memory is written": (
        "reductions/layer_norm/5000", "__syncthreads();  // whoever", "// whoever"
    ),
    "no barrier before it is read": (
        GRID, "places[warp] = x;\n  __syncthreads();", "places[warp] = x;"
    ),
    "a warp too many is added": (
        "reductions/full/2d", "if (lane + delta < warps)", "if (lane + delta <= warps)"
    ),
    "no barrier before a grid's": (
        GRID, "int nb) {\n  __syncthreads();\n  if (nb > 1", "int nb) {\n  if (nb > 1"
    ),
    "no barrier after a grid's": (GRID, "    __threadfence();\n  }\n  __syncthreads();", "  }"),
    "a block too many is waited for": (GRID, "(unsigned int)nb - 1u)", "(unsigned int)nb)"),
    "a copy that is too long": (
        "loops/fori/diffuse/1d", "k < nbytes / 16; k", "k <= nbytes / 16; k"
    ),
    "a copy that is misaligned": (
        "loops/nested/repeats", "if (ends % 16 == 0)", "if (ends % 4 == 0)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("plant", IN_THE_PRELUDE)
def test_plants_in_the_prelude_are_caught(
    plant: str, checked_runtime: Any, staged: Any, gathering: Any
) -> None:
    name, pattern, replacement = IN_THE_PRELUDE[plant]
    assert PRELUDE.count(pattern) == 1
    broken = Broken(staged(BY_NAME[name]), gathering(CudaBackend(checked_runtime)))
    source = PRELUDE.replace(pattern, replacement) + broken.renamed(broken.code, 0)
    (functions,) = broken.load(source, range(1))
    assert broken.is_caught(functions)
