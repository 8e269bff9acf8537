"""Every primitive: derivatives against differences, transposes against derivatives, vmap as a loop.

A sample is a function and its operands; the registry says which primitives need one, so that a new
one without a sample fails.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit import lax, scipy
from tracejit.ad_checkpoint import checkpoint_name
from tracejit.core import primitive as tables
from tracejit.core.interpreter import interpreting
from tracejit.core.primitive import PRIMITIVES, Primitive
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ops import convolution, factorials, integrals, logical, special
from tracejit.ops.bounds import check_index_p
from tracejit.ops.constant import iota
from tracejit.ops.cumulative import cumlogsumexp
from tracejit.ops.eig import eig
from tracejit.ops.factorizations import cholesky, lu, qr
from tracejit.ops.fused import fma
from tracejit.ops.linalg import slogdet, solve
from tracejit.ops.normal_quantile import erf_inv_of_uniform
from tracejit.ops.random_bits import threefry2x32
from tracejit.ops.sparse import csr_matmul
from tracejit.ops.spectral import eigh, svd
from tracejit.ops.triangular import triangular_solve
from tracejit.testing.evaluate import Evaluate

SHAPE = (3, 2)
Kinds = str
"""One letter an operand: f float64, c complex128, i int64 from 0 to 2, b bool, u uint32."""


class Sample(NamedTuple):
    """A function of arrays in which a primitive is bound.

    Attributes
    ----------
    fun : callable
        Returns an array, or a list of arrays.
    kinds : str
        The operands, by letter.
    shapes : sequence of tuple of int
        Of the operands; `SHAPE` where there are fewer.
    domain : (float, float)
        Of the floats.
    derivatives : bool
        Whether there are any.
    """

    fun: Callable[..., Any]
    kinds: Kinds = "f"
    shapes: Sequence[tuple[int, ...]] = ()
    domain: tuple[float, float] = (0.2, 0.9)
    derivatives: bool = True

    def draw(self, seed: int) -> list[Any]:
        rng = np.random.default_rng(seed)
        shapes = [*self.shapes, *[SHAPE] * (len(self.kinds) - len(self.shapes))]
        return [_draw(rng, k, s, self.domain) for k, s in zip(self.kinds, shapes, strict=True)]

    def outputs(self, *args: Any) -> list[Any]:
        # Operators of NumPy arrays would bind nothing.
        out = self.fun(*[x if isinstance(x, Tracer) else tnp.asarray(x) for x in args])
        return list(out) if isinstance(out, (list, tuple)) else [out]


def _draw(rng: Any, kind: str, shape: tuple[int, ...], domain: tuple[float, float]) -> Any:
    if kind == "i":
        return rng.integers(0, 3, shape)
    if kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if kind == "u":
        return rng.integers(0, 2**32, shape, dtype=np.uint32)
    x = np.asarray(rng.uniform(*domain, shape))
    return x + 1j * rng.uniform(*domain, shape) if kind == "c" else x


def both(fun: Any, arity: int = 1, **how: Any) -> list[Sample]:
    return [Sample(fun, "f" * arity, **how), Sample(fun, "c" * arity, **how)]


def ints(fun: Any, kinds: str = "ii", **how: Any) -> list[Sample]:
    return [Sample(fun, kinds, derivatives=False, **how)]


def rows(fun: Any) -> Any:
    """Return `fun` of the rows of a matrix, which may ask one another."""
    return tj.vmap(fun, axis_name="rows")


def reduced(name: str) -> Any:
    return rows(lambda row: tnp.sin(getattr(lax, name)(row * row, "rows")))


def symmetric(a: Any) -> Any:
    return a + tnp.conj(tnp.swapaxes(a, -1, -2)) + tnp.diag(tnp.array([0.0, 2.0, 5.0]))


def spectrum(a: Any) -> Any:
    values, vectors = eigh(symmetric(a))
    return values, tnp.abs(vectors)


def singular(a: Any) -> Any:
    u, s, vh = svd(a + 3.0 * tnp.eye(3, 2))
    return tnp.abs(u), s, tnp.abs(vh)


@tj.custom_jvp
def with_rule(x: Any) -> Any:
    return tnp.sin(x) * x


@with_rule.defjvp
def _rule(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return with_rule(x), t * (tnp.cos(x) * x + tnp.sin(x))


@tj.custom_vjp
def with_backward(x: Any) -> Any:
    return tnp.sin(x)


with_backward.defvjp(lambda x: (tnp.sin(x), x), lambda x, ct: (ct * tnp.cos(x),))


def unknown_length(x: Any) -> Any:
    go_on = lambda c: (c[0] < 3) & (tnp.sum(tnp.real(c[1])) < 40.0)
    return lax.while_loop(go_on, lambda c: (c[0] + 1, c[1] * (1.5 + tnp.sin(c[1]))), (0, x))[1]


def branches(i: Any, x: Any) -> Any:
    return lax.switch(i, [tnp.sin, lambda x: x * x, lambda x: 2.0 * x], x)


def body(c: Any, x: Any) -> Any:
    return tnp.sin(c) * x, c * x


def chosen(values: Any) -> Any:
    """Of a gradient of a loop or branch in lanes."""
    return tj.vmap(tj.grad(lambda x: tnp.sum(tnp.real(values(x)))))


UNARY = {
    **{name: getattr(tnp, name) for name in (
        "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "sinh",
        "cosh", "tanh", "sqrt", "abs", "sign",
    )},
    "asin": tnp.arcsin, "acos": tnp.arccos, "atan": tnp.arctan, "asinh": tnp.arcsinh,
    "acosh": lambda x: tnp.arccosh(x + 1.5), "atanh": tnp.arctanh, "neg": tnp.negative,
    "rsqrt": lax.rsqrt, "integer_pow": lambda x: x**3,
    "reduce_sum": lambda x: tnp.sum(x, axis=-1), "transpose": lambda x: tnp.transpose(x, (1, 0)),
    "reshape": lambda x: tnp.reshape(x, (2, 3)), "flip": lambda x: tnp.flip(x, 0),
    "broadcast_in_dim": lambda x: tnp.broadcast_to(x[:, None], (3, 4, 2)),
    "slice": lambda x: x[1:, ::2],
    "sliding_windows": lambda x: convolution.sliding_windows(x, (0,), (2,)),
    "overlap_add": lambda x: convolution.overlap_add(x, (0,), (4,)),
    "reduce_prod": lambda x: tnp.prod(x, axis=0),
    "cumsum": lambda x: tnp.cumsum(x, axis=0), "cumprod": lambda x: tnp.cumprod(x, axis=1),
    "optimization_barrier": lax.optimization_barrier, "checkpoint": tj.checkpoint(tnp.sin),
    "call": tj.jit(lambda x: tnp.sin(x) * x), "custom_rule": with_rule,
    "while_loop": unknown_length, "psum": reduced("psum"),
}  # fmt: skip
REAL = {
    **{name: getattr(lax, name) for name in (
        "cbrt", "erf", "erfc", "erf_inv", "lgamma", "digamma", "logistic", "floor", "ceil",
    )},
    "trunc": tnp.trunc, "erf_inv_of_uniform": erf_inv_of_uniform,
    "round": tnp.round, "polygamma": lambda x: special.polygamma(x, 1),
    "is_finite": tnp.isfinite, "is_nan": tnp.isnan, "is_inf": tnp.isinf,
    "reduce_max": lambda x: tnp.max(x, axis=0), "reduce_min": lambda x: tnp.min(x, axis=1),
    "argmax": lambda x: tnp.argmax(x, axis=0), "argmin": lambda x: tnp.argmin(x, axis=1),
    "cummax": lambda x: lax.cummax(x, 0), "cummin": lambda x: lax.cummin(x, 1),
    "cumlogsumexp": lambda x: cumlogsumexp(x, 0), "sort": lambda x: lax.sort([x, x * x], 0),
    "pmax": reduced("pmax"), "pmin": reduced("pmin"),
    **{name: getattr(scipy.special, name) for name in (
        "dawsn", "ellipe", "ellipk", "erfcx", "erfi", "exp1", "expi", "gamma", "loggamma", "ndtri",
        "spence",
    )},
    **{f"bessel_{name}": getattr(scipy.special, name) for name in (
        "i0", "i0e", "i1", "i1e", "j0", "j1", "k0", "k0e", "k1", "k1e", "y0", "y1",
    )},
    **{f"bessel_{name}": lambda x, name=name: getattr(scipy.special, name)(0.5, x)
       for name in ("iv", "ive", "jv", "kv", "kve", "yv")},
    "si": integrals.si, "ci": integrals.ci,
    "fresnel_s": integrals.fresnel_s, "fresnel_c": integrals.fresnel_c,
    "expn": lambda x: scipy.special.expn(2, x), "hyp0f1": lambda x: scipy.special.hyp0f1(1.5, x),
    "hyp1f1": lambda x: scipy.special.hyp1f1(0.5, 1.5, x),
    "hyp2f1": lambda x: scipy.special.hyp2f1(0.5, 0.7, 1.5, 0.5 * x),
}  # fmt: skip
BINARY = {
    "add": tnp.add, "sub": tnp.subtract, "mul": tnp.multiply, "div": tnp.divide, "pow": tnp.power,
    "pad": lambda x, y: lax.pad(x, y[0, 0], [(1, 0, 0), (0, 2, 1)]),
    "concatenate": lambda x, y: tnp.concatenate([x, y], 1),
    "dot_general": lambda x, y: tnp.einsum("ij,kj->ik", x, y),
    "scan": lambda x, y: lax.scan(body, x[0], y),
}  # fmt: skip
REAL_BINARY = {
    "atan2": lax.atan2, "hypot": tnp.hypot, "max": lambda x, y: tnp.maximum(x, y),
    "min": lambda x, y: tnp.minimum(x, y), "rem": lambda x, y: lax.rem(3 * x, y),
    "nextafter": tnp.nextafter, "copysign": tnp.copysign,
    **{name: getattr(lax, name) for name in ("lt", "le", "gt", "ge")},
    **{name: getattr(scipy.special, name) for name in (
        "beta", "betaln", "binom", "gammainc", "gammaincc", "gammainccinv", "gammaincinv",
        "owens_t", "poch", "xlog1py", "xlogy",
    )},
    "zeta": lambda s, q: scipy.special.zeta(s + 1.5, q),
}  # fmt: skip
INTEGERS = {
    "and": tnp.bitwise_and, "or": tnp.bitwise_or, "xor": tnp.bitwise_xor,
    "shift_left": lax.shift_left, "shift_right_arithmetic": lax.shift_right_arithmetic,
    "shift_right_logical": lax.shift_right_logical, "quot": lambda x, y: lax.div(x, y + 1),
}  # fmt: skip

OTHERS: dict[str, list[Sample]] = {
    "eq": both(tnp.equal, 2),
    "ne": both(tnp.not_equal, 2),
    "complex": [Sample(lax.complex, "ff")],
    "conj": [Sample(tnp.conj, "c")],
    "real": [Sample(tnp.real, "c")],
    "imag": [Sample(tnp.imag, "c")],
    "convert_element_type": [
        Sample(lambda x: lax.convert_element_type(x, "complex128")),
        Sample(lambda x: lax.convert_element_type(x, "complex64"), "c", derivatives=False),
    ],
    # These have derivatives that are not those of their values.
    "stop_gradient": both(lax.stop_gradient, derivatives=False),
    "nextafter": [Sample(tnp.nextafter, "ff", derivatives=False)],
    "not": ints(tnp.bitwise_not, "i"),
    "clz": ints(lax.clz, "i"),
    "population_count": ints(lax.population_count, "i"),
    "bitcast_convert_type": [
        Sample(lambda x: lax.bitcast_convert_type(x, "int64"), derivatives=False)
    ],
    "select": [Sample(tnp.where, "bff"), Sample(tnp.where, "bcc")],
    "fma": [Sample(fma, "fff")],
    "clamp": [Sample(lambda lo, x, hi: logical.clamp(0.5 * lo, x, hi), "fff")],
    "reduce_and": ints(lambda x: tnp.all(x, axis=0), "b"),
    "reduce_or": ints(lambda x: tnp.any(x, axis=1), "b"),
    "check_index": ints(lambda x: check_index_p.bind(x, axis=0, length=3, source=None), "i"),
    "iota": ints(lambda x: x + iota(SHAPE, 1, "int64"), "i"),
    "threefry2x32": ints(lambda *words: threefry2x32(*words), "uuuu"),
    "name": both(lambda x: checkpoint_name(tnp.sin(x), "sine")),
    "dynamic_slice": [
        Sample(lambda x, i: lax.dynamic_slice(x, (i, 0), (2, 1)), kinds, ((3, 2), ()))
        for kinds in ("fi", "ci")
    ],
    "dynamic_update_slice": [
        Sample(lambda x, y, i: lax.dynamic_update_slice(x, y, (0, i)), kinds, ((3, 2), (2, 1), ()))
        for kinds in ("ffi", "cci")
    ],
    "gather": [Sample(lambda x, i: x[i], kinds, ((3, 2), (4,))) for kinds in ("fi", "ci")],
    "scatter": both(lambda x, y: x.at[np.array([2, 0])].set(y), 2, shapes=((3, 2), (2, 2))),
    "scatter_add": [
        Sample(lambda x, y, i: x.at[i].add(y), kinds, ((3, 2), (4, 2), (4,)))
        for kinds in ("ffi", "cci")
    ],
    "scatter_mul": both(
        lambda x, y: x.at[np.array([2, 0])].multiply(y, unique_indices=True),
        2,
        shapes=((3, 2), (2, 2)),
    ),
    "scatter_max": [Sample(lambda x, y: x.at[np.array([2, 0])].max(y), "ff", ((3, 2), (2, 2)))],
    "scatter_min": [Sample(lambda x, y: x.at[np.array([2, 0])].min(y), "ff", ((3, 2), (2, 2)))],
    "csr_matmul": both(
        lambda data, x: csr_matmul(data, np.array([0, 2, 0, 1]), np.array([0, 2, 2, 4]), x),
        2,
        shapes=((4,), (3, 2)),
    ),
    "lu_solve": both(lambda a, b: solve(a + 3 * tnp.eye(3), b), 2, shapes=((3, 3), (3, 2))),
    "slogdet": both(lambda a: slogdet(a + 3 * tnp.eye(3)), shapes=((3, 3),)),
    "triangular_solve": [
        *both(
            lambda a, b: triangular_solve(
                a + tnp.eye(3), b, left_side=True, lower=True, transpose_a=True, conjugate_a=True
            ),
            2,
            shapes=((3, 3), (3, 2)),
        ),
        *both(lambda a, b: triangular_solve(a + tnp.eye(3), b), 2, shapes=((3, 3), (2, 3))),
        Sample(
            lambda a, b: triangular_solve(
                a, b, left_side=True, unit_diagonal=True, transpose_a=True
            ),
            "ff",
            ((3, 3), (3, 2)),
        ),
    ],
    "cholesky": [
        *both(lambda a: cholesky(a + 4 * tnp.eye(3)), shapes=((3, 3),)),
        *both(lambda a: cholesky(a + 4 * tnp.eye(3), False), shapes=((3, 3),)),
    ],
    "lu": [
        *both(lambda a: lu(a), shapes=((3, 3),)),
        *both(lambda a: lu(a), shapes=((4, 3),)),
        *both(lambda a: lu(a), shapes=((2, 3),)),
    ],
    "qr": [
        *both(lambda a: qr(a, False), shapes=((3, 3),)),
        *both(lambda a: qr(a, False), shapes=((4, 3),)),
        *both(lambda a: qr(a, False), shapes=((2, 3),)),
        # The completing column is the only one.
        Sample(lambda a: qr(a), "f", ((3, 2),)),
    ],
    "eig": [
        *both(lambda a: eig(a + tnp.diag(tnp.arange(3.0)), True), shapes=((3, 3),)),
        *both(lambda a: eig(a + tnp.diag(tnp.arange(3.0)), right=False), shapes=((3, 3),)),
    ],
    "eigh": both(spectrum, shapes=((3, 3),)),
    "svd": both(singular),
    "fft": [
        *both(lambda x: lax.fft(x, "FFT", (3, 2))),
        Sample(lambda x: lax.fft(x, "RFFT", (2,))),
        Sample(lambda x: lax.fft(x, "IRFFT", (3, 3)), "c"),
    ],
    "betainc": [Sample(scipy.special.betainc, "fff")],
    "betaincinv": [Sample(lambda a, b, p: scipy.special.betaincinv(a + 1, b + 1, p), "fff")],
    "wofz": [Sample(scipy.special.wofz, "c")],
    "complex_digamma": [Sample(factorials.complex_digamma, "c", derivatives=False)],
    "sph_harm_y": [Sample(lambda theta, phi: scipy.special.sph_harm_y(2, 1, theta, phi), "ff")],
    "cond": [Sample(branches, kinds, ((), (3, 2))) for kinds in ("if", "ic")],
    "linear_map": [Sample(chosen(with_backward))],
    "guard": [Sample(chosen(lambda x: lax.cond(tnp.sum(x) > 1.2, tnp.sin, tnp.exp, x)))],
    "sweep": [Sample(tj.grad(lambda x: tnp.sum(unknown_length(x))))],
    "pushforward": [Sample(lambda x, t: tj.linearize(unknown_length, x)[1](t), "ff")],
    "pure_callback": [
        Sample(
            lambda x: tj.pure_callback(
                np.sin, tj.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="sequential"
            ),
            derivatives=False,
        )
    ],
    "all_gather": [Sample(rows(lambda row: tnp.cos(lax.all_gather(row, "rows"))))],
    "psum_scatter": [Sample(rows(lambda row: lax.psum_scatter(row * row, "rows")), "f", ((3, 3),))],
    "all_to_all": [Sample(rows(lambda row: lax.all_to_all(row**2, "rows", 0, 0)), "f", ((3, 3),))],
    "ppermute": [Sample(rows(lambda row: lax.ppermute(row**2, "rows", [(0, 1), (2, 0)])))],
    "axis_index": [Sample(rows(lambda row: row**2 * lax.axis_index("rows")))],
}

WITHOUT = {
    "device_put": "needs a second device: tests/runtime/test_devices.py has a fake one",
    "empty": "memory that is not yet written: there is nothing to compare",
    "io_callback": "has an effect, and neither derivatives nor, if ordered, lanes",
    "debug_callback": "has an effect and no result",
}
"""Primitives that have no sample, and why."""

SAMPLES: dict[str, list[Sample]] = {
    **{name: both(fun) for name, fun in UNARY.items()},
    **{name: [Sample(fun)] for name, fun in REAL.items()},
    **{name: both(fun, 2) for name, fun in BINARY.items()},
    **{name: [Sample(fun, "ff")] for name, fun in REAL_BINARY.items()},
    **{name: ints(fun) for name, fun in INTEGERS.items()},
    **OTHERS,
}
CASES = [
    pytest.param(name, sample, id=f"{name}-{sample.kinds}")
    for name, samples in SAMPLES.items()
    for sample in samples
]
DERIVABLE = [case for case in CASES if case.values[1].derivatives]


def test_each_primitive_has_a_sample() -> None:
    # Primitives that another test defines are not ours.
    ours = {n for n, p in PRIMITIVES.items() if tables.shape[p].__module__.startswith("tracejit")}
    assert ours - set(WITHOUT) == set(SAMPLES)


@pytest.fixture(autouse=True)
def evaluating() -> Iterator[None]:
    with interpreting(Evaluate()):
        yield


def numbers(x: Any) -> Any:
    return np.asarray(x)


def differentiable(sample: Sample, args: list[Any]) -> tuple[list[int], Callable[..., list[Any]]]:
    """Return which operands one can differentiate by, and the function of them."""
    at = [n for n, kind in enumerate(sample.kinds) if kind in "fc"]

    def fun(*xs: Any) -> list[Any]:
        full = list(args)
        for n, x in zip(at, xs, strict=True):
            full[n] = x
        return [x for x in sample.outputs(*full) if get_aval(x).dtype.kind in "fc"]

    return at, fun


def dot(xs: Sequence[Any], ys: Sequence[Any]) -> float:
    return sum(float(np.sum(numbers(x) * numbers(y)).real) for x, y in zip(xs, ys, strict=True))


def slopes(fun: Callable[..., Sequence[Any]], xs: Sequence[Any], ts: Sequence[Any]) -> list[Any]:
    h = 1e-6
    ahead, behind = (fun(*[x + s * h * t for x, t in zip(xs, ts, strict=True)]) for s in (1, -1))
    return [(numbers(a) - numbers(b)) / (2 * h) for a, b in zip(ahead, behind, strict=True)]


def directions(sample: Sample, at: list[int], seed: int) -> list[Any]:
    drawn = sample._replace(domain=(-1.0, 1.0)).draw(seed)
    return [drawn[n] for n in at]


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_the_sample_binds_the_primitive(
    name: str, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: set[str] = set()
    bind = Primitive.bind

    def recording(self: Primitive, *operands: Any, **params: Any) -> Any:
        bound.add(self.name)
        return bind(self, *operands, **params)

    class Recording(Evaluate):
        def process(self, primitive: Primitive, operands: Any, params: Any) -> Any:
            bound.add(primitive.name)
            return super().process(primitive, operands, params)

    monkeypatch.setattr(Primitive, "bind", recording)
    with interpreting(Recording()):
        sample.outputs(*sample.draw(0))
    assert name in bound


@pytest.mark.parametrize(("name", "sample"), DERIVABLE)
def test_derivatives(name: str, sample: Sample) -> None:
    """jvp against differences, vjp against jvp, and both again one order higher."""
    args = sample.draw(0)
    at, fun = differentiable(sample, args)
    xs = [args[n] for n in at]
    ts, us = directions(sample, at, 1), directions(sample, at, 2)
    outs, moved = tj.jvp(fun, xs, ts)
    if not outs:
        return  # all outputs are integers or truth values
    for got, want in zip(moved, slopes(fun, xs, ts), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)
    cts = [np.cos(1.0 + np.arange(o.size)).reshape(o.shape).astype(o.dtype) for o in outs]
    every = range(len(at))
    for chosen in itertools.chain.from_iterable(
        itertools.combinations(every, n) for n in range(1, len(at) + 1)
    ):
        # By some of the operands, so that a transpose has others that are not linear.
        part = lambda *ys, chosen=chosen: fun(
            *[ys[chosen.index(n)] if n in chosen else xs[n] for n in every]
        )
        some, along = [xs[n] for n in chosen], [ts[n] for n in chosen]
        _, pushed = tj.jvp(part, some, along)
        back = tj.vjp(part, *some)[1](cts)
        np.testing.assert_allclose(dot(cts, pushed), dot(back, along), rtol=1e-10, atol=1e-10)
    pull = lambda *ys: tj.vjp(fun, *ys)[1](cts)
    _, curved = tj.jvp(pull, xs, us)
    for got, want in zip(curved, slopes(pull, xs, us), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    push = lambda *ys: tj.jvp(fun, ys, ts)[1]
    _, twice = tj.jvp(push, xs, us)
    back = tj.vjp(push, *xs)[1](cts)
    np.testing.assert_allclose(dot(cts, twice), dot(back, us), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_vmap_is_a_loop(name: str, sample: Sample) -> None:
    """At every axis, of every mixture of operands with and without lanes."""
    lanes = 2
    draws = [sample.draw(seed) for seed in range(lanes)]
    choices = [[None, *range(np.ndim(x) + 1)] for x in draws[0]]
    mixtures = [m for m in itertools.product(*choices) if any(a is not None for a in m)]
    for axes in mixtures[:: 1 + len(mixtures) // 20]:
        operands = [
            draws[0][n] if a is None else np.stack([d[n] for d in draws], a)
            for n, a in enumerate(axes)
        ]
        found = tj.vmap(sample.outputs, in_axes=axes)(*operands)
        for lane in range(lanes):
            one = [draws[0 if a is None else lane][n] for n, a in enumerate(axes)]
            for got, want in zip(found, sample.outputs(*one), strict=True):
                np.testing.assert_allclose(
                    numbers(got)[lane], numbers(want), rtol=1e-11, atol=1e-13
                )
