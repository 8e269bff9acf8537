"""Rules of users: custom_jvp, custom_vjp, custom_vmap, alone and several on one function."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import grad, hessian, jacfwd, jacrev, jit, jvp, lax, linearize, vjp, vmap
from tracejit.core.errors import (
    ConcretizationError,
    DTypeError,
    MissingRuleError,
    ShapeError,
    StructureError,
)
from tracejit.custom_batching import custom_vmap
from tracejit.custom_derivatives import CustomVJPPrimal, SymbolicZero
from tracejit.ir.dtypes import float0

A = np.linspace(0.1, 1.0, 4)
B = np.linspace(1.0, 2.0, 4)


def by_jvp() -> Any:
    """``sin(x) * y`` with a derivative that is wrong on purpose: 3 and 2 times as large."""

    @tracejit.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return tnp.sin(x) * y

    @f.defjvp
    def f_jvp(primals: Any, tangents: Any) -> Any:
        (x, y), (dx, dy) = primals, tangents
        return f(x, y), 3 * tnp.cos(x) * dx * y + 2 * tnp.sin(x) * dy

    return f


def by_jvps() -> Any:
    f = tracejit.custom_jvp(lambda x, y: tnp.sin(x) * y)
    f.defjvps(
        lambda dx, out, x, y: 3 * tnp.cos(x) * dx * y, lambda dy, out, x, y: 2 * tnp.sin(x) * dy
    )
    return f


def by_vjp() -> Any:
    @tracejit.custom_vjp
    def f(x: Any, y: Any) -> Any:
        return tnp.sin(x) * y

    def f_fwd(x: Any, y: Any) -> Any:
        return f(x, y), (x, tnp.sin(x), y)

    def f_bwd(residuals: Any, ct: Any) -> Any:
        x, s, y = residuals
        return 3 * tnp.cos(x) * y * ct, 2 * s * ct

    f.defvjp(f_fwd, f_bwd)
    return f


def by_both() -> Any:
    f = by_vjp()

    @f.defjvp
    def f_jvp(primals: Any, tangents: Any) -> Any:
        (x, y), (dx, dy) = primals, tangents
        return f(x, y), 3 * tnp.cos(x) * dx * y + 2 * tnp.sin(x) * dy

    return f


WAYS = pytest.mark.parametrize("made", [by_jvp, by_jvps, by_vjp, by_both])


def expected(x: Any, y: Any) -> tuple[Any, Any]:
    return 3 * np.cos(x) * y, 2 * np.sin(x)


@WAYS
@pytest.mark.parametrize("around", [lambda f: f, jit, lambda f: jit(jit(f))])
def test_first_order(made: Any, around: Any) -> None:
    f = around(made())
    np.testing.assert_allclose(f(A, B), np.sin(A) * B)
    dx, dy = expected(A, B)
    gx, gy = around(grad(lambda x, y: f(x, y).sum(), (0, 1)))(A, B)
    np.testing.assert_allclose(gx, dx)
    np.testing.assert_allclose(gy, dy)
    out, t = around(lambda x, y: jvp(f, (x, y), (B, A)))(A, B)
    np.testing.assert_allclose(out, np.sin(A) * B)
    np.testing.assert_allclose(t, dx * B + dy * A)
    np.testing.assert_allclose(linearize(f, A, B)[1](B, A), dx * B + dy * A)
    np.testing.assert_allclose(vjp(f, A, B)[1](B)[0], dx * B)
    np.testing.assert_allclose(around(vmap(grad(f)))(A, B), dx)
    found = around(grad(lambda x: vmap(f, (0, None))(x, 2.0).sum()))(A)
    np.testing.assert_allclose(found, 2 * dx / B)
    np.testing.assert_allclose(
        around(vmap(lambda x, y: jvp(f, (x, y), (1.0, 1.0))[1]))(A, B), dx + dy
    )


@WAYS
def test_second_order_uses_the_rule_in_the_rule(made: Any) -> None:
    f = made()

    def loss(x: Any, y: Any) -> Any:
        return (f(x, y) ** 2).sum()

    # d loss = 2 f * 3 cos(x) y; in it, f is differentiated by its rule
    wanted = np.diag(6 * B * (np.cos(A) * 3 * np.cos(A) * B - np.sin(A) * np.sin(A) * B))
    for second in (jacfwd(grad(loss)), jacrev(grad(loss)), jacrev(jacfwd(loss)), hessian(loss)):
        np.testing.assert_allclose(second(A, B), wanted, atol=1e-12)
        np.testing.assert_allclose(jit(second)(A, B), wanted, atol=1e-12)


@WAYS
def test_loops_equal_unrolled_to_second_order(made: Any) -> None:
    f = made()

    def scanned(x: Any, ys: Any) -> Any:
        carry, found = lax.scan(lambda c, y: (f(c, y), f(y, c)), x, ys)
        return carry + found.sum()

    def unrolled(x: Any, ys: Any) -> Any:
        total = 0.0
        for y in ys:
            x, found = f(x, y), f(y, x)
            total = total + found
        return x + total

    for order in (grad, lambda h: grad(grad(h)), lambda h: jacfwd(grad(h))):
        wanted = order(unrolled)(0.3, B)
        np.testing.assert_allclose(order(scanned)(0.3, B), wanted)
        np.testing.assert_allclose(jit(order(scanned))(0.3, B), wanted)
    both = vmap(grad(scanned, (0, 1)), (0, None))(A, B)
    np.testing.assert_allclose(both[0], [grad(unrolled)(a, B) for a in A])
    np.testing.assert_allclose(both[1], [grad(unrolled, 1)(a, tnp.asarray(B)) for a in A])


@WAYS
def test_branches_and_while(made: Any) -> None:
    f = made()

    def branch(x: Any, y: Any) -> Any:
        return lax.cond(x > 0.5, f, lambda x, y: f(y, x), x, y)

    pairs = list(zip(A, B, strict=True))
    wanted = [expected(a, b)[0] if a > 0.5 else expected(b, a)[1] for a, b in pairs]
    np.testing.assert_allclose([grad(branch)(a, b) for a, b in pairs], wanted)
    np.testing.assert_allclose(vmap(grad(branch))(A, B), wanted)

    def repeat(x: Any) -> Any:
        return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, f(s[1], 1.5)), (0, x))[1]

    x, t = 0.3, 1.0
    for _ in range(3):
        x, t = np.sin(x) * 1.5, expected(x, 1.5)[0] * t
    np.testing.assert_allclose(jvp(repeat, (0.3,), (1.0,)), (x, t))
    np.testing.assert_allclose(vmap(repeat)(A)[2], repeat(A[2]))


def test_a_right_rule_changes_nothing_under_stacks_of_transformations() -> None:
    def plain(x: Any, y: Any) -> Any:
        return tnp.sin(x) * y

    f = tracejit.custom_vjp(plain)
    f.defvjp(
        lambda x, y: (plain(x, y), (x, y)),
        lambda r, ct: (tnp.cos(r[0]) * r[1] * ct, tnp.sin(r[0]) * ct),
    )

    def scanned(g: Any, x: Any) -> Any:
        return lax.scan(lambda c, y: (g(c, y), None), x, B)[0]

    for made in (
        lambda g: vmap(vmap(grad(g)), (0, None))(A[:, None] * B, B),
        lambda g: hessian(lambda x: scanned(lambda c, y: vmap(g)(c, y * A), x).sum())(B),
        lambda g: vmap(lambda x: linearize(lambda x: scanned(g, x), x)[1](1.0))(B),
        lambda g: grad(lambda x: tracejit.checkpoint(vmap(g))(x, x).sum())(B),
        lambda g: jacfwd(lambda x: vjp(lambda x: scanned(g, x), x)[1](1.0)[0])(0.3),
    ):
        np.testing.assert_allclose(made(f), made(plain), rtol=1e-12, atol=1e-14)
        found = jit(lambda made=made: made(f))()
        np.testing.assert_allclose(found, made(plain), rtol=1e-12, atol=1e-14)


def test_equal_calls_find_what_was_compiled() -> None:
    f = by_vjp()

    def gradient() -> Any:
        return grad(lambda x: lax.scan(lambda c, y: (f(c, y), None), x, B)[0])(0.3)

    gradient()
    before = tracejit.counters()["compiled"]
    gradient()
    assert tracejit.counters()["compiled"] == before


def test_both_modes_use_their_own_rule() -> None:
    @tracejit.custom_vjp
    def f(x: Any) -> Any:
        return x**2

    f.defvjp(lambda x: (f(x), x), lambda x, ct: (10.0 * ct,))
    f.defjvp(lambda p, t: (f(p[0]), 20.0 * t[0]))
    for around in (lambda h: h, jit):
        assert float(around(grad(f))(1.0)) == 10.0
        assert float(around(lambda x: jvp(f, (x,), (1.0,))[1])(1.0)) == 20.0
        np.testing.assert_array_equal(around(jacfwd(f))(A)[1], [0, 20, 0, 0])
        np.testing.assert_array_equal(around(jacrev(f))(A)[1], [0, 10, 0, 0])
        np.testing.assert_array_equal(around(vmap(grad(f)))(A), 10.0)
        np.testing.assert_array_equal(around(grad(lambda x: vmap(f)(x).sum()))(A), 10.0)
    found = grad(lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=2)[0])(1.0)
    assert float(found) == 100.0


def test_pytrees_none_and_integers() -> None:
    @tracejit.custom_vjp
    def f(p: Any, n: Any, nothing: Any) -> Any:
        return {"s": p["w"] * n, "n": n + 1, "none": nothing}

    def bwd(residuals: Any, ct: Any) -> Any:
        _, n = residuals
        assert ct["n"].dtype == float0
        assert ct["none"] is None
        return {"w": 5.0 * ct["s"] * n, "b": None}, None, None

    f.defvjp(lambda p, n, nothing: (f(p, n, nothing), (p["w"], n)), bwd)
    p = {"w": A, "b": 1.0}
    for around in (lambda h: h, jit):
        found = around(grad(lambda p, n: f(p, n, None)["s"].sum()))(p, 3)
        np.testing.assert_allclose(found["w"], 15.0)
        assert float(found["b"]) == 0.0
        out, t = around(lambda p: jvp(lambda p: f(p, 2, None), (p,), ({"w": B, "b": 1.0},)))(p)
        np.testing.assert_allclose(t["s"], 10.0 * B)
        assert t["n"].dtype == float0
        assert int(out["n"]) == 3

    @tracejit.custom_jvp
    def g(p: Any, n: Any) -> Any:
        return p["w"] * n, n

    @g.defjvp
    def g_jvp(primals: Any, tangents: Any) -> Any:
        (p, n), (dp, dn) = primals, tangents
        assert dn.dtype == float0
        return g(p, n), (7.0 * dp["w"], dn)

    np.testing.assert_allclose(grad(lambda p: g(p, 3)[0].sum())(p)["w"], 7.0)
    found = vmap(grad(lambda p, n: g(p, n)[0]), (None, 0))({"w": 1.0}, np.arange(3))
    np.testing.assert_allclose(found["w"], 7.0)


def test_values_closed_over_are_differentiated_as_in_the_function() -> None:
    def with_closure(a: Any, x: Any) -> Any:
        @tracejit.custom_jvp
        def f(x: Any) -> Any:
            return a * x

        @f.defjvp
        def f_jvp(primals: Any, tangents: Any) -> Any:
            return f(*primals), 10.0 * a * tangents[0]

        @tracejit.custom_vjp
        def g(x: Any) -> Any:
            return a * x

        g.defvjp(lambda x: (g(x), None), lambda _, ct: (10.0 * a * ct,))
        return f(x) * g(x)

    for around in (lambda h: h, jit, lambda h: jit(grad(lambda a, x: h(a, x) + 0.0 * a)) and h):
        gx = around(grad(with_closure, 1))(2.0, 3.0)
        np.testing.assert_allclose(gx, 2 * 10 * 2.0 * 6.0)
        np.testing.assert_allclose(around(grad(with_closure))(2.0, 3.0), 2 * 3.0 * 6.0)
    np.testing.assert_allclose(grad(grad(with_closure, 1))(2.0, 3.0), 20 * 2 * 2.0 * 3.0)
    np.testing.assert_allclose(vmap(grad(with_closure, 1), (0, None))(A, 3.0), 60 * A**2)
    found = lax.scan(lambda c, a: (c, grad(with_closure, 1)(a, c)), 3.0, A)[1]
    np.testing.assert_allclose(found, 60 * A**2)


@pytest.mark.parametrize("around", [lambda h: h, jit, lambda h: vmap(h, axis_size=2)])
def test_a_rule_may_refer_to_a_value_that_the_function_does_not(around: Any) -> None:
    def scaled(a: Any, x: Any) -> Any:
        @tracejit.custom_jvp
        def f(x: Any) -> Any:
            return x

        f.defjvp(lambda p, t: (p[0], a * t[0]))

        @tracejit.custom_vjp
        def g(x: Any) -> Any:
            return x

        g.defvjp(lambda x: (x, None), lambda _, ct: (a * ct,))
        return f(x) + g(x)

    def both() -> Any:
        return grad(scaled, (0, 1))(3.0, 1.0), grad(grad(scaled, 1))(3.0, 1.0)

    (da, dx), dda = around(both)()
    np.testing.assert_allclose(da, 0.0)
    np.testing.assert_allclose(dx, 6.0)
    np.testing.assert_allclose(dda, 2.0)


def test_nondiff_argnums() -> None:
    @partial(tracejit.custom_jvp, nondiff_argnums=(0, 2))
    def f(h: Any, x: Any, n: int) -> Any:
        return h(x) * n

    @f.defjvp
    def f_jvp(h: Any, n: int, primals: Any, tangents: Any) -> Any:
        assert n == 3
        return f(h, *primals, n), 100.0 * tangents[0]

    @partial(tracejit.custom_vjp, nondiff_argnums=(0, 2))
    def g(h: Any, x: Any, n: int) -> Any:
        return h(x) * n

    g.defvjp(lambda h, x, n: (g(h, x, n), x), lambda h, n, x, ct: (100.0 * n * ct,))
    for around in (lambda h: h, jit):
        np.testing.assert_allclose(around(grad(lambda x: f(tnp.sin, x, 3)))(1.0), 100.0)
        np.testing.assert_allclose(around(grad(lambda x: g(tnp.sin, x, n=3)))(1.0), 300.0)
        np.testing.assert_allclose(around(vmap(lambda x: f(tnp.sin, x, 3)))(A), 3 * np.sin(A))


def test_symbolic_zeros() -> None:
    seen: list[Any] = []

    @tracejit.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return x * y

    def f_jvp(primals: Any, tangents: Any) -> Any:
        seen.append([isinstance(t, SymbolicZero) for t in tangents])
        (x, y), (dx, _) = primals, tangents
        return x * y, 5.0 * y * dx

    f.defjvp(f_jvp, symbolic_zeros=True)
    np.testing.assert_allclose(grad(f)(2.0, 3.0), 15.0)
    assert seen == [[False, True]]

    @tracejit.custom_vjp
    def g(x: Any, y: Any) -> Any:
        return x * y, x + y

    def g_fwd(x: Any, y: Any) -> Any:
        assert isinstance(x, CustomVJPPrimal)
        assert (x.perturbed, y.perturbed) == (True, False)
        return (x.value * y.value, x.value + y.value), y.value

    def g_bwd(y: Any, cts: Any) -> Any:
        assert isinstance(cts[1], SymbolicZero)
        return 5.0 * y * cts[0], None

    g.defvjp(g_fwd, g_bwd, symbolic_zeros=True)
    np.testing.assert_allclose(grad(lambda x, y: g(x, y)[0])(2.0, 3.0), 15.0)


def test_python_may_branch_on_known_values() -> None:
    @tracejit.custom_jvp
    def f(x: Any) -> Any:
        return x if x > 0 else 2 * x

    @f.defjvp
    def f_jvp(primals: Any, tangents: Any) -> Any:
        (x,), (dx,) = primals, tangents
        return f(x), (3.0 if x > 0 else 4.0) * dx

    assert float(f(-1.0)) == -2.0
    assert float(grad(f)(1.0)) == 3.0
    assert float(grad(f)(-1.0)) == 4.0
    with pytest.raises(ConcretizationError):
        jit(grad(f))(1.0)


def test_batching_rule() -> None:
    @custom_vmap
    def f(x: Any, y: Any) -> Any:
        return x * y

    @f.def_vmap
    def f_vmap(axis_size: int, in_batched: Any, x: Any, y: Any) -> Any:
        assert (axis_size, list(in_batched)) == (4, [True, False])
        return x * y + 100.0, True

    for around in (lambda h: h, jit):
        np.testing.assert_allclose(around(vmap(f, (0, None)))(A, 2.0), 2 * A + 100)
        np.testing.assert_allclose(around(f)(3.0, 2.0), 6.0)
        np.testing.assert_allclose(around(grad(f))(3.0, 2.0), 2.0)

    g = by_both()
    g.def_vmap(lambda size, batched, x, y: (tnp.sin(x) * y + 100.0, True))
    np.testing.assert_allclose(vmap(g)(A, B), np.sin(A) * B + 100)
    np.testing.assert_allclose(vmap(grad(g))(A, B), expected(A, B)[0])
    np.testing.assert_allclose(grad(lambda x: vmap(g)(x, B).sum())(A), expected(A, B)[0])


def test_custom_gradient() -> None:
    @tracejit.custom_gradient
    def f(x: Any) -> Any:
        s = tnp.sin(x)
        return s, lambda ct: 5.0 * tnp.cos(x) * ct

    np.testing.assert_allclose(f(1.0), np.sin(1.0))
    np.testing.assert_allclose(jit(grad(f))(1.0), 5 * np.cos(1.0))
    np.testing.assert_allclose(grad(grad(f))(1.0), -5 * np.sin(1.0))


def test_closure_convert() -> None:
    def of(a: Any, n: Any) -> Any:
        converted, consts = tracejit.closure_convert(lambda x: {"y": a * x * n}, 1.0)
        assert len(consts) == 1
        return converted(2.0, *consts)["y"]

    assert float(grad(of)(3.0, 4)) == 8.0
    assert float(jit(grad(of))(3.0, 4)) == 8.0
    converted, consts = tracejit.closure_convert(lambda x: 2 * x, 1.0)
    assert consts == []
    assert float(converted(3.0)) == 6.0
    with pytest.raises(StructureError, match="same structure"):
        converted({"x": 3.0})


def test_methods() -> None:
    class Model:
        scale = 3.0

        @partial(tracejit.custom_vjp, nondiff_argnums=(0,))
        def apply(self, x: Any) -> Any:
            return self.scale * x

        apply.defvjp(
            lambda self, x: (self.apply(x), None), lambda self, _, ct: (10 * self.scale * ct,)
        )

    assert float(Model().apply(2.0)) == 6.0
    assert float(grad(Model().apply)(2.0)) == 30.0


# ------------------------------------------------------------------------------- errors


def rule(result: Any) -> Any:
    """A function of a dict and a number, with a jvp rule that returns something else."""
    f = tracejit.custom_jvp(lambda p, n: {"a": p["w"] * n, "b": p["w"]})
    f.defjvp(lambda primals, tangents: result(primals[0]["w"]))
    return lambda: jvp(lambda p: f(p, 2.0), ({"w": A},), ({"w": A},))


@pytest.mark.parametrize(
    ("result", "kind", "says"),
    [
        (lambda x: x, StructureError, r"must return a pair \(result, tangent\); got StageTracer"),
        (lambda x: (x, x, x), StructureError, r"pair \(result, tangent\); got tuple of length 3"),
        (lambda x: ({"a": x}, {"a": x, "b": x}), StructureError, "the result must have the struct"),
        (
            lambda x: ({"a": x, "b": x}, {"a": x, "b": (x, x)}),
            StructureError,
            r"the tangent must have the structure.*at \['b'\] there is .*tuple.* where",
        ),
        (
            lambda x: ({"a": x, "b": x[1:]}, {"a": x, "b": x}),
            ShapeError,
            r"the result\['b'\] must have shape \(4,\); got \(3,\)",
        ),
        (
            lambda x: ({"a": x, "b": x}, {"a": x[None], "b": x}),
            ShapeError,
            r"the tangent\['a'\] must have shape \(4,\); got \(1, 4\)",
        ),
        (
            lambda x: ({"a": x, "b": x}, {"a": x.astype("float32"), "b": x}),
            DTypeError,
            r"the tangent\['a'\] must have dtype float64; got float32",
        ),
        (lambda x: ({"a": x, "b": "no"}, None), DTypeError, r"result\['b'\] must be an array; got"),
    ],
)
def test_what_a_jvp_rule_must_return(result: Any, kind: Any, says: str) -> None:
    with pytest.raises(kind, match=says) as found:
        rule(result)()
    line = rule.__code__.co_firstlineno + 3
    assert f"custom_jvp lambda: lambda ({__file__}:{line})" in str(found.value)
    assert "\n  at " in str(found.value)


def backward(result: Any, fwd: Any = lambda p, n: (p["w"] * n, None)) -> Any:
    f = tracejit.custom_vjp(lambda p, n: p["w"] * n)
    f.defvjp(fwd, lambda residuals, ct: result(ct))
    return lambda: grad(lambda p: f(p, 2.0).sum())({"w": A, "v": 1.0})


@pytest.mark.parametrize(
    ("result", "kind", "says"),
    [
        (lambda ct: ct, StructureError, r"must return a tuple of 2 cotangents.*got StageTracer"),
        (lambda ct: (None,), StructureError, r"a tuple of 2 cotangents.*got a tuple of 1"),
        (lambda ct: ((ct, ct), None), StructureError, r"structure.*at \[0\] there is .*tuple"),
        (lambda ct: ({"w": ct}, None), StructureError, r"structure.*at \[0\]"),
        (
            lambda ct: ({"w": ct[:2], "v": None}, None),
            ShapeError,
            r"the cotangents\[0\]\['w'\] must have shape \(4,\); got \(2,\)",
        ),
        (
            lambda ct: ({"w": ct.astype("float32"), "v": None}, None),
            DTypeError,
            r"the cotangents\[0\]\['w'\] must have dtype float64; got float32",
        ),
    ],
)
def test_what_a_backward_rule_must_return(result: Any, kind: Any, says: str) -> None:
    with pytest.raises(kind, match=says):
        backward(result)()


def test_what_a_forward_rule_must_return() -> None:
    with pytest.raises(StructureError, match=r"must return a pair \(result, residuals\)"):
        backward(lambda ct: None, lambda p, n: p["w"])()
    with pytest.raises(ShapeError, match=r"the result must have shape \(4,\); got \(\)"):
        backward(lambda ct: None, lambda p, n: (1.0, None))()


def test_rules_are_missing() -> None:
    def f(x: Any) -> Any:
        return x

    with pytest.raises(MissingRuleError, match=r"custom_jvp f has no rule: .* f.defjvp\("):
        tracejit.custom_jvp(f)(1.0)
    with pytest.raises(MissingRuleError, match=r"custom_vjp f has no rule: .* f.defvjp\("):
        jit(tracejit.custom_vjp(f))(1.0)
    with pytest.raises(MissingRuleError, match=r"custom_vmap f has no rule: .* f.def_vmap\("):
        custom_vmap(f)(1.0)
    g = tracejit.custom_vjp(f)
    g.defvjp(lambda x: (x, None), lambda _, ct: (ct**2,))
    assert float(vjp(g, 1.0)[1](3.0)[0]) == 9.0
    with pytest.raises(MissingRuleError, match=r"not linear in the cotangents.*Give a jvp rule"):
        jvp(g, (1.0,), (1.0,))


def test_arguments() -> None:
    f = tracejit.custom_vjp(lambda x, n: x * n, nondiff_argnums=(1,))
    f.defvjp(lambda x, n: (x * n, None), lambda n, _, ct: (ct,))
    with pytest.raises(StructureError, match=r"n \(argument 1\) is among nondiff_argnums.*traced"):
        jit(lambda x, n: f(x, n))(1.0, 2)
    with pytest.raises(DTypeError, match=r"x\['k'\] \(argument 0\) must be an array; got str"):
        f({"k": "text"}, 2)
    g = tracejit.custom_jvp(lambda x: x, nondiff_argnums=(3,))
    g.defjvp(lambda *a: None)
    with pytest.raises(StructureError, match=r"nondiff_argnums=\(3,\) names argument 3"):
        g(1.0)

    def keyword(x: Any, *, n: Any) -> Any:
        return x * n

    h = tracejit.custom_jvp(keyword)
    h.defjvp(lambda *a: None)
    with pytest.raises(StructureError, match="'n' by keyword only"):
        h(1.0, n=2)
    with pytest.raises(StructureError, match="defjvps is for functions without nondiff_argnums"):
        tracejit.custom_jvp(lambda x, n: x, nondiff_argnums=1).defjvps(None)
    k = tracejit.custom_jvp(lambda x, y: x * y)
    k.defjvps(None)
    with pytest.raises(StructureError, match="defjvps was given 1 rules, and the function 2 arg"):
        grad(k)(1.0, 2.0)
