"""Distributions against SciPy's, and their derivatives against differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.stats as oracle

import tracejit as tj
import tracejit.numpy as tnp
import tracejit.random as random
from tracejit.core.errors import ShapeError
from tracejit.scipy import stats

INF, NAN = np.inf, np.nan


class Row(NamedTuple):
    """A distribution, its parameters, and where it is compared.

    Attributes
    ----------
    name : str
        Of the distribution.
    parameters : tuple of float
        Its shape parameters.
    points : sequence of float
        Within the support.
    edges : sequence of float
        At its ends and beyond.
    moved : tuple of float
        Location and scale, as far as there are such.
    """

    name: str
    parameters: tuple[float, ...]
    points: tuple[float, ...]
    edges: tuple[float, ...] = (-INF, INF, NAN)
    moved: tuple[float, ...] = (0.3, 1.7)


REAL = (-7.0, -1.3, -0.2, 0.0, 0.4, 1.1, 3.0, 8.0)
POSITIVE = (0.31, 0.4, 0.9, 1.7, 4.0, 12.0)
COUNTS = (1.0, 2.0, 3.0, 5.0)
OUTSIDE = (-5.0, -INF, INF, NAN)
ROWS = [
    Row("norm", (), (*REAL, -30.0, 30.0)),
    Row("expon", (), POSITIVE, (0.3, 0.2, *OUTSIDE)),
    Row("gamma", (2.5,), POSITIVE, (0.3, 0.2, *OUTSIDE)),
    Row("gamma", (0.6,), POSITIVE, (0.2, *OUTSIDE)),
    Row("beta", (2.5, 1.4), (0.4, 0.9, 1.5, 1.9), (0.3, 2.0, 0.2, 5.0, *OUTSIDE)),
    Row("beta", (0.5, 0.7), (0.4, 0.9, 1.5, 1.9), (0.2, 5.0, *OUTSIDE)),
    Row("cauchy", (), (*REAL, -1e9, 1e9)),
    Row("chi2", (3.5,), POSITIVE, (0.3, 0.2, *OUTSIDE)),
    Row("gennorm", (1.4,), REAL, moved=()),
    Row("gumbel_l", (), (-30.0, *REAL)),
    Row("gumbel_r", (), (*REAL, 30.0)),
    Row("laplace", (), REAL),
    Row("logistic", (), (*REAL, 60.0, -60.0)),
    Row("lognorm", (0.8,), POSITIVE, (0.3, 0.2, *OUTSIDE)),
    Row("pareto", (2.5,), (2.1, 3.0, 50.0), (2.0, 1.9, *OUTSIDE)),
    Row("t", (3.5,), (*REAL, -40.0)),
    Row("truncnorm", (-0.7, 2.0), (-0.8, 0.0, 0.3, 1.5, 3.6), (-2.0, 4.0, *OUTSIDE)),
    Row("truncnorm", (9.0, 11.0), (15.7, 16.0, 18.9), (15.0, 20.0, *OUTSIDE)),
    Row("truncnorm", (-11.0, -9.0), (-18.3, -16.0, -15.1), (-20.0, -10.0, *OUTSIDE)),
    Row("uniform", (), (0.4, 1.0, 1.9), (0.2, 0.3, 2.0, 2.1, *OUTSIDE)),
    Row("vonmises", (1.4,), (-3.0, -1.0, 0.0, 0.5, 3.1), (), ()),
    Row("vonmises", (900.0,), (-0.1, 0.0, 0.2), (), ()),
    Row("wrapcauchy", (0.4,), (0.5, 3.0, 6.2), (-0.1, 6.4), ()),
    Row("bernoulli", (0.3,), (1.0, 2.0), (0.0, 3.0, 1.5, NAN), (1,)),
    Row("betabinom", (7.0, 1.5, 2.5), COUNTS, (0.0, 8.0, 9.0, 1.5, -1.0), (1,)),
    Row("binom", (7.0, 0.3), COUNTS, (0.0, 8.0, 9.0, 1.5, -1.0, NAN), (1,)),
    Row("geom", (0.3,), (2.0, 3.0, 9.0), (1.0, 0.0, 2.5, NAN), (1,)),
    Row("nbinom", (4.5, 0.3), (1.0, *COUNTS), (0.0, 1.5, NAN), (1,)),
    Row("poisson", (4.5,), (1.0, *COUNTS), (0.0, 1.5, NAN), (1,)),
]  # fmt: skip
PROBABILITIES = (0.0, 1.0, 1e-12, 0.2, 0.5, 0.77, -0.1, 1.1, NAN)
CASES = [
    pytest.param(row, method, id="-".join(map(str, (row.name, *row.parameters[:1], method))))
    for row in ROWS
    for method in getattr(stats, row.name).__all__
    if method != "entropy"
]


@pytest.mark.parametrize(("row", "method"), CASES)
def test_values(row: Row, method: str) -> None:
    points = PROBABILITIES if method in ("ppf", "isf") else (*row.points, *row.edges)
    x = np.array(points)
    ours = getattr(getattr(stats, row.name), method)
    theirs = getattr(getattr(oracle, row.name), method)
    moved = () if (row.name, method) in ONLY_SHAPES else row.moved
    with np.errstate(all="ignore"):
        wanted = theirs(x, *row.parameters, *moved)
    found = ours(x, *row.parameters, *moved)
    assert found.dtype == np.float64
    how: dict[str, Any] = {"rtol": 2e-12, "atol": 1e-300}
    np.testing.assert_allclose(found, wanted, **how)
    np.testing.assert_allclose(tj.jit(ours)(x, *row.parameters, *moved), wanted, **how)
    narrow = [np.float32(v) for v in (*row.parameters, *moved)]
    found = ours(np.array(row.points[:3], np.float32) if points != PROBABILITIES else
                 np.array([0.2, 0.5, 0.77], np.float32), *narrow)  # fmt: skip
    assert found.dtype == np.float32


ONLY_SHAPES = {("bernoulli", "cdf"), ("bernoulli", "ppf")}
LOGARITHMS = [c for c in CASES if c.values[1] in ("logpdf", "logpmf", "cdf", "logsf", "ppf")]


@pytest.mark.parametrize(("row", "method"), LOGARITHMS)
def test_derivatives(row: Row, method: str) -> None:
    """By the argument, unless it is a count, and every parameter but the number of trials."""
    if row.name == "bernoulli" and method == "ppf":
        return  # a step function
    fun = getattr(getattr(stats, row.name), method)
    points = (0.2, 0.45, 0.77) if method == "ppf" else row.points[:5]
    discrete = hasattr(getattr(stats, row.name), "pmf")
    moved = () if (row.name, method) in ONLY_SHAPES else row.moved
    given = (*row.parameters, *moved)
    trials = {"binom": 1, "betabinom": 1}.get(row.name, 0)
    last = 1 + len(row.parameters) if discrete else 1 + len(given)
    by = [n for n in range(1 if discrete else 0, last) if n != trials or not trials]
    for x in points:
        args = (x, *given)
        found = tj.grad(fun, argnums=tuple(by))(*args)
        for n, got in zip(by, found, strict=True):
            h = 1e-4 * max(1.0, abs(args[n]) if row.name != "truncnorm" else 1.0)

            def moved_by(steps: float, n: int = n, args: Any = args, h: float = h) -> float:
                step = [a + (steps * h if m == n else 0) for m, a in enumerate(args)]
                return float(fun(*step))

            slope = 8 * (moved_by(1) - moved_by(-1)) - (moved_by(2) - moved_by(-2))
            assert float(got) == pytest.approx(slope / (12 * h), rel=2e-6, abs=2e-8)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_derivatives_beyond_the_support(row: Row) -> None:
    """They are those of a constant, not NaN: of a sum over points, some of them outside."""
    module = getattr(stats, row.name)
    log = module.logpmf if hasattr(module, "pmf") else module.logpdf
    # At an end where the density is 0 the slope of its logarithm is infinite.
    ends = (0.3, 2.0) if row.name in ("gamma", "beta", "chi2") else ()
    x = np.array([row.points[0], *[e for e in row.edges if np.isfinite(e) and e not in ends]])

    def total(*parameters: Any) -> Any:
        values = log(x, *parameters)
        return tnp.sum(tnp.where(tnp.isfinite(values), values, 0))

    given = (*row.parameters, *row.moved)
    if given:
        found = tj.grad(total, argnums=tuple(range(len(given))))(*map(float, given))
        assert np.all(np.isfinite([float(g) for g in found]))


def test_entropy_of_poisson() -> None:
    mu = np.array([0.1, 3.0, 40.0, 49.9, 50.1, 300.0])
    np.testing.assert_allclose(stats.poisson.entropy(mu), oracle.poisson.entropy(mu), rtol=1e-9)


def test_vectors() -> None:
    rng = np.random.default_rng(0)
    alpha = np.array([0.7, 2.0, 3.5])
    x = rng.dirichlet(alpha, 4)
    for points in (x.T, x.T[:-1]):
        for name in ("pdf", "logpdf"):
            found = getattr(stats.dirichlet, name)(points, alpha)
            np.testing.assert_allclose(found, getattr(oracle.dirichlet, name)(x.T, alpha))
    assert float(stats.dirichlet.logpdf(np.array([0.5, 0.5, 0.5]), alpha)) == -INF
    with pytest.raises(ShapeError, match="alpha of shape"):
        stats.dirichlet.logpdf(np.ones(5), alpha)

    p = np.array([0.2, 0.3, 0.5])
    counts = np.array([[1, 2, 3], [0, 0, 6], [1, 1, 1]])
    for name in ("pmf", "logpmf"):
        found = getattr(stats.multinomial, name)(counts, 6, p)
        np.testing.assert_allclose(found, getattr(oracle.multinomial, name)(counts, 6, p))


def test_normal_vectors() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(2, 3, 3))
    mean, cov = rng.normal(size=(2, 3)), root @ root.swapaxes(1, 2) + np.eye(3)
    x = rng.normal(size=(5, 3))
    ours, theirs = stats.multivariate_normal.logpdf, oracle.multivariate_normal.logpdf
    wanted = np.array([theirs(x, m, c) for m, c in zip(mean, cov, strict=True)])
    np.testing.assert_allclose(ours(x, mean[0], cov[0]), wanted[0])
    np.testing.assert_allclose(ours(x, mean[:, None], cov[:, None]), wanted)
    np.testing.assert_allclose(ours(x[0], mean[0], cov[0]), wanted[0, 0])
    np.testing.assert_allclose(ours(x, mean[0], 2.5), theirs(x, mean[0], 2.5 * np.eye(3)))
    np.testing.assert_allclose(ours(x, 0.5, 2.5)[:, 0], theirs(x[:, 0], 0.5, 2.5))
    found = tj.jit(tj.vmap(stats.multivariate_normal.pdf, in_axes=(None, 0, 0)))(x, mean, cov)
    np.testing.assert_allclose(found, np.exp(wanted))
    gradient = tj.grad(lambda c: tnp.sum(ours(x, mean[0], c)))(cov[0])
    h, e = 1e-6, np.eye(3)[[0]].T @ np.eye(3)[[1]]
    e = e + e.T
    slope = (np.sum(ours(x, mean[0], cov[0] + h * e)) - np.sum(ours(x, mean[0], cov[0] - h * e)))
    assert np.sum(gradient * e) == pytest.approx(slope / (2 * h), rel=1e-7)
    with pytest.raises(ShapeError, match="cov must have shape"):
        ours(x, mean[0], np.eye(2))


def sample(shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(3).integers(0, 4, shape) + 0.5


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_mode_ranks_and_errors_of_means(axis: Any) -> None:
    for x in (sample((7, 5)), sample((4, 6)).astype(np.float32)):
        for keepdims in (False, True):
            found = stats.mode(x, axis, keepdims=keepdims)
            for got, want in zip(found, oracle.mode(x, axis, keepdims=keepdims), strict=True):
                np.testing.assert_array_equal(got, want)
            np.testing.assert_allclose(
                stats.sem(x, axis, keepdims=keepdims), oracle.sem(x, axis, keepdims=keepdims),
                rtol=1e-6,
            )  # fmt: skip
        for method in ("average", "min", "max", "dense", "ordinal"):
            np.testing.assert_array_equal(
                stats.rankdata(x, method, axis=axis), oracle.rankdata(x, method, axis=axis)
            )
            ranks: Callable[..., Any] = lambda x, m=method: stats.rankdata(x, m, axis=axis)
            np.testing.assert_array_equal(tj.jit(ranks)(x), ranks(x))


def test_samples_with_nan() -> None:
    x = np.array([[1.0, NAN, 2.0], [3.0, 1.0, 1.0]])
    found = stats.rankdata(x, axis=1)
    np.testing.assert_array_equal(found, oracle.rankdata(x, axis=1))
    np.testing.assert_allclose(
        stats.sem(x, 1, nan_policy="omit"), oracle.sem(x, 1, nan_policy="omit").data
    )
    with pytest.raises(ValueError, match="method must be"):
        stats.rankdata(x, "first")
    with pytest.raises(NotImplementedError, match="nan_policy"):
        stats.mode(x, nan_policy="raise")


@pytest.mark.parametrize("dimension", [1, 2])
def test_density_estimates(dimension: int) -> None:
    rng = np.random.default_rng(0)
    data, x = rng.normal(size=(dimension, 30)), rng.normal(size=(dimension, 6))
    weights = rng.uniform(0.5, 1.5, 30)
    for how in ({}, {"bw_method": "silverman"}, {"bw_method": 0.3, "weights": weights}):
        ours, theirs = stats.gaussian_kde(data, **how), oracle.gaussian_kde(data, **how)
        np.testing.assert_allclose(ours.covariance, theirs.covariance)
        np.testing.assert_allclose(ours(x), theirs(x))
        np.testing.assert_allclose(ours.logpdf(x), theirs.logpdf(x))
        mean, cov = np.ones(dimension), 0.3 * np.eye(dimension)
        np.testing.assert_allclose(
            ours.integrate_gaussian(mean, cov), theirs.integrate_gaussian(mean, cov)
        )
        other = data[:, :9] + 0.2
        np.testing.assert_allclose(
            ours.integrate_kde(stats.gaussian_kde(other)),
            theirs.integrate_kde(oracle.gaussian_kde(other)),
        )
        if dimension == 1:
            np.testing.assert_allclose(
                ours.integrate_box_1d(-0.3, 1.0), theirs.integrate_box_1d(-0.3, 1.0)
            )
    # It goes in and out of transformed functions.
    np.testing.assert_allclose(tj.jit(lambda kde, x: kde.pdf(x))(ours, x), theirs(x))
    drawn = np.asarray(ours.resample(random.key(1), (20_000,)))
    assert drawn.shape == (dimension, 20_000)
    wanted = np.cov(data, aweights=weights, bias=True) + theirs.covariance
    np.testing.assert_allclose(np.cov(drawn), wanted.reshape(np.cov(drawn).shape), atol=0.06)
    for call in (lambda: ours.integrate_box(0, 1), lambda: ours.set_bandwidth(0.1)):
        with pytest.raises(NotImplementedError):
            call()
