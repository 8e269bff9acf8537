"""LLVM: text to machine code, each kernel once a process.

Text goes straight to code generation, without optimisation passes: the emitter has made the vectors
and hoisted what is invariant.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm

from tracejit.ir.kernel import Kernel
from tracejit_llvm.emit import emit_kernel

__all__ = ["Engine"]


LONG_TEXT = 100_000
"""Characters of a module from which registers are allocated the quick way: the careful one takes
time that grows faster than the text, and such kernels are bound by their loads."""


class Engine:
    """Compiles modules for this machine and keeps their code.

    Attributes
    ----------
    counters : dict of str to int
        ``compiled`` kernels, and those found in ``memory``.
    """

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.initialize_native_asmparser()
        self.triple = llvm.get_process_triple()
        self.machines = [self._machine(level) for level in (0, 1)]
        self.layout = str(self.machines[0].target_data)
        self.jit = llvm.create_lljit_compiler(self._machine(1))
        self.lock = threading.RLock()
        self.addresses: dict[str, int] = {}
        self.counters = {"compiled": 0, "memory": 0}
        self._names = itertools.count()
        self._keep: list[Any] = []

    def _machine(self, level: int) -> Any:
        return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten(),
            opt=level,
            reloc="pic",
            codemodel="default",
            jit=True,
        )

    def whole(self, text: str) -> str:
        """Return module text with the target's triple and data layout."""
        return f'target triple = "{self.triple}"\ntarget datalayout = "{self.layout}"\n{text}'

    def link(self, text: str, names: Sequence[str], symbols: dict[str, int]) -> dict[str, int]:
        """Compile a module and return the addresses of its functions."""
        with self.lock:
            module = llvm.parse_assembly(self.whole(text))
            module.verify()
            image = self.machines[len(text) < LONG_TEXT].emit_object(module)
            builder = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
            for name, address in symbols.items():
                builder.import_symbol(name, address)
            for name in names:
                builder.export_symbol(name)
            library = builder.link(self.jit, f"library{next(self._names)}")
            self._keep.append(library)
            return {name: library[name] for name in names}

    def kernel(self, kernel: Kernel) -> int:
        """Return the address of a kernel, compiled on first use of its text."""
        text = kernel.text()
        found = self.addresses.get(text)
        if found is not None:
            self.counters["memory"] += 1
            return found
        with self.lock:
            found = self.addresses.get(text)
            if found is None:
                name = "k" + hashlib.sha256(text.encode()).hexdigest()[:24]
                found = self.link(emit_kernel(kernel, name), [name], {})[name]
                self.addresses[text] = found
                self.counters["compiled"] += 1
            return found

    def assembly(self, text: str) -> str:
        """Return the assembly of module text."""
        with self.lock:
            module = llvm.parse_assembly(self.whole(text))
            return str(self.machines[len(text) < LONG_TEXT].emit_assembly(module))
