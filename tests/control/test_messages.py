"""What control operators and traced values refuse: which leaf, from what to what, on which line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit import grad, jit, lax, vmap
from tracejit.core.errors import (
    ConcretizationError,
    DTypeError,
    LeakedTracerError,
    ShapeError,
    StructureError,
)

X = np.array([0.3, -0.7, 1.2])
CARRY: Any = {"a": X, "n": np.int64(0)}
WRONG: Any = "text"


def shorter(c: Any) -> Any:
    return {"a": c["a"][:-1], "n": c["n"]}


def narrower(c: Any) -> Any:
    return {"a": c["a"].astype("float32"), "n": c["n"]}


def promoted(c: Any) -> Any:
    return {"a": c["a"], "n": c["n"] + 1.5}


def poorer(c: Any) -> Any:
    return {"a": c["a"]}


LOOPS: dict[str, Callable[[Any], Any]] = {
    "scan": lambda step: lax.scan(lambda c, x: (step(c), x), CARRY, X),
    "fori_loop": lambda step: lax.fori_loop(0, 3, lambda i, c: step(c), CARRY),
    "fori_loop, traced bound": lambda step: jit(
        lambda n: lax.fori_loop(0, n, lambda i, c: step(c), CARRY)
    )(3),
    "while_loop": lambda step: lax.while_loop(lambda c: c["n"] < 3, step, CARRY),
}
CHANGES: dict[str, tuple[Any, type[Exception], str]] = {
    "shape": (shorter, ShapeError, r"\['a'\] goes in with shape \(3,\) and comes out with \(2,\)"),
    "dtype": (narrower, DTypeError, r"\['a'\] goes in as f64\[3\] and comes out as f32\[3\]"),
    "promotion": (promoted, DTypeError, r"\['n'\] goes in as i64\[\] and comes out as f64\[\]"),
    "structure": (poorer, StructureError, "there is a dict with keys 'a' where a dict with keys "),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_carry_that_changes(loop: str, change: str) -> None:
    step, kind, message = CHANGES[change]
    with pytest.raises(kind, match=message) as caught:
        LOOPS[loop](step)
    text = str(caught.value)
    assert text.startswith(f"{loop.partition(',')[0]}: ")
    assert "test_messages.py" in text


kept: list[Any] = []


def keep(x: Any) -> Any:
    kept.append(x)
    return x


def leaked(use: Callable[[Any], Any], how: Any = jit, x: Any = X) -> Any:
    kept.clear()
    how(lambda x: keep(x * 2.0).sum())(x)
    return use(kept[0])


OTHERS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "scan, no function": (
        lambda: lax.scan(CARRY, lambda c, x: (c, x), X),  # type: ignore[arg-type]
        StructureError,
        "scan: f must be a function; got dict",
    ),
    "while_loop, no function": (
        lambda: lax.while_loop(WRONG, shorter, CARRY),
        StructureError,
        "while_loop: cond_fun must be a function; got str",
    ),
    "fori_loop, no function": (
        lambda: lax.fori_loop(0, 3, WRONG, CARRY),
        StructureError,
        "fori_loop: body_fun must be a function; got str",
    ),
    "map, no function": (lambda: lax.map(WRONG, X), StructureError, "map: f must be a function"),
    "while_loop, vector": (
        lambda: lax.while_loop(lambda c: c["a"] < 3, lambda c: c, CARRY),
        StructureError,
        r"must return one bool scalar; got bool\[3\]",
    ),
    "while_loop, number": (
        lambda: lax.while_loop(lambda c: c["n"], lambda c: c, CARRY),
        DTypeError,
        r"must return a bool; got i64\[\]\. Write a comparison, x != 0",
    ),
    "scan, axes": (
        lambda: lax.scan(lambda c, x: (c, x), 0.0, {"u": X, "v": X[:2]}),
        ShapeError,
        r"xs\['u'\] gives 3, xs\['v'\] of shape \(2,\) gives 2",
    ),
    "cond, shapes": (
        lambda: lax.cond(True, lambda x: {"y": x}, lambda x: {"y": x[:1]}, X),
        ShapeError,
        r"result\['y'\] is f64\[1\] from false_fun \(lambda\) and f64\[3\] from true_fun",
    ),
    "cond, dtypes": (
        lambda: lax.cond(True, lambda x: [x], lambda x: [x.astype("float32")], tnp.asarray(X)),
        DTypeError,
        r"result\[0\] is f32\[3\] from false_fun \(lambda\) and f64\[3\] from true_fun",
    ),
    "cond, structures": (
        lambda: lax.cond(True, lambda x: {"y": x}, lambda x: (x,), X),
        StructureError,
        "at the root false_fun .* returns a tuple of length 1, true_fun .* returns a dict",
    ),
    "switch, dtypes": (
        lambda: lax.switch(1, [lambda x: x, lambda x: x, lambda x: x > 0], X),
        DTypeError,
        r"result is f64\[3\] from branch 0 \(lambda\) and bool\[3\] from branch 2",
    ),
    "cond under vmap": (
        lambda: vmap(lambda x: lax.cond(x > 0, lambda: x, lambda: {"y": x}))(X),
        StructureError,
        "cond: the branches must return the same structure",
    ),
    "leak, used eagerly": (
        lambda: leaked(tnp.sin),
        LeakedTracerError,
        r"(?s)a traced value of f64\[3\] is used after .* that made it has ended.*"
        r"it was made at .*test_messages.py.*keep\(x \* 2\.0\)",
    ),
    "leak, into jit": (
        lambda: leaked(lambda y: jit(lambda x: x + y)(X)),
        LeakedTracerError,
        r"(?s)a traced value of f64\[3\] .*it was made at .*test_messages.py",
    ),
    "leak, from grad": (
        lambda: leaked(tnp.sin, grad),
        LeakedTracerError,
        r"(?s)a traced value of f64\[3\] .*it was made at .*test_messages.py",
    ),
    "leak, from vmap": (
        lambda: leaked(tnp.sin, vmap, np.ones((2, 3))),
        LeakedTracerError,
        r"a traced value of f64\[3\] is used after",
    ),
    "leak, from jit of vmap": (
        lambda: leaked(tnp.sin, lambda f: jit(vmap(f)), np.ones((2, 3))),
        LeakedTracerError,
        r"(?s)a traced value of f64\[3\] .*it was made at .*test_messages.py",
    ),
    "leak, to NumPy": (lambda: leaked(np.asarray), LeakedTracerError, "stands for no array now"),
    "leak, to Python": (lambda: leaked(lambda y: bool(y[0])), LeakedTracerError, "no array now"),
    "leak, returned": (lambda: leaked(lambda y: jit(lambda: y)()), LeakedTracerError, "no array"),
    "no value": (
        lambda: jit(lambda x: x if x > 0 else -x)(1.0),
        ConcretizationError,
        "Python `if`.*lax.cond",
    ),
    "setting an item": (
        lambda: jit(lambda x: x.__setitem__(0, 1.0))(X),
        DTypeError,
        r"write x = x\.at\[index\]\.set\(value\)",
    ),
    "no such axis": (
        lambda: vmap(lambda x: lax.psum(x, "j"), axis_name="i")(X),
        StructureError,
        r"there is no axis named 'j' here .*named axes: 'i'.*vmap\(\.\.\., axis_name='j'\)",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_message(name: str) -> None:
    call, kind, message = OTHERS[name]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "test_messages.py" in str(caught.value)
