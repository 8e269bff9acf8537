"""Native calls: library calls answered by kernels of our own, as data.

A :class:`NativeCall` is what is enqueued for one :class:`tracejit.ir.plan.LibraryCall`: kernels
that run one after another, and the scratch memory that they share, whose content is of no matter
before and after.  The kernels are instances of templates; a launch says which and with what
numbers, so that another size needs no compilation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

from tracejit_cuda.source import Part, global_part

__all__ = [
    "NATIVE",
    "Divisor",
    "Field",
    "KernelLaunch",
    "NativeCall",
    "Struct",
    "aligned",
    "launch",
    "template_part",
]

ALIGN = 256
"""Bytes to whose multiples the parts of scratch memory are aligned."""


class Field(NamedTuple):
    """A member of a kernel's struct; all have 8 bytes.

    Attributes
    ----------
    kind : {"scratch", "slot", "long"}
        An address in scratch memory, that of a slot of the library call, or a number.
    value : int
        The byte offset in scratch memory, the position of the slot in the call, or the number.
    type : str
        In C++.
    name : str
        By which the kernel's text refers to it, as ``a.NAME``.
    """

    kind: str
    value: int
    type: str
    name: str


@dataclass(frozen=True)
class KernelLaunch:
    """A kernel, where it runs, and its arguments.

    Attributes
    ----------
    stem : str
        How the kernel's name begins.
    body : str
        What it does: a statement in which the fields are ``a.NAME``.
    fields : tuple of Field
        The struct, in order: first scratch memory, then slots, then numbers.
    blocks, threads : int
        The grid.  Any number of blocks computes the same.
    needs : tuple of Part
        What it calls.
    """

    stem: str
    body: str
    fields: tuple[Field, ...]
    blocks: int
    threads: int
    needs: tuple[Part, ...]

    def part(self, gated: bool = False) -> Part:
        """Return the kernel; launches of one name are launches of one kernel.

        If `gated`, a pointer to a bool comes first, and nothing happens where it is false.
        """
        own = [(f.type, f.name) for f in self.fields]
        fields = [("const bool*", "go"), *own] if gated else own
        body = ["if (!*a.go) return;", self.body] if gated else [self.body]
        return global_part(self.stem, body, fields, self.threads, self.needs)

    def values(self, kind: str) -> tuple[int, ...]:
        """Return the values of the fields of a kind, in order."""
        return tuple(f.value for f in self.fields if f.kind == kind)


@dataclass(frozen=True)
class NativeCall:
    """What is enqueued for a library call.

    Attributes
    ----------
    launches : tuple of KernelLaunch
        One after another.
    scratch_bytes : int
        Memory that they share, aligned to :data:`ALIGN` bytes; it need not be zero.
    """

    launches: tuple[KernelLaunch, ...]
    scratch_bytes: int = 0


def aligned(nbytes: int) -> int:
    """Return `nbytes`, rounded up to where the next part of scratch memory may start."""
    return -(-nbytes // ALIGN) * ALIGN


class Divisor(NamedTuple):
    """A number by which a kernel divides: a ``tj_divisor``."""

    number: int


class Struct(NamedTuple):
    """Numbers that a template takes as one aggregate of the C++ type `type`."""

    type: str
    members: Mapping[str, int | Divisor]


def launch(
    function: str,
    pointers: Sequence[Field],
    numbers: Mapping[str, int | Divisor | Struct],
    blocks: int,
    threads: int,
    needs: Part,
) -> KernelLaunch:
    """Return the launch of a template.

    Parameters
    ----------
    function : str
        An instance of a template; it takes the number of the block, how many there are, the
        pointers, and the numbers.
    pointers : sequence of Field
        In its order.
    numbers : mapping of str to int, Divisor or Struct
        Its other parameters, in order.
    blocks, threads : int
        The grid.
    needs : Part
        The templates.
    """
    fields = list(pointers)

    def argument(name: str, value: int | Divisor | Struct) -> str:
        if isinstance(value, Struct):  # its own members' braces are left out
            members = [argument(own, number) for own, number in value.members.items()]
            return f"{value.type}{{{', '.join(members).replace('{', '').replace('}', '')}}}"
        number = value.number if isinstance(value, Divisor) else value
        fields.append(Field("long", number, "long long", name))
        if not isinstance(value, Divisor):
            return f"a.{name}"
        inverse = min(2**64 // number, 2**64 - 1)
        signed = inverse - 2**64 if inverse >= 2**63 else inverse
        fields.append(Field("long", signed, "long long", f"{name}_inverse"))
        return f"{{a.{name}, a.{name}_inverse}}"

    arguments = ["(int)blockIdx.x", "(int)gridDim.x", *(f"a.{f.name}" for f in pointers)]
    arguments += [argument(name, value) for name, value in numbers.items()]
    fields.sort(key=lambda f: ("scratch", "slot", "long").index(f.kind))
    body = f"{function}({', '.join(arguments)});"
    return KernelLaunch("n", body, tuple(fields), blocks, threads, (needs,))


def template_part(name: str, *needs: Part) -> Part:
    """Return the templates in the file ``NAME.cuh`` of this package."""
    text = files("tracejit_cuda").joinpath(f"{name}.cuh").read_text(encoding="utf-8")
    return Part(f"tj_{name}", text, needs)


NATIVE = template_part("native")
"""What the templates share."""
