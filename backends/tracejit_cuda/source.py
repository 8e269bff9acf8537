"""Source: device functions and kernels as parts of translation units.

A :class:`Part` is a text that needs other parts before it.  A program's missing kernels are
compiled as one unit; names are hashes of what they do, so that equal parts are the same part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tracejit.ir.kernel import Kernel
from tracejit_cuda.emit import device_function, parameters
from tracejit_cuda.forms import Form
from tracejit_cuda.prelude import PRELUDE

__all__ = ["Part", "call", "function_part", "global_part", "launch_part", "unit"]


class Part(NamedTuple):
    """A named piece of CUDA C++.

    Attributes
    ----------
    name : str
        The function or kernel that it defines.
    text : str
        The definition.
    needs : tuple of Part
        Device functions that it calls.
    """

    name: str
    text: str
    needs: tuple[Part, ...] = ()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def function_part(kernel: Kernel, form: Form, alone: bool = True) -> Part:
    """Return the device function of a kernel in a form; see :func:`device_function`."""
    name = f"{'k' if alone else 'm'}{_digest(kernel.text() + repr((form.offsets, form.nests)))}"
    return Part(name, device_function(kernel, form, name, alone))


def call(function: Part, arguments: Sequence[str], bid: str, nb: str) -> str:
    """Return the statement that calls a device function."""
    return f"{function.name}({', '.join([bid, nb, *arguments])});"


def global_part(
    stem: str, body: Sequence[str], fields: Sequence[tuple[str, str]], threads: int,
    needs: Sequence[Part], alone: bool = False,
) -> Part:  # fmt: skip
    """Return a kernel with one struct of 8-byte fields as argument.

    Parameters
    ----------
    stem : str
        How its name begins.
    body : sequence of str
        Its lines, in which the fields are ``a.NAME``.
    fields : sequence of (type, name)
        The struct.
    threads : int
        Most threads of a block.
    needs : sequence of Part
        What it calls.
    alone : bool
        Whether it is launched with one block, which may then have all registers.
    """
    content = "\n".join([*(f"{t} {n}" for t, n in fields), *body, str(threads)])
    name = f"{stem}{_digest(content)}"
    # At most 64 registers a thread, so that half of a processor's threads are resident at least.
    resident = 1 if alone else max(1, 1024 // threads)
    members = " ".join(f"{kind} {own};" for kind, own in fields)
    lines = "\n".join(f"  {line}" for line in body)
    text = (
        f"struct {name}_args {{ {members} }};\n"
        f'extern "C" __global__ void __launch_bounds__({threads}, {resident}) '
        f"{name}(const {name}_args a) {{\n{lines}\n}}"
    )
    return Part(name, text, tuple(needs))


def launch_part(kernel: Kernel, form: Form, gated: bool) -> Part:
    """Return the kernel that runs a kernel of the loop IR by itself.

    Its fields are those of :func:`tracejit_cuda.emit.parameters`; if `gated`, a pointer to a bool
    comes first, and nothing happens where it is false.
    """
    function = function_part(kernel, form)
    own = parameters(kernel)
    fields = [("const bool*", "go"), *own] if gated else own
    body = ["if (!*a.go) return;"] if gated else []
    names = [f"a.{name}" for _, name in own]
    body.append(call(function, names, "(int)blockIdx.x", "(int)gridDim.x"))
    return global_part("l", body, fields, form.threads, (function,))


def unit(parts: Iterable[Part]) -> str:
    """Return the translation unit that defines `parts` and what they need, each once."""
    seen: dict[str, str] = {}

    def add(part: Part) -> None:
        if part.name not in seen:
            for needed in part.needs:
                add(needed)
            seen[part.name] = part.text

    for part in parts:
        add(part)
    return "\n\n".join([PRELUDE, *seen.values()]) + "\n"
