"""Compile a kernel's text and run it."""

from __future__ import annotations

import ctypes
import itertools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

from tracejit.ir.avals import ShapedArray
from tracejit.ir.kernel import Kernel
from tracejit.ir.plan import LibraryCall, Plan, Slot
from tracejit_llvm import make_backend
from tracejit_llvm.emit import emit_kernel

Native = Callable[..., None]


class Compiler:
    """Compiles kernels in this process, at code generation level 2 and without passes."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.triple = llvm.get_process_triple()
        self.target = llvm.Target.from_triple(self.triple)
        self.machine = self._machine()
        # As the engine does: the older linker aborts where sections lie too far apart.
        self.jit = llvm.create_lljit_compiler(
            self._machine(), use_jit_link=sys.platform != "win32"
        )
        self.names = (f"kernel{n}" for n in itertools.count())
        self.kept: list[Any] = []

    def _machine(self) -> Any:
        features = llvm.get_host_cpu_features().flatten()
        return self.target.create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features, opt=2, reloc="pic",
            codemodel="default", jit=True,
        )  # fmt: skip

    def link(self, text: str, name: str) -> int:
        """Return the address of a function."""
        head = f'target triple = "{self.triple}"\n'
        head += f'target datalayout = "{self.machine.target_data}"\n'
        module = llvm.parse_assembly(head + text)
        module.verify()
        image = self.machine.emit_object(module)
        builder = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
        tracker = builder.export_symbol(name).link(self.jit, f"library_{name}")
        self.kept.append(tracker)
        return int(tracker[name])

    def __call__(self, kernel: Kernel) -> Native:
        """Return ``run(buffers, sizes, floats, begin, end)``."""
        name = next(self.names)
        address = self.link(emit_kernel(kernel, name), name)
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        function = ctypes.CFUNCTYPE(None, pointer, pointer, pointer, integer, integer)(address)

        def run(
            buffers: list[np.ndarray[Any, Any]],
            sizes: Any = (),
            floats: Any = (),
            begin: int = 0,
            end: int = 2**62,
        ) -> None:
            pointers = np.array([b.ctypes.data for b in buffers], np.int64)
            integers = np.array([*sizes, 0], np.int64)
            numbers = np.array([*floats, 0.0], np.float64)
            function(
                pointers.ctypes.data, integers.ctypes.data, numbers.ctypes.data, begin, end
            )

        return run


@pytest.fixture(scope="session")
def compiler() -> Compiler:
    return Compiler()


GUARD = 64


class Library:
    """Runs library calls as plans of their own, by several numbers of threads."""

    def __init__(self) -> None:
        self.backend = make_backend()

    def __call__(
        self,
        name: str,
        params: Sequence[int],
        inputs: Sequence[np.ndarray[Any, Any]],
        outputs: Sequence[tuple[tuple[int, ...], Any]],
        threads: int = 1,
        in_place: bool = False,
    ) -> list[np.ndarray[Any, Any]]:
        """Return what a call writes, into a copy of its first input if `in_place`.

        What lies before and behind each result must stay as it is.
        """
        self.backend.set_num_threads(threads)
        results, rooms = [], []
        for shape, dtype in outputs:
            aval = ShapedArray(shape, dtype)
            room = np.full(aval.nbytes + 2 * GUARD, 0xA5, np.uint8)
            rooms.append(room)
            results.append(room[GUARD : GUARD + aval.nbytes].view(aval.dtype).reshape(shape))
        slots = [Slot("input", n, ShapedArray(x.shape, x.dtype)) for n, x in enumerate(inputs)]
        slots += [
            Slot("output", n, ShapedArray(shape, dtype)) for n, (shape, dtype) in enumerate(outputs)
        ]
        own = list(range(len(slots)))
        if in_place:
            results[0][...] = inputs[0].reshape(results[0].shape)
            own[0] = len(inputs)
        step = LibraryCall(name, tuple(own), tuple(params))
        avals = [s.aval for s in slots]
        plan = Plan(
            name, (), (step,), tuple(slots), tuple(avals[: len(inputs)]),
            tuple(avals[len(inputs) :]),
        )  # fmt: skip
        before = [x.tobytes() for x in inputs]
        self.backend.compile(plan)(list(inputs), results)
        assert before == [x.tobytes() for x in inputs]
        for room in rooms:
            assert (room[:GUARD] == 0xA5).all()
            assert (room[room.size - GUARD :] == 0xA5).all()
        return results


@pytest.fixture(scope="session")
def library() -> Library:
    return Library()
