"""The lowering rules of pointwise primitives: their scalar expressions compute what impl does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

from tracejit.compiler.loaders import LoopBuilder
from tracejit.core import primitive as tables
from tracejit.core.primitive import PRIMITIVES
from tracejit.ir import scalar as s
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES
from tracejit.ops import (  # noqa: F401
    complex_numbers,
    factorials,
    hyperbolic,
    normal_quantile,
    random_bits,
    special,
)

I64 = DTYPES["i64"]


def _poisoned(shift: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A shift as machines have it: anything at all comes out for amounts out of range."""

    def apply(x: Any, n: Any) -> Any:
        return shift(x, n) if 0 <= n < 8 * x.dtype.itemsize else x.dtype.type(77)

    return apply


def _unsigned(x: Any) -> Any:
    return x.view(f"u{x.dtype.itemsize}")


def _quot(x: Any, y: Any) -> Any:
    x, y, dtype = int(x), int(y), x.dtype
    return np.asarray(0 if y == 0 else abs(x) // abs(y) * (-1) ** ((x < 0) != (y < 0))).astype(
        dtype
    )


MEANING: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative,
    "abs": np.abs, "sign": np.sign, "min": np.minimum, "max": np.maximum, "quot": _quot,
    "rem": np.fmod, "copysign": np.copysign, "nextafter": np.nextafter, "floor": np.floor,
    "ceil": np.ceil, "trunc": np.trunc, "round": np.rint, "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x), "cbrt": np.cbrt, "hypot": np.hypot, "pow": np.power,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert,
    "shl": _poisoned(np.left_shift), "shr_arithmetic": _poisoned(np.right_shift),
    "shr_logical": _poisoned(lambda x, n: (_unsigned(x) >> _unsigned(n)).view(x.dtype)),
    "popcount": lambda x: int(_unsigned(x)).bit_count(),
    "clz": lambda x: 8 * x.itemsize - int(_unsigned(x)).bit_length(),
    "select": lambda c, x, y: x if c else y, "fma": lambda x, y, z: np.longdouble(x) * y + z,
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "erf": scipy.special.erf, "erfc": scipy.special.erfc,
    "erfinv": scipy.special.erfinv, "digamma": scipy.special.psi,
    "erfinvgiles": lambda x: tables.impl[PRIMITIVES["erf_inv_of_uniform"]](np, x),
    "lgamma": lambda x: np.inf if np.isinf(x) else scipy.special.gammaln(x),
}  # fmt: skip


def evaluate(root: s.Expr, operands: list[Any]) -> Any:
    """Return the value of a scalar expression whose loads name an operand and an index."""
    done: dict[s.Expr, Any] = {}
    for e in s.walk([root]):
        args = [done[a] for a in e.args]
        if e.op == "const":
            done[e] = e.dtype.type(s.value_of(e))
        elif e.op == "load":
            done[e] = operands[e.attr][tuple(int(i) for i in args)]
        elif e.op == "convert":
            done[e] = args[0].astype(e.dtype)
        elif e.op == "bitcast":
            done[e] = args[0].view(e.dtype)
        else:
            done[e] = e.dtype.type(MEANING[e.op](*args))
    return done[root]


def lowered(name: str, operands: list[Any], **params: Any) -> list[Any]:
    """Return what the lowering rule computes, element by element, and check its dtype."""
    k = LoopBuilder(frozenset(s.COSTS))
    avals = tuple(ShapedArray(x.shape, x.dtype) for x in operands)
    loaders = [
        k.loader(a, lambda index, n=n, a=a: s.raw("load", index, a.dtype, n))
        for n, a in enumerate(avals)
    ]
    primitive = PRIMITIVES[name]
    functions = tables.lower[primitive](k, *loaders, **params)
    outs = []
    for function, aval in zip(
        functions if primitive.multiple else [functions],
        primitive.result_avals(avals, params),
        strict=True,
    ):
        out = np.empty(aval.shape, aval.dtype)
        for index in np.ndindex(aval.shape):
            e = function(tuple(s.const(i, I64) for i in index))
            assert e.dtype == aval.dtype
            with np.errstate(all="ignore"):
                out[index] = evaluate(e, operands)
        outs.append(out)
    return outs


def check(name: str, operands: list[Any], **params: Any) -> None:
    with np.errstate(all="ignore"):
        expected = tables.impl[PRIMITIVES[name]](np, *operands, **params)
    for got, want in zip(
        lowered(name, operands, **params),
        expected if PRIMITIVES[name].multiple else [expected],
        strict=True,
    ):
        np.testing.assert_allclose(got, want, rtol=1e-14)


FLOAT = np.array(
    [[[np.nan, np.inf, -np.inf, 0.0], [-0.0, 0.3, -0.7, 40.0], [2.5, -1.5, 1.0, -800.0]]]
)
INT = np.array([-128, -127, -9, -8, -1, 0, 1, 2, 7, 8, 9, 127], np.int8)

UNARY = """neg sqrt rsqrt cbrt floor ceil trunc round abs sign is_finite is_nan is_inf exp exp2
expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc
erf_inv erf_inv_of_uniform lgamma digamma logistic"""
BINARY = """add sub mul div rem copysign nextafter max min eq ne lt le gt ge hypot atan2 pow xlogy
xlog1py"""
BITS = """add sub mul quot rem max min eq lt and or xor shift_left shift_right_logical
shift_right_arithmetic"""


@pytest.mark.parametrize("name", UNARY.split())
def test_unary(name: str) -> None:
    check(name, [FLOAT])
    check(name, [FLOAT[0, 1, 1]])


@pytest.mark.parametrize("name", BINARY.split())
def test_binary(name: str) -> None:
    check(name, [FLOAT, FLOAT[:, ::-1, ::-1]])
    check(name, [FLOAT, np.asarray(0.5)])
    check(name, [np.asarray(0.5), FLOAT])


@pytest.mark.parametrize("name", BITS.split())
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_integers(name: str, dtype: Any) -> None:
    x, y = (np.ascontiguousarray(a).view(dtype) for a in np.meshgrid(INT, INT))
    check(name, [x, y])
    check(name, [x, y[3, 3]])
    check(name, [x[0, 4], y])


@pytest.mark.parametrize("n", [0, 1, 2, 3, 6, 13, -1, -4])
def test_integer_powers_are_products(n: int) -> None:
    check("integer_pow", [FLOAT], n=n)
    if n >= 0:
        check("integer_pow", [INT], n=n)


def test_the_others() -> None:
    for name in ("neg", "abs", "sign", "not", "population_count", "clz"):
        check(name, [INT])
        check(name, [INT.view(np.uint8)])
    check("not", [np.array([True, False])])
    mask = FLOAT > 0
    check("select", [mask, FLOAT, np.asarray(1.0)])
    check("select", [np.asarray(True), FLOAT, -FLOAT])
    check("clamp", [np.asarray(-1.0), FLOAT, np.asarray(1.0)])
    check("clamp", [FLOAT, np.asarray(0.1), np.asarray(1.0)])
    check("fma", [FLOAT, np.asarray(0.1), FLOAT])
    check("fma", [np.asarray(0.3), np.asarray(0.1), np.asarray(1.0)])
    check("convert_element_type", [INT], dtype=DTYPES["f32"], weak=False)
    check("convert_element_type", [FLOAT > 0], dtype=DTYPES["i32"], weak=False)
    check("bitcast_convert_type", [FLOAT.astype(np.float32)], dtype=DTYPES["u32"])
    check("iota", [], shape=(2, 3, 4), axis=1, dtype=DTYPES["f32"])


def test_threefry_shares_its_rounds() -> None:
    words = np.random.default_rng(0).integers(0, 2**32, (2, 2, 3), np.uint32)
    keys = np.array([3, 4], np.uint32)
    check("threefry2x32", [keys[0].reshape(()), keys[1].reshape(()), *words])
    k = LoopBuilder(frozenset(s.COSTS))
    aval = ShapedArray((), "uint32")
    loaders = [
        k.loader(aval, lambda index, n=n: s.raw("load", index, aval.dtype, n)) for n in range(4)
    ]
    both = [f(()) for f in tables.lower[PRIMITIVES["threefry2x32"]](k, *loaders)]
    assert len(s.walk(both)) < 200
