"""The prelude: 16-bit floats, digamma, sums, teams of threads, wide vectors, the grid's barrier."""

from __future__ import annotations

import math
import re
from typing import Any

import mpmath as mp
import numpy as np
import pytest

from tracejit.ir.dtypes import DTYPES
from tracejit_cuda import nvrtc, scalars
from tracejit_cuda.prelude import OPTIONS, PRELUDE

needs_nvrtc = pytest.mark.skipif(bool(nvrtc.missing()), reason="NVRTC is not installed")
F16, BF16, F32, F64 = (DTYPES[n] for n in ("f16", "bf16", "f32", "f64"))


def elementwise(name: str, source: str, target: str, text: str) -> str:
    """Return a kernel ``out[i] = text`` of ``x``."""
    return f"""
struct {name}_args {{ const {source}* x; {target}* out; long long n; }};
extern "C" __global__ void {name}(const {name}_args a) {{
  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < a.n) {{ const {source} x = a.x[i]; a.out[i] = {text}; }}
}}
"""


def check_bits(have: Any, want: Any) -> None:
    """Compare bits; a nan may be any."""
    nan = want != want
    assert (have != have)[nan].all()
    word = f"u{want.dtype.itemsize}"
    np.testing.assert_array_equal(have.view(word)[~nan], want.view(word)[~nan])


# ----------------------------------------------------------------------------- 16-bit floats


@pytest.fixture(scope="module")
def conversions(launched: Any) -> Any:
    pairs = [(a, b) for a in (F16, BF16) for b in (F32, F64)]
    pairs += [(b, a) for a, b in pairs]
    names = [f"k_{a}_{b}" for a, b in pairs]
    return launched(
        "".join(
            elementwise(
                name, scalars.storage_name(a), scalars.storage_name(b), scalars.convert("x", a, b)
            )
            for name, (a, b) in zip(names, pairs, strict=True)
        ),
        names,
    )


def converted(kernels: Any, x: Any, target: Any) -> Any:
    kernel = kernels[f"k_{x.dtype}_{target}"]
    return kernel([x, np.zeros(x.size, target)], [x.size], blocks=-(-x.size // 256), threads=256)[1]


@pytest.mark.parametrize("narrow", [F16, BF16], ids=str)
def test_every_narrow_float(conversions: Any, narrow: Any) -> None:
    """Widened to the bit, and back again."""
    x = np.arange(2**16, dtype=np.uint16).view(narrow)
    with np.errstate(invalid="ignore"):
        single, double = x.astype(np.float32), x.astype(np.float64)
        check_bits(converted(conversions, x, F32), single)
        check_bits(converted(conversions, x, F64), double)
        check_bits(converted(conversions, single, narrow), x)


@pytest.mark.parametrize("wide", [F32, F64], ids=str)
@pytest.mark.parametrize("narrow", [F16, BF16], ids=str)
def test_rounding_to_narrow_floats(conversions: Any, wide: Any, narrow: Any) -> None:
    """To the nearest, ties to even, at every midpoint and beside it."""
    with np.errstate(invalid="ignore"):
        x = np.arange(2**15, dtype=np.uint16).view(narrow).astype(wide)
    x = x[np.abs(x) < np.inf]
    midpoints = np.append(x[1:] - (x[1:] - x[:-1]) / 2, x[-1] + (x[-1] - x[-2]) / 2)
    beside = [np.nextafter(midpoints, wide.type(side)) for side in (0, np.inf)]
    rng = np.random.default_rng(0)
    word = np.dtype(f"u{wide.itemsize}")
    random = rng.integers(0, np.iinfo(word).max, 20_000, word, endpoint=True).view(wide)
    x = np.concatenate([midpoints, -midpoints, *beside, random])
    with np.errstate(all="ignore"):
        want = x.astype(narrow)
        check_bits(converted(conversions, x, narrow), want)


# ------------------------------------------------------------------------------------- math


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_digamma(launched: Any, dtype: Any) -> None:
    kind = scalars.type_name(dtype)
    text = scalars.pointwise("digamma", ("x",), dtype, dtype)
    kernel = launched(elementwise("k", kind, kind, text), ["k"])["k"]
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.uniform(0, 12, 300), 2.0 ** rng.uniform(-40, 200, 100) / 2.0**80,
         rng.uniform(-20, 0, 300), 1.4616 + rng.uniform(-1e-3, 1e-3, 50)]
    ).astype(dtype)  # fmt: skip
    have = kernel([x, np.zeros_like(x)], [x.size], threads=256, blocks=3)[1]
    for point, value in zip(x.tolist(), have.tolist(), strict=True):
        exact = mp.digamma(mp.mpf(point))
        assert abs(value - exact) <= 12 * np.finfo(dtype).eps * max(1, abs(exact)), point
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, -2.0, -1e30], dtype)
    want = [-np.inf, np.inf, np.inf, np.nan, np.nan, np.nan, np.nan, np.nan]
    have = kernel([x, np.zeros_like(x)], [x.size])[1]
    np.testing.assert_array_equal(have, np.array(want, dtype))


# ------------------------------------------------------------------------------------- sums

SUM = """
struct sum_KIND_args { const KIND* x; KIND* out; long long n; };
extern "C" __global__ void sum_KIND(const sum_KIND_args a) {
  tj_sum<KIND> s;
  for (long long i = 0; i < a.n; ++i) s.take(a.x[i]);
  a.out[0] = s.value();
}
"""


@pytest.fixture(scope="module")
def sums(launched: Any) -> Any:
    kinds = ("float", "double")
    source = "".join(SUM.replace("KIND", kind) for kind in kinds)
    return launched(source, [f"sum_{kind}" for kind in kinds])


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_compensated_sums(sums: Any, dtype: Any) -> None:
    """As good as a sum in twice the precision, rounded once; infinities and nan as they are."""
    kernel = sums[f"sum_{scalars.type_name(dtype)}"]
    rng = np.random.default_rng(0)
    big = 2.0 ** (30 if dtype == F32 else 60)
    x = np.concatenate([rng.uniform(0, 1, 5000), [big], rng.uniform(0, 1, 5000), [-big]])
    x = x.astype(dtype)
    exact, size = math.fsum(x.tolist()), math.fsum(np.abs(x).tolist())
    eps = float(np.finfo(dtype).eps)
    have = float(kernel([x, np.zeros(1, dtype)], [x.size], threads=1)[1][0])
    assert abs(have - exact) <= eps * abs(exact) + x.size * eps**2 * size
    inf, nan, top = np.inf, np.nan, np.finfo(dtype).max
    for values, want in [
        ([], 0), ([inf, 1], inf), ([1, inf], inf), ([-inf, 2, 3], -inf), ([inf, -inf], nan),
        ([1, nan, 2], nan), ([top, top], inf), ([1, big, 1, -big], 2),
    ]:  # fmt: skip
        terms = np.array(values, dtype)
        have = kernel([terms, np.zeros(1, dtype)], [terms.size], threads=1)[1][0]
        np.testing.assert_equal(have, dtype.type(want))


# ------------------------------------------------------------------------------------ teams

KINDS = {
    "bool": ["add", "and", "or"],
    "i8": ["add", "max"],
    "i32": ["add", "mul", "min", "max", "and", "or"],
    "u64": ["add", "max"],
    "f32": ["add", "min", "max"],
    "f64": ["add", "mul", "max"],
}
TEAMS = [1, 32, 0]
"""A thread, a warp, the whole block."""


def reducing(short: str) -> str:
    """Return kernels in which every thread reduces its value twice over, for each team."""
    kind = scalars.type_name(DTYPES[short])
    out = ""
    for team in TEAMS:
        name = f"team_{team}_{short}"
        out += f"""
struct {name}_args {{ const {kind}* x; {kind}* out; long long n; }};
extern "C" __global__ void {name}(const {name}_args a) {{
  const int t = (int)blockIdx.x * (int)blockDim.x + (int)threadIdx.x;
"""
        for number, op in enumerate(KINDS[short]):
            out += f"  a.out[{number} * a.n + t] = tj_team_reduce<{team}>(tj_{op}_op(), a.x[t]);\n"
        out += "}\n"
    return out


@pytest.fixture(scope="module")
def teams(launched: Any) -> Any:
    names = [f"team_{team}_{short}" for team in TEAMS for short in KINDS]
    return launched("".join(map(reducing, KINDS)), names)


UFUNCS = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum,
          "and": np.bitwise_and, "or": np.bitwise_or}  # fmt: skip


@pytest.mark.parametrize("threads", [32, 96, 1024])
@pytest.mark.parametrize("short", KINDS)
def test_team_reductions(teams: Any, short: str, threads: int) -> None:
    """Every thread of a team has the same result, several times in a row."""
    dtype, blocks = DTYPES[short], 2
    n = threads * blocks
    rng = np.random.default_rng(threads)
    x = (rng.uniform(-100, 100, n) if dtype.kind != "b" else rng.integers(0, 2, n)).astype(dtype)
    if dtype.kind == "f":
        x = np.round(x * 4) / 4  # sums are exact
        x[3] = np.nan
        x[-1] = -0.0
    for team in TEAMS:
        out = np.zeros(len(KINDS[short]) * n, dtype)
        kernel = teams[f"team_{team}_{short}"]
        out = kernel([x, out], [n], blocks=blocks, threads=threads)[1]
        size = team or threads
        groups = x.reshape(-1, size)
        for op, have in zip(KINDS[short], out.reshape(-1, n), strict=True):
            with np.errstate(all="ignore"):
                want = UFUNCS[op].reduce(groups, axis=1, dtype=dtype)
            want = np.repeat(want, size)
            if op == "mul" and dtype == F64:
                np.testing.assert_allclose(have, want, rtol=1e-12)
            else:
                np.testing.assert_array_equal(have, want, err_msg=f"{op}, {team}")
            bits = have.view(f"u{dtype.itemsize}").reshape(-1, size)
            assert (bits == bits[:, :1]).all()


EXTREME = """
struct OP_KIND_args { const KIND* x; long long* out; long long n; };
extern "C" __global__ void OP_KIND(const OP_KIND_args a) {
  tj_OP<KIND> one, all;
  for (long long i = threadIdx.x & 31; i < a.n; i += 32) one.take(a.x[i], 5 * i - 7);
  one = tj_team_extreme<32>(one);
  for (long long i = threadIdx.x; i < a.n; i += blockDim.x) all.take(a.x[i], i);
  all = tj_team_extreme<0>(all);
  a.out[2 * threadIdx.x] = (one.index + 7) / 5;
  a.out[2 * threadIdx.x + 1] = all.index;
}
"""


def test_arguments_of_extremes(launched: Any) -> None:
    """The first of the extremes, or of the nans; as NumPy, in every thread."""
    shorts = ["bool", "i8", "u64", "f32", "f64"]
    kinds = {short: scalars.type_name(DTYPES[short]) for short in shorts}
    source = "".join(
        EXTREME.replace("OP_KIND", f"{op}_{short}").replace("OP", op).replace("KIND", kind)
        for op in ("argmax", "argmin")
        for short, kind in kinds.items()
    )
    kernels = launched(source, [f"{op}_{short}" for op in ("argmax", "argmin") for short in kinds])
    rng = np.random.default_rng(0)
    for short in shorts:
        dtype = DTYPES[short]
        inputs = [rng.integers(0, 2 if short == "bool" else 7, n) for n in (1, 31, 200, 1000)]
        inputs = [x.astype(dtype) for x in inputs]
        if dtype.kind == "f":
            inputs.append(np.where(rng.uniform(size=300) < 0.02, np.nan, inputs[-1][:300]))
            inputs += [np.array([v, v, v]) for v in (np.inf, -np.inf, np.nan)]
            inputs.append(np.array([0.0, -0.0, 0.0]))
        elif dtype.kind != "b":
            inputs += [np.full(3, v, dtype) for v in (np.iinfo(dtype).min, np.iinfo(dtype).max)]
        for x in inputs:
            x = x.astype(dtype)
            for op in ("argmax", "argmin"):
                out = np.zeros(2 * 64, np.int64)
                out = kernels[f"{op}_{short}"]([x, out], [x.size], threads=64)[1]
                assert set(out.tolist()) == {int(getattr(np, op)(x))}, (op, x)


# ------------------------------------------------------------------- memory and the whole grid


def test_dynamic_shared_memory(launched: Any) -> None:
    source = """
struct reverse_args { const double* x; double* out; };
extern "C" __global__ void reverse(const reverse_args a) {
  TJ_SHARED(double, kept);
  kept[threadIdx.x] = a.x[threadIdx.x];
  __syncthreads();
  a.out[threadIdx.x] = kept[blockDim.x - 1 - threadIdx.x];
}
"""
    x = np.arange(64.0)
    kernel = launched(source, ["reverse"])["reverse"]
    np.testing.assert_array_equal(kernel([x, np.zeros(64)], threads=64, shared=512)[1], x[::-1])


def test_barrier_of_the_grid(launched: Any) -> None:
    """Blocks see what all wrote before, wait after wait and launch after launch."""
    source = """
struct rounds_args { long long* x; unsigned int* state; long long rounds; };
extern "C" __global__ void rounds(const rounds_args a) {
  const int nb = (int)gridDim.x, bid = (int)blockIdx.x;
  volatile long long* const x = a.x;
  for (long long k = 0; k < a.rounds; ++k) {
    const long long next = x[(bid + 1) % nb];
    tj_grid_barrier(a.state, nb);
    if (threadIdx.x == 0) x[bid] = next + 1;
    tj_grid_barrier(a.state, nb);
  }
}
"""
    kernel = launched(source, ["rounds"])["rounds"]
    for blocks, rounds in [(5, 3), (2, 1), (1, 2)]:
        x, state = np.arange(blocks) * 100, np.zeros(2, np.uint32)
        for _ in range(2):
            want = np.roll(x, -rounds) + rounds
            x, state = kernel([x, state], [rounds], blocks=blocks, threads=64, cooperative=True)
            np.testing.assert_array_equal(x, want)
            assert state[0] == 0


@needs_nvrtc
@pytest.mark.parametrize("short", ["bool", "i8", "u16", "i32", "i64", "f16", "bf16", "f32", "f64"])
def test_wide_vectors_are_one_access(short: str) -> None:
    """Sixteen bytes are loaded and stored at once, through the read-only cache."""
    dtype = DTYPES[short]
    kind, width = scalars.storage_name(dtype), 16 // dtype.itemsize
    step = "!x" if short == "bool" else scalars.convert("x * 2.0f", F32, dtype)
    if short in ("f16", "bf16"):
        step = step.replace("x", "tj_widen(x)")
    source = f"""
extern "C" __global__ void k(const {kind}* __restrict__ a, {kind}* __restrict__ b) {{
  const tj_vec<{kind}, {width}> v = *(const tj_vec<{kind}, {width}>*)(a + threadIdx.x * {width});
  tj_vec<{kind}, {width}> w;
  for (int l = 0; l < {width}; ++l) {{
    const {kind} x = {scalars.load("&v.v[l]", dtype)};
    {scalars.store("&w.v[l]", step, dtype)};
  }}
  *(tj_vec<{kind}, {width}>*)(b + threadIdx.x * {width}) = w;
}}
"""
    ptx = nvrtc.compile_ptx(PRELUDE + source, "compute_90", OPTIONS).image.decode()
    wide = r"v4\.[a-z]32|v2\.[a-z]64"
    assert re.findall(r"ld\.global\S*", ptx) == re.findall(rf"ld\.global\.nc\.(?:{wide})", ptx)
    assert re.findall(r"st\.global\S*", ptx) == re.findall(rf"st\.global\.(?:{wide})", ptx)
    assert len(re.findall(r"(?:ld|st)\.global", ptx)) == 2
    assert ".local" not in ptx


@needs_nvrtc
def test_no_room_for_registers_is_taken() -> None:
    """Reductions of every kind spill nothing and index no array at run time."""
    extreme = EXTREME.replace("OP", "argmax").replace("KIND", "float")
    source = "".join(map(reducing, KINDS)) + extreme
    compiled = nvrtc.compile_cubin(PRELUDE + source, "sm_90", OPTIONS)
    for use in nvrtc.usage(compiled.log).values():
        assert use.stack_frame == use.spill_stores == 0, use
