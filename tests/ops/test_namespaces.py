"""Rules over an array namespace that is not NumPy's, and has less: what CuPy has not, none uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.special

from tracejit.core.primitive import impl
from tracejit.ops import (
    cumulative,
    factorizations,
    indexing,
    linalg,
    sorting,
    special,
    triangular,
)
from tracejit.ops.factorizations import lu_p

rng = np.random.default_rng(3)


class Limited:
    """NumPy with CuPy's limits: one kind of sort, no lexsort along an axis, no empty solve."""

    __name__ = "limited"

    def __getattr__(self, name: str) -> Any:
        if name in ("lexsort", "ndindex"):
            raise AttributeError(name)
        return getattr(np, name)

    def sort(self, x: Any, axis: int = -1, kind: str | None = None) -> Any:
        assert kind in (None, "stable")
        return np.sort(x, axis=axis, kind="stable")

    def argsort(self, x: Any, axis: int = -1, kind: str | None = None) -> Any:
        assert kind in (None, "stable")
        return np.argsort(x, axis=axis, kind="stable")


XP = Limited()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("num_keys", [1, 2, 3])
def test_sorts_by_several_keys(num_keys: int, axis: int) -> None:
    xs = [rng.integers(0, 3, (4, 5, 6)).astype(t) for t in ("f4", "i8", "u1")]
    xs.append(np.arange(120.0).reshape(4, 5, 6))
    how = {"axis": axis, "num_keys": num_keys, "is_stable": True}
    for got, want in zip(
        impl[sorting.sort_p](XP, *xs, **how), impl[sorting.sort_p](np, *xs, **how), strict=True
    ):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("stable", [True, False])
def test_sorts_of_one_array(stable: bool) -> None:
    x = np.array([[3.0, -0.0, np.nan, 0.0, -1.0]])
    (got,) = impl[sorting.sort_p](XP, x, axis=1, num_keys=1, is_stable=stable)
    np.testing.assert_array_equal(got, np.sort(x))
    (empty,) = impl[sorting.sort_p](XP, x[:, :0], axis=1, num_keys=1, is_stable=stable)
    assert empty.shape == (1, 0)


def test_what_has_no_order_is_left_to_kernels() -> None:
    x = np.arange(4.0)
    for scan in (cumulative.cumsum_p, cumulative.cummax_p):
        with pytest.raises(NotImplementedError, match="limited"):
            impl[scan](XP, x, axis=0, reverse=False)
    how = {"axes": (0,), "collapsed": (0,), "lanes": 0, "mode": "drop", "unique": False}
    for scatter in (indexing.scatter_p, indexing.scatter_add_p):
        with pytest.raises(NotImplementedError, match="no order"):
            impl[scatter](XP, x, np.zeros((2, 1), int), x[:2], **how)


def test_polygamma_gets_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    def polygamma(n: Any, x: Any) -> Any:
        assert isinstance(n, np.ndarray)
        return scipy.special.polygamma(n, x)

    class Special:
        pass

    Special.polygamma = staticmethod(polygamma)  # type: ignore[attr-defined]
    monkeypatch.setattr(special, "special_module", lambda xp: Special)
    x = np.array([1.0, 2.5])
    got = impl[special.polygamma_p](XP, x, n=2)
    np.testing.assert_array_equal(got, scipy.special.polygamma(2, x))


def test_a_solution_for_nothing() -> None:
    known = np.eye(3), np.eye(3), np.arange(3, dtype=np.int32)
    out = impl[linalg.lu_solve_p](XP, *known, np.zeros((3, 0)), trans=False)
    assert out.shape == (3, 0)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize("trans", [True, False])
def test_factors_by_a_namespace_that_has_none(trans: bool, dtype: str) -> None:
    a = rng.normal(size=(3, 5, 10)).view("c16")
    a = a if dtype == "c16" else a.real
    factors, pivots, order = impl[lu_p](XP, a, constant=True)
    for got, want in zip((factors, pivots, order), impl[lu_p](np, a, constant=True), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    b = a[..., :2]
    x = impl[linalg.lu_solve_p](XP, a, factors, order, b, trans=trans)
    np.testing.assert_allclose((a.swapaxes(1, 2) if trans else a) @ x, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("trans", [True, False])
@pytest.mark.parametrize("shape", [(5, 5), (2, 70, 70), (12, 3, 3)])
def test_factors_by_the_library_of_a_device(
    shape: tuple[int, ...], trans: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def module(xp: Any) -> Any:
        asked.append(xp.__name__)
        return scipy.linalg

    for family in (factorizations, triangular):
        monkeypatch.setattr(family, "linear_module", module)
    a, b = rng.normal(size=shape), rng.normal(size=(*shape[:-1], 2))
    factors, _, order = impl[lu_p](XP, a, constant=True)
    x = impl[linalg.lu_solve_p](XP, a, factors, order, b, trans=trans)
    np.testing.assert_allclose((a.swapaxes(-1, -2) if trans else a) @ x, b, rtol=1e-8, atol=1e-8)
    right = {"left": False, "lower": True, "trans": trans, "conjugate": False, "unit": False}
    lower = np.tril(a) + 5 * np.eye(shape[-1])
    c = b.swapaxes(-1, -2)
    y = impl[triangular.triangular_solve_p](XP, lower, c, **right)
    np.testing.assert_allclose(y @ (lower.swapaxes(-1, -2) if trans else lower), c, atol=1e-8)
    assert bool(asked) is (len(shape) < 3 or shape[0] <= 8 or shape[-1] > 64)
