"""Every kernel of the conformance suite compiles to machine code that needs no local memory."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tracejit.testing.conformance import CASES
from tracejit_cuda import nvrtc
from tracejit_cuda.prelude import OPTIONS
from tracejit_cuda.source import Part, unit

pytestmark = pytest.mark.skipif(bool(nvrtc.missing()), reason="NVRTC is not installed")

CHUNKS = 6
REGISTERS = 64
REGISTERS_ALONE = 96
"""Of a kernel that is launched with one block: no other waits for registers."""
ALONE = "const int nb = 1;"
# CUDA's own sines reduce great angles by digits of pi that lie in local memory.
STACK = (re.compile(r"\b(sin|cos|tan)f?\("), 48)


def stack_allowed(part: Part) -> int:
    pattern, size = STACK
    return size if any(pattern.search(p.text) for p in (part, *part.needs)) else 0


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_no_kernel_spills(arch: str, chunk: int, kernels: Any) -> None:
    parts = kernels(CASES[chunk::CHUNKS])
    log = nvrtc.compile_cubin(unit(parts.values()), arch, (*OPTIONS, "--ptxas-options=-v")).log
    usage = nvrtc.usage(log)
    assert set(parts) == {name for name, used in usage.items() if used.registers}
    wrong = [
        f"{used}\n{parts[name].text}\n" + "\n".join(p.text for p in parts[name].needs)
        for name, used in usage.items()
        if name in parts
        and (
            used.spill_stores
            or used.spill_loads
            or used.registers > (REGISTERS_ALONE if ALONE in parts[name].text else REGISTERS)
            or used.stack_frame > stack_allowed(parts[name])
        )
    ]
    assert not wrong, "\n".join(wrong)
