"""checkpoint: the same values and derivatives, with fewer residuals."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.control.branch import cond
from tracejit.control.checkpoint import checkpoint
from tracejit.control.scan import scan
from tracejit.ops.arithmetic import mul
from tracejit.ops.logical import lt
from tracejit.ops.shape import reduce_sum
from tracejit.ops.transcendental import asin, exp, sin
from tracejit.transforms.api import grad, hessian, jvp, make_program, vmap


def dear(x: Any) -> Any:
    return sin(exp(sin(mul(x, 0.5))))


def chain(step: Any) -> Any:
    return lambda x: reduce_sum(scan(lambda c, _: (step(c), None), x, None, length=5)[0], (0,))


def test_values_and_derivatives_are_the_same() -> None:
    x = np.linspace(0.1, 1, 4)
    for plain, checked in ((dear, checkpoint(dear)), (chain(dear), chain(checkpoint(dear)))):
        np.testing.assert_allclose(checked(x), plain(x), rtol=1e-15)
        for out in (0, 1):
            got, want = jvp(checked, (x,), (x,))[out], jvp(plain, (x,), (x,))[out]
            np.testing.assert_allclose(got, want, rtol=1e-14)

    def total(f: Any) -> Any:
        return lambda x: reduce_sum(f(x), (0,))

    f, g = total(dear), total(checkpoint(dear))
    np.testing.assert_allclose(grad(g)(x), grad(f)(x), rtol=1e-14)
    np.testing.assert_allclose(grad(total(grad(g)))(x), grad(total(grad(f)))(x), rtol=1e-13)
    np.testing.assert_allclose(vmap(grad(g))(x[:, None] + x), vmap(grad(f))(x[:, None] + x))
    np.testing.assert_allclose(grad(chain(checkpoint(dear)))(x), grad(chain(dear))(x), rtol=1e-14)


def test_closed_over_values_are_differentiated() -> None:
    def f(a: Any) -> Any:
        return checkpoint(lambda x: mul(sin(x), a))(2.0)

    np.testing.assert_allclose(grad(f)(3.0), np.sin(2.0))


def test_a_loop_stacks_the_carry_alone() -> None:
    def residuals(step: Any) -> int:
        text = str(make_program(grad(chain(step)))(np.ones(4)))
        return text.split("scan")[0].count("f64[5,4]") + text.count(":f64[5,4]")

    assert residuals(checkpoint(dear)) < residuals(dear)


def test_over_equations_with_linear_and_other_outputs() -> None:
    """A loop and a branch in the body give primals and tangents at once, so they must be split."""

    def total(x: Any) -> Any:
        out = chain(dear)(x)
        far = lambda x: reduce_sum(x, (0,))
        return cond(lt(out, 9.0), lambda x: far(mul(x, sin(x))), far, mul(x, out))

    x = np.linspace(0.1, 0.9, 4)
    wanted, curvature = grad(total)(x), hessian(total)(x)
    for checked in (checkpoint(total), checkpoint(lambda x: checkpoint(total)(sin(asin(x))))):
        np.testing.assert_allclose(grad(checked)(x), wanted, rtol=1e-12)
        np.testing.assert_allclose(vmap(grad(checked))(np.stack([x, x]))[1], wanted, rtol=1e-12)
        np.testing.assert_allclose(hessian(checked)(x), curvature, rtol=1e-10)
