"""Special functions that are one primitive: names, arguments and meanings, in a table.

Each takes arrays that broadcast, of any real dtype (complex where it says so), and returns an
array of their float dtype.
"""

from __future__ import annotations

from tracejit.control import incomplete_beta, incomplete_gamma
from tracejit.ops import bessel, factorials, hypergeometric, integrals, special
from tracejit.scipy.special.operands import named

__all__ = [
    "beta", "betainc", "betaincinv", "betaln", "binom", "dawsn", "digamma", "ellipe", "ellipk",
    "erf", "erfc", "erfcx", "erfi", "erfinv", "exp1", "expi", "expit", "expn", "gamma", "gammainc",
    "gammaincc", "gammainccinv", "gammaincinv", "gammaln", "hyp0f1", "hyp1f1", "hyp2f1", "i0",
    "i0e", "i1", "i1e", "iv", "ive", "j0", "j1", "jv", "k0", "k0e", "k1", "k1e", "kv", "kve",
    "loggamma", "ndtri", "owens_t", "poch", "psi", "spence", "xlog1py", "xlogy", "y0", "y1", "yv",
]  # fmt: skip

# ---------------------------------------------------------------------------------------- gamma

gamma = named("gamma", factorials.gamma, "Gamma function; NaN at negative integers.", "x")
gammaln = named(
    "gammaln",
    special.lgamma,
    "Logarithm of the absolute value of the gamma function; inf at its poles.",
    "x",
)
loggamma = named(
    "loggamma",
    factorials.loggamma,
    "Principal branch of the logarithm of the gamma function, also of complex numbers.\n\n"
    "NaN for negative real numbers.  Of complex numbers there is one derivative.",
    "z",
    accepts_complex=True,
)
digamma = named(
    "digamma",
    special.digamma,
    "Derivative of :func:`gammaln`; NaN at the negative integers.",
    "x",
)
psi = digamma
beta = named("beta", factorials.beta, "Beta function ``gamma(a) gamma(b) / gamma(a + b)``.", "a b")
betaln = named(
    "betaln",
    factorials.betaln,
    "Logarithm of the absolute value of :func:`beta`.",
    "a b",
)
poch = named("poch", factorials.poch, "Rising factorial ``gamma(z + m) / gamma(z)``.", "z m")
binom = named("binom", factorials.binom, "Binomial coefficient of real numbers.", "n k")

# ----------------------------------------------------------------------------------- incomplete

gammainc = named(
    "gammainc",
    incomplete_gamma.gammainc,
    "Regularized lower incomplete gamma function of ``a > 0`` and ``x >= 0``.\n\n"
    "Both derivatives exist, to every order (:mod:`tracejit.control.incomplete_gamma`).",
    "a x",
)
gammaincc = named(
    "gammaincc",
    incomplete_gamma.gammaincc,
    "Regularized upper incomplete gamma function, ``1 - gammainc(a, x)``.",
    "a x",
)
gammaincinv = named(
    "gammaincinv", incomplete_gamma.gammaincinv, "Inverse of :func:`gammainc` in `x`.", "a p"
)
gammainccinv = named(
    "gammainccinv", incomplete_gamma.gammainccinv, "Inverse of :func:`gammaincc` in `x`.", "a q"
)
betainc = named(
    "betainc",
    incomplete_beta.betainc,
    "Regularized incomplete beta function of ``a, b > 0`` and `x` within [0, 1].\n\n"
    "All derivatives exist, to every order (:mod:`tracejit.control.incomplete_beta`).",
    "a b x",
)
betaincinv = named(
    "betaincinv", incomplete_beta.betaincinv, "Inverse of :func:`betainc` in `x`.", "a b p"
)

# -------------------------------------------------------------------------------- error functions

erf = named("erf", special.erf, "Error function.", "x")
erfc = named("erfc", special.erfc, "Complementary error function ``1 - erf(x)``.", "x")
erfcx = named("erfcx", integrals.erfcx, "Scaled ``exp(x**2) erfc(x)``.", "x")
erfi = named("erfi", integrals.erfi, "Imaginary error function ``-i erf(i x)``.", "x")
erfinv = named("erfinv", special.erf_inv, "Inverse of the error function.", "x")
dawsn = named("dawsn", integrals.dawsn, "Dawson's integral.", "x")
ndtri = named(
    "ndtri",
    integrals.ndtri,
    "Inverse of the distribution function of the standard normal distribution.",
    "p",
)
owens_t = named("owens_t", integrals.owens_t, "Owen's T function.", "h a")
expit = named(
    "expit", special.logistic, "Logistic sigmoid ``1 / (1 + exp(-x))``.", "x", accepts_complex=True
)

# ---------------------------------------------------------------------------------------- integrals

expi = named("expi", integrals.expi, "Exponential integral Ei.", "x")
exp1 = named("exp1", integrals.exp1, "Exponential integral E1.", "x")
expn = named(
    "expn",
    integrals.expn,
    "Exponential integral of whole order `n`; there is no derivative by `n`.",
    "n x",
)
spence = named("spence", integrals.spence, "Dilogarithm of ``1 - x``.", "x")
ellipk = named("ellipk", integrals.ellipk, "Complete elliptic integral of the first kind.", "m")
ellipe = named("ellipe", integrals.ellipe, "Complete elliptic integral of the second kind.", "m")

# ------------------------------------------------------------------------------------------ Bessel

i0 = named("i0", bessel.i0, "Modified Bessel function I of order 0.", "x")
i0e = named("i0e", bessel.i0e, "Scaled ``exp(-|x|) i0(x)``.", "x")
i1 = named("i1", bessel.i1, "Modified Bessel function I of order 1.", "x")
i1e = named("i1e", bessel.i1e, "Scaled ``exp(-|x|) i1(x)``.", "x")
j0 = named("j0", bessel.j0, "Bessel function J of order 0.", "x")
j1 = named("j1", bessel.j1, "Bessel function J of order 1.", "x")
y0 = named("y0", bessel.y0, "Bessel function Y of order 0.", "x")
y1 = named("y1", bessel.y1, "Bessel function Y of order 1.", "x")
k0 = named("k0", bessel.k0, "Modified Bessel function K of order 0.", "x")
k0e = named("k0e", bessel.k0e, "Scaled ``exp(x) k0(x)``.", "x")
k1 = named("k1", bessel.k1, "Modified Bessel function K of order 1.", "x")
k1e = named("k1e", bessel.k1e, "Scaled ``exp(x) k1(x)``.", "x")

_ORDER = "of order `v`; there is no derivative by `v`."
jv = named("jv", bessel.jv, f"Bessel function J {_ORDER}", "v z")
yv = named("yv", bessel.yv, f"Bessel function Y {_ORDER}", "v z")
iv = named("iv", bessel.iv, f"Modified Bessel function I {_ORDER}", "v z")
ive = named("ive", bessel.ive, f"Scaled ``exp(-|z|) iv(v, z)``, {_ORDER}", "v z")
kv = named("kv", bessel.kv, f"Modified Bessel function K {_ORDER}", "v z")
kve = named("kve", bessel.kve, f"Scaled ``exp(z) kv(v, z)``, {_ORDER}", "v z")

# --------------------------------------------------------------------------------- hypergeometric

_PARAMETERS = "there is no derivative by the parameters."
hyp0f1 = named("hyp0f1", hypergeometric.hyp0f1, f"0F1(b; z); {_PARAMETERS}", "b z")
hyp1f1 = named(
    "hyp1f1", hypergeometric.hyp1f1, f"Kummer's function 1F1(a; b; x); {_PARAMETERS}", "a b x"
)
hyp2f1 = named(
    "hyp2f1", hypergeometric.hyp2f1, f"Gauss's function 2F1(a, b; c; x); {_PARAMETERS}", "a b c x"
)

# ---------------------------------------------------------------------------------- logarithms

xlogy = named("xlogy", factorials.xlogy, "``x log(y)``, 0 where `x` is.", "x y")
xlog1py = named("xlog1py", factorials.xlog1py, "``x log1p(y)``, 0 where `x` is.", "x y")
