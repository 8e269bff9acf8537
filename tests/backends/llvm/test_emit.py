"""Emitted kernels against the interpreter of kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracejit.ir import scalar as s
from tracejit.ir.dtypes import DTYPES, is_bool, is_float
from tracejit.ir.kernel import Accumulator, BufferParam, For, Kernel, Reduce, Store
from tracejit.ir.scalar import Expr, IndexVar, Loop, Size
from tracejit.testing.kernels import run_kernel

F64, F32, I64, I32, BOOL = (DTYPES[n] for n in ("f64", "f32", "i64", "i32", "bool"))
KINDS = ["bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64"]


def variable(name: str) -> IndexVar:
    return IndexVar(name, 0)


i, j, r, q = (variable(n) for n in ("i0", "i1", "i2", "i3"))


def at(constant: Any, *terms: tuple[Any, IndexVar]) -> Expr:
    """Return an offset, of ints or Sizes."""
    used = [(c, s.index(v)) for c, v in terms]
    if len(used) == 1 and used[0][0] == 1 and constant == 0:
        return used[0][1]
    return s.raw(
        "affine", tuple(t for _, t in used), I64, (constant, tuple(c for c, _ in used))
    )


def load(buffer: int, offset: Expr, dtype: Any = F64) -> Expr:
    return s.raw("load", (offset,), dtype, buffer)


def ref(name: str, dtype: Any = F64) -> Expr:
    return s.raw("ref", (), dtype, name)


def params(*buffers: tuple[Any, str]) -> tuple[BufferParam, ...]:
    return tuple(BufferParam(dtype, mode) for dtype, mode in buffers)


def values(dtype: Any, n: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    if is_bool(dtype):
        return rng.integers(0, 2, n).astype(bool)
    if is_float(dtype) or dtype == DTYPES["bf16"]:
        return (rng.standard_normal(n) * 3).astype(dtype)
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, n, dtype, endpoint=True)
    x[::5] = 0
    x[1::7] = info.min
    x[3::7] = info.max
    return x


def check(
    compiler: Any,
    kernel: Kernel,
    buffers: list[Any],
    sizes: Any = (),
    floats: Any = (),
    *,
    exact: bool = True,
    size: float = 1.0,
    rows: list[tuple[int, int]] | None = None,
) -> list[Any]:
    """Run both ways and compare every buffer; return the native results."""
    want = [b.copy() for b in buffers]
    got = [np.concatenate([b, b[:1]]) if b.size else np.zeros(1, b.dtype) for b in buffers]
    native = compiler(kernel)
    for begin, end in rows or [(0, 2**62)]:
        run_kernel(kernel, want, sizes, floats, begin, end)
        native(got, sizes, floats, begin, end)
    for n, (a, b) in enumerate(zip(got, want, strict=True)):
        if b.size:
            assert a[-1:].tobytes() == buffers[n][:1].tobytes(), f"buffer {n} overrun"
        a = a[: b.size]
        if b.dtype == DTYPES["bf16"]:  # whose nans NumPy does not know
            a, b = a.astype(np.float32), b.astype(np.float32)
        if exact or not is_float(b.dtype):
            np.testing.assert_array_equal(a, b, err_msg=f"buffer {n}")
        else:
            eps = 4 * np.finfo(b.dtype).eps
            np.testing.assert_allclose(a, b, rtol=eps, atol=eps * size, err_msg=f"buffer {n}")
    return got


def elementwise(value: Expr, inputs: list[Any], output: Any, vector: bool = True) -> Kernel:
    """Return the kernel ``out[i] = value`` for i below size 0."""
    buffers = params(*((d, "in") for d in inputs), (output, "out"))
    body = Store(len(inputs), s.index(i), value)
    return Kernel(buffers, (For(Loop(i, 0, Size(0), vector), (body,), True),), 1)


# ------------------------------------------------------------------------------ elementwise

ARITHMETIC = ["add", "sub", "mul", "min", "max", "eq", "ne", "lt", "le", "gt", "ge"]
INTEGERS = ["quot", "rem", "and", "or", "xor", "shl", "shr_logical", "shr_arithmetic"]
ONE_OPERAND = ["neg", "abs", "sign", "not", "popcount", "clz"]


def operations(short: str) -> list[tuple[str, int]]:
    dtype = DTYPES[short]
    if is_bool(dtype):
        return [(op, 2) for op in ("and", "or", "xor", "eq", "ne", "add", "mul")] + [("not", 1)]
    if is_float(dtype):
        ones = ["neg", "abs", "sign", "floor", "ceil", "trunc", "round", "sqrt", "isnan", "isinf",
                "isfinite"]  # fmt: skip
        return [(op, 2) for op in [*ARITHMETIC, "div", "rem", "copysign"]] + [
            (op, 1) for op in ones
        ]
    return [(op, 2) for op in ARITHMETIC + INTEGERS] + [(op, 1) for op in ONE_OPERAND]


@pytest.mark.parametrize("vector", [True, False])
@pytest.mark.parametrize("short", KINDS)
def test_arithmetic(compiler: Any, short: str, vector: bool) -> None:
    """Every operation of a dtype, one kernel for all."""
    dtype = DTYPES[short]
    n = 77
    x, y = values(dtype, n, 1), values(dtype, n, 2)
    if is_float(dtype):
        special = [0.0, -0.0, np.inf, -np.inf, np.nan, 0.5, 1.5, 2.5, -0.5, 1e-310]
        x[:10] = special
        y[5:15] = special
    else:
        y[2::6] = 1
        y[20:40] = np.arange(20)
        if dtype.kind == "i":
            y[3::7] = -1
    a, b = load(0, s.index(i), dtype), load(1, s.index(i), dtype)
    stores, buffers, arrays = [], [(dtype, "in"), (dtype, "in")], [x, y]
    for op, count in operations(short):
        e = s.apply(op, *(a, b)[:count])
        stores.append(Store(len(buffers), s.index(i), e))
        buffers.append((e.dtype, "out"))
        arrays.append(np.zeros(n, e.dtype))
    loop = For(Loop(i, 0, Size(0), vector), tuple(stores), True)
    check(compiler, Kernel(params(*buffers), (loop,), 1), arrays, [n])


@pytest.mark.parametrize("vector", [True, False])
@pytest.mark.parametrize("short", ["f32", "f64"])
def test_choices_by_flags(compiler: Any, short: str, vector: bool) -> None:
    """By flags from memory, by several of them, and by what is compared; some share one."""
    dtype = DTYPES[short]
    x, y = values(dtype, 37, 1), values(dtype, 37, 2)
    x[:3] = [np.nan, -0.0, np.inf]
    p, q = load(0, s.index(i), BOOL), load(1, s.index(i), BOOL)
    a, b = load(2, s.index(i), dtype), load(3, s.index(i), dtype)
    zero = s.const(0.0, dtype)
    chosen = [
        s.apply("select", p, a, b),
        s.apply("select", s.apply("and", p, s.apply("lt", a, b)), a, zero),
        s.apply("select", s.apply("lt", a, b), zero, s.apply("select", q, b, a)),
        s.apply("select", s.apply("ne", p, q), zero, a),
    ]
    stores = tuple(Store(4 + n, s.index(i), e) for n, e in enumerate(chosen))
    loop = For(Loop(i, 0, Size(0), vector), stores, True)
    buffers = [(BOOL, "in")] * 2 + [(dtype, "in")] * 2 + [(dtype, "out")] * 4
    flags = [values(BOOL, 37, 3), values(BOOL, 37, 4)]
    arrays = [*flags, x, y, *(np.zeros(37, dtype) for _ in chosen)]
    check(compiler, Kernel(params(*buffers), (loop,), 1), arrays, [37])


@pytest.mark.parametrize("target", [*KINDS, "f16", "bf16"])
@pytest.mark.parametrize("source", [*KINDS, "f16", "bf16"])
def test_conversions(compiler: Any, source: str, target: str) -> None:
    a, b = DTYPES[source], DTYPES[target]
    x = values(a, 53, 4)
    if source in ("f32", "f64"):
        if b.kind in "iu":
            top = 120 if b.itemsize == 1 else 30000
            x = np.clip(x * 1000, 0 if b.kind == "u" else -top, top).astype(a)
        else:
            x[:8] = [0, -0.0, np.nan, np.inf, 65519.99, 1e-7, 1e-40, 3.3895e38]
            x[8:30] *= 1e-6
            # Rounded twice, through float32, the first two would go down.
            x[30:33] = [1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-8 + 2.0**-40, 1 - 2.0**-12 - 2.0**-40]
    elif source in ("f16", "bf16") and b.kind == "u":
        x = np.abs(x)
    with np.errstate(all="ignore"):
        value = s.convert(load(0, s.index(i), a), b)
        check(compiler, elementwise(value, [a], b), [x, np.zeros(53, b)], [53])


@pytest.mark.parametrize("short", ["f32", "f64"])
@pytest.mark.parametrize("target", ["i8", "i32", "i64", "u32", "u64"])
def test_floats_that_do_not_fit_integers(compiler: Any, short: str, target: str) -> None:
    """The least integer of 32 or 64 bits, cut to size; nothing undefined."""
    a, b = DTYPES[short], DTYPES[target]
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 2.0**31, 2.0**63, -3.7, 5.9], a)
    out = np.zeros(9, b)
    compiler(elementwise(s.convert(load(0, s.index(i), a), b), [a], b))([x, out], [9])
    least = -(2**63) if target in ("i64", "u32") else -(2**31)
    expected = [least] * 5
    if target in ("i64", "u32", "u64"):
        expected += [2**31, least]
    else:
        expected += [least, least]
    expected += [-3, 5]
    if target == "u64":
        expected = [2**63, 0, 2**63, 0, 2**63, 2**31, 2**63, -3, 5]
    bits = 8 * b.itemsize
    assert [int(v) % 2**bits for v in out] == [v % 2**bits for v in expected]


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 16, 31, 32, 33, 100])
def test_lengths(compiler: Any, n: int) -> None:
    value = s.apply("mul", load(0, s.index(i)), s.raw("float", (), F64, 0))
    kernel = elementwise(value, [F64], F64)
    kernel = Kernel(kernel.buffers, kernel.body, 1, (F64,))
    check(compiler, kernel, [values(F64, n), np.zeros(n)], [n], [1.1])
    fixed = For(Loop(i, 0, n, True), kernel.body[0].body, True)  # type: ignore[union-attr]
    check(
        compiler, Kernel(kernel.buffers, (fixed,), 1, (F64,)), [values(F64, n), np.zeros(n)],
        [n], [1.1],
    )  # fmt: skip


def test_chunks_of_rows(compiler: Any) -> None:
    kernel = elementwise(s.apply("neg", load(0, s.index(i))), [F64], F64)
    check(compiler, kernel, [values(F64, 100), np.zeros(100)], [100],
          rows=[(0, 13), (40, 41), (50, 50), (90, 200)])  # fmt: skip


@pytest.mark.parametrize("coefficient", [1, -1, 2, 3, -2, 0, Size(1)])
@pytest.mark.parametrize("short", ["f64", "f32", "i8", "bool"])
def test_strides_of_loads_and_stores(compiler: Any, short: str, coefficient: Any) -> None:
    dtype = DTYPES[short]
    n = 45
    step = 5 if isinstance(coefficient, Size) else coefficient
    start = 3 - min(step, 0) * (n - 1)
    place = at(start, (coefficient, i))
    x = values(dtype, 4 + abs(step) * n)
    out = np.zeros(x.size, dtype)
    loop = Loop(i, 0, Size(0), True)
    loads = For(loop, (Store(1, s.index(i), load(0, place, dtype)),), True)
    buffers = params((dtype, "in"), (dtype, "out"))
    check(compiler, Kernel(buffers, (loads,), 2), [x, np.zeros(n, dtype)], [n, 5])
    stores = For(loop, (Store(1, place, load(0, s.index(i), dtype)),), True)
    check(compiler, Kernel(buffers, (stores,), 2), [values(dtype, n), out], [n, 5])


def test_index_values_and_gather(compiler: Any) -> None:
    n = 50
    which = np.random.default_rng(0).integers(0, 30, n).astype(np.int64)
    x = values(F64, 300)
    place = s.raw(
        "affine", (load(1, s.index(i), I64), s.index(i)), I64, (2, (Size(1), 3))
    )
    stores = (
        Store(2, s.index(i), load(0, place)),
        Store(3, s.index(i), s.convert(at(7, (-3, i)), F64)),
        Store(4, at(0, (2, i)), s.index(i)),
    )
    kernel = Kernel(
        params((F64, "in"), (I64, "in"), (F64, "out"), (F64, "out"), (I64, "out")),
        (For(Loop(i, 0, Size(0), True), stores, True),), 2,
    )  # fmt: skip
    check(
        compiler, kernel, [x, which, np.zeros(n), np.zeros(n), np.zeros(2 * n, np.int64)], [n, 4]
    )


def test_scatter_by_data(compiler: Any) -> None:
    order = np.random.default_rng(1).permutation(37).astype(np.int64)
    body = (Store(2, load(1, s.index(i), I64), load(0, s.index(i), F32)),)
    kernel = Kernel(params((F32, "in"), (I64, "in"), (F32, "out")),
                    (For(Loop(i, 0, Size(0), True), body, True),), 1)  # fmt: skip
    check(compiler, kernel, [values(F32, 37), order, np.zeros(37, np.float32)], [37])


def test_swap_in_one_group_of_stores(compiler: Any) -> None:
    """All loads of neighbouring stores come before the first of them."""
    body = (Store(0, s.index(i), load(1, s.index(i))), Store(1, s.index(i), load(0, s.index(i))))
    kernel = Kernel(params((F64, "inout"), (F64, "inout")),
                    (For(Loop(i, 0, Size(0), True), body, True),), 1)  # fmt: skip
    check(compiler, kernel, [values(F64, 20, 1), values(F64, 20, 2)], [20])


def test_store_is_seen_by_the_next_statement(compiler: Any) -> None:
    """A loop between two groups ends the first one; what it wrote is loaded anew."""
    again = s.apply("add", load(0, s.index(i)), s.const(1.0, F64))
    inner = For(Loop(j, 0, Size(1)), (Store(1, s.index(j), load(0, s.index(i))),))
    body = (Store(0, s.index(i), again), inner, Store(0, s.index(i), again))
    kernel = Kernel(params((F64, "inout"), (F64, "out")), (For(Loop(i, 0, Size(0)), body),), 2)
    check(compiler, kernel, [values(F64, 9), np.zeros(5)], [9, 5])


def test_load_constant_in_a_loop_that_writes_its_buffer(compiler: Any) -> None:
    body = (Store(0, at(0), s.apply("add", load(0, at(0)), load(1, s.index(i)))),)
    kernel = Kernel(params((F64, "inout"), (F64, "in")), (For(Loop(i, 0, Size(0)), body),), 1)
    check(compiler, kernel, [np.zeros(1), values(F64, 30)], [30])


def test_load_before_a_loop_that_writes_its_buffer(compiler: Any) -> None:
    """What was loaded before the loop is not what the loop finds."""
    again = s.apply("add", load(0, at(0)), s.const(1.0, F64))
    inner = For(Loop(j, 0, Size(1)), (Store(0, at(0), again),))
    body = (Store(1, s.index(i), again), inner)
    kernel = Kernel(params((F64, "inout"), (F64, "out")), (For(Loop(i, 0, Size(0)), body),), 2)
    check(compiler, kernel, [np.zeros(1), np.zeros(4)], [4, 5])


def test_empty_loop_loads_nothing(compiler: Any) -> None:
    """The address is far outside: a load moved before the loop would be seen."""
    far = load(0, at(2**50))
    body = For(Loop(j, 0, Size(1), True), (Store(1, s.index(j), far),))
    outer = For(Loop(i, 0, Size(0)), (body,), True)
    kernel = Kernel(params((F64, "in"), (F64, "out")), (outer,), 2)
    compiler(kernel)([np.zeros(1), np.zeros(1)], [3, 0])


@pytest.mark.parametrize("lifted", [False, True])
def test_stencil_in_boxes(compiler: Any, lifted: bool) -> None:
    rows, columns = (19, 45)
    sizes = [rows - 1, columns - 1, columns, -columns, rows, columns - 1, (rows - 1) * columns]
    n = [Size(k) if lifted else v for k, v in enumerate(sizes)]
    last_row, last, row, up, all_rows, _, bottom = n

    def cell(constant: Any) -> Expr:
        return load(0, at(constant, (row, i), (1, j)))

    four = s.const(4.0, F64)
    lap = s.apply("sub", s.apply("add", s.apply("add", cell(up), cell(row)),
                  s.apply("add", cell(-1), cell(1))), s.apply("mul", cell(0), four))  # fmt: skip
    new = s.apply("add", cell(0), s.apply("mul", lap, s.raw("float", (), F64, 0)))
    place = at(0, (row, i), (1, j))
    inner = For(Loop(i, 1, last_row), (For(Loop(j, 1, last, True), (Store(1, place, new),)),), True)
    left = For(Loop(i, 0, all_rows), (Store(1, at(0, (row, i)), load(0, at(0, (row, i)))),), True)
    right = at(n[5], (row, i))
    right_ = For(Loop(i, 0, all_rows), (Store(1, right, load(0, right)),), True)
    top = For(Loop(i, 0, 1), (For(Loop(j, 1, last, True), (Store(1, place, cell(0)),)),), True)
    low = at(bottom, (1, j))
    bottom_ = For(
        Loop(i, last_row, all_rows),
        (For(Loop(j, 1, last, True), (Store(1, low, load(0, low)),)),), True,
    )  # fmt: skip
    kernel = Kernel(
        params((F64, "in"), (F64, "out")), (inner, left, right_, top, bottom_), 7, (F64,)
    )
    x = values(F64, rows * columns)
    check(compiler, kernel, [x, np.zeros(x.size)], sizes, [0.1], rows=[(0, 5), (5, 6), (6, 30)])


def test_broadcast_and_transpose(compiler: Any) -> None:
    rows, columns = 13, 27
    a = load(0, at(0, (1, i), (Size(0), j)))
    value = s.apply("add", s.apply("mul", a, load(1, s.index(j))), load(2, s.index(i)))
    inner = For(Loop(j, 0, Size(1), True), (Store(3, at(0, (Size(1), i), (1, j)), value),))
    kernel = Kernel(
        params((F64, "in"), (F64, "in"), (F64, "in"), (F64, "out")),
        (For(Loop(i, 0, Size(0)), (inner,), True),), 2,
    )  # fmt: skip
    arrays = [values(F64, rows * columns), values(F64, columns), values(F64, rows)]
    check(compiler, kernel, [*arrays, np.zeros(rows * columns)], [rows, columns])


def test_short_loops_are_written_out(compiler: Any) -> None:
    """A 3 by 3 matrix times vectors; bounds and strides are ints."""
    terms: list[Any] = [
        s.apply("mul", load(0, at(k, (3, j))), load(1, at(k, (3, i)))) for k in range(3)
    ]
    total = s.apply("add", s.apply("add", terms[0], terms[1]), terms[2])
    inner = For(Loop(j, 0, 3), (Store(2, at(0, (3, i), (1, j)), total),))
    kernel = Kernel(params((F64, "in"), (F64, "in"), (F64, "out")),
                    (For(Loop(i, 0, Size(0), True), (inner,), True),), 1)  # fmt: skip
    check(compiler, kernel, [values(F64, 9), values(F64, 120), np.zeros(120)], [40])


def test_index_values_in_a_loop_written_out(compiler: Any) -> None:
    """The variable is another literal in each trip."""
    value = s.apply("add", s.convert(at(5, (2, j)), F64), load(0, s.index(i)))
    inner = For(Loop(j, 0, 3), (Store(1, at(0, (3, i), (1, j)), value),))
    kernel = Kernel(params((F64, "in"), (F64, "out")),
                    (For(Loop(i, 0, Size(0), True), (inner,), True),), 1)  # fmt: skip
    check(compiler, kernel, [values(F64, 20), np.zeros(60)], [20])


# ------------------------------------------------------------------------------ reductions

LENGTHS = [0, 1, 2, 7, 8, 9, 1000, 1025, 5000]


def total(op: str, dtype: Any, n: Any, vector: bool) -> Kernel:
    index_ = s.index(r) if op.startswith("arg") else None
    value = load(0, s.index(r), dtype)
    out = I64 if index_ is not None else dtype
    reduce = Reduce((Loop(r, 0, n, vector),), (Accumulator("s0", op, value, index_),))
    body = For(Loop(i, 0, 1), (reduce, Store(1, s.index(i), ref("s0", out))), True)
    return Kernel(params((dtype, "in"), (out, "out")), (body,), 1)


@pytest.mark.parametrize("short", ["f64", "f32"])
@pytest.mark.parametrize("op", ["max", "min"])
def test_extremes_keep_a_nan_from_anywhere(compiler: Any, op: str, short: str) -> None:
    dtype = DTYPES[short]
    native = compiler(total(op, dtype, Size(0), True))
    x, got = values(dtype, 300, 3), np.zeros(1, dtype)
    x[~np.isfinite(x)] = 0
    native([x, got], [300])
    assert got[0] == getattr(x, op)()
    for n in range(300):
        kept, x[n] = x[n], np.nan
        native([x, got], [300])
        assert np.isnan(got[0]), n
        x[n] = kept


@pytest.mark.parametrize("vector", [True, False])
@pytest.mark.parametrize("short", ["f64", "f32", "i32", "u8", "i64", "bool"])
@pytest.mark.parametrize("op", ["add", "mul", "max", "min", "and", "or", "argmax", "argmin"])
def test_reductions(compiler: Any, op: str, short: str, vector: bool) -> None:
    dtype = DTYPES[short]
    if (is_float(dtype) and op in ("and", "or")) or (is_bool(dtype) and op in ("max", "min")):
        return
    native = compiler(total(op, dtype, Size(0), vector))
    for n in LENGTHS:
        if n == 0 and op.startswith("arg"):
            continue
        x = values(dtype, n, n)
        if op == "mul" and is_float(dtype):
            x = (1 + x / 50).astype(dtype)
        got = np.zeros(1, I64 if op.startswith("arg") else dtype)
        want = got.copy()
        native([x if n else np.zeros(1, dtype), got], [n])
        run_kernel(total(op, dtype, n, vector), [x, want])
        if op == "mul" and is_float(dtype):
            np.testing.assert_allclose(got, want, rtol=n * np.finfo(dtype).eps)
        elif op == "add" and is_float(dtype):
            size = np.abs(x).sum() if n else 1
            assert abs(float(got[0]) - float(want[0])) <= 2 * np.finfo(dtype).eps * size
        else:
            assert got[0] == want[0], (n, got, want)
    fixed = compiler(total(op, dtype, 37, vector))
    x = values(dtype, 37, 3)
    fixed([x, got], [])
    run_kernel(total(op, dtype, 37, vector), [x, want])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("op", ["max", "min", "argmax", "argmin", "add"])
def test_nan_and_infinities_in_reductions(compiler: Any, op: str) -> None:
    native = compiler(total(op, F64, Size(0), True))
    rng = np.random.default_rng(5)
    rows = [np.full(60, -np.inf), np.full(60, np.inf), np.full(60, np.nan)]
    rows += [rng.integers(0, 3, n).astype(float) for n in (9, 60, 200)]  # many ties
    for place in (0, 5, 58):
        x = rng.standard_normal(2000)
        x[place], x[place + 1] = np.nan, np.nan
        rows.append(x)
        y = rng.standard_normal(2000)
        y[place] = np.inf
        rows.append(y)
    for x in rows:
        got = np.zeros(1, I64 if op.startswith("arg") else F64)
        native([x, got], [x.size])
        assert np.array_equal(got[0], getattr(np, {"add": "sum"}.get(op, op))(x), equal_nan=True)


def test_sum_is_compensated(compiler: Any) -> None:
    """Block sums are added with their errors: float32 keeps all digits over a million terms."""
    x = np.random.default_rng(0).random(1_000_003).astype(np.float32)
    out = np.zeros(1, np.float32)
    compiler(total("add", F32, Size(0), True))([x, out], [x.size])
    exact = x.astype(np.float64).sum()
    assert abs(out[0] - exact) / exact < 1.2e-7


@pytest.mark.parametrize("short", ["f64", "f32"])
@pytest.mark.parametrize("op", ["add", "max", "argmax"])
@pytest.mark.parametrize(("rows", "columns"), [(5, 37), (1030, 7), (3, 100), (1, 1)])
def test_lanes_over_the_outer_variable(
    compiler: Any, op: str, short: str, rows: int, columns: int
) -> None:
    """Reduce over rows: each lane has its own accumulators."""
    dtype = DTYPES[short]
    out = I64 if op == "argmax" else dtype
    value = load(0, at(0, (Size(1), r), (1, j)), dtype)
    index_ = s.index(r) if op == "argmax" else None
    reduce = Reduce((Loop(r, 0, Size(0)),), (Accumulator("s0", op, value, index_),))
    body = (reduce, Store(1, s.index(j), ref("s0", out)))
    kernel = Kernel(params((dtype, "in"), (out, "out")),
                    (For(Loop(j, 0, Size(1), True), body, True),), 2)  # fmt: skip
    check(compiler, kernel, [values(dtype, rows * columns), np.zeros(columns, out)],
          [rows, columns], exact=op != "add", size=rows)  # fmt: skip


@pytest.mark.parametrize("short", ["f64", "f32", "i32"])
@pytest.mark.parametrize("op", ["add", "max"])
@pytest.mark.parametrize(("rows", "columns"), [(45, 20), (8, 16), (3, 5), (17, 0)])
def test_rows_side_by_side(compiler: Any, op: str, short: str, rows: int, columns: int) -> None:
    """Both loops are vector loops; the bits do not depend on which rows are taken together."""
    dtype = DTYPES[short]
    value = s.apply(
        "mul", load(0, at(0, (Size(1), i), (1, r)), dtype), load(1, s.index(r), dtype)
    )
    reduce = Reduce((Loop(r, 0, Size(1), True),), (Accumulator("s0", op, value),))
    result = s.apply("add", ref("s0", dtype), load(2, s.index(i), dtype))
    body = (reduce, Store(3, s.index(i), result))
    kernel = Kernel(params((dtype, "in"), (dtype, "in"), (dtype, "in"), (dtype, "out")),
                    (For(Loop(i, 0, Size(0), True), body, True),), 2)  # fmt: skip
    arrays = [values(dtype, rows * columns), values(dtype, columns), values(dtype, rows),
              np.zeros(rows, dtype)]  # fmt: skip
    exact = op != "add" or short == "i32"
    *_, whole = check(compiler, kernel, arrays, [rows, columns], exact=exact, size=columns)
    chunks = [(0, 3), (3, 4), (4, rows)]
    *_, parts = check(
        compiler, kernel, arrays, [rows, columns], exact=exact, size=columns, rows=chunks
    )
    assert whole.tobytes() == parts.tobytes()


def test_window_sums(compiler: Any) -> None:
    """A 3 by 3 window in a vector loop: the reduction is written out."""
    columns = 40
    value = load(0, s.raw("affine", tuple(map(s.index, (i, j, r, q))), I64,
                          (0, (columns, 1, columns, 1))))  # fmt: skip
    reduce = Reduce(
        (Loop(r, 0, 3), Loop(q, 0, 3)),
        (Accumulator("s0", "add", value), Accumulator("s1", "max", value)),
    )
    result = s.apply("sub", ref("s1"), ref("s0"))
    inner = For(Loop(j, 0, 38, True), (reduce, Store(1, at(0, (38, i), (1, j)), result)))
    kernel = Kernel(params((F64, "in"), (F64, "out")), (For(Loop(i, 0, 8), (inner,), True),))
    check(compiler, kernel, [values(F64, 400), np.zeros(8 * 38)], exact=False, size=30)


def test_nest_of_reduction_loops(compiler: Any) -> None:
    """Sums over the first and last of three axes; several accumulators of several kinds."""
    place = s.raw("affine", tuple(map(s.index, (i, r, q))), I64, (0, (Size(2), Size(3), 1)))
    value = load(0, place)
    flat = s.raw("affine", (s.index(r), s.index(q)), I64, (0, (Size(2), 1)))
    reduce = Reduce(
        (Loop(r, 0, Size(0)), Loop(q, 0, Size(2), True)),
        (
            Accumulator("s0", "add", value),
            Accumulator("s1", "argmin", value, flat),
            Accumulator("s2", "add", s.apply("mul", value, value)),
            Accumulator("s3", "or", s.apply("gt", value, s.const(8.0, F64))),
        ),
    )
    stores = tuple(
        Store(k + 1, s.index(i), ref(f"s{k}", d)) for k, d in enumerate((F64, I64, F64, BOOL))
    )
    kernel = Kernel(
        params((F64, "in"), (F64, "out"), (I64, "out"), (F64, "out"), (BOOL, "out")),
        (For(Loop(i, 0, Size(1)), (reduce, *stores), True),), 4,
    )  # fmt: skip
    a, b, c = 40, 6, 70
    arrays = [values(F64, a * b * c), np.zeros(b), np.zeros(b, np.int64), np.zeros(b),
              np.zeros(b, bool)]  # fmt: skip
    check(compiler, kernel, arrays, [a, b, c, b * c], exact=False)


def softmax(dtype: Any) -> Kernel:
    """Return softmax over rows: sizes rows, columns."""
    place = at(0, (Size(1), i), (1, j))
    where = at(0, (Size(1), i), (1, r))
    shifted = s.apply("exp", s.apply("sub", load(0, place, dtype), ref("s0", dtype)))
    top = Reduce((Loop(r, 0, Size(1), True),), (Accumulator("s0", "max", load(0, where, dtype)),))
    sum_ = Reduce((Loop(r, 0, Size(1), True),), (Accumulator("s1", "add", load(1, where, dtype)),))
    scaled = s.apply("div", load(1, place, dtype), ref("s1", dtype))
    body = (
        top,
        For(Loop(j, 0, Size(1), True), (Store(1, place, shifted),)),
        sum_,
        For(Loop(j, 0, Size(1), True), (Store(1, place, scaled),)),
    )
    return Kernel(params((dtype, "in"), (dtype, "out")), (For(Loop(i, 0, Size(0)), body, True),), 2)


@pytest.mark.parametrize("columns", [1, 8, 33, 2100])
def test_softmax_rows(compiler: Any, columns: int) -> None:
    x = values(F64, 3 * columns)
    check(compiler, softmax(F64), [x, np.zeros(x.size)], [3, columns], exact=False)


def test_no_fusing_of_products_and_sums(compiler: Any) -> None:
    """The bits of x * y + z are NumPy's."""
    x, y, z = (values(F64, 1000, k) for k in range(3))
    a, b, c = (load(k, s.index(i)) for k in range(3))
    out = np.zeros(1000)
    kernel = elementwise(s.apply("add", s.apply("mul", a, b), c), [F64] * 3, F64)
    compiler(kernel)([x, y, z, out], [1000])
    np.testing.assert_array_equal(out, x * y + z)


def test_native_ops_are_the_vocabulary() -> None:
    from tracejit_llvm.emit import NATIVE_OPS

    assert set(s.COSTS) == NATIVE_OPS


def test_deep_expression(compiler: Any) -> None:
    e = load(0, s.index(i))
    for k in range(3000):
        e = s.apply("add", s.apply("mul", e, s.const(0.5 + k / 1e4, F64)), s.const(1.0, F64))
    x, out = values(F64, 20), np.zeros(20)
    check(compiler, elementwise(e, [F64], F64), [x, out], [20])


# ------------------------------------------------------------------------------ alignment


@pytest.mark.parametrize("dtype", [F32, F64, DTYPES["i8"]])
@pytest.mark.parametrize("reads", [1, 3])
def test_vectors_begin_at_cache_lines_wherever_the_arrays_do(
    compiler: Any, dtype: Any, reads: int
) -> None:
    """Elements behind and before the loop keep what they hold."""
    value = load(0, at(0, (1, i)), dtype)
    for k in range(1, reads):
        value = s.apply("add", value, load(0, at(k, (1, i)), dtype))
    store = Store(1, at(0, (1, i)), value)
    kernel = Kernel(
        params((dtype, "in"), (dtype, "out")),
        (For(Loop(i, Size(0), Size(1), True), (store,), True),),
        2,
    )
    native = compiler(kernel)
    x, before = values(dtype, 400), values(dtype, 400, 1)
    for first in range(0, 40, 3):
        for lo, hi, begin, end in [(0, 5, 0, 9), (1, 200, 0, 999), (3, 150, 20, 90), (9, 9, 0, 99)]:
            for ours in (first, 7):
                out, want = before.copy(), before.copy()
                native([x[ours:], out[first:]], (lo, hi), (), begin, end)
                run_kernel(kernel, [x[ours:], want[first:]], (lo, hi), (), begin, end)
                np.testing.assert_array_equal(out, want)
