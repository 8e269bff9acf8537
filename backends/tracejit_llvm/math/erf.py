"""Error functions: erf, erfc, erfinv.

erf is a polynomial in x**2 up to 1, beyond it ``1 - erfc``.  erfc is ``exp(-x**2) R / (1 + 2 x)``
with R a polynomial in ``(x - 4) / (x + 4)``; x**2 is kept in two parts.

Coefficients: ``erf(x) / x - 1`` in x**2, and ``(1 + 2 x) erfc(x) exp(x**2)``, by
``bench/coefficients.py ERF64 ERF32 ERFC64 ERFC32``; ``erfinv(x) / x`` in w - 3.125, sqrt(w) - 3.25
and sqrt(w) - 5, by ``ERFINV_CENTRAL ERFINV_MIDDLE ERFINV_FAR``.

References
----------
M. Giles, "Approximating the erfinv function", GPU Computing Gems Jade Edition (2011), for the
variable ``w = -log(1 - x**2)`` and where the polynomials meet.
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


def _tail(f: Lanes, a: str, exact: bool = False) -> str:
    """Return erfc of a >= 0, until it underflows; `exact` keeps what divisions lose."""
    a = f.select(f.compare("ogt", a, f.either(10.5, 27.5)), f.either(10.5, 27.5), a)
    q = f.div(f.sub(a, f.c(4.0)), f.add(a, f.c(4.0)))
    p = f.horner(q, ERFC32 if f.single else ERFC64, chain=exact)
    bottom = f.fma(a, f.c(2.0), f.c(1.0))
    ratio = f.div(p, bottom)
    square = f.neg(f.mul(a, a))
    low = f.neg(f.fma(a, a, square))
    k, e, whole = reduced(f, square, low)
    if not exact:
        return scaled(f, f.fma(ratio, e, ratio), k, whole)
    # The residual over the denominator, of which ratio * 0.85 is near the inverse.
    bottom_low = f.fma(a, f.c(2.0), f.sub(f.c(1.0), bottom))
    residual = f.fma(f.neg(ratio), bottom_low, f.fma(f.neg(ratio), bottom, p))
    low = f.mul(residual, f.mul(ratio, f.c(0.85)))
    return scaled(f, f.add(ratio, f.fma(ratio, e, low)), k, whole)


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
    far = _tail(f, a, exact=True)
    far = f.select(f.compare("olt", x, f.c(0.0)), f.sub(f.c(2.0), far), far)
    small = f.compare("olt", a, f.either(0.65, 0.5))
    y = f.select(small, f.sub(f.c(1.0), _near(f, x)), far)
    return f.select(f.compare("uno", x, x), x, y)


ERFINV_CENTRAL = (
    1.6536545626831027,
    0.2401581824255883,
    -0.006033670871426905,
    -0.0007407025341543958,
    0.00018673420802007535,
    -1.3882523394744703e-05,
    -1.3654691763806385e-06,
    4.2347881798277593e-07,
    -2.90703907812211e-08,
    -4.112661394150453e-09,
    1.0512230897131395e-09,
    -5.4142545446478415e-11,
    -1.2978699490515184e-11,
    2.630364786554922e-12,
    -8.07449461236495e-14,
    -3.9983842556007745e-14,
    6.525491175274427e-15,
    -4.487251470245588e-17,
    -1.2260091826489402e-16,
    1.606305019330063e-17,
    6.376513884987838e-19,
    -3.8300482255603555e-19,
    1.8818085393805605e-20,
    4.525459687537509e-21,
    -3.39298312323696e-22,
    -2.186970482684828e-23,
)
ERFINV_MIDDLE = (
    3.0838856104922208,
    1.0052589676941652,
    0.005370914553555188,
    -0.0037512085082135795,
    0.0024914420979477905,
    -0.0016882755358737498,
    0.0009532893417896068,
    -0.00035503780635465053,
    2.4031510422198174e-05,
    6.828704589646487e-05,
    -4.732066436489069e-05,
    1.2465442057257024e-05,
    2.932512307253095e-06,
    -3.987208234157654e-06,
    1.4817638240975655e-06,
    -2.417184095328504e-08,
    -2.457499215630956e-07,
    1.2674012357125258e-07,
    -2.0703316866377305e-08,
    -1.1488407216541125e-08,
    7.60490531764974e-09,
    -1.288760627128935e-09,
)
ERFINV_FAR = (
    4.849906401408584,
    1.0103004648645448,
    -0.00013871931838016111,
    -0.00021503011980079348,
    7.599527809749023e-05,
    -1.968177116694904e-05,
    4.52605251485344e-06,
    -9.930257334807307e-07,
    2.2905289921940182e-07,
    -6.757167102592501e-08,
    2.9018337596572733e-08,
    -1.5216464499870992e-08,
    7.822096351045203e-09,
    -3.529706845374358e-09,
    1.3152180440737136e-09,
    -3.8493554193889435e-10,
    7.003696924376759e-11,
    1.685314485860271e-11,
    -2.0505313151426333e-11,
    5.426838506030865e-12,
)


def erfinv(f: Lanes, x: str) -> str:
    """Inverse error function: x times a polynomial in w, or in its root from 2.5 on."""
    w, (y,) = f.doubled(x)
    a, one = w.abs(y), w.c(1.0)
    logarithm = w.neg(log(w, w.mul(w.sub(one, a), w.add(one, a))))
    central = w.horner(w.sub(logarithm, w.c(3.125)), ERFINV_CENTRAL, chain=True)
    root = w.sqrt(w.select(w.compare("ogt", logarithm, w.c(0.0)), logarithm, w.c(0.0)))
    middle = w.horner(w.sub(root, w.c(3.25)), ERFINV_MIDDLE, chain=True)
    far = w.horner(w.sub(root, w.c(5.0)), ERFINV_FAR, chain=True)
    outer = w.select(w.compare("olt", root, w.c(4.0)), middle, far)
    result = w.mul(a, w.select(w.compare("olt", logarithm, w.c(6.25)), central, outer))
    result = w.select(w.compare("oeq", a, one), w.c(math.inf), result)
    result = w.select(w.compare("ugt", a, one), w.c(math.nan), result)
    return f.narrowed(w, w.copysign(result, y))
