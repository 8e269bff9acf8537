"""Error functions: erf, erfc, erfinv.

erf is a polynomial in x**2 up to 1, beyond it ``1 - erfc``.  erfc is ``exp(-x**2) R / (1 + 2 x)``
with R a polynomial in ``(x - 4) / (x + 4)``; x**2 is kept in two parts.

Coefficients: ``erf(x) / x - 1`` in x**2, and ``(1 + 2 x) erfc(x) exp(x**2)``, by
``bench/coefficients.py ERF64 ERF32 ERFC64 ERFC32``.

References
----------
M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied
Statistics 37 (1988), for erfinv.
"""

from __future__ import annotations

import math

from tracejit_llvm.math.exp import reduced, scaled
from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.math.log import log

__all__ = ["erf", "erfc", "erfinv"]

ERF64 = (
    0.12837916709551256,
    -0.3761263890318355,
    0.11283791670945253,
    -0.02686617064327622,
    0.005223977607423468,
    -0.0008548325989696758,
    0.00012055295320494294,
    -1.4924744663335489e-05,
    1.6447517677871873e-06,
    -1.6209175911748696e-07,
    1.3722976265924504e-08,
    -7.801188874097751e-10,
)
ERF32 = (
    0.12837916591465431,
    -0.37612627140440547,
    0.11283600211815889,
    -0.026854445581508075,
    0.005189536461939261,
    -0.0008020845698406905,
    7.889119157487838e-05,
)
ERFC64 = (
    1.2329951186255526,
    -0.13962111684056291,
    0.015379652102619164,
    0.06809705425474044,
    -0.10103906603626397,
    0.09373283499671484,
    -0.06633036581345039,
    0.03716751556312262,
    -0.016197734037772336,
    0.005031969757291809,
    -0.00075777347769007,
    -0.00019925555815119295,
    0.0001506227705419321,
    -2.4402836786604154e-05,
    -1.1226024807780181e-05,
    5.716799683517211e-06,
    3.0301419814569305e-07,
    -8.331987554397902e-07,
    6.167112989719668e-08,
    1.1348069703630973e-07,
    -7.745442523616765e-09,
    -1.2937086108926623e-08,
    -1.5677065716997124e-09,
)
ERFC32 = (
    1.2329951362208185,
    -0.13962098311089402,
    0.015377382320360776,
    0.06808997492460622,
    -0.10099610459429381,
    0.0938526518330223,
    -0.06655443184329013,
    0.03637879056218366,
    -0.016181504081611963,
    0.006727741282056472,
    0.0007876781398940793,
)


def _tail(f: Lanes, a: str) -> str:
    """Return erfc of a >= 0, until it underflows."""
    a = f.select(f.compare("ogt", a, f.either(10.5, 27.5)), f.either(10.5, 27.5), a)
    q = f.div(f.sub(a, f.c(4.0)), f.add(a, f.c(4.0)))
    p = f.horner(q, ERFC32 if f.single else ERFC64)
    p = f.div(p, f.fma(a, f.c(2.0), f.c(1.0)))
    square = f.neg(f.mul(a, a))
    low = f.neg(f.fma(a, a, square))
    k, e = reduced(f, square, low)
    return scaled(f, f.fma(p, e, p), k)


def _near(f: Lanes, x: str) -> str:
    return f.fma(x, f.horner(f.mul(x, x), ERF32 if f.single else ERF64), x)


def erf(f: Lanes, x: str) -> str:
    """Error function."""
    a = f.abs(x)
    far = f.copysign(f.sub(f.c(1.0), _tail(f, a)), x)
    y = f.select(f.compare("ogt", a, f.c(1.0)), far, _near(f, x))
    return f.select(f.compare("uno", x, x), x, y)


def erfc(f: Lanes, x: str) -> str:
    """Complementary error function."""
    a = f.abs(x)
    far = _tail(f, a)
    far = f.select(f.compare("olt", x, f.c(0.0)), f.sub(f.c(2.0), far), far)
    small = f.compare("olt", a, f.c(0.25))
    y = f.select(small, f.sub(f.c(1.0), _near(f, x)), far)
    return f.select(f.compare("uno", x, x), x, y)


CENTRAL = (
    (3.3871328727963666080, 1.3314166789178437745e2, 1.9715909503065514427e3,
     1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
     3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
     5.2264952788528545610e3),
)  # fmt: skip
MIDDLE = (
    (1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550,
     3.64784832476320460504, 1.27045825245236838258, 2.41780725177450611770e-1,
     2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187, 1.67638483018380384940, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
     1.05075007164441684324e-9),
)  # fmt: skip
FAR = (
    (6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580,
     2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
     2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
     2.04426310338993978564e-15),
)  # fmt: skip


def erfinv(f: Lanes, x: str) -> str:
    """Inverse error function: the normal quantile of ``(1 + x) / 2``, over sqrt(2)."""
    w, (y,) = f.doubled(x)
    a = w.abs(y)
    half = w.mul(a, w.c(0.5))
    r = w.fma(half, w.neg(half), w.c(0.180625))
    central = w.div(w.horner(r, CENTRAL[0]), w.horner(r, CENTRAL[1]))
    central = w.mul(a, w.mul(central, w.c(math.sqrt(0.125))))
    inside = w.compare("ole", a, w.c(0.85))
    rest = w.sub(w.c(1.0), a)
    far = w.sub(w.c(math.log(2.0)), log(w, rest))
    t = w.sqrt(w.select(inside, w.c(4.0), far))
    near = w.compare("ole", t, w.c(5.0))
    u, v = w.sub(t, w.c(1.6)), w.sub(t, w.c(5.0))
    middle = w.div(w.horner(u, MIDDLE[0]), w.horner(u, MIDDLE[1]))
    outer = w.div(w.horner(v, FAR[0]), w.horner(v, FAR[1]))
    result = w.mul(w.select(near, middle, outer), w.c(math.sqrt(0.5)))
    result = w.select(inside, central, result)
    result = w.select(w.compare("oeq", a, w.c(1.0)), w.c(math.inf), result)
    result = w.select(w.compare("ugt", a, w.c(1.0)), w.c(math.nan), result)
    return f.narrowed(w, w.copysign(result, y))
