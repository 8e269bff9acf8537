"""named_scope and named_call: names in what explain shows, and in errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit import grad, jit, lax, make_program, named_call, named_scope
from tracejit.core.errors import ShapeError
from tracejit.tools.explain import explain


@named_call
def inner(x: Any) -> Any:
    return tnp.sin(x)


def model(x: Any) -> Any:
    with named_scope("first"):
        y = inner(x)
    with named_scope("second"):
        z = tnp.exp(y)
    return (z * named_call(tnp.cos, name="renamed")(x)).sum()


def scopes(program: Any) -> list[str]:
    return [eq.source.scope for eq in program.equations if eq.source is not None]


def test_equations_bear_nested_names() -> None:
    found = {eq.primitive.name: eq.source.scope for eq in make_program(model)(1.0).equations}
    assert found == {"sin": "first/inner", "exp": "second", "cos": "renamed", "mul": ""}


def test_derivatives_and_loops_keep_them() -> None:
    assert {"first/inner", "second", "renamed", ""} == set(scopes(make_program(grad(model))(1.0)))
    # A body that no other test has: equal bodies are one.
    body = lambda c, _: (inner(c) * 0.98711, None)
    looped = make_program(lambda x: lax.scan(body, x, None, length=3))(1.0)
    assert scopes(looped.equations[0].params["program"]) == ["inner", ""]


def test_explain_and_errors_show_them() -> None:
    text = str(explain(model)(np.ones(4)))
    assert "in inner [first/inner] | return tnp.sin(x)" in text
    assert "in model [second] | z = tnp.exp(y)" in text

    @named_scope("outer")
    def wrong(x: Any) -> Any:
        with named_scope("deep"):
            return x + tnp.ones(3)

    with pytest.raises(ShapeError, match=r"in .*wrong \[outer/deep\]"):
        jit(wrong)(np.ones(2))
    with pytest.raises(ShapeError) as found:
        jit(lambda x: x + tnp.ones(3))(np.ones(2))
    assert "[" not in str(found.value).split("\n  at ")[1].split("\n")[0]


def test_the_name_is_a_string() -> None:
    with pytest.raises(TypeError, match="must be a string; got int"):
        named_scope(3)  # type: ignore[arg-type]
