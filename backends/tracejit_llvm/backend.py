"""The CPU backend: kernels as LLVM text, run by one native driver."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from tracejit.ir.plan import Plan
from tracejit.ir.target import Target
from tracejit_llvm.blas import LIBRARIES, blas_symbols, matmul_text
from tracejit_llvm.driver import DRIVER
from tracejit_llvm.emit import NATIVE_OPS
from tracejit_llvm.engine import Engine
from tracejit_llvm.executable import NativeExecutable

__all__ = ["LLVMBackend"]

SERIAL = """
define void @pool_run(ptr %pool, ptr %fn, ptr %arg, i64 %n) {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %body ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  call void %fn(ptr %arg, i64 %i, i64 %n)
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}
"""


class LLVMBackend:
    """Runs plans on the CPU."""

    name = "llvm"

    def __init__(self) -> None:
        self.engine = Engine()
        driver = DRIVER.replace("declare void @pool_run(ptr, ptr, ptr, i64)\n", "") + SERIAL
        self.run_address = self.engine.link(driver, ["run"], {})["run"]
        self.counted = {"callbacks": 0}
        self._libraries: dict[str, int] = {}
        self._lock = threading.RLock()

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
        return np.empty(shape, dtype)

    def set_num_threads(self, n: int) -> None:
        del n

    def counters(self) -> dict[str, int]:
        return {**self.engine.counters, **self.counted}
