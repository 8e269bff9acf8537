"""Distributions: tests of fit at fixed keys, gradients by their parameters, agreement with JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats as oracle

import tracejit as tj
import tracejit.numpy as tnp
import tracejit.random as random
from tracejit.core.errors import ShapeError

KEY = random.key(8)
N = 20_000

CONTINUOUS: dict[str, tuple[Any, Any]] = {
    "ball": (
        lambda: tnp.sum(random.ball(KEY, 3, 2, (N,)) ** 2, -1) ** 1.5,
        oracle.uniform,
    ),
    "ball of another norm": (
        lambda: tnp.sum(tnp.abs(random.ball(KEY, 2, 1, (N,))), -1) ** 2,
        oracle.uniform,
    ),
    "beta": (lambda: random.beta(KEY, 0.4, 2.0, (N,)), oracle.beta(0.4, 2)),
    "cauchy": (lambda: random.cauchy(KEY, (N,)), oracle.cauchy),
    "chisquare": (lambda: random.chisquare(KEY, 3.0, (N,)), oracle.chi2(3)),
    "dirichlet": (
        lambda: random.dirichlet(KEY, np.array([0.3, 1.0, 2.0]), (N,))[:, 1],
        oracle.beta(1, 2.3),
    ),
    "double_sided_maxwell": (
        lambda: abs(random.double_sided_maxwell(KEY, 2.0, 3.0, (N,)) - 2) / 3,
        oracle.maxwell,
    ),
    "exponential": (lambda: random.exponential(KEY, (N,)), oracle.expon),
    "f": (lambda: random.f(KEY, 3.0, 5.0, (N,)), oracle.f(3, 5)),
    "gamma 0.05": (lambda: random.loggamma(KEY, 0.05, (N,)), oracle.loggamma(0.05)),
    "gamma 0.5": (lambda: random.gamma(KEY, 0.5, (N,)), oracle.gamma(0.5)),
    "gamma 1": (lambda: random.gamma(KEY, 1, (N,)), oracle.gamma(1)),
    "gamma 30": (lambda: random.gamma(KEY, 30.0, (N,), "float32"), oracle.gamma(30)),
    "generalized_normal": (
        lambda: random.generalized_normal(KEY, 1.5, (N,)),
        oracle.gennorm(1.5),
    ),
    "gumbel": (lambda: random.gumbel(KEY, (N,)), oracle.gumbel_r),
    "laplace": (lambda: random.laplace(KEY, (N,)), oracle.laplace),
    "logistic": (lambda: random.logistic(KEY, (N,)), oracle.logistic),
    "lognormal": (lambda: random.lognormal(KEY, 0.7, (N,)), oracle.lognorm(0.7)),
    "maxwell": (lambda: random.maxwell(KEY, (N,)), oracle.maxwell),
    "normal": (lambda: random.normal(KEY, (N,)), oracle.norm),
    "normal float16": (
        # Rounded to few values, it is spread over them again.
        lambda: random.normal(KEY, (N,), "float16") + 1e-3 * random.normal(random.key(1), (N,)),
        oracle.norm,
    ),
    "pareto": (lambda: random.pareto(KEY, 2.0, (N,)), oracle.pareto(2)),
    "rayleigh": (lambda: random.rayleigh(KEY, 2.0, (N,)), oracle.rayleigh(0, 2)),
    "t": (lambda: random.t(KEY, 3.0, (N,)), oracle.t(3)),
    "triangular": (
        lambda: random.triangular(KEY, -1.0, 0.5, 2.0, (N,)),
        oracle.triang(0.5, -1, 3),
    ),
    "truncated_normal": (
        lambda: random.truncated_normal(KEY, -0.5, 2.0, (N,)),
        oracle.truncnorm(-0.5, 2),
    ),
    "uniform": (lambda: random.uniform(KEY, (N,)), oracle.uniform),
    "wald": (lambda: random.wald(KEY, 2.0, (N,)), oracle.invgauss(2.0)),
    "weibull_min": (
        lambda: random.weibull_min(KEY, 2.0, 1.5, (N,)),
        oracle.weibull_min(1.5, 0, 2),
    ),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_kolmogorov_smirnov(name: str) -> None:
    draw, distribution = CONTINUOUS[name]
    x = np.asarray(draw())
    assert x.shape == (N,)
    assert oracle.kstest(x, distribution.cdf).pvalue > 1e-3


DISCRETE: dict[str, tuple[Any, Any]] = {
    **{
        f"binomial {n} {p}": (
            lambda n=n, p=p: random.binomial(KEY, n, p, (N,)),
            oracle.binom(n, p),
        )
        for n, p in ((10, 0.3), (25, 0.9), (1000, 0.4), (200, 0.95))
    },
    **{
        f"poisson {mean}": (lambda mean=mean: random.poisson(KEY, mean, (N,)), oracle.poisson(mean))
        for mean in (0.5, 9.9, 10.5, 300.0)
    },
    "geometric": (lambda: random.geometric(KEY, 0.2, (N,)), oracle.geom(0.2)),
    "multinomial": (
        lambda: random.multinomial(KEY, 20, np.array([0.2, 0.5, 0.3]), shape=(N, 3))[:, 1],
        oracle.binom(20, 0.5),
    ),
    "bernoulli": (lambda: random.bernoulli(KEY, 0.3, (N,)), oracle.bernoulli(0.3)),
    "rademacher": (lambda: (random.rademacher(KEY, (N,)) + 1) // 2, oracle.bernoulli(0.5)),
    "randint": (lambda: random.randint(KEY, (N,), 3, 9), oracle.randint(3, 9)),
    "permutation": (
        lambda: tj.vmap(lambda k: random.permutation(k, 4))(random.split(KEY, N))[:, 2],
        oracle.randint(0, 4),
    ),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_chi_square(name: str) -> None:
    draw, distribution = DISCRETE[name]
    values, counts = np.unique(np.asarray(draw()), return_counts=True)
    expected = N * distribution.pmf(values)
    often = expected > 8
    # What is rare is one class.
    counts = np.append(counts[often], counts[~often].sum())
    expected = np.append(expected[often], max(N - expected[often].sum(), 1.0))
    assert oracle.chisquare(counts, expected, sum_check=False).pvalue > 1e-3


def test_multinomial_counts_all_trials() -> None:
    n = np.array([0, 1, 50])
    drawn = random.multinomial(KEY, n, np.array([0.3, 0.0, 0.7]))
    assert drawn.shape == (3, 3)
    np.testing.assert_array_equal(tnp.sum(drawn, -1), n)
    assert not np.any(drawn[:, 1])


def test_degenerate_parameters() -> None:
    odd = np.array([0.0, -1.0, np.nan])
    np.testing.assert_array_equal(random.gamma(KEY, odd), [0, np.nan, np.nan])
    np.testing.assert_array_equal(random.poisson(KEY, odd), [0, -1, -1])
    np.testing.assert_array_equal(
        random.binomial(KEY, np.array([0, 9, 9, 9]), np.array([0.5, 0, 1, 2])), [0, 0, 9, np.nan]
    )
    assert random.gamma(KEY, np.ones((0, 3))).shape == (0, 3)


GRADIENTS: dict[str, tuple[Any, Any, float]] = {
    # A draw as a function of a parameter, and the quantile function of its distribution.
    "gamma": (lambda a: random.gamma(KEY, a), scipy.special.gammaincinv, 2.5),
    "gamma of small a": (lambda a: random.gamma(KEY, a), scipy.special.gammaincinv, 0.3),
    "chisquare": (
        lambda a: random.chisquare(KEY, a),
        lambda a, p: 2 * scipy.special.gammaincinv(a / 2, p),
        3.0,
    ),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_follow_the_quantiles(name: str) -> None:
    draw, quantile, a = GRADIENTS[name]
    half = 2.0 if name == "chisquare" else 1.0
    p = scipy.special.gammainc(a / half, float(draw(a)) / half)
    h = 1e-5 * a
    slope = (quantile(a + h, p) - quantile(a - h, p)) / (2 * h)
    assert float(tj.grad(draw)(a)) == pytest.approx(slope, rel=1e-6)
    curve = (quantile(a + 9 * h, p) - 2 * quantile(a, p) + quantile(a - 9 * h, p)) / (9 * h) ** 2
    assert float(tj.grad(tj.grad(draw))(a)) == pytest.approx(curve, rel=1e-3)


MEANS: dict[str, tuple[Any, Any]] = {
    # A draw of one number, and the derivative of its mean by the parameter at 1.5.
    "gamma": (lambda k, a: random.gamma(k, a), 1.0),
    "loggamma": (lambda k, a: random.loggamma(k, a), scipy.special.polygamma(1, 1.5)),
    "beta a": (lambda k, a: random.beta(k, a, 2.0), 2 / 3.5**2),
    "beta b": (lambda k, b: random.beta(k, 2.0, b), -2 / 3.5**2),
    "dirichlet": (
        lambda k, a: random.dirichlet(k, tnp.stack([a, a * 0 + 0.5, a * 0 + 3.0]))[0],
        3.5 / 5**2,
    ),
    "logarithm of t": (lambda k, df: tnp.log(tnp.abs(random.t(k, 4 * df))), None),
    "lognormal": (lambda k, s: random.lognormal(k, s / 3), 0.5 / 3 * np.exp(0.125)),
    "rayleigh": (lambda k, s: random.rayleigh(k, s), np.sqrt(np.pi / 2)),
}


@pytest.mark.parametrize("name", MEANS)
def test_gradients_estimate_those_of_means(name: str) -> None:
    draw, wanted = MEANS[name]
    if wanted is None:  # E log|t| = (log df + psi(1/2) - psi(df/2)) / 2
        wanted = (1 / 6.0 - scipy.special.polygamma(1, 3.0) / 2) / 2 * 4
    keys = random.split(random.key(2), 8_000)
    found = np.asarray(tj.vmap(tj.grad(draw, argnums=1), in_axes=(0, None))(keys, 1.5))
    error = found.std() / np.sqrt(len(found))
    assert abs(found.mean() - wanted) < 4 * error


def test_in_compiled_code_and_in_lanes() -> None:
    a = np.array([0.3, 1.0, 20.0])
    for draw in (
        lambda k, a: random.gamma(k, a),
        lambda k, a: random.beta(k, a, 2.0),
        lambda k, a: random.poisson(k, a),
        lambda k, a: random.binomial(k, 100, a / 30),
    ):
        np.testing.assert_allclose(tj.jit(draw)(KEY, a), draw(KEY, a), rtol=1e-12)
        keys = random.split(KEY, 3)
        lanes = tj.vmap(draw)(keys, a)
        for n in range(3):
            np.testing.assert_allclose(lanes[n], draw(keys[n], tnp.asarray(a[n])), rtol=1e-12)


def test_shapes_dtypes_and_errors() -> None:
    a = np.ones((2, 1))
    assert random.gamma(KEY, a, (3, 2, 4), "float16").dtype == np.float16
    assert random.beta(KEY, a, np.ones(3)).shape == (2, 3)
    assert random.dirichlet(KEY, np.ones((2, 3))).shape == (2, 3)
    assert random.dirichlet(KEY, np.ones(3), (5,)).shape == (5, 3)
    assert random.ball(KEY, 4, shape=(2, 3)).shape == (2, 3, 4)
    assert random.poisson(KEY, 3.0, dtype="int32").dtype == np.int32
    assert random.key_impl(KEY) == "threefry2x32"
    assert random.clone(KEY) == KEY
    for call, what in (
        (lambda: random.gamma(KEY, np.ones(3), (2,)), "broadcast"),
        (lambda: random.dirichlet(KEY, 1.0), "at least one axis"),
        (lambda: random.ball(KEY, 0), "at least 1"),
        (lambda: random.multinomial(KEY, 3, np.ones(3), shape=(2,)), "end with 3"),
    ):
        with pytest.raises(ShapeError, match=what):
            call()
    with pytest.raises(TypeError, match="threefry2x32"):
        random.key(0, impl="rbg")


def test_agrees_with_jax() -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        theirs = jax.random.key(11)
        ours = random.key(11)
        for name, call in (
            ("uniform", lambda r, k: r.uniform(k, (50,), "float64")),
            ("bits", lambda r, k: r.bits(k, (50,), "uint16")),
            ("permutation", lambda r, k: r.permutation(k, 50)),
            ("randint", lambda r, k: r.randint(k, (50,), 3, 70, "int32")),
        ):
            np.testing.assert_array_equal(
                np.asarray(call(random, ours)), np.asarray(call(jax.random, theirs)), name
            )


@pytest.mark.parametrize("method", ["cholesky", "eigh", "svd"])
def test_normal_vectors(method: str) -> None:
    mean, cov = np.array([1.0, -2.0]), np.array([[2.0, 0.6], [0.6, 0.5]])
    x = np.asarray(random.multivariate_normal(KEY, mean, cov, (N,), method=method))
    root = np.linalg.inv(np.linalg.cholesky(cov))
    for z in ((x - mean) @ root.T).T:
        assert oracle.kstest(z, oracle.norm.cdf).pvalue > 1e-3
    np.testing.assert_allclose(np.cov(x.T), cov, atol=0.05)
    several = random.multivariate_normal(KEY, np.zeros((3, 1, 2)), np.stack([cov] * 4))
    assert several.shape == (3, 4, 2)

    def spread(scale: Any) -> Any:
        y = random.multivariate_normal(KEY, mean, scale * cov, (50,), method=method)
        return tnp.sum(tnp.square(y - mean))

    assert float(tj.grad(spread)(1.5)) == pytest.approx(float(spread(1.0)), rel=1e-9)


def test_rotations() -> None:
    for dtype in ("float64", "complex128"):
        q = np.asarray(random.orthogonal(KEY, 3, (400,), dtype))
        np.testing.assert_allclose(q @ q.conj().swapaxes(1, 2), np.tile(np.eye(3), (400, 1, 1)),
                                   atol=1e-13)  # fmt: skip
    # An element of a uniform rotation in three dimensions is uniform.
    q = np.asarray(random.orthogonal(KEY, 3, (N,)))
    for element in (q[:, 0, 0], q[:, 1, 2]):
        assert oracle.kstest(element, oracle.uniform(-1, 2).cdf).pvalue > 1e-3
    wide = np.asarray(random.orthogonal(KEY, 2, m=4))
    np.testing.assert_allclose(wide @ wide.T, np.eye(2), atol=1e-13)
    with pytest.raises(ShapeError, match=r"\(\.\.\., n, n\)"):
        random.multivariate_normal(KEY, np.zeros(2), np.eye(3))
