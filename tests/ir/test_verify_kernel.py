"""The verifier of kernels passes what is right and names what is not."""

from __future__ import annotations

from typing import Any

import pytest

from tracejit.ir import scalar as s
from tracejit.ir.kernel import Accumulator, BufferParam, For, Kernel, Reduce, Store
from tracejit.ir.scalar import IndexVar, Loop, Size
from tracejit.ir.verify_kernel import KernelError, verify_kernel

I, J = IndexVar("i0", 8), IndexVar("i1", 8)
LENGTH = Size(0)
IN, OUT = BufferParam(s.F64, "in"), BufferParam(s.F64, "out")


def load(number: int = 0, var: IndexVar = I, dtype: Any = s.F64) -> s.Expr:
    return s.raw("load", (s.index(var),), dtype, number)


def kernel(value: s.Expr, number: int = 1, hi: Any = LENGTH, buffers: Any = (IN, OUT)) -> Kernel:
    store = Store(number, s.index(I), value)
    return Kernel(buffers, (For(Loop(I, 0, hi, True), (store,), True),), 1, (s.F64,))


def test_what_is_right_passes() -> None:
    verify_kernel(kernel(s.apply("add", load(), s.raw("float", (), s.F64, 0))))
    total = Reduce((Loop(J, 0, 8, True),), (Accumulator("s0", "add", load(0, J)),))
    store = Store(1, s.index(I), s.raw("ref", (), s.F64, "s0"))
    verify_kernel(Kernel((IN, OUT), (For(Loop(I, 0, 8), (total, store), True),)))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (kernel(load(0, J)), "outside its loop"),
        (kernel(load(5)), "does not exist"),
        (kernel(load(1)), "written only"),
        (kernel(load(), 0), "read only"),
        (kernel(load(0, dtype=s.F32)), "holds float64"),
        (kernel(s.convert(load(), s.F32)), "is stored"),
        (kernel(s.raw("add", (load(), s.const(1, s.F32)), s.F64)), "mixes dtypes"),
        (kernel(s.raw("lt", (load(), load()), s.F64)), "comparison"),
        (kernel(s.raw("frobnicate", (load(),), s.F64)), "no operation"),
        (kernel(s.raw("ref", (), s.F64, "s0")), "before it is computed"),
        (kernel(s.raw("float", (), s.F64, 1)), "f1 does not exist"),
        (kernel(load(), hi=Size(1)), "sizes"),
        (kernel(load(), buffers=(IN, BufferParam(s.F64, "neither"))), "mode"),
    ],
)
def test_what_is_wrong_is_named(broken: Kernel, message: str) -> None:
    with pytest.raises(KernelError, match=message):
        verify_kernel(broken)
