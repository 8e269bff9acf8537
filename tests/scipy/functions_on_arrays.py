# ruff: noqa: E501  (a row of the table is a line)
"""Which of SciPy's functions with support of the array API run on our arrays: ``python`` this file.

SciPy reads ``SCIPY_ARRAY_API`` when it is imported, so this runs in a process of its own.  Each
call is made with our arrays and with NumPy's; it counts if what comes is an Array (or several, or
an object that holds some) with NumPy's values.

What does not run writes into arrays: ``array_api_extra.at`` takes every class that it does not know
for one that can be written to, and an Array cannot.
"""

from __future__ import annotations

import os

os.environ["SCIPY_ARRAY_API"] = "1"

import json
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

import tracejit.numpy as tnp

RNG = np.random.default_rng(0)
P = RNG.uniform(0.1, 0.9, size=(3, 8))
V = RNG.normal(size=16)
W = RNG.normal(size=16)
M = RNG.normal(size=(12, 3))
SPD = M.T @ M
T = np.linspace(0.0, 1.0, 9)

# Module, names, and the arguments of all of them.
CALLS: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = [
    ("special", """erf erfc i0 i0e i1 i1e gammaln entr expit logit log_ndtr ndtr ndtri sinc
        log_expit log_softmax softmax logsumexp digamma""", (P,), {}),
    ("special", """xlogy rel_entr gammainc gammaincc chdtr chdtrc kl_div poch stdtrit huber
        pseudo_huber zeta binom beta betaln""", (P + 1, P + 2), {}),
    ("special", "betainc betaincc betaincinv fdtr", (P + 1, P + 2, P), {}),
    ("fft", "fft ifft rfft hfft fft2 ifft2 rfft2 fftn ifftn rfftn dct idct dst idst dctn fftshift",
     (P,), {}),
    ("fft", "irfft ihfft", (P[0],), {}),
    ("integrate", "trapezoid simpson cumulative_trapezoid cumulative_simpson", (P,), {"dx": 0.1}),
    ("stats", """zscore gzscore skew kurtosis gmean hmean sem moment variation kurtosistest skewtest
        normaltest jarque_bera circmean circvar circstd kstat kstatvar differential_entropy iqr
        tmean tvar tstd tsem tmin tmax mode entropy describe rankdata""", (P,), {"axis": 1}),
    ("stats", "pearsonr spearmanr ttest_rel ttest_ind ks_2samp linregress bartlett f_oneway levene "
     "mannwhitneyu wilcoxon kruskal fligner ansari brunnermunzel energy_distance", (V, W), {}),
    ("stats", "pmean", (P, 2.0), {}),
    ("stats", "ttest_1samp", (V, 0.0), {}),
    ("stats", "chisquare power_divergence", (P * 0 + 2.0,), {}),
    ("stats", "combine_pvalues false_discovery_control", (P[0],), {}),
    ("stats", "quantile", (V, P[0]), {}),
    ("stats", "directional_stats", (M,), {}),
    ("signal", "fftconvolve oaconvolve convolve correlate", (V, W[:5]), {}),
    ("signal", "detrend hilbert hilbert2 order_filter periodogram welch zpk2tf medfilt wiener "
     "savgol_filter", (V,), {}),
    ("ndimage", "gaussian_filter uniform_filter laplace sobel prewitt median_filter zoom "
     "gaussian_laplace", (M,), {}),
    ("linalg", "det inv pinv svdvals svd cholesky qr lu expm eigh eigvalsh logm sqrtm", (SPD,), {}),
    ("linalg", "solve lstsq", (SPD, M[:3, 0]), {}),
    ("cluster.vq", "whiten", (M,), {}),
    ("cluster.vq", "vq", (M, M[:4]), {}),
    ("cluster.hierarchy", "linkage", (M,), {}),
    ("spatial.distance", "pdist", (M,), {}),
    ("spatial.distance", "cdist", (M, M[:4]), {}),
    ("optimize", "rosen rosen_der", (T,), {}),
    ("constants", "convert_temperature", (T, "Celsius", "Kelvin"), {}),
    ("constants", "lambda2nu nu2lambda", (T + 1.0,), {}),
    ("interpolate", "CubicSpline PchipInterpolator Akima1DInterpolator make_interp_spline", (T, np.sin(T)), {}),
    ("spatial.transform", "Rotation.from_quat", (M[:, [0, 1, 2, 0]],), {}),
]  # fmt: skip
EXTRA: list[tuple[str, str, Callable[[Any, Any], Any]]] = [
    ("signal", "zpk2tf", lambda f, a: f(a(T[:2]), a(T[2:3]), 1.0)),
    ("signal", "savgol_filter", lambda f, a: f(a(V), 5, 2)),
    ("signal", "order_filter", lambda f, a: f(a(V), a(np.ones(3)), 1)),
    ("signal", "hilbert2", lambda f, a: f(a(M))),
    ("ndimage", "gaussian_filter", lambda f, a: f(a(M), 1.0)),
    ("ndimage", "gaussian_laplace", lambda f, a: f(a(M), 1.0)),
    ("ndimage", "median_filter", lambda f, a: f(a(M), 3)),
    ("ndimage", "zoom", lambda f, a: f(a(M), 2)),
    ("special", "huber", lambda f, a: f(a(P[0]), a(P[1]))),
    ("special", "fdtr", lambda f, a: f(a(P[0] + 1), a(P[1] + 2), a(P[2]))),
    ("interpolate", "CubicSpline", lambda f, a: f(a(T), a(np.sin(T)))(a(T[:3] + 0.01))),
    ("interpolate", "PchipInterpolator", lambda f, a: f(a(T), a(np.sin(T)))(a(T[:3] + 0.01))),
    ("interpolate", "Akima1DInterpolator", lambda f, a: f(a(T), a(np.sin(T)))(a(T[:3] + 0.01))),
    ("interpolate", "make_interp_spline", lambda f, a: f(a(T), a(np.sin(T)))(a(T[:3] + 0.01))),
    ("spatial.transform", "Rotation.from_quat", lambda f, a: f(a(M[:, [0, 1, 2, 0]])).as_matrix()),
    ("differentiate", "derivative", lambda f, a: f(lambda x: x**3, a(T)).df),
    ("differentiate", "jacobian", lambda f, a: f(lambda x: x**3, a(T)).df),
    ("optimize.elementwise", "find_root",
     lambda f, a: f(lambda x, c: x**3 - c, (a(T * 0), a(T * 0 + 2)), args=(a(T),)).x),
    ("optimize.elementwise", "find_minimum",
     lambda f, a: f(lambda x, c: (x - c) ** 2, (a(T * 0 - 1), a(T * 0), a(T * 0 + 2)), args=(a(T),)).x),
    ("optimize.elementwise", "bracket_root",
     lambda f, a: f(lambda x, c: x**3 - c, a(T * 0 - 0.1), a(T * 0 + 0.1), args=(a(T),)).bracket[0]),
    ("integrate", "tanhsinh", lambda f, a: f(lambda x: x**2, a(T * 0), a(T)).integral),
    ("integrate", "nsum", lambda f, a: f(lambda k: 1 / k**2, a(np.asarray(1.0)), a(np.asarray(np.inf))).sum),
    ("integrate", "cubature", lambda f, a: f(lambda x: (x**2).sum(-1), a([0.0, 0.0]), a([1.0, 1.0])).estimate),
    ("stats", "bootstrap", lambda f, a: f((a(V),), lambda x, axis: x.mean(axis), n_resamples=9, rng=1, method="basic").standard_error),
]  # fmt: skip


def find(module: str, name: str) -> Any:
    found: Any = import_module(f"scipy.{module}")
    for part in name.split("."):
        found = getattr(found, part)
    return found


def calls() -> dict[str, Callable[[Any], Any]]:
    """Return, by full names, what is to be called with the function that makes arrays."""
    table: dict[str, Callable[[Any], Any]] = {}
    for module, names, args, how in CALLS:
        for name in names.split():

            def call(a: Any, module: str = module, name: str = name, args: Any = args, how: Any = how) -> Any:
                given = [a(x) if isinstance(x, np.ndarray) else x for x in args]
                return find(module, name)(*given, **how)

            table[f"{module}.{name}"] = call
    for module, name, extra in EXTRA:
        table[f"{module}.{name}"] = lambda a, m=module, n=name, e=extra: e(find(m, n), a)
    return table


def arrays(x: Any) -> list[Any]:
    """Return the arrays in a result: itself, the parts of a tuple, the fields of an object."""
    if isinstance(x, (tuple, list)):
        return [y for part in x for y in arrays(part)]
    if hasattr(x, "shape"):
        return [x]
    fields = getattr(x, "__dict__", {})
    return [y for name in sorted(fields) if not name.startswith("_") for y in arrays(fields[name])]


def runs(call: Callable[[Any], Any]) -> str:
    """Return "" if a call gives our arrays with NumPy's values, else what it does."""
    theirs = arrays(call(np.asarray))
    try:
        ours = arrays(call(tnp.asarray))
    except Exception as error:  # whatever SciPy raises is what is asked for
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    if not ours or not all(isinstance(x, tnp.ndarray) for x in ours):
        return f"gives {sorted({type(x).__name__ for x in ours})}"
    if len(ours) != len(theirs):
        return f"{len(ours)} arrays, NumPy gives {len(theirs)}"
    for x, y in zip(ours, theirs, strict=True):
        if not np.allclose(np.asarray(x), y, rtol=1e-6, atol=1e-8, equal_nan=True):
            return "other values than NumPy's"
    return ""


def main() -> None:
    """Print one line of JSON: names to "" or to why not."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = {}
        for name, call in calls().items():
            try:
                found[name] = runs(call)
            except Exception as error:  # not on NumPy's arrays either
                found[name] = f"not with NumPy: {type(error).__name__}: {error}"
    json.dump(found, sys.stdout, indent=0)
    print()


if __name__ == "__main__":
    main()
