"""What checkpoint stores and what it computes again: by policy, by name, inside jit, compiled."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit import checkpoint, grad, jit, jvp, lax, make_program, value_and_grad, vmap
from tracejit import checkpoint_policies as policies
from tracejit.ad_checkpoint import checkpoint_name, print_saved_residuals, saved_residuals
from tracejit.compiler.simplify import simplify
from tracejit.core.errors import TracejitError
from tracejit.ir.program import sub_programs
from tracejit.ir.verify import verify
from tracejit.tools.explain import explain

W = np.random.default_rng(0).normal(size=(3, 3)) / 2
X = np.random.default_rng(1).normal(size=3)


def layers(w: Any, x: Any) -> Any:
    y = checkpoint_name(tnp.sin(w @ x), "first")
    z = checkpoint_name(tnp.exp(w @ y), "second")
    return tnp.sin(z).sum()


# What is stored beside the two arguments: dots are the operands of sin and exp, here in the order
# in which they are computed.
STORED: dict[str, tuple[Any, list[str]]] = {
    "default": (None, []),
    "nothing": (policies.nothing_saveable, []),
    "everything": (
        policies.everything_saveable,
        ["cos", "value named 'first'", "exp", "cos"],
    ),
    "dots": (policies.dots_saveable, ["dot_general", "dot_general"]),
    "checkpoint_dots": (policies.checkpoint_dots, ["dot_general", "dot_general"]),
    "no batch": (policies.dots_with_no_batch_dims_saveable, ["dot_general", "dot_general"]),
    "only": (policies.save_only_these_names("first"), ["value named 'first'"]),
    "any but": (policies.save_any_names_but_these("first"), ["value named 'second'"]),
    "anything except": (
        policies.save_anything_except_these_names("first"),
        ["cos", "sin", "exp", "cos"],
    ),
    "both": (
        policies.save_from_both_policies(
            policies.save_only_these_names("first"), policies.dots_saveable
        ),
        ["dot_general", "value named 'first'", "dot_general"],
    ),
    "own": (lambda primitive, *avals, **params: primitive.name == "sin", ["sin"]),
}


def stored(f: Any, *args: Any) -> list[str]:
    found = [what.partition(" at ")[0] for _, what in saved_residuals(f, *args)]
    return sorted(what for what in found if not what.startswith("the argument"))


@pytest.mark.parametrize("inner", [layers, jit(layers)], ids=["plain", "jitted inside"])
@pytest.mark.parametrize("name", STORED)
def test_what_is_stored(name: str, inner: Any) -> None:
    policy, expected = STORED[name]
    f = checkpoint(inner, policy=policy)
    assert stored(f, W, X) == sorted(expected)
    value, found = value_and_grad(f, argnums=(0, 1))(W, X)
    plain, wanted = value_and_grad(layers, argnums=(0, 1))(W, X)
    np.testing.assert_allclose(value, plain, rtol=1e-13)
    for g, h in zip(found, wanted, strict=True):
        np.testing.assert_allclose(g, h, rtol=1e-12)


@pytest.mark.parametrize("name", ["default", "dots", "only"])
def test_higher_orders_and_batches(name: str) -> None:
    f = checkpoint(layers, policy=STORED[name][0])

    def second(g: Any) -> Any:
        return lambda x: grad(lambda x: grad(g, 1)(W, x)[0])(x)

    for g in (grad(lambda x: jvp(lambda x: f(W, x), (x,), (W[0],))[1]),
              lambda x: jvp(grad(lambda x: f(W, x)), (x,), (W[0],))[1]):  # fmt: skip
        wanted = jvp(grad(lambda x: layers(W, x)), (X,), (W[0],))[1]
        np.testing.assert_allclose(g(X), wanted, rtol=1e-11)
    np.testing.assert_allclose(second(f)(X), second(layers)(X), rtol=1e-11)
    rows = np.stack([X, 2 * X, -X, X + 1])
    for h in (vmap(grad(f, 1), (None, 0)), jit(vmap(grad(f, 1), (None, 0)))):
        np.testing.assert_allclose(h(W, rows)[2], grad(layers, 1)(W, -X), rtol=1e-12)


def test_the_residuals_of_a_batch_are_those_of_a_sample() -> None:
    # Under vmap w @ x of shared weights has no batch axis, x @ x of two samples has one.
    def f(w: Any, x: Any) -> Any:
        y = tnp.tanh(tnp.einsum("ij,kj->ki", w, x))
        return tnp.tanh(tnp.einsum("ij,kj->ik", y, y)).sum()

    def of_batch(w: Any, x: Any) -> Any:
        policy = policies.dots_with_no_batch_dims_saveable
        return vmap(checkpoint(f, policy=policy), (None, 0))(w, x).sum()

    x = np.random.default_rng(2).normal(size=(5, 4, 3))
    shapes = [aval.shape for aval, what in saved_residuals(of_batch, W, x) if "dot" in what]
    assert [sorted(shape) for shape in shapes] == [[3, 4, 5]]


def test_a_scan_stores_what_the_policy_of_its_body_says() -> None:
    def last(step: Any) -> Any:
        return lambda w, x: lax.scan(lambda c, _: (step(w, c), None), x, None, length=6)[0].sum()

    def step(w: Any, c: Any) -> Any:
        return tnp.sin(tnp.exp(tnp.sin(checkpoint_name(w @ c, "dot"))))

    def stacked(policy: Any) -> int:
        f = last(checkpoint(step, policy=policy))
        np.testing.assert_allclose(grad(f, 1)(W, X), grad(last(step), 1)(W, X), rtol=1e-11)
        return sum(aval.shape[:1] == (6,) for aval, _ in saved_residuals(f, W, X))

    assert stacked(None) == 1
    assert stacked(policies.save_only_these_names("dot")) == 2
    assert stacked(policies.everything_saveable) > 2


def test_nested_checkpoints() -> None:
    inner = checkpoint(lambda x: tnp.sin(tnp.exp(x)))
    f = checkpoint(lambda x: inner(tnp.cos(inner(x))).sum())
    np.testing.assert_allclose(
        grad(f)(X),
        grad(lambda x: tnp.sin(tnp.exp(tnp.cos(tnp.sin(tnp.exp(x))))).sum())(X),
        rtol=1e-12,
    )
    assert stored(f, X) == []


# ------------------------------------------------------------------------------- compiled


def chain(step: Any) -> Any:
    def f(x: Any) -> Any:
        for _ in range(8):
            x = step(x)
        return x.sum()

    return f


def block(x: Any) -> Any:
    return tnp.sin(tnp.exp(tnp.sin(x @ np.eye(32))))


def count(f: Any, name: str) -> int:
    program = simplify(make_program(value_and_grad(f))(np.ones((32, 32))))
    verify(program)
    return Counter(eq.primitive.name for eq in program.equations)[name]


def test_the_compiler_computes_again_what_is_not_stored() -> None:
    assert count(chain(block), "exp") == 8
    assert count(chain(checkpoint(block)), "exp") == 16
    # Without the barrier repeated operations are merged, so that all is stored.
    assert count(chain(checkpoint(block, prevent_cse=False)), "exp") == 8
    assert count(chain(checkpoint(block)), "optimization_barrier") == 0


def test_a_compiled_gradient_takes_less_memory() -> None:
    def scratch(step: Any) -> int:
        return explain(value_and_grad(chain(step)))(np.ones((32, 32))).arena_bytes // (32 * 32 * 8)

    # Two arrays a block (exp's value serves as its own slope); checkpointed its argument alone.
    assert scratch(block) == 16
    assert scratch(checkpoint(block)) <= 9
    assert scratch(checkpoint(block, prevent_cse=False)) == 16


def test_what_is_checkpointed_twice_is_compiled_once() -> None:
    def programs() -> list[Any]:
        program = make_program(grad(lambda x: checkpoint(tnp.sin)(x)))(1.0)
        return [sub for eq in program.equations for _, sub in sub_programs(eq.params)]

    first, second = programs(), programs()
    assert len(first) == 2
    assert all(a is b for a, b in zip(first, second, strict=True))


def test_optimization_barrier() -> None:
    tree = {"x": X, "n": 3}
    held = lax.optimization_barrier(tree)
    np.testing.assert_array_equal(held["x"], X)
    assert held["n"] == 3
    assert lax.optimization_barrier(()) == ()

    def f(x: Any, y: Any) -> Any:
        a, b, _ = lax.optimization_barrier((x, tnp.sin(y), 2))
        return (a * b).sum()

    for g in (grad(f, (0, 1)), jit(grad(f, (0, 1)))):
        found = g(X, X)
        np.testing.assert_allclose(found[0], np.sin(X))
        np.testing.assert_allclose(found[1], X * np.cos(X))
    np.testing.assert_allclose(jvp(lambda x: f(x, X), (X,), (X,))[1], (X * np.sin(X)).sum())
    np.testing.assert_allclose(vmap(f, (0, None))(np.stack([X, 2 * X]), X)[1], 2 * f(X, X))
    twice = simplify(make_program(lambda x: tnp.sin(x) + tnp.sin(lax.optimization_barrier(x)))(X))
    assert [eq.primitive.name for eq in twice.equations] == ["sin", "sin", "add"]


# ------------------------------------------------------------------------------ arguments


def test_static_arguments() -> None:
    def f(x: Any, kind: str, *, power: int, y: Any = 1.0) -> Any:
        return {"sin": tnp.sin, "cos": tnp.cos}[kind](x) ** power * y

    g = checkpoint(f, static_argnums=(-1,), static_argnames="power")
    np.testing.assert_allclose(
        grad(lambda x: g(x, "cos", power=2, y=3.0))(0.5), -3 * np.sin(1.0)
    )
    by_name = checkpoint(f, static_argnames=("kind", "power"))
    np.testing.assert_allclose(grad(lambda x: by_name(x, "sin", power=1))(0.5), np.cos(0.5))


def test_as_a_decorator() -> None:
    @checkpoint(policy=policies.dots_saveable)
    def f(w: Any, x: Any) -> Any:
        """Say so."""
        return tnp.sin(w @ x).sum()

    assert f.__doc__ == "Say so."
    assert stored(f, W, X) == ["dot_general"]


def test_residuals_are_printed(capsys: Any) -> None:
    def f(p: Any, x: Any) -> Any:
        return (tnp.sin(p["w"] * x) * np.arange(3.0)).sum()

    print_saved_residuals(f, {"w": X}, x=X)
    text = capsys.readouterr().out
    assert "f64[3] the argument p['w'] (argument 0)\n" in text
    assert "f64[3] the argument x\n" in text
    assert "f64[3] a constant\n" in text
    assert "f64[3] cos at " in text
    assert "test_checkpoint_policies.py" in text


WRONG: Any = "text"
REFUSED: dict[str, tuple[Any, str]] = {
    "policy": (lambda: checkpoint(tnp.sin, policy=WRONG), "policy must be a function, one of trac"),
    "concrete": (lambda: checkpoint(tnp.sin, concrete=True), "concrete=True is not supported"),
    "argument": (
        lambda: checkpoint(lambda x, kind: x)(1.0, {"a": WRONG}),
        r"checkpoint: kind\['a'\] \(argument 1\) must be an array or a scalar; got str; make it",
    ),
    "keyword": (
        lambda: checkpoint(lambda x, *, kind: x)(1.0, kind=WRONG),
        r"checkpoint: kind must be an array or a scalar; got str",
    ),
    "static": (
        lambda: checkpoint(tnp.sin, static_argnums=1)(1.0),
        "checkpoint: static_argnums=1 names argument 1, but",
    ),
    "name": (lambda: checkpoint_name(1.0, X), "the name must be a str"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(TracejitError, match=message) as caught:
        call()
    assert "test_checkpoint_policies.py" in str(caught.value)
