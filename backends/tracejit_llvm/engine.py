"""LLVM: text to machine code, each kernel once a process, and once a machine with a cache on disk.

Text goes straight to code generation, without optimisation passes: the emitter has made the vectors
and hoisted what is invariant.  The kernels of a plan that are in no cache are compiled each in a
module of its own, so that each is an object of its own on disk: a module costs 0.8 ms beside the
code in it and 0.1 ms to link, where a kernel of ten operations takes 6 ms.  Those of a short plan
are compiled the quick way, all in one module.

Code is never unloaded: workers, and runs in progress in daemon threads, may be in it until the
process ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from tracejit.backend.diskcache import DiskCache, cache_dir
from tracejit.ir.kernel import Kernel
from tracejit.ir.kernel import __file__ as kernel_module
from tracejit_llvm.emit import emit_kernel, emit_together
from tracejit_llvm.functions import module_text, needed
from tracejit_llvm.mappings import EVERY, join_mappings

__all__ = ["Engine"]

LONG_TEXT = 200_000
"""Characters of a module from which a kernel is short code, compiled the quick way: the careful way
takes time that grows faster than the text, and such kernels are bound by their loads."""

USUAL = Path("usual")
"""Stands for the folder that :func:`tracejit.backend.diskcache.cache_dir` names."""


class Engine:
    """Compiles modules for this machine and keeps their code; may be used by several threads.

    Parameters
    ----------
    folder : Path or None, optional
        Of the cache on disk; ``None`` for no cache.

    Attributes
    ----------
    counters : dict of str to int
        Kernels ``compiled``, and those found in ``memory`` and on ``disk``.
    """

    def __init__(self, folder: Path | None = USUAL) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.initialize_native_asmparser()
        self.triple = str(llvm.get_process_triple())
        self.cpu = str(llvm.get_host_cpu_name())
        self.features = str(llvm.get_host_cpu_features().flatten())
        self._machines = [self._make_machine(level) for level in (0, 1)]
        self.layout = str(self._machines[0].target_data)
        # The older linker maps each section where there is room, perhaps too far for code to reach.
        self._jit = llvm.create_lljit_compiler(
            self._make_machine(1), use_jit_link=sys.platform != "win32"
        )
        _keep_for_ever(self._jit)
        self.disk = DiskCache((lambda: cache_dir("llvm")) if folder is USUAL else folder)
        self.counters = {"compiled": 0, "memory": 0, "disk": 0}
        self._version = self._fingerprint()
        self._addresses: dict[str, int] = {}
        self._brief: dict[str, int] = {}
        self._functions: dict[str, int] = {}
        self._names = itertools.count()
        self._linked: set[int] = set()  # since mappings were joined
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            # A child would wait for ever for a thread that it does not have.
            os.register_at_fork(
                before=self._lock.acquire,
                after_in_parent=self._lock.release,
                after_in_child=self._lock.release,
            )

    def _make_machine(self, level: int) -> Any:
        return llvm.Target.from_triple(self.triple).create_target_machine(
            cpu=self.cpu, features=self.features, opt=level, reloc="pic", codemodel="default",
            jit=True,
        )  # fmt: skip

    def _fingerprint(self) -> str:
        """Return a hash of what code depends on beside its text: the emitter and the machine."""
        digest = hashlib.sha256()
        versions = (llvmlite.__version__, llvm.llvm_version_info)
        for part in (*versions, self.triple, self.cpu, self.features):
            digest.update(f"{part}\n".encode())
        for folder in (Path(__file__).parent, Path(kernel_module).parent):
            for path in sorted(folder.rglob("*.py")):
                digest.update(f"{path.relative_to(folder)}\n".encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def whole(self, text: str) -> str:
        """Return module text with the target's triple and data layout."""
        return f'target triple = "{self.triple}"\ntarget datalayout = "{self.layout}"\n{text}'

    def compile_module(self, text: str, brief: bool = False) -> bytes:
        """Return the object of a module.

        Parameters
        ----------
        text : str
            Without triple and data layout.
        brief : bool
            Whether code generation should be quick.
        """
        with self._lock:
            module = llvm.parse_assembly(self.whole(text))
            return bytes(self._machines[not brief].emit_object(module))

    def link(
        self,
        image: bytes,
        names: Sequence[str],
        symbols: Mapping[str, int] | None = None,
        others: Iterable[bytes] = (),
    ) -> dict[str, int]:
        """Load an object and return the addresses of its symbols.

        Parameters
        ----------
        image : bytes
            The object.
        names : sequence of str
            Whose addresses are wanted.
        symbols : mapping of str to int, optional
            Addresses of what it needs beside the symbols of this process.
        others : iterable of bytes
            Objects that are loaded with it, and whose symbols it may need.
        """
        with self._lock:
            builder = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
            for other in others:
                builder.add_object_img(other)
            for name, address in (symbols or {}).items():
                builder.import_symbol(name, address)
            for name in names:
                builder.export_symbol(name)
            library = builder.link(self._jit, f"library{next(self._names)}")
            _keep_for_ever(library)
            found = {name: int(library[name]) for name in names}
            self._linked.update(found.values())
            if len(self._linked) >= EVERY:
                join_mappings(self._linked)
                self._linked.clear()
            return found

    def functions(
        self,
        text: str,
        names: Sequence[str],
        symbols: Mapping[str, int] | None = None,
        brief: bool = False,
    ) -> dict[str, int]:
        """Return the addresses of functions of a module, whose object is cached on disk.

        If `brief`, code generation is quick.
        """
        key = self._key(f"{text}\nbrief" if brief else text)
        return self._stored(key, lambda: text, names, symbols, brief)

    def _stored(
        self,
        key: str,
        text: Callable[[], str],
        names: Sequence[str],
        symbols: Mapping[str, int] | None = None,
        brief: bool = False,
    ) -> dict[str, int]:
        """Do that for the module with a key; its text is asked for if it is not on disk."""
        image = self.disk.get(key)
        if image is not None:
            try:
                return self.link(image, names, symbols)
            except RuntimeError:  # an object that checks but does not link is a miss
                join_mappings(self._linked)
        image = self.compile_module(text(), brief)
        addresses = self.link(image, names, symbols)
        self.disk.put(key, image)
        return addresses

    def kernel(self, kernel: Kernel) -> int:
        """Return the address of a kernel, compiled on first use of its text."""
        text = kernel.text()
        with self._lock:
            found = self._known(text)
            if found is None:
                key = self._key(text)
                name = _function(key)
                made = emit_kernel(kernel, name)
                brief = len(made) >= LONG_TEXT
                if brief:
                    made = emit_together([kernel], [name])
                image = self.compile_module(made, brief)
                found = self.link(image, [name], self._functions_in(image))[name]
                self._addresses[text] = found
                self.counters["compiled"] += 1
                self.disk.put(key, image)
            return found

    def kernels(self, kernels: Sequence[Kernel]) -> list[int]:
        """Return the addresses of kernels for work so short that quick code is not worth its time.

        What is not known is compiled together, in one module and the quick way.  Longer work has
        :meth:`kernel` make it anew; the results are the same bits.
        """
        texts = [kernel.text() for kernel in kernels]
        with self._lock:
            addresses: dict[str, int] = {}
            missing: dict[str, Kernel] = {}
            for text, kernel in zip(texts, kernels, strict=True):
                found = self._brief.get(text) or self._known(text)
                if found is None:
                    missing[text] = kernel
                else:
                    addresses[text] = found
            if missing:
                made = self._together(missing)
                self._brief.update(made)
                addresses.update(made)
        return [addresses[text] for text in texts]

    def _known(self, text: str) -> int | None:
        """Return the address of a kernel that was compiled with care, or None if there is none."""
        found = self._addresses.get(text)
        if found is not None:
            self.counters["memory"] += 1
            return found
        key = self._key(text)
        image = self.disk.get(key)
        if image is None:
            return None
        name = _function(key)
        try:
            found = self._addresses[text] = self._link_with_functions(image, [name])[name]
        except RuntimeError:  # an object that checks but does not link is a miss
            return None
        self.counters["disk"] += 1
        return found

    def _together(self, kernels: Mapping[str, Kernel]) -> dict[str, int]:
        """Return the addresses of kernels, by text, that are compiled the quick way."""
        names = [_function(self._key(text)) for text in kernels]
        key = self._key("\n".join(["brief", *kernels]))
        image = self.disk.get(key)
        found = None
        if image is not None:
            with contextlib.suppress(RuntimeError):  # as above
                found = self._link_with_functions(image, names)
                self.counters["disk"] += len(kernels)
        if found is None:
            text = emit_together(list(kernels.values()), names)
            image = self.compile_module(text, brief=True)
            found = self.link(image, names, self._functions_in(image))
            self.counters["compiled"] += len(kernels)
            self.disk.put(key, image)
        return {text: found[name] for text, name in zip(kernels, names, strict=True)}

    def _link_with_functions(self, image: bytes, names: Sequence[str]) -> dict[str, int]:
        """Load an object of short code; functions that it calls are loaded with it.

        To load two objects at once takes little longer than to load one.
        """
        wanted = needed(image)
        known = {name: self._functions[name] for name in wanted if name in self._functions}
        missing = {
            name: stored
            for name in wanted
            if name not in known and (stored := self.disk.get(self._function_key(name)))
        }
        for name in wanted:
            if name not in known and name not in missing:
                known[name] = self._function_address(name)
        found = self.link(image, [*names, *missing], known, missing.values())
        self._functions.update({name: found[name] for name in missing})
        return found

    def _function_key(self, name: str) -> str:
        """Return the key of a function of :mod:`tracejit_llvm.functions`, which its name tells."""
        return self._key(f"function {name}")

    def _functions_in(self, image: bytes) -> dict[str, int]:
        """Return the addresses of the functions that an object of short code calls."""
        return {name: self._function_address(name) for name in needed(image)}

    def provide(self, functions: Mapping[str, int]) -> None:
        """Take functions of :mod:`tracejit_llvm.functions` from these addresses."""
        self._functions.update(functions)

    def _function_address(self, name: str) -> int:
        found = self._functions.get(name)
        if found is None:
            key = self._function_key(name)
            found = self._functions[name] = self._stored(key, lambda: module_text(name), [name])[
                name
            ]
        return found

    def assembly(self, text: str) -> str:
        """Return the assembly of module text."""
        with self._lock:
            module = llvm.parse_assembly(self.whole(text))
            return str(self._machines[len(text) < LONG_TEXT].emit_assembly(module))

    def _key(self, text: str) -> str:
        return hashlib.sha256(f"{self._version}\n{text}".encode()).hexdigest()


def _function(key: str) -> str:
    """Return the name of the kernel with this key."""
    return "k" + key[:24]


def _keep_for_ever(library: Any) -> None:
    """Keep an object alive when the interpreter clears its modules at exit, too."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))
