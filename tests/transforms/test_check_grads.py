"""check_grads finds wrong rules, forward and reverse, of first and second order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.core.errors import DTypeError
from tracejit.test_util import check_grads

X = np.array([0.3, -1.2, 2.0])


@tj.custom_jvp
def wrong_forward(x: Any) -> Any:
    return tnp.sin(x)


wrong_forward.defjvp(lambda p, t: (tnp.sin(p[0]), 1.001 * tnp.cos(p[0]) * t[0]))


@tj.custom_vjp
def wrong_reverse(x: Any) -> Any:
    return tnp.sin(x)


wrong_reverse.defvjp(lambda x: (tnp.sin(x), x), lambda x, ct: (ct * tnp.cos(x) + 1e-3,))


@tj.custom_jvp
def wrong_twice(x: Any) -> Any:
    return tnp.sin(x)


# Right in value; what it is made of is not what it is the derivative of.
wrong_twice.defjvp(lambda p, t: (tnp.sin(p[0]), tj.lax.stop_gradient(tnp.cos(p[0])) * t[0]))


def test_right_derivatives_pass() -> None:
    check_grads(lambda t: {"a": tnp.sin(t["x"]) * t["y"], "n": tnp.argmax(t["x"])},
                ({"x": X, "y": X[::-1].copy()},), order=3)  # fmt: skip
    check_grads(lambda z: z * z + tnp.conj(z), (X + 1j * X[::-1],), order=2)
    check_grads(tnp.tanh, (X.astype("float32"),), order=1)


@pytest.mark.parametrize(
    ("f", "order", "modes"),
    [
        (wrong_forward, 1, ("fwd",)),
        (wrong_forward, 1, ("rev",)),
        (wrong_reverse, 1, ("rev",)),
        (wrong_twice, 2, ("fwd",)),
        (wrong_twice, 2, ("rev",)),
    ],
)
def test_wrong_derivatives_are_found(f: Any, order: int, modes: Any) -> None:
    with pytest.raises(AssertionError, match="differs from the difference quotient"):
        check_grads(f, (X,), order, modes)


def test_arguments_that_have_no_derivative() -> None:
    with pytest.raises(DTypeError, match="floating or complex"):
        check_grads(tnp.sin, (np.arange(3),), 1)
    with pytest.raises(ValueError, match="modes among"):
        check_grads(tnp.sin, (X,), 1, ("forward",))
