"""What the transformations refuse, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tracejit.core.errors import (
    ConcretizationError,
    DTypeError,
    MissingRuleError,
    ShapeError,
    StructureError,
)
from tracejit.ops.arithmetic import mul
from tracejit.ops.shape import reduce_sum
from tracejit.ops.transcendental import sin
from tracejit.transforms.api import (
    eval_shape,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linear_transpose,
    linearize,
    make_program,
    value_and_grad,
    vjp,
    vmap,
)

P = {"w": np.ones(3), "b": np.ones(2)}


def loss(p: Any, x: Any) -> Any:
    return reduce_sum(mul(p["w"], x), (0,))


Z0 = np.zeros(3)
WRONG: Any = "text"
CASES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "not scalar": (
        lambda: grad(sin)(np.ones(3)),
        ShapeError,
        r"grad: the output must be a scalar; got shape \(3,\)\. Sum it .* or use jacrev",
    ),
    "several outputs": (
        lambda: value_and_grad(lambda x: (x, x))(1.0),
        ShapeError,
        r"value_and_grad: the function must return one scalar; it returned 2 arrays .*has_aux",
    ),
    "integer input": (
        lambda: grad(loss, argnums=(1, 0))({"w": np.ones(3), "b": np.arange(2)}, np.ones(3)),
        DTypeError,
        r"grad: p\['b'\] \(argument 0\) has dtype int64; .*allow_int=True",
    ),
    "memory": (lambda: grad(sin, memory="much"), StructureError, 'a text like "64MB"'),
    "jacfwd output": (
        lambda: jacfwd(lambda x: {"n": 3})(Z0),
        DTypeError,
        "jacfwd: the outputs must be floating or complex; got int64",
    ),
    "integer output": (
        lambda: grad(lambda x: 3)(1.0),
        DTypeError,
        "grad: the output must be floating; got int64",
    ),
    "complex output": (
        lambda: grad(sin)(1j),
        DTypeError,
        "grad: the output must be real; got complex128.*holomorphic=True.*vjp",
    ),
    "holomorphic input": (
        lambda: grad(sin, holomorphic=True)(1.0),
        DTypeError,
        "grad: .*float64; with holomorphic=True inputs must be complex",
    ),
    "argnums out of range": (
        lambda: grad(loss, argnums=2)(P, 1.0),
        StructureError,
        "argnums=2 names argument 2, but the function was called with 2 positional arguments",
    ),
    "argnums no int": (
        lambda: grad(loss, argnums=WRONG)(P, 1.0),
        StructureError,
        "argnums must be",
    ),
    "has_aux without a pair": (
        lambda: grad(loss, has_aux=True)(P, np.ones(3)),
        StructureError,
        r"with has_aux=True, loss must return a pair \(result, aux\)",
    ),
    "jvp structure": (
        lambda: jvp(loss, (P, 1.0), ({"w": Z0}, 1.0)),
        StructureError,
        r"jvp: primals and tangents must have the same structure; at \[0\]",
    ),
    "jvp shape": (
        lambda: jvp(loss, (P, Z0), ({"w": np.zeros(2), "b": np.zeros(2)}, Z0)),
        ShapeError,
        r"tangent of p\['w'\] \(argument 0\) must have the shape of its primal, \(3,\); got \(2,\)",
    ),
    "jvp dtype": (
        lambda: jvp(sin, (Z0,), (Z0.astype("float32"),)),
        DTypeError,
        r"tangent of x \(argument 0\) must have the dtype of its primal, float64; got float32",
    ),
    "jvp float0": (
        lambda: jvp(lambda n: n, (np.arange(3),), (np.arange(3),)),
        DTypeError,
        r"tangent of n \(argument 0\) must have dtype float0.*got int64",
    ),
    "jvp no tuple": (lambda: jvp(sin, WRONG, WRONG), DTypeError, "primals must be a tuple or list"),
    "vjp structure": (
        lambda: vjp(lambda x: {"y": x}, 1.0)[1](1.0),
        StructureError,
        "cotangent and output must have the same structure; at the root there is a leaf",
    ),
    "vjp shape": (
        lambda: vjp(lambda x: {"y": x}, Z0)[1]({"y": np.zeros(4)}),
        ShapeError,
        r"vjp: the cotangent of result\['y'\] must have the shape",
    ),
    "linearize shape": (
        lambda: linearize(sin, Z0)[1](np.zeros(4)),
        ShapeError,
        r"linearize: the tangent of .* must have the shape",
    ),
    "linear_transpose dtypes": (
        lambda: linear_transpose(lambda x, n: x, 1.0, 2),
        DTypeError,
        "all inputs must be floating or complex, or all integers",
    ),
    "jacfwd input": (
        lambda: jacfwd(loss)({"w": np.arange(3)}, Z0),
        DTypeError,
        r"jacfwd: p\['w'\] \(argument 0\) has dtype int64; inputs must be floating",
    ),
    "jacrev output": (
        lambda: jacrev(lambda x: {"y": mul(x, 1j)})(np.ones(2, complex)),
        DTypeError,
        "jacrev: the output must be real",
    ),
    "vmap sizes": (
        lambda: vmap(loss)(P, np.ones((4, 3))),
        ShapeError,
        r"(?s)one size; got\n  p\['b'\] \(argument 0\) of shape \(2,\): axis 0 has size 2\n"
        r"  p\['w'\] .* size 3\n  x \(argument 1\) of shape \(4, 3\): axis 0 has size 4",
    ),
    "vmap axis_size": (
        lambda: vmap(sin, axis_size=4)(Z0),
        ShapeError,
        "the mapped axes and axis_size=4 must have one size",
    ),
    "vmap prefix": (
        lambda: vmap(loss, in_axes=({"w": 0}, 0))(P, Z0),
        StructureError,
        r"in_axes\[0\]: .* a dict with keys 'w' where the other has a dict with keys 'b', 'w'",
    ),
    "vmap in_axes length": (
        lambda: vmap(loss, in_axes=(0,))(P, Z0),
        StructureError,
        "in_axes has 1 entries.*called with 2",
    ),
    "vmap in_axes kind": (lambda: vmap(loss, in_axes="0"), StructureError, "in_axes must be"),
    "vmap in_axes leaf": (
        lambda: vmap(loss, in_axes=(0.5, 0))(P, Z0),
        StructureError,
        "must hold ints and None; got 0.5",
    ),
    "vmap nothing": (lambda: vmap(sin, in_axes=None)(1.0), ShapeError, "pass axis_size"),
    "vmap scalar": (
        lambda: vmap(sin)(1.0),
        ShapeError,
        r"has shape \(\), so it has no axis 0 to map over; use in_axes=None",
    ),
    "vmap axis": (
        lambda: vmap(loss, in_axes=({"w": 1, "b": None}, None))(P, Z0),
        ShapeError,
        r"p\['w'\] \(argument 0\) has shape \(3,\), so it has no axis 1",
    ),
    "vmap keyword": (
        lambda: vmap(lambda x, *, k: x)(Z0, k={"v": np.ones(2)}),
        ShapeError,
        r"k\['v'\] of shape \(2,\)",
    ),
    "vmap out_axes None": (
        lambda: vmap(lambda x: {"y": x}, out_axes=None)(Z0),
        ShapeError,
        r"result\['y'\] differs from sample to sample",
    ),
    "vmap out_axes range": (
        lambda: vmap(sin, out_axes=1)(Z0),
        ShapeError,
        "has rank 1 with the axis of the samples; out_axes puts that at 1",
    ),
    "vmap out_axes prefix": (
        lambda: vmap(lambda x: (x, x), out_axes=(0,))(Z0),
        StructureError,
        "out_axes: the tree must be a prefix",
    ),
    "not an array": (
        lambda: grad(lambda p: p)({"w": "text"}),
        DTypeError,
        r"grad: p\['w'\] \(argument 0\) must be an array or a scalar; got str",
    ),
    "not an array, jvp": (
        lambda: jvp(lambda p: p, ({"w": "text"},), ({"w": 1.0},)),
        DTypeError,
        r"jvp: p\['w'\] \(argument 0\) must be an array or a scalar; got str",
    ),
    "not an array, tangent": (
        lambda: jvp(lambda p: p, ({"w": 1.0},), ({"w": "text"},)),
        DTypeError,
        r"jvp: the tangent of p\['w'\] \(argument 0\) must be an array or a scalar; got str",
    ),
    "not an array, vjp": (
        lambda: vjp(lambda x, p: p, 1.0, {"w": np.array(["text"])}),
        DTypeError,
        r"vjp: p\['w'\] \(argument 1\) must be an array or a scalar; got dtype",
    ),
    "not an array, linearize": (
        lambda: linearize(lambda x: x, "text"),
        DTypeError,
        r"linearize: x \(argument 0\) must be an array or a scalar; got str",
    ),
    "not an array, vmap": (
        lambda: vmap(lambda x, p: x)(Z0, {"w": "text"}),
        DTypeError,
        r"vmap: p\['w'\] \(argument 1\) must be an array to be mapped over; got str\. Use in",
    ),
    "not an array, jacrev": (
        lambda: jacrev(lambda x: x)("text"),
        DTypeError,
        r"jacrev: x \(argument 0\) must be an array or a scalar; got str",
    ),
    "not an array, eval_shape": (
        lambda: eval_shape(lambda x, *, k: x, 1.0, k=["text"]),
        DTypeError,
        r"eval_shape: k\[0\] must be an array or a scalar; got str",
    ),
    "not an array, make_program": (
        lambda: make_program(lambda x, y: x)(1.0, "text"),
        DTypeError,
        r"make_program: y \(argument 1\) must be .*; or make it static: static_argnums",
    ),
    "not a function": (lambda: grad(WRONG), StructureError, "grad: the first argument must be"),
    "not a function, vmap": (lambda: vmap(WRONG), StructureError, "vmap: the first argument must"),
    "not a function, jvp": (lambda: jvp(WRONG, (), ()), StructureError, "jvp: the first argument"),
    "not a function, vjp": (lambda: vjp(WRONG), StructureError, "vjp: the first argument must"),
    "not a function, linearize": (
        lambda: linearize(np.ones(2)),  # type: ignore[arg-type]
        StructureError,
        "linearize: the first argument must be a function; got ndarray",
    ),
    "not a function, linear_transpose": (
        lambda: linear_transpose(WRONG),
        StructureError,
        "linear_transpose: the first argument must be a function",
    ),
    "not a function, eval_shape": (
        lambda: eval_shape(WRONG),
        StructureError,
        "eval_shape: the first argument must be a function; got str",
    ),
    "argnums of a kind": (
        lambda: jacfwd(loss, argnums=1.0),  # type: ignore[arg-type]
        StructureError,
        "jacfwd: argnums must be an int or a sequence of ints; got 1.0",
    ),
    "argnums twice": (
        lambda: grad(loss, argnums=(0, -2))(P, Z0),
        StructureError,
        r"grad: argnums=\(0, -2\) names argument 0 twice",
    ),
    "one output in a tuple": (
        lambda: grad(lambda x: (x,))(1.0),
        ShapeError,
        r"grad: the function must return one scalar; it returned 1 array in .*has_aux=True",
    ),
    "no output": (lambda: grad(lambda x: None)(1.0), ShapeError, "it returned 0 arrays in"),
    "has_aux with an array": (
        lambda: vjp(sin, Z0, has_aux=True),
        StructureError,
        r"must return a pair \(result, aux\); got an array, f64\[3\]",
    ),
    "hessian": (
        lambda: hessian(lambda n: n)(1),
        DTypeError,
        r"hessian: n \(argument 0\) has dtype int64; inputs must be floating",
    ),
    "cotangents": (
        lambda: vjp(lambda x: (x, x), 1.0)[1](1.0, 1.0),
        StructureError,
        "vjp: the pullback takes one argument, the cotangent of the output.*got 2 arguments",
    ),
    "cotangent dtype": (
        lambda: vjp(lambda x: {"y": x}, Z0)[1]({"y": Z0.astype("float32")}),
        DTypeError,
        r"cotangent of result\['y'\] must have the dtype of its primal, float64; got float32",
    ),
    "cotangent of an integer": (
        lambda: vjp(lambda x: (x, 3), Z0)[1]((Z0, 3)),
        DTypeError,
        r"cotangent of result\[1\] must have dtype float0, .*Write numpy.zeros\(shape, tracejit.dt",
    ),
    "tangents": (
        lambda: linearize(loss, P, Z0)[1](P),
        StructureError,
        "linearize: primals and tangents .* a tuple of length 1 where a tuple of length 2 is",
    ),
    "not linear": (
        lambda: linear_transpose(sin, Z0)(Z0),
        MissingRuleError,
        "there is no transposition of sin: it is not linear",
    ),
    "not linear, a product": (
        lambda: linear_transpose(lambda x: mul(x, x), Z0)(Z0),
        MissingRuleError,
        "there is no transposition of mul here: it is not linear in all of the operands",
    ),
    "vmap axis_size kind": (
        lambda: vmap(sin, axis_size=3.0),  # type: ignore[arg-type]
        StructureError,
        "vmap: axis_size must be the number of samples, an int >= 0; got 3.0",
    ),
    "vmap axis_size negative": (
        lambda: vmap(lambda: 1.0, axis_size=-1),
        StructureError,
        "an int >= 0; got -1",
    ),
    "vmap axis is bool": (lambda: vmap(sin, in_axes=True), StructureError, "got bool: True"),
    "vmap axis is bool inside": (
        lambda: vmap(sin, in_axes=(True,))(Z0),
        StructureError,
        "must hold ints and None; got True",
    ),
    "vmap spmd_axis_name": (
        lambda: vmap(sin, spmd_axis_name="i"),
        StructureError,
        "spmd_axis_name and sum_match are not supported: .*mesh of devices.*Use axis_name",
    ),
    "branch under vmap": (
        lambda: vmap(lambda x: x if x else mul(x, x))(Z0),
        ConcretizationError,
        "tracejit.lax.cond",
    ),
    "branch in a program": (
        lambda: make_program(grad(lambda x: x if x else mul(x, x)))(1.0),
        ConcretizationError,
        "needs the value of an array",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_message(name: str) -> None:
    call, kind, message = CASES[name]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "test_errors.py" in str(caught.value)
