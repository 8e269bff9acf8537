"""Matrix products: those done here, and BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracejit.ir.avals import ShapedArray
from tracejit.ir.plan import LibraryCall, Plan, Slot
from tracejit_llvm import make_backend
from tracejit_llvm.routines.answers import library_steps

SIZES = [
    (1, 1, 1, 1), (1, 8, 8, 8), (3, 5, 7, 2), (2, 4, 8, 16), (2, 4, 8, 17), (2, 3, 9, 5),
    (2, 3, 16, 5), (2, 33, 4, 4), (1, 1, 40, 50), (1, 40, 1, 50), (1, 1, 1, 200), (4, 30, 20, 10),
    (0, 2, 3, 4), (2, 0, 3, 4), (2, 3, 0, 4), (2, 3, 4, 0), (2, 30, 40, 0), (0, 0, 0, 0),
    (2, 40, 0, 50), (2, 0, 40, 50), (2, 40, 40, 0),
    (1, 8, 24, 3), (1, 9, 25, 31), (2, 70, 50, 33), (1, 13, 100, 256), (1, 13, 30, 257),
    (1, 20, 30, 257), (1, 130, 17, 15), (1, 300, 260, 250),
    (2, 6, 25, 1031), (1, 33, 3, 2500), (2, 5, 33, 300), (1, 40, 50, 300), (2, 0, 3, 300),
    (2, 3, 0, 300), (2, 5, 3200, 20), (1, 70, 1537, 9),
]  # fmt: skip


@pytest.fixture(scope="module")
def backend() -> Any:
    return make_backend()


def product(backend: Any, a: Any, b: Any, flags: tuple[int, int]) -> Any:
    """Return ``a @ b`` of stacks of matrices that are stored transposed as `flags` say."""
    (batch, m, k), n = a.shape, b.shape[2]
    stored = [
        np.ascontiguousarray(x.swapaxes(1, 2)) if f else x
        for x, f in zip((a, b), flags, strict=True)
    ]
    avals = [ShapedArray(x.shape, x.dtype) for x in stored]
    avals.append(ShapedArray((batch, m, n), a.dtype))
    slots = [Slot("input", 0, avals[0]), Slot("input", 1, avals[1]), Slot("output", 0, avals[2])]
    step = LibraryCall("matmul", (0, 1, 2), (batch, m, n, k, *flags))
    plan = Plan("matmul", (), (step,), tuple(slots), tuple(avals[:2]), (avals[2],))
    out = np.full((batch, m, n), np.nan, a.dtype)
    room = np.full(out.size + 64, 7, a.dtype)  # what lies behind the result must stay as it is
    target = room[: out.size].reshape(out.shape)
    target[...] = np.nan
    backend.compile(plan)(stored, [target])
    assert (room[out.size :] == 7).all()
    return target


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("flags", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("sizes", SIZES)
def test_matmul(
    backend: Any, capfd: pytest.CaptureFixture[str], sizes: Any, flags: Any, dtype: Any
) -> None:
    batch, m, n, k = sizes
    rng = np.random.default_rng(0)
    a = rng.standard_normal((batch, m, k)).astype(dtype)
    b = rng.standard_normal((batch, k, n)).astype(dtype)
    got = product(backend, a, b, flags)
    wanted = a.astype(np.float64) @ b.astype(np.float64)
    bound = 4 * k * np.finfo(dtype).eps * (np.abs(a) @ np.abs(b)).astype(np.float64)
    assert got.shape == wanted.shape
    assert (np.abs(got - wanted) <= bound).all()
    assert capfd.readouterr() == ("", "")  # BLAS prints what it does not like of its arguments


@pytest.mark.parametrize("n", [3, 30])
def test_specials_go_through(backend: Any, n: int) -> None:
    a, b = np.ones((1, n, n)), np.eye(n)[None]
    a[0, 1, 2], a[0, 2, 0] = np.nan, np.inf
    got = product(backend, a, b, (0, 0))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(got, a @ b)


@pytest.mark.parametrize("sizes", [(5000, 4, 4, 4), (1, 250, 200, 256)])
def test_bits_do_not_depend_on_threads(backend: Any, sizes: Any) -> None:
    rng = np.random.default_rng(1)
    batch, m, n, k = sizes
    a, b = rng.random((batch, m, k)), rng.random((batch, k, n))
    (step,) = library_steps(LibraryCall("matmul", (0, 1, 2), (*sizes, 0, 0)), [a.dtype]).steps
    assert step.shared
    assert step.rows > 1
    results = []
    for threads in (1, 2, 3, 7):
        backend.set_num_threads(threads)
        results.append(product(backend, a, b, (0, 0)).tobytes())
    assert len(set(results)) == 1


def test_an_unknown_call_is_named() -> None:
    with pytest.raises(ValueError, match=r"matmul.*'hessenberg'"):
        library_steps(LibraryCall("hessenberg", (0, 1), (3, 3)), [np.dtype(np.float64)])
