"""Bands of rows that share what they read: the bits of one row at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit_llvm.bands
import tracejit_llvm.emit
from tracejit.ir import scalar as s
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES
from tracejit.ir.kernel import Accumulator, BufferParam, For, Kernel, Reduce, Store
from tracejit.ir.plan import Launch, Plan, Slot
from tracejit.ir.scalar import Expr, IndexVar, Loop, Size
from tracejit.testing.kernels import run_kernel
from tracejit_llvm import make_backend
from tracejit_llvm.bands import band_of

F64, F32, I32 = (DTYPES[n] for n in ("f64", "f32", "i32"))
n, i, j, c, a, b = (IndexVar(f"i{k}", 0) for k in range(6))
ROWS, COLUMNS, WIDTH, PLANE = map(Size, range(4))


def place(*terms: tuple[Any, IndexVar]) -> Expr:
    names = tuple(s.index(v) for _, v in terms)
    return s.raw("affine", names, DTYPES["i64"], (0, tuple(k for k, _ in terms)))


def load(buffer: int, offset: Expr, dtype: Any) -> Expr:
    return s.raw("load", (offset,), dtype, buffer)


def filters(
    channels: int, tall: int, wide: int, dtype: Any = F64, kind: str = "add"
) -> tuple[Kernel, For]:
    """Return a kernel that slides a window over the planes of an image, and its loop over rows."""
    x = load(0, place((PLANE, c), (WIDTH, i), (WIDTH, a), (1, j), (1, b)), dtype)
    w = load(1, place((tall * wide, c), (wide, a), (1, b)), dtype)
    product = s.apply("mul", x, w)
    sums = [Accumulator("s0", "max" if kind == "max" else "add", product)]
    result: Expr = s.raw("ref", (), dtype, "s0")
    at = place((COLUMNS, i), (1, j))
    if kind == "two":
        sums.append(Accumulator("s1", "max", x))
        result = s.apply("sub", result, s.raw("ref", (), dtype, "s1"))
    if kind == "in place":
        result = s.apply("add", load(2, at, dtype), result)
    reduce = Reduce((Loop(c, 0, channels), Loop(a, 0, tall), Loop(b, 0, wide)), tuple(sums))
    columns = For(Loop(j, 0, COLUMNS, True), (reduce, Store(2, at, result)))
    rows = For(Loop(i, 0, ROWS), (columns,), True)
    mode = "inout" if kind == "in place" else "out"
    buffers = tuple(BufferParam(dtype, m) for m in ("in", "in", mode))
    return Kernel(buffers, (rows,), 4), rows


def run(function: Any, kernel: Kernel, shape: tuple[int, ...], rows: list[tuple[int, int]]) -> Any:
    """Return what `function` makes of random numbers, a few rows at a time."""
    channels, height, width, tall, wide = shape
    random = np.random.default_rng(3)
    dtype = kernel.buffers[0].dtype
    plane = (height + tall - 1) * (width + wide - 1)
    image = (random.standard_normal(channels * plane) * 9).astype(dtype)
    weights = (random.standard_normal(channels * tall * wide) * 9).astype(dtype)
    out = (random.standard_normal(height * width + 8) * 9).astype(dtype)
    for begin, end in rows:
        function([image, weights, out], [height, width, width + wide - 1, plane], (), begin, end)
    return out


KINDS = [(F64, "add"), (F32, "add"), (I32, "add"), (F64, "max"), (F64, "two"), (F32, "in place")]


@pytest.mark.parametrize(("dtype", "kind"), KINDS)
@pytest.mark.parametrize(
    ("window", "few_registers"),
    [
        ((1, 9, 9), False), ((2, 3, 3), False), ((3, 2, 5), False), ((1, 5, 1), False),
        ((2, 3, 3), True),
    ],
)  # fmt: skip
def test_bands_have_the_bits_of_rows(
    compiler: Any,
    monkeypatch: Any,
    window: tuple[int, int, int],
    dtype: Any,
    kind: str,
    few_registers: bool,
) -> None:
    if few_registers:
        monkeypatch.setattr(tracejit_llvm.bands, "is_wide", lambda: False)
    channels, tall, wide = window
    kernel, rows = filters(channels, tall, wide, dtype, kind)
    assert bool(band_of(rows)) is not (few_registers and kind == "two")
    banded = compiler(kernel)
    with monkeypatch.context() as m:
        m.setattr(tracejit_llvm.emit, "band_of", lambda _: None)
        alone = compiler(kernel)

    def interpreted(buffers: Any, sizes: Any, floats: Any, begin: int, end: int) -> None:
        run_kernel(kernel, buffers, sizes, floats, begin, end)

    for height, width in ((1, 5), (3, 70), (4, 1), (7, 33), (13, 100)):
        shape = channels, height, width, tall, wide
        want = run(alone, kernel, shape, [(0, 2**62)])
        chunks = [(k, k + 6) for k in range(0, height, 6)]
        for cut in ([(0, 2**62)], chunks, [(0, height // 2), (height // 2, height)]):
            assert run(banded, kernel, shape, cut).tobytes() == want.tobytes()
        if height * width < 99:
            told = run(interpreted, kernel, shape, [(0, height)])
            rtol = 1e-4 if dtype == F32 else 1e-12
            np.testing.assert_allclose(want, told, rtol=rtol, atol=1e3 * rtol)


def test_what_is_no_band() -> None:
    def changed(value: Any = None, loop: Any = None, **fields: Any) -> Any:
        _, rows = filters(1, 3, 3)
        (columns,) = rows.body
        reduce, store = columns.body  # type: ignore[union-attr]
        if value is not None:
            reduce = reduce._replace(accumulators=(Accumulator("s0", "add", value),))  # type: ignore[union-attr,call-arg]
        if loop is not None:
            reduce = reduce._replace(loops=(loop, *reduce.loops[1:]))  # type: ignore[union-attr,call-arg]
        columns = columns._replace(body=(reduce, store))
        return band_of(rows._replace(body=(columns,), **fields))

    def image(*terms: tuple[Any, IndexVar]) -> Expr:
        return load(0, place(*terms, (1, j), (1, b)), F64)

    assert changed() is not None
    assert changed(image((WIDTH, i), (WIDTH, a))) is not None
    # Two rows further for each result; another row for each column; every row alone.
    assert changed(image((6, i), (3, a))) is None
    assert changed(image((WIDTH, i), (COLUMNS, a))) is None
    assert changed(image((WIDTH, i))) is None
    # The row itself, and as part of what is found in memory.
    number = s.convert(s.index(i), F64)
    assert changed(s.apply("mul", image((WIDTH, i), (WIDTH, a)), number)) is None
    gathered = load(0, s.raw("affine", (load(1, s.index(i), DTYPES["i64"]), s.index(j)),
                             DTYPES["i64"], (0, (1, 1))), F64)  # fmt: skip
    assert changed(gathered) is None
    # More terms than are summed in one block, or an unknown number of them.
    assert changed(loop=Loop(c, 0, 200)) is None
    assert changed(loop=Loop(c, 0, ROWS)) is None


@pytest.mark.parametrize("height", [3, 16, 33, 257])
def test_chunks_of_bands(compiler: Any, height: int) -> None:
    """Each row is computed, by whichever thread: chunks are long, and start at a band."""
    kernel, _ = filters(1, 3, 3)
    width = 20
    avals = [ShapedArray((k,), F64) for k in ((height + 2) * (width + 2), 9, height * width)]
    launch = Launch(0, (0, 1, 2), (height, width, width + 2, 0), (), height, 1e6)
    slots = tuple(Slot(kind, k, avals[m]) for m, (kind, k) in enumerate(
        (("input", 0), ("input", 1), ("output", 0))
    ))  # fmt: skip
    plan = Plan("f", (kernel,), (launch,), slots, tuple(avals[:2]), (avals[2],))
    backend = make_backend()
    executable = backend.compile(plan)
    inputs = [np.random.default_rng(1).random(v.shape) for v in avals[:2]]
    want = np.zeros(height * width)
    compiler(kernel)([*inputs, want], [height, width, width + 2, 0])
    for threads in (1, 2, 3, 7):
        backend.set_num_threads(threads)
        out = np.full(height * width, np.nan)
        executable(inputs, [out])
        assert out.tobytes() == want.tobytes(), f"{threads} threads"
