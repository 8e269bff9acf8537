"""Special functions against SciPy and mpmath; derivatives against differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mpmath
import numpy as np
import pytest
import scipy.special as oracle

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.core.errors import MissingRuleError
from tracejit.scipy import special


class Row(NamedTuple):
    """A function, values of its arguments, and which of them have derivatives.

    Attributes
    ----------
    name : str
        Of the function, here and in SciPy.
    domain : sequence of (float, float)
        Of each argument: where it is compared, and has derivatives.
    by : sequence of int
        The arguments with derivatives.
    special : sequence of tuple
        More arguments, at which there are only values.
    tolerance : float
        Of the relative error in float64.
    whole : sequence of int
        Arguments that are whole numbers.
    """

    name: str
    domain: Sequence[tuple[float, float]]
    by: Sequence[int] = (0,)
    special: Sequence[tuple[float, ...]] = ()
    tolerance: float = 1e-13
    whole: Sequence[int] = ()

    def draw(self, count: int, seed: int = 0) -> list[Any]:
        rng = np.random.default_rng(seed)
        xs = [rng.uniform(*span, count) for span in self.domain]
        return [np.round(x) if n in self.whole else x for n, x in enumerate(xs)]


INF, NAN = np.inf, np.nan
REAL = ((-3.0, 3.0),)
POSITIVE = ((0.1, 6.0),)
EDGES = [(v,) for v in (0.0, -0.0, 1.0, -1.0, 30.0, -30.0, INF, -INF, NAN)]
FROM_ZERO = [(v,) for v in (0.0, 1.0, 1e-300, 1e3, INF, NAN, -1.5)]
UNIT = [(v,) for v in (0.0, 1.0, 0.5, 1e-300, 1 - 1e-16, -0.5, 1.5, NAN)]
TWO = [(a, b) for a in (0.0, 1.0, 2.5, INF, NAN) for b in (0.0, 1.0, 30.0, NAN)]

ROWS = [
    Row("gamma", POSITIVE, special=[*EDGES, (170.5,), (-2.5,)]),
    Row("gammaln", POSITIVE, special=[(1e10,), (-2.5,), (1e-300,), (INF,), (NAN,)]),
    Row("gammasgn", REAL, (), [(-2.5,), (-3.5,), (0.0,), (-0.0,), (INF,), (NAN,)]),
    Row("loggamma", POSITIVE, special=[(1e10,), (1e-300,), (INF,), (NAN,), (-2.5,)]),
    Row("digamma", POSITIVE, special=[(-2.5,), (1e10,), (INF,), (NAN,)]),
    Row("beta", POSITIVE * 2, (0, 1), [(200.0, 300.0), (1e-5, 7.0), (NAN, 1.0)]),
    Row("betaln", POSITIVE * 2, (0, 1), [(1e-5, 7.0), (-0.5, 2.5), (1.0, INF), (NAN, 1.0)]),
    Row("poch", POSITIVE * 2, (0, 1), [(0.0, 0.0), (1.5, 0.0), (-2.5, 3.0)]),
    Row("binom", ((5.5, 9.5), (0.1, 4.0)), (0, 1), [(5.0, 2.0), (5.0, 0.0), (60.0, 30.0)]),
    Row("comb", ((5.5, 9.5), (0.1, 4.0)), (0, 1),
        [(5.0, 2.0), (2.0, 5.0), (-1.0, 2.0), (5.0, -1.0), (0.0, 0.0)]),
    Row("factorial", POSITIVE, special=[(0.0,), (5.0,), (-1.0,), (170.0,), (-2.5,)]),
    Row("zeta", ((1.2, 8.0), (0.2, 5.0)), (0, 1), [(1.0, 2.0), (40.0, 1.0), (3.0, 1e5)]),
    Row("gammainc", ((0.2, 8.0), (0.05, 12.0)), (0, 1), [*TWO, (1e3, 990.0), (1e-8, 1e-8)]),
    Row("gammaincc", ((0.2, 8.0), (0.05, 12.0)), (0, 1), [*TWO, (1e3, 1090.0), (1e-8, 1e-8)]),
    Row("gammaincinv", ((0.5, 8.0), (0.05, 0.95)), (0, 1), [(2.0, 0.0), (2.0, 1.0), (2.0, NAN)]),
    Row("gammainccinv", ((0.5, 8.0), (0.05, 0.95)), (0, 1), [(2.0, 0.0), (2.0, 1.0)]),
    Row("betainc", ((0.3, 8.0), (0.3, 8.0), (0.05, 0.95)), (0, 1, 2),
        [(1.5, 2.0, 0.0), (1.5, 2.0, 1.0), (300.0, 400.0, 0.41), (1.0, 1.0, NAN)]),
    Row("betaincinv", ((0.5, 8.0), (0.5, 8.0), (0.05, 0.95)), (0, 1, 2),
        [(1.5, 2.0, 0.0), (1.5, 2.0, 1.0)]),
    Row("erf", REAL, special=EDGES),
    Row("erfc", REAL, special=EDGES[:-4]),
    Row("erfcx", REAL, special=EDGES),
    Row("erfi", ((-2.0, 2.0),), special=EDGES),
    Row("erfinv", ((-0.9, 0.9),), special=UNIT),
    Row("erfcinv", ((0.1, 1.9),), special=[(0.0,), (2.0,), (1.0,), (1e-300,), (NAN,), (-1.0,)]),
    Row("dawsn", REAL, special=EDGES),
    Row("ndtr", REAL, special=[*EDGES, (-37.0,)], tolerance=3e-13),
    Row("log_ndtr", REAL, special=[*EDGES, (-1e5,), (-1.0,), (8.5,)]),
    Row("ndtri", ((0.05, 0.95),), special=UNIT),
    Row("owens_t", REAL * 2, (0, 1), [(0.0, 0.0), (0.0, INF), (INF, 1.0), (1.0, INF), (NAN, 1.0)]),
    Row("expit", REAL, special=EDGES),
    Row("logit", ((0.05, 0.95),), special=UNIT),
    Row("log_expit", REAL, special=EDGES),
    Row("exprel", REAL, special=[*EDGES, (0.03,), (-0.0299,), (1e-9,)]),
    Row("boxcox", ((0.1, 4.0), (-2.0, 2.0)), (0, 1),
        [(0.0, 0.5), (0.0, -0.5), (0.0, 0.0), (2.0, 0.0), (2.0, 1e-12), (-1.0, 0.5),
         (INF, 0.5), (INF, 0.0), (INF, -0.5), (INF, NAN), (0.0, NAN)]),
    Row("boxcox1p", ((-0.8, 4.0), (-2.0, 2.0)), (0, 1), [(-1.0, 0.5), (2.0, 0.0), (1e-12, 3.0)]),
    Row("inv_boxcox", ((0.1, 0.4), (-2.0, 2.0)), (0, 1), [(2.0, 0.0), (-0.5, 2.0)]),
    Row("inv_boxcox1p", ((0.1, 0.4), (-2.0, 2.0)), (0, 1), [(2.0, 0.0), (1e-12, 2.0)]),
    Row("entr", POSITIVE, special=FROM_ZERO),
    Row("rel_entr", POSITIVE * 2, (0, 1), [*TWO, (-1.0, 2.0), (2.0, -1.0), (1.0, 1 + 1e-9)]),
    Row("kl_div", POSITIVE * 2, (0, 1), [(0.0, 2.0), (2.0, 0.0), (-1.0, 2.0), (0.0, 0.0)]),
    Row("xlogy", POSITIVE * 2, (0, 1), [*TWO, (0.0, -1.0)]),
    Row("xlog1py", POSITIVE * 2, (0, 1), [*TWO, (0.0, -1.0), (0.0, -2.0)]),
    Row("expi", POSITIVE, special=[(0.0,), (-2.0,), (300.0,), (INF,), (NAN,)]),
    Row("exp1", POSITIVE, special=FROM_ZERO),
    Row("expn", ((0.0, 5.0), (0.1, 4.0)), (1,), [(2.0, 0.0), (1.0, 0.0), (3.0, INF)], whole=(0,)),
    Row("spence", POSITIVE, special=[*FROM_ZERO, (1.0 + 1e-9,)]),
    Row("ellipk", ((-3.0, 0.9),), special=[(0.0,), (1.0,), (1.5,), (NAN,)]),
    Row("ellipe", ((-3.0, 0.9),), special=[(0.0,), (1.0,), (1.5,), (NAN,)]),
    *[Row(name, REAL, special=[(0.0,), (300.0,), (-300.0,), (8.0,), (1e-300,), (NAN,)])
      for name in ("i0", "i0e", "i1", "i1e", "j0", "j1")],
    *[Row(name, POSITIVE, special=[(0.0,), (300.0,), (-1.0,), (8.0,), (2.0,), (1e-9,), (NAN,)])
      for name in ("y0", "y1", "k0", "k0e", "k1", "k1e")],
    *[Row(name, ((-1.5, 3.5), (0.2, 9.0)), (1,), [(0.0, 0.0), (2.0, 0.0), (0.5, 200.0)])
      for name in ("jv", "yv", "iv", "ive", "kv", "kve")],
    Row("hyp0f1", POSITIVE * 2, (1,)),
    Row("hyp1f1", (*POSITIVE * 2, (-2.0, 2.0)), (2,)),
    Row("hyp2f1", (*POSITIVE * 3, (-0.7, 0.7)), (3,)),
]  # fmt: skip

SAME = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@SAME
def test_values(row: Row) -> None:
    drawn = row.draw(40)
    xs = [np.concatenate([x, [s[n] for s in row.special]]) for n, x in enumerate(drawn)]
    function, wanted = getattr(special, row.name), getattr(oracle, row.name)(*xs)
    found = function(*xs)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, wanted, rtol=row.tolerance, atol=1e-15)
    np.testing.assert_allclose(tj.jit(function)(*xs), wanted, rtol=row.tolerance, atol=1e-15)


@SAME
def test_single_precision(row: Row) -> None:
    xs = [x.astype(np.float32) for x in row.draw(40)]
    found = getattr(special, row.name)(*xs)
    wanted = getattr(oracle, row.name)(*[x.astype(np.float64) for x in xs])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)


def slope(fun: Callable[..., Any], xs: Sequence[Any], at: int) -> Any:
    """Return the derivative by one argument, by differences of fourth order."""
    h = 1e-3

    def moved(steps: float) -> Any:
        return np.asarray(fun(*[x + steps * h if n == at else x for n, x in enumerate(xs)]))

    return (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * h)


DERIVABLE = pytest.mark.parametrize(
    ("row", "at"), [pytest.param(r, n, id=f"{r.name}-{n}") for r in ROWS for n in r.by]
)


@DERIVABLE
def test_derivatives(row: Row, at: int) -> None:
    """First against differences of the values; second, forward over reverse, of the first."""
    xs, function = row.draw(8, 1), getattr(special, row.name)

    def first(*xs: Any) -> Any:
        return tj.grad(lambda x: tnp.sum(function(*xs[:at], x, *xs[at + 1 :])))(xs[at])

    def second(*xs: Any) -> Any:
        one = np.ones(8)
        return tj.jvp(lambda x: first(*xs[:at], x, *xs[at + 1 :]), (xs[at],), (one,))[1]

    for found, fun in ((first, function), (second, first)):
        wanted = slope(fun, xs, at)
        scale = np.maximum(1, np.abs(wanted))
        np.testing.assert_allclose(found(*xs) / scale, wanted / scale, atol=3e-7)


@pytest.mark.parametrize("row", [r for r in ROWS if r.by], ids=lambda row: row.name)
def test_lanes_and_compiled_derivatives(row: Row) -> None:
    xs, function = row.draw(6, 2), getattr(special, row.name)
    gradient = tj.grad(lambda *xs: tnp.sum(function(*xs)), argnums=tuple(row.by))
    found = tj.jit(tj.vmap(gradient))(*xs)
    for got, want in zip(found, gradient(*xs), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


PARAMETERS = [
    ("gammainc", lambda a, x: mpmath.gammainc(a, 0, x, regularized=True), [
        (1e-3, 1e-4), (0.3, 2.0), (5.0, 0.1), (5.0, 40.0), (50.0, 51.5), (300.0, 290.0)]),
    ("betainc", lambda a, b, x: mpmath.betainc(a, b, 0, x, regularized=True), [
        (0.01, 3.0, 0.2), (2.0, 0.02, 0.9), (40.0, 60.0, 0.41), (40.0, 60.0, 0.39), (1.0, 9.0, 1e-6)
    ]),
    ("zeta", mpmath.zeta, [(1.001, 1.0), (1.5, 0.01), (20.0, 0.5), (3.0, 700.0)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "exact", "points"), PARAMETERS, ids=[p[0] for p in PARAMETERS])
def test_derivatives_by_parameters(name: str, exact: Any, points: Any) -> None:
    """Far from where differences of doubles are worth anything."""
    for point in points:
        with mpmath.workdps(40):
            moving = lambda a, rest=point[1:]: exact(a, *map(mpmath.mpf, rest))
            wanted = float(mpmath.diff(moving, mpmath.mpf(point[0]), h=mpmath.mpf(10) ** -15))
        assert float(tj.grad(getattr(special, name))(*point)) == pytest.approx(wanted, rel=2e-11)


def test_ends_of_the_incomplete_functions() -> None:
    """Derivatives by parameters are 0 where the value cannot change, not NaN."""
    for name, point in (
        ("gammainc", (2.0, 0.0)),
        ("gammaincc", (2.0, INF)),
        ("betainc", (2.0, 3.0, 0.0)),
        ("betainc", (2.0, 3.0, 1.0)),
    ):
        assert float(tj.grad(getattr(special, name))(*point)) == 0


def test_polygamma_of_orders() -> None:
    x = np.linspace(0.3, 5, 7)
    for n in range(5):
        np.testing.assert_allclose(special.polygamma(n, x), oracle.polygamma(n, x), rtol=1e-13)
    orders = np.arange(7)
    np.testing.assert_allclose(
        special.polygamma(orders, x), oracle.polygamma(orders, x), rtol=1e-13
    )
    found = tj.grad(lambda x: tnp.sum(special.polygamma(orders, x)))(x)
    np.testing.assert_allclose(found, oracle.polygamma(orders + 1, x), rtol=1e-12)


def test_betaln_of_large_and_small_arguments() -> None:
    rng = np.random.default_rng(1)
    a, b = 10 ** rng.uniform(-4, 7, (2, 120))
    with mpmath.workdps(40):
        wanted = np.array([
            float(mpmath.log(mpmath.beta(mpmath.mpf(x), mpmath.mpf(y))))
            for x, y in zip(a, b, strict=True)
        ])  # fmt: skip
    for function in (special.betaln, tj.jit(special.betaln)):
        np.testing.assert_allclose(function(a, b), wanted, rtol=3e-13, atol=1e-14)


def test_multigammaln_comb_and_bernoulli() -> None:
    a = np.linspace(2.5, 6, 5)
    np.testing.assert_allclose(special.multigammaln(a, 3), oracle.multigammaln(a, 3), rtol=1e-13)
    n = np.arange(6.0)
    for k in n:
        for size in n:
            found = special.comb(size, k, repetition=True)
            assert float(found) == oracle.comb(size, k, repetition=True)
    for count in (0, 1, 7):
        np.testing.assert_allclose(special.bernoulli(count), oracle.bernoulli(count)[: count + 1])


def test_pairs_of_integrals() -> None:
    x = np.array([0.0, 0.3, 2.0, 9.0])
    for name in ("sici", "fresnel"):
        for found, wanted in zip(
            getattr(special, name)(x), getattr(oracle, name)(x), strict=True
        ):
            np.testing.assert_allclose(found, wanted, rtol=1e-13)
        for which in (0, 1):
            part = lambda x, w=which, name=name: getattr(special, name)(x)[w]
            found = tj.vmap(tj.grad(part))(x[1:])
            np.testing.assert_allclose(found, slope(part, [x[1:]], 0), rtol=1e-6, atol=1e-7)


def test_bessel_functions_of_whole_orders() -> None:
    z = np.array([[0.0, 0.5, 3.0], [-2.0, 10.0, 40.0]])
    found = special.bessel_jn(z, v=4)
    np.testing.assert_allclose(found, [oracle.jv(n, z) for n in range(5)], rtol=1e-13, atol=1e-15)
    assert special.bessel_jn(z, v=0).shape == (1, 2, 3)


LIMITS = {
    "i0": (INF, INF), "i0e": (0, 0), "i1": (-INF, INF), "i1e": (0, 0), "j0": (0, 0), "j1": (0, 0),
    "k0": (NAN, 0), "k0e": (NAN, 0), "k1": (NAN, 0), "k1e": (NAN, 0), "y0": (NAN, 0),
    "y1": (NAN, 0), "erfcx": (INF, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
def test_expressions_in_kernels(name: str) -> None:
    """Compiled, they are within some units of the last place of the largest of their terms."""
    function = getattr(special, name)
    ends = np.array([-INF, INF])
    np.testing.assert_array_equal(function(ends), LIMITS[name])
    np.testing.assert_array_equal(tj.jit(function)(ends), LIMITS[name])
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.uniform(0, 12, 60), rng.uniform(8, 400, 40), [1e-5, 8, 2]])
    if name[0] in "ij":
        x = np.concatenate([x, -x])
    elif name == "erfcx":
        x = np.concatenate([x, -x[x < 26]])
    with mpmath.workdps(30):
        wanted = np.array([float(EXACT[name](mpmath.mpf(v))) for v in x])
    size = np.sqrt(2 / (np.pi * np.abs(x))) if name[0] in "jy" else 0
    for dtype in ("float64", "float32"):
        if dtype == "float32":
            x = x[np.abs(wanted) < 1e38].astype(dtype)
            with mpmath.workdps(30):
                wanted = np.array([float(EXACT[name](mpmath.mpf(float(v)))) for v in x])
            size = np.sqrt(2 / (np.pi * np.abs(x))) if name[0] in "jy" else 0
        found = np.asarray(tj.jit(function)(x)).astype(float)
        unit = float(np.finfo(dtype).eps)
        size = np.maximum(size, float(np.finfo(dtype).tiny) / unit)
        assert np.all(np.abs(found - wanted) <= 24 * unit * np.maximum(np.abs(wanted), size))


EXACT: dict[str, Callable[[Any], Any]] = {
    "erfcx": lambda x: mpmath.erfc(x) * mpmath.exp(x * x),
    **{f"{f}{n}": lambda x, f=f, n=n: getattr(mpmath, f"bessel{f}")(n, x)
       for f in "ijky" for n in (0, 1)},
    **{f"i{n}e": lambda x, n=n: mpmath.exp(-abs(x)) * mpmath.besseli(n, x) for n in (0, 1)},
    **{f"k{n}e": lambda x, n=n: mpmath.exp(x) * mpmath.besselk(n, x) for n in (0, 1)},
}  # fmt: skip


def test_complex_functions() -> None:
    z = np.array([0.3 + 0.2j, -1.5 + 0.7j, 2.0 - 0.4j])
    for name in ("wofz", "loggamma", "expit"):
        function, h = getattr(special, name), 1e-5
        wanted = 1 / (1 + np.exp(-z)) if name == "expit" else getattr(oracle, name)(z)
        np.testing.assert_allclose(function(z), wanted, rtol=1e-13)
        _, found = tj.jvp(function, (z,), (np.ones(3, complex),))
        wanted = (np.asarray(function(z + h)) - np.asarray(function(z - h))) / (2 * h)
        np.testing.assert_allclose(found, wanted, rtol=1e-8)
    assert special.wofz(0.5).dtype == np.complex128


def test_spherical_harmonics() -> None:
    n, m = np.meshgrid(np.arange(4), np.arange(-4, 5), indexing="ij")
    theta, phi = np.random.default_rng(0).uniform(0.1, 3, (2, *n.shape))
    found = special.sph_harm_y(n, m, theta, phi)
    inside = np.abs(m) <= n
    wanted = np.where(inside, oracle.sph_harm_y(n, np.where(inside, m, 0), theta, phi), 0)
    np.testing.assert_allclose(found, wanted, atol=1e-14)
    one = np.ones(n.shape)
    for at in (0, 1):
        angles = lambda theta, phi: special.sph_harm_y(n, m, theta, phi)
        tangents = [one * (k == at) for k in range(2)]
        _, found = tj.jvp(angles, (theta, phi), tangents)
        np.testing.assert_allclose(found, slope(angles, [theta, phi], at), atol=1e-9)


def test_logsumexp_and_softmax() -> None:
    rng = np.random.default_rng(0)
    a, b = 300 * rng.normal(size=(3, 4)), rng.normal(size=(3, 1))
    a[0, 0], a[1] = -INF, -INF
    for axis, keepdims in ((None, False), (0, True), (1, False), ((0, 1), True)):
        how = {"axis": axis, "keepdims": keepdims}
        np.testing.assert_allclose(special.logsumexp(a, **how), oracle.logsumexp(a, **how))
        found = special.logsumexp(a, b=b, return_sign=True, **how)
        for got, want in zip(
            found, oracle.logsumexp(a, b=b, return_sign=True, **how), strict=True
        ):
            np.testing.assert_allclose(got, want)
    chosen = a > 0
    np.testing.assert_allclose(
        special.logsumexp(a, axis=1, where=chosen),
        oracle.logsumexp(np.where(chosen, a, -INF), axis=1),
    )
    x = a[::2]
    for axis in (None, 0, 1):
        np.testing.assert_allclose(special.softmax(x, axis=axis), oracle.softmax(x, axis=axis))
        np.testing.assert_allclose(
            special.log_softmax(x, axis=axis), oracle.log_softmax(x, axis=axis)
        )
    assert float(special.logsumexp(np.array([INF, 1.0]))) == INF
    found = tj.grad(lambda x: special.logsumexp(x))(x[1])
    np.testing.assert_allclose(found, oracle.softmax(x[1]), atol=1e-15)
    assert np.all(np.isfinite(tj.grad(special.logsumexp)(np.array([-INF, 0.0]))))


def test_dtypes() -> None:
    assert special.gammaln(3).dtype == np.float64
    assert special.gammaln(np.int8(3)).dtype == np.float32
    assert special.gammaln(np.float16(3)).dtype == np.float16
    assert special.beta(np.float32(2), 3).dtype == np.float32
    with pytest.raises(TypeError, match="gammaln: real numbers"):
        special.gammaln(1j)
    with pytest.raises(TypeError, match="multiple values"):
        special.beta(1.0, a=2.0)


def test_what_has_no_derivative_says_so() -> None:
    for call in (
        lambda v: special.jv(v, 2.0),
        lambda a: special.hyp1f1(a, 1.5, 0.3),
        lambda n: special.expn(n, 0.3),
    ):
        with pytest.raises(MissingRuleError, match="no derivative by its"):
            tj.grad(call)(2.0)
    with pytest.raises(NotImplementedError, match="exact"):
        special.factorial(3, exact=True)


def test_riemanns_zeta_on_the_whole_line() -> None:
    at = [0.0, -0.0, 0.5, 0.999, 1e-9, -1e-9, -1.0, -2.0, -3.5, -17.3, -30.0, -100.25, -300.0, 2.0]
    wanted = [float(mpmath.zeta(mpmath.mpf(s))) for s in at]
    found = np.asarray(tj.jit(special.zeta)(np.array(at)))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    np.testing.assert_array_equal(special.zeta(np.array([1.0, INF, NAN])), [INF, 1.0, NAN])
    for s in (0.0, 0.5, -1.0, -2.0, -3.5, -17.3, 2.0, 3.5):
        slope = float(mpmath.zeta(s, derivative=1))
        assert float(tj.grad(special.zeta)(s)) == pytest.approx(slope, rel=1e-10)
        assert float(tj.grad(tj.grad(special.zeta))(s)) == pytest.approx(
            float(mpmath.zeta(s, derivative=2)), rel=1e-8
        )
