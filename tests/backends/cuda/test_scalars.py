"""The scalar vocabulary as CUDA C++: compiled for two architectures, and run against the oracle."""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

import numpy as np
import pytest

from tracejit.ir import scalar as s
from tracejit.ir.dtypes import DTYPES, is_bool, is_float, is_integer
from tracejit.ir.kernel import Accumulator, BufferParam, For, Kernel, Reduce, Store
from tracejit.ir.scalar import COMPARISONS, COSTS, Expr, IndexVar, Loop, Size
from tracejit.testing.kernels import run_kernel
from tracejit_cuda import nvrtc, scalars
from tracejit_cuda.prelude import OPTIONS, PRELUDE

BOOL, I64 = DTYPES["bool"], DTYPES["i64"]
INTEGERS = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"]
KINDS = ["bool", *INTEGERS, "f32", "f64"]
STORED = [*KINDS, "f16", "bf16"]
SLOT = 8
"""Bytes of a result's place."""

MORE = 200
"""Random operands beside the special ones."""

RELATIONS = ["eq", "ne", "lt", "le", "gt", "ge"]
QUESTIONS = ["isnan", "isinf", "isfinite"]
EXACT = {
    "bool": (["not", "abs", "sign"],
             [*RELATIONS, "and", "or", "xor", "add", "mul", "max", "min"]),
    "integer": (["neg", "abs", "sign", "not", "popcount", "clz"],
                [*RELATIONS, "add", "sub", "mul", "min", "max", "quot", "rem", "and", "or", "xor",
                 "shl", "shr_logical", "shr_arithmetic"]),
    "float": (["neg", "abs", "sign", "floor", "ceil", "trunc", "round", "sqrt", "erfinvgiles",
               *QUESTIONS],
              [*RELATIONS, "add", "sub", "mul", "div", "min", "max", "quot", "rem", "copysign",
               "nextafter"]),
}  # fmt: skip
"""Operations of one and of two operands whose results are exact."""

FUNCTIONS = (
    ["exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos",
     "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "cbrt", "rsqrt", "erf", "erfc",
     "erfinv", "lgamma", "digamma"],
    ["hypot", "atan2", "pow"],
)  # fmt: skip
STRUCTURE = {"const", "index", "affine", "float", "ref", "load", "convert", "bitcast"}
REDUCTIONS = ["add", "mul", "max", "min", "and", "or"]


class Row(NamedTuple):
    """One result of a kernel: the expression, and its C++ text."""

    label: str
    value: Expr
    text: str


ROW = IndexVar("i0", 0)
needs_nvrtc = pytest.mark.skipif(bool(nvrtc.missing()), reason="NVRTC is not installed")


def kind_of(dtype: Any) -> str:
    return "bool" if is_bool(dtype) else "float" if is_float(dtype) else "integer"


def operations(dtype: Any) -> list[tuple[str, int]]:
    """Return the operations of a dtype with their numbers of operands."""
    ones, twos = EXACT[kind_of(dtype)]
    found = [(op, 1) for op in ones] + [(op, 2) for op in twos] + [("select", 3)]
    if is_float(dtype):
        found += [(op, 1) for op in FUNCTIONS[0]] + [(op, 2) for op in FUNCTIONS[1]] + [("fma", 3)]
    return found


def operand(number: int, dtype: Any) -> Expr:
    return s.raw("load", (s.index(ROW),), dtype, number)


@functools.cache
def rows(short: str) -> list[Row]:
    """Return every operation, conversion and bit cast of a dtype over operands x, y, z."""
    dtype = DTYPES[short]
    x, y, z = (operand(n, dtype) for n in range(3))
    out = []
    for op, count in operations(dtype) if short in KINDS else []:
        args, names = (x, y, z)[:count], ["x", "y", "z"][:count]
        if op == "select":
            args, names = (s.raw("lt", (x, y), BOOL), y, z), ["(x < y)", "y", "z"]
        result = BOOL if op in COMPARISONS else dtype
        text = scalars.pointwise(op, names, dtype, result)
        out.append(Row(op, s.raw(op, args, result), text))
    for name in STORED:
        target = DTYPES[name]
        text = scalars.convert("x", dtype, target)
        value = s.raw("convert", (x,), target)
        out.append(Row(f"to {name}", value if target != dtype else x, text))
        if target.itemsize == dtype.itemsize and BOOL not in (dtype, target):
            text = scalars.bitcast("x", dtype, target)
            out.append(Row(f"bits {name}", s.raw("bitcast", (x,), target), text))
    return out


def source(short: str) -> str:
    """Return a kernel ``all_<short>`` with every row of a dtype."""
    dtype = DTYPES[short]
    kind, stored = scalars.type_name(dtype), scalars.storage_name(dtype)
    lines = [
        f"struct all_{short}_args {{",
        f"  const {stored} *x, *y, *z; unsigned char* out; long long n;",
        "};",
        f'extern "C" __global__ void all_{short}(const all_{short}_args a) {{',
        "  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;",
        "  if (i >= a.n) return;",
        *(f"  const {kind} {v} = {scalars.load(f'a.{v} + i', dtype)};" for v in "xyz"),
    ]
    for number, row in enumerate(rows(short)):
        target = row.value.dtype
        place = f"({scalars.storage_name(target)}*)(a.out + {number * SLOT} * a.n) + i"
        lines.append(f"  {scalars.store(place, row.text, target)};")
    return "\n".join([*lines, "}", ""])


SOURCE = "\n".join(source(short) for short in STORED)
NAMES = [f"all_{short}" for short in STORED]


def test_the_vocabulary_is_covered() -> None:
    covered = {row.label for short in KINDS for row in rows(short)}
    assert frozenset(COSTS) == scalars.NATIVE_OPS
    assert covered | STRUCTURE >= scalars.NATIVE_OPS


@needs_nvrtc
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_compiles(arch: str) -> None:
    compiled = nvrtc.compile_cubin(PRELUDE + SOURCE, arch, OPTIONS)
    used = nvrtc.usage(compiled.log)
    assert set(NAMES) <= set(used)
    assert "warning" not in compiled.log


# --------------------------------------------------------------------------------- values

FLOATS = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 0.3, -0.7, 0.999, -0.9999, 3.0, -3.0,
    7.25, 20.5, -33.3, 88.5, 700.0, -740.0, 1e-3, 1e5, -1e5, 1e22, 2.0**31, 2.0**53, 1e-30, 1e30,
    np.inf, -np.inf, np.nan,
]  # fmt: skip


def specials(short: str) -> Any:
    """Return values at which something changes."""
    dtype = DTYPES[short]
    if is_bool(dtype):
        return np.array([False, True])
    if is_integer(dtype):
        info, bits = np.iinfo(dtype), 8 * dtype.itemsize
        near = [0, 1, 2, 3, 5, 7, bits - 1, bits, bits + 1, info.max, info.max - 1, info.max // 3]
        signed = [-1, -2, -5, -bits, info.min, info.min + 1] if info.min else []
        return np.array([*near, *signed], dtype)
    with np.errstate(over="ignore"):
        plain = np.array(FLOATS, np.float64).astype(dtype)
    if short == "bf16":
        return plain
    info = np.finfo(dtype)
    edges = [info.smallest_subnormal, -info.smallest_subnormal, info.tiny, info.max, -info.max]
    edges += [info.tiny * dtype.type(0.75), 1 + info.eps, 1 - info.eps]
    return np.concatenate([plain, np.array(edges, dtype)])


def operands(short: str) -> list[Any]:
    """Return three columns: all pairs of specials, and a third value to go with them."""
    values = specials(short)
    x, y = (v.ravel() for v in np.meshgrid(values, values, indexing="ij"))
    columns = [x, y, np.resize(values[::-1], x.size)]
    rng = np.random.default_rng(0)
    return [np.concatenate([column, drawn(rng, short)]) for column in columns]


def drawn(rng: np.random.Generator, short: str) -> Any:
    """Return numbers of all sizes."""
    dtype = DTYPES[short]
    if is_bool(dtype):
        return rng.integers(0, 2, MORE).astype(bool)
    if is_integer(dtype):
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, MORE, dtype, endpoint=True)
    sign = rng.choice([-1.0, 1.0], MORE)
    return (sign * 2.0 ** rng.uniform(-12, 12, MORE)).astype(dtype)


@pytest.fixture(scope="module")
def kernels(launched: Any) -> Any:
    return launched(SOURCE, NAMES)


def oracle(short: str, columns: list[Any]) -> list[Any]:
    """Return what the interpreter of kernels makes of every row."""
    found = rows(short)
    n = columns[0].size
    outputs = [np.zeros(n, row.value.dtype) for row in found]
    params = [BufferParam(DTYPES[short], "in")] * 3
    params += [BufferParam(out.dtype, "out") for out in outputs]
    body = tuple(Store(3 + k, s.index(ROW), row.value) for k, row in enumerate(found))
    kernel = Kernel(tuple(params), (For(Loop(ROW, 0, Size(0)), body, True),), 1)
    run_kernel(kernel, [*columns, *outputs], [n])
    return outputs


def bits(x: Any) -> Any:
    return x.view(f"u{x.dtype.itemsize}")


def wide(x: Any) -> Any:
    """Return narrow floats as float32, for NumPy knows nothing of bfloat16's nans."""
    return x.astype(np.float32) if x.dtype in (DTYPES["f16"], DTYPES["bf16"]) else x


@pytest.mark.parametrize("short", STORED)
def test_values(kernels: Any, short: str) -> None:
    """Every row of a dtype at special values: equal bits, or a few units of the last place."""
    columns = operands(short)
    n = columns[0].size
    got = kernels[f"all_{short}"](
        [*columns, np.zeros(len(rows(short)) * SLOT * n, np.uint8)], [n], blocks=-(-n // 128),
        threads=128,
    )[3]  # fmt: skip
    wrong = []
    for number, (row, want) in enumerate(zip(rows(short), oracle(short, columns), strict=True)):
        size = want.dtype.itemsize
        start = number * SLOT * n
        have = got[start : start + size * n].view(want.dtype)
        bad = differing(row.label, have, want, columns)
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            given = [c[at] for c in columns]
            wrong.append((row.label, int(bad.sum()), given, have[at], want[at]))
    assert not wrong, "\n".join(map(str, wrong))


ULPS = {
    **dict.fromkeys(FUNCTIONS[0] + FUNCTIONS[1], 8), "erfc": 2.0**8, "digamma": 2.0**16, "fma": 1,
}  # fmt: skip
"""How far a result may be from the oracle's, which rounds fma twice.  SciPy's erfc lacks digits
where it is tiny, and its digamma near the poles; digamma has a test of its own."""


def differing(label: str, have: Any, want: Any, columns: list[Any]) -> Any:
    """Return where a result is not the oracle's."""
    if not is_float(want.dtype):
        return have != want
    if label.startswith("bits"):
        return bits(have) != bits(want)
    have, want = wide(have), wide(want)
    x, y, _ = columns
    if label == "lgamma":  # SciPy's is -inf at -inf, and inf at the least double
        want = np.where(x == -np.inf, np.inf, want).astype(want.dtype)
        if want.dtype == DTYPES["f64"]:
            want[np.abs(x) == 5e-324] = 744.4400719213812
    elif label == "pow":  # where NumPy takes the square root: of -0.0 and -inf
        want = np.where((y == 0.5) & np.signbit(x) & ~(x < 0), 0, want).astype(want.dtype)
        want = np.where((y == 0.5) & (x == -np.inf), np.inf, want).astype(want.dtype)
    same = have == want
    if label not in ("min", "max", "erfinv"):  # to which zeros of both signs are the same
        same &= np.signbit(have) == np.signbit(want)
    if label in ULPS:
        with np.errstate(invalid="ignore", over="ignore"):
            size = np.maximum(np.abs(have), np.abs(want))
            size = np.maximum(size, 1) if label in ("lgamma", "digamma") else size
            same |= np.abs(have - want) <= ULPS[label] * np.spacing(size) * np.isfinite(want)
    return ~np.where(np.isnan(want), np.isnan(have), same)


# ------------------------------------------------------------------------------ reductions


def steps(short: str) -> list[str]:
    return [op for op in REDUCTIONS if short not in ("f32", "f64") or op not in ("and", "or")]


def folds(short: str) -> str:
    """Return a kernel that reduces ``x`` in order by every operation."""
    dtype = DTYPES[short]
    kind = scalars.type_name(dtype)
    lines = [
        f"struct fold_{short}_args {{ const {kind}* x; {kind}* out; long long n; }};",
        f'extern "C" __global__ void fold_{short}(const fold_{short}_args a) {{',
    ]
    for number, op in enumerate(steps(short)):
        step = scalars.combine(op, "total", "a.x[i]", dtype)
        lines += [
            f"  {{ {kind} total = {scalars.neutral(op, dtype)};",
            f"    for (long long i = 0; i < a.n; ++i) total = {step};",
            f"    a.out[{number}] = total; }}",
        ]
    return "\n".join([*lines, "}", ""])


@pytest.fixture(scope="module")
def folding(launched: Any) -> Any:
    return launched("\n".join(map(folds, KINDS)), [f"fold_{short}" for short in KINDS])


@pytest.mark.parametrize("short", KINDS)
def test_reductions(folding: Any, short: str) -> None:
    """Neutral elements and steps: of nothing, one value, and several; extremes keep nan."""
    dtype = DTYPES[short]
    inputs = [specials(short)[:n] for n in (0, 1, 2)] + [specials(short)]
    if is_float(dtype):
        inputs += [np.array([3, 0.5, -2], dtype), np.array([1, np.nan, 2], dtype)]
        inputs += [np.array([-np.inf, -np.inf], dtype), np.array([np.inf], dtype)]
    for x in inputs:
        with np.errstate(all="ignore"):
            got = folding[f"fold_{short}"]([x, np.zeros(8, dtype)], [x.size], threads=1)[1]
            for op, have in zip(steps(short), got, strict=False):
                want = np.zeros(1, dtype)
                total = Accumulator("total", op, operand(0, dtype))
                result = s.raw("ref", (), dtype, "total")
                over = Loop(ROW, 0, Size(0))
                body = (Reduce((over,), (total,)), Store(1, s.const(0, I64), result))
                params = (BufferParam(dtype, "in"), BufferParam(dtype, "out"))
                run_kernel(Kernel(params, body, 1), [x, want], [x.size])
                np.testing.assert_array_equal(have, want[0], err_msg=f"{op} of {x}")


# -------------------------------------------------------------------------------- literals


def test_literals(launched: Any) -> None:
    """Constants have the bits of what they are made from."""
    lines, arrays, names = [], [], []
    for short in STORED:
        dtype = DTYPES[short]
        values = np.concatenate([specials(short), drawn(np.random.default_rng(1), short)[:20]])
        texts = [scalars.literal(v.item() if hasattr(v, "item") else v, dtype) for v in values]
        kind = scalars.storage_name(dtype)
        lines += [
            f"struct of_{short}_args {{ {kind}* out; }};",
            f'extern "C" __global__ void of_{short}(const of_{short}_args a) {{',
            *(f"  {scalars.store(f'a.out + {n}', t, dtype)};" for n, t in enumerate(texts)),
            "}",
        ]
        arrays.append(values)
        names.append(f"of_{short}")
    kernels = launched("\n".join(lines), names)
    for name, want in zip(names, arrays, strict=True):
        (have,) = kernels[name]([np.zeros_like(want)], threads=1)
        nan = want != want
        assert (have != have)[nan].all(), name
        assert have[~nan].tobytes() == want[~nan].tobytes(), name


@pytest.mark.parametrize(
    ("value", "short", "text"),
    [
        (0.5, "f32", "0.5f"),
        (0.1, "f64", "0x1.999999999999ap-4"),
        (0.1, "f32", "0x1.99999ap-4f"),
        (-0.0, "f64", "(-0.0)"),
        (1e16, "f64", "1e+16"),
        (float("-inf"), "f32", "tj_least<float>()"),
        (float("nan"), "f64", "tj_nan<double>()"),
        (-(2**63), "i64", "(-0x7fffffffffffffffLL - 1)"),
        (2**64 - 1, "u64", "18446744073709551615ULL"),
        (-3, "i32", "(-3)"),
        (-3, "i8", "(signed char)-3"),
        (True, "bool", "true"),
        (1.0, "bf16", "tj_bfloat16{0x3f80}"),
    ],
)
def test_text_of_literals(value: Any, short: str, text: str) -> None:
    assert scalars.literal(value, DTYPES[short]) == text


def test_operations_without_meaning() -> None:
    for op, short in [("sin", "i32"), ("shl", "f32"), ("quot", "bool"), ("add", "f16")]:
        with pytest.raises(KeyError, match=op):
            scalars.pointwise(op, ("x", "y"), DTYPES[short], DTYPES[short])


# ---------------------------------------------------------------------------- machine code


@needs_nvrtc
def test_arithmetic_is_not_fused() -> None:
    """``x * y + z`` is two roundings, as on the CPU; ``fma`` is one."""
    f32 = DTYPES["f32"]
    product = scalars.pointwise("mul", ("x", "y"), f32, f32)
    apart = scalars.pointwise("add", (product, "z"), f32, f32)
    fused = scalars.pointwise("fma", ("x", "y", "z"), f32, f32)
    for text, pattern in [(apart, "mul.rn.f32.*add.rn.f32"), (fused, "fma.rn.f32")]:
        source = (
            PRELUDE + 'extern "C" __global__ void k(float* a, float x, float y, float z) '
            f"{{ a[0] = {text}; }}"
        )
        ptx = nvrtc.compile_ptx(source, "compute_90", OPTIONS).image.decode()
        assert len(re.findall("fma", ptx)) == (text == fused)
        assert re.search(pattern, ptx, re.DOTALL)
