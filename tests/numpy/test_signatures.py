"""Signatures: what JAX's functions take, by name and in its order, ours take too."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

MODULES = (
    "numpy", "numpy.linalg", "numpy.fft", "random", "nn", "nn.initializers", "lax", "lax.linalg",
    "scipy.special", "scipy.linalg", "scipy.signal", "scipy.integrate", "scipy.interpolate",
    "scipy.ndimage", "scipy.sparse.linalg", "scipy.optimize", "scipy.stats", "tree_util", "tree",
    "image", "ops", "flatten_util",
)  # fmt: skip
K = inspect.Parameter

# Parameters that no function takes: of what there is not here, or of what is always so.
NOWHERE = {
    "out_sharding": "arrays lie on one device",
    "accuracy": "there is one accuracy",
    "debug": "no effect in JAX either",
}
# Of single functions: what differs, and why.
ALLOWED = {
    "numpy.histogram has another order of bins, range, weights, density": "it is NumPy's order",
    "numpy.histogram2d has another order of bins, range, weights, density": "it is NumPy's",
    "numpy.histogramdd has another order of bins, range, weights, density": "it is NumPy's",
    "numpy.linalg.pinv has another order of rtol, hermitian": "it is NumPy's order",
    "numpy.ravel_multi_index lacks dtype": "places are int64",
    "numpy.take_along_axis lacks wrap_negative_indices": "they count from the end",
    "numpy.linalg.svd lacks subset_by_index": "all values are computed",
    "random.key lacks dtype": "it names the generator a second time",
    "random.wrap_key_data lacks dtype": "it names the generator a second time",
    "lax.all_gather lacks to": "there are no varying types",
    "lax.conv_transpose lacks use_consistent_padding": "it is for Keras alone",
    "lax.dot lacks dimension_numbers": "dot_general has them",
    "lax.full lacks sharding": "arrays lie on one device",
    "lax.full_like lacks sharding": "arrays lie on one device",
    "lax.mul lacks out_dtype": "convert the operands",
    "lax.scan lacks _split_transpose": "it is private",
    "lax.switch lacks operand": "JAX deprecates it",
    "lax.linalg.eig lacks enable_eigvec_derivs, implementation, use_magma": "there is one way",
    "lax.linalg.eigh lacks sort_eigenvalues, subset_by_index, implementation": "they ascend",
    "lax.linalg.qr lacks pivoting, use_magma": "there are no pivots",
    "lax.linalg.svd lacks subset_by_index, algorithm": "all values are computed",
    "lax.linalg.tridiagonal_solve lacks perturb_singular": "singular systems give inf or NaN",
    "scipy.linalg.dft lacks dtype": "SciPy has none",
    "scipy.linalg.eigh lacks turbo, eigvals": "SciPy has them no more",
    "scipy.linalg.eigh_tridiagonal lacks key": "there is nothing random in it",
    "scipy.linalg.polar lacks method, eps, max_iterations": "it is made of the SVD, as SciPy's",
    "scipy.linalg.solve_sylvester lacks method, tol": "it is made of Schur forms, as SciPy's",
}


def parameters(function: Any) -> dict[str, inspect.Parameter] | None:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None


def differences() -> Iterator[tuple[str, str]]:
    for module in MODULES:
        theirs = importlib.import_module(f"jax.{module}")
        ours = importlib.import_module(f"tracejit.{module}")
        for name in sorted(vars(theirs)):
            function, own = getattr(theirs, name), getattr(ours, name, None)
            if name.startswith("_") or own is None or isinstance(function, type):
                continue
            want, have = parameters(function), parameters(own)
            if want is None or have is None or not callable(function):
                continue
            if any(p.kind == K.VAR_KEYWORD for p in have.values()):
                continue
            named = [
                n for n, p in want.items()
                if p.kind in (K.POSITIONAL_OR_KEYWORD, K.KEYWORD_ONLY) and n not in NOWHERE
            ]  # fmt: skip
            optional = [n for n in named if want[n].default is not K.empty]
            lacking = [n for n in optional if n not in have]
            if lacking:
                yield f"{module}.{name}", f"lacks {', '.join(lacking)}"
            shared = [n for n in optional if n in have and want[n].kind != K.KEYWORD_ONLY]
            if [n for n in have if n in shared] != shared:
                yield f"{module}.{name}", f"has another order of {', '.join(shared)}"


def test_signatures_are_jaxs() -> None:
    pytest.importorskip("jax")
    assert not {" ".join(found) for found in differences()} - set(ALLOWED)
