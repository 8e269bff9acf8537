"""The CPU backend: kernels as LLVM text, run by one native driver."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tracejit.ir.plan import Plan
from tracejit.ir.target import Target
from tracejit_llvm.blas import LIBRARIES, blas_symbols, matmul_text
from tracejit_llvm.buffers import Buffers
from tracejit_llvm.driver import DRIVER
from tracejit_llvm.emit import NATIVE_OPS
from tracejit_llvm.engine import Engine
from tracejit_llvm.executable import NativeExecutable
from tracejit_llvm.pool import Pool, pool_text

__all__ = ["LLVMBackend"]

class LLVMBackend:
    """Runs plans on the CPU."""

    name = "llvm"

    def __init__(self) -> None:
        self.engine = Engine()
        self.buffers = Buffers()
        text = DRIVER + pool_text(self.engine.triple)
        functions = self.engine.link(text, ["run", "worker"], {})
        self.run_address = functions["run"]
        self.pool = Pool(functions["worker"])
        self.counted = {"callbacks": 0}
        self._libraries: dict[str, int] = {}
        self._lock = threading.RLock()
        self._runner: ThreadPoolExecutor | None = None
        self._runner_process = 0

    def is_available(self) -> str:
        return ""

    def target(self) -> Target:
        return Target("cpu", 32 << 20, NATIVE_OPS, LIBRARIES)

    def compile(self, plan: Plan) -> NativeExecutable:
        return NativeExecutable(plan, self)

    def library(self, name: str) -> int:
        with self._lock:
            if name not in self._libraries:
                names = ["matmul_dgemm", "matmul_sgemm"]
                self._libraries = self.engine.link(matmul_text(), names, blas_symbols())
            return self._libraries[name]

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.buffers.empty(shape, dtype)

    def set_num_threads(self, n: int) -> None:
        self.pool.set_num_threads(n)

    def runner(self) -> ThreadPoolExecutor:
        """Return the threads in which interruptible runs run; made anew in a forked child."""
        with self._lock:
            if self._runner is None or self._runner_process != os.getpid():
                self._runner = ThreadPoolExecutor(1, "tracejit")
                self._runner_process = os.getpid()
            return self._runner

    def counters(self) -> dict[str, int]:
        return {**self.engine.counters, **self.counted}
