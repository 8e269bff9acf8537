"""array_api_compat and array_api_extra take ours for a namespace of the Array API.

What writes by ``array_api_extra.at`` (``pad``, ``apply_where``, ...) does not run: it takes every
class that it does not know for one that can be written to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp

compat = pytest.importorskip("array_api_compat")
extra = pytest.importorskip("array_api_extra")

X = np.arange(6.0).reshape(2, 3) - 2.5
N = np.array([3, 1, 2, 3])

CALLS: dict[str, Callable[[Any], Any]] = {
    "angle": lambda a: extra.angle(a(X + 1j)),
    "argpartition": lambda a: extra.partition(a(N), 2),
    "atleast_nd": lambda a: extra.atleast_nd(a(N), ndim=3),
    "cov": lambda a: extra.cov(a(X)),
    "deg2rad": lambda a: extra.deg2rad(a(X)),
    "isin": lambda a: extra.isin(a(N), a(N[:2])),
    "kron": lambda a: extra.kron(a(X), a(X)),
    "lazy_apply": lambda a: extra.lazy_apply(lambda v: np.asarray(v) * 2, a(X)),
    "nan_to_num": lambda a: extra.nan_to_num(a(X)),
    "nanmax": lambda a: extra.nanmax(a(X), axis=0),
    "nanmean": lambda a: extra.nanmean(a(X), axis=0),
    "nansum": lambda a: extra.nansum(a(X), axis=0),
    "nunique": lambda a: extra.nunique(a(N)),
    "one_hot": lambda a: extra.one_hot(a(N), 4),
    "partition": lambda a: extra.partition(a(N[:1]), 0),
    "searchsorted": lambda a: extra.searchsorted(a(np.sort(N)), a(N)),
    "setdiff1d": lambda a: extra.setdiff1d(a(N), a(N[:1])),
    "sinc": lambda a: extra.sinc(a(X)),
    "union1d": lambda a: extra.union1d(a(N), a(N + 1)),
}


def test_ours_is_the_namespace_of_our_arrays() -> None:
    x = tnp.asarray(X)
    assert compat.array_namespace(x, x) is tnp
    assert compat.is_array_api_obj(x)
    assert compat.is_array_api_strict_namespace(tnp) is False
    assert compat.device(x) == "cpu"
    assert compat.to_device(x, "cpu") is x
    assert compat.size(x) == 6
    assert extra.default_dtype(tnp) == np.float64


@pytest.mark.parametrize("name", CALLS)
def test_array_api_extra(name: str) -> None:
    ours, theirs = CALLS[name](tnp.asarray), np.asarray(CALLS[name](np.asarray))
    assert isinstance(ours, tnp.ndarray)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-12)
