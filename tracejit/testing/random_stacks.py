"""Random programs under random stacks of transformations, and what each of them must be.

Every function of a stack takes arrays and returns a tuple of arrays, so that any transformation may
stand on any other.  What the top one must be follows from the one below it by a way that does not
use it: a loop, differences, an inner product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tracejit.control.interpret import interpret
from tracejit.core.interpreter import interpreting
from tracejit.ir.avals import ShapedArray
from tracejit.ir.verify import verify
from tracejit.numpy import asarray, take
from tracejit.runtime.jit import jit
from tracejit.testing.evaluate import Evaluate
from tracejit.testing.random_programs import Choose, Spec, draw_arrays, random_program
from tracejit.transforms.api import jvp
from tracejit.transforms.stage import stage

__all__ = ["TRANSFORMATIONS", "Layer", "Stack", "check_stack", "random_stack"]

Function = Callable[..., tuple[Any, ...]]
Arrays = list[np.ndarray[Any, Any]]


class Layer(NamedTuple):
    """A function of a stack.

    Attributes
    ----------
    kind : str
        ``"program"``, or which transformation of the layer below it is.
    inputs, outputs : tuple of Spec
        What it takes and returns.
    by : tuple of int
        The inputs of the layer below by which it differentiates.
    in_axes, out_axes : tuple of (int or None)
        Where a vmap or a loop has its lanes.
    """

    kind: str
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    by: tuple[int, ...] = ()
    in_axes: tuple[int | None, ...] = ()
    out_axes: tuple[int, ...] = ()


@dataclass
class Stack:
    """A program and the transformations on it.

    Attributes
    ----------
    lines : list of str
        The source.
    layers : list of Layer
        The program, then one a transformation; function ``fN`` of the source is layer N.
    """

    lines: list[str]
    layers: list[Layer] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(self.lines)

    __repr__ = __str__

    def functions(self) -> list[Function]:
        """Return the functions of the layers, the program first."""
        namespace: dict[str, Any] = {}
        exec(compile(str(self), "<random program>", "exec"), namespace)
        return [namespace[f"f{n}"] for n in range(len(self.layers))]


TOTAL = """
def total(outs):
    weights = [xp.reshape(xp.cos(1.0 + xp.arange(o.size)), o.shape) for o in outs]
    return sum(xp.sum(xp.real((0.8 - 0.6j) * o * w)) for o, w in zip(outs, weights))
"""

TRANSFORMATIONS = ("jit", "vmap", "jvp", "linearize", "checkpoint", "scan", "cond", "jacfwd",
                   "grad", "vjp", "jacrev", "linear_transpose")  # fmt: skip
MAX_INPUTS = 300


def random_stack(choose: Choose, depth: int = 4, top: str = "") -> Stack:
    """Return a random program under up to `depth` random transformations.

    Parameters
    ----------
    choose : callable
        Where the choices come from.
    depth : int
        The most transformations.
    top : str, optional
        The last transformation, one of `TRANSFORMATIONS`; where it does not go, another stands in.
    """
    lines, inputs, outputs = random_program(choose)
    stack = Stack([*lines, TOTAL], [Layer("program", inputs, outputs)])
    for _ in range(choose(depth if top else depth + 1)):
        _add(choose, stack, TRANSFORMATIONS[choose(len(TRANSFORMATIONS))])
    if top:
        _add(choose, stack, top)
    return stack


def _add(choose: Choose, stack: Stack, kind: str) -> None:
    """Put a transformation on top, or jit if it does not go there."""
    below = stack.layers[-1]
    floats = [n for n, s in enumerate(below.inputs) if s.kind != "i"]
    by = tuple(n for n in floats if choose(3) < 2) or (floats[0],)
    if kind.startswith("jac"):
        by = by[:1]
        specs = [below.inputs[by[0]], below.outputs[0]]
        if any(s.kind != "f" for s in specs) or specs[0].size * specs[1].size > 64:
            kind = "grad" if kind == "jacrev" else "jvp"
    if kind in ("vmap", "scan") and sum(s.size for s in below.inputs) > MAX_INPUTS / 3:
        kind = "jit"
    make = _LAYERS.get(kind)
    layer, text = make(choose, below, by) if make else _lanes(choose, below, kind)
    number = len(stack.layers)
    names = [f"x{n}" for n in range(len(layer.inputs))]
    own = names[: len(below.inputs)]
    given = ", ".join(f"x{n}" for n in by)
    fields = {
        "f": f"f{number - 1}",
        "fun": f"lambda {given}: f{number - 1}({', '.join(own)})",
        "by": given,
        "own": ", ".join(own),
        "rest": "".join(f"{n}, " for n in names[len(below.inputs) :]),
    }
    stack.lines.append(f"def f{number}({', '.join(names)}):")
    stack.lines += [f"    {line}" for line in text.format(**fields).split("\n")]
    stack.lines.append("")
    stack.layers.append(layer)


def _same(kind: str, text: str) -> Any:
    def make(choose: Choose, below: Layer, by: tuple[int, ...]) -> tuple[Layer, str]:
        del choose, by
        return Layer(kind, below.inputs, below.outputs), text

    return make


def _forward(kind: str, text: str) -> Any:
    def make(choose: Choose, below: Layer, by: tuple[int, ...]) -> tuple[Layer, str]:
        del choose
        inputs = (*below.inputs, *(below.inputs[n] for n in by))
        return Layer(kind, inputs, below.outputs, by), text

    return make


def _backward(kind: str, text: str) -> Any:
    def make(choose: Choose, below: Layer, by: tuple[int, ...]) -> tuple[Layer, str]:
        del choose
        inputs = (*below.inputs, *below.outputs) if kind != "grad" else below.inputs
        return Layer(kind, inputs, tuple(below.inputs[n] for n in by), by), text

    return make


def _jacobian(kind: str) -> Any:
    def make(choose: Choose, below: Layer, by: tuple[int, ...]) -> tuple[Layer, str]:
        del choose
        shape = below.outputs[0].shape + below.inputs[by[0]].shape
        text = f"return (tj.{kind}(lambda {{by}}: {{f}}({{own}})[0])({{by}}),)"
        return Layer(kind, below.inputs, (Spec(shape, "f"),), by), text

    return make


_LAYERS: dict[str, Any] = {
    "jit": _same("jit", "return tj.jit({f})({own})"),
    "checkpoint": _same("checkpoint", "return tj.checkpoint({f})({own})"),
    "cond": _same(
        "cond",
        "negative = lambda *xs: tuple(-o for o in {f}(*xs))\n"
        "return lax.cond(xp.sum(xp.real(x0)) < 999.0, {f}, negative, {own})",
    ),
    "jvp": _forward("jvp", "return tj.jvp({fun}, ({by},), ({rest}))[1]"),
    "linearize": _forward("linearize", "return tj.linearize({fun}, {by})[1]({rest})"),
    "grad": _backward("grad", "return tj.grad(lambda args: total(({fun})(*args)))(({by},))"),
    "vjp": _backward("vjp", "return tj.vjp({fun}, {by})[1](({rest}))"),
    "linear_transpose": _backward(
        "linear_transpose",
        "linear = tj.linearize({fun}, {by})[1]\nreturn tj.linear_transpose(linear, {by})(({rest}))",
    ),
    "jacfwd": _jacobian("jacfwd"),
    "jacrev": _jacobian("jacrev"),
}


def _lanes(choose: Choose, below: Layer, kind: str) -> tuple[Layer, str]:
    lanes = 2 + choose(2)

    def with_lanes(spec: Spec, axis: int | None) -> Spec:
        if axis is None:
            return spec
        return spec._replace(shape=(*spec.shape[:axis], lanes, *spec.shape[axis:]))

    def any_axis(spec: Spec) -> int:
        return choose(len(spec.shape) + 1) if kind == "vmap" else 0

    in_axes: list[int | None] = [None if choose(4) == 3 else any_axis(s) for s in below.inputs]
    if all(a is None for a in in_axes):
        in_axes[0] = any_axis(below.inputs[0])
    out_axes = [any_axis(s) for s in below.outputs]
    layer = Layer(
        kind,
        tuple(map(with_lanes, below.inputs, in_axes)),
        tuple(map(with_lanes, below.outputs, out_axes)),
        in_axes=tuple(in_axes),
        out_axes=tuple(out_axes),
    )
    if kind == "vmap":
        how = f"in_axes={tuple(in_axes)}, out_axes={tuple(out_axes)}"
        return layer, f"return tj.vmap({{f}}, {how})({{own}})"
    rows = "".join(f"x{n}, " for n, a in enumerate(in_axes) if a is not None)
    text = (
        f"def step(count, rows):\n    {rows}= rows\n    return count + 1, {{f}}({{own}})\n"
        f"return lax.scan(step, 0, ({rows}))[1]"
    )
    # The names of the rows are those of the inputs, hidden in the step.
    return layer, text


# ---------------------------------------------------------------------------------- what must hold


def check_stack(stack: Stack, seed: int = 0) -> None:
    """Raise AssertionError unless all ways of evaluating a stack agree, and its top is right.

    The ways are the interpreter of Programs over NumPy, eager evaluation, evaluation of each
    primitive over NumPy with its shape rule checked, and the compiled Program.

    Parameters
    ----------
    stack : Stack
        What to check.
    seed : int
        Of the arrays.
    """
    *_, top = functions = stack.functions()
    layer = stack.layers[-1]
    arrays = draw_arrays(layer.inputs, seed)
    given = [asarray(x) for x in arrays]
    program = stage(top, [ShapedArray(x.shape, x.dtype) for x in arrays], "random")
    verify(program)
    wanted = interpret(np, program, arrays)
    for spec, x in zip(layer.outputs, wanted, strict=True):
        assert (spec.shape, spec.kind) == (x.shape, x.dtype.kind), f"{x.dtype}{x.shape}: {spec}"
    if any(np.max(np.abs(x), initial=0) > 1e6 for x in wanted):
        return  # what rounding leaves of such numbers says little
    close(top(*given), wanted, "eager")
    close(jit(top)(*given), wanted, "compiled")
    with interpreting(Evaluate()):
        close(top(*given), wanted, "each primitive over NumPy")
    if len(stack.layers) > 1:
        _check_top(layer, stack.layers[-2], given, top, functions[-2], seed)


def close(found: Sequence[Any], wanted: Sequence[Any], what: str, tolerance: float = 1e-8) -> None:
    """Raise AssertionError unless two lists of arrays are as good as equal."""
    for n, (one, other) in enumerate(zip(found, wanted, strict=True)):
        a, b = np.asarray(one), np.asarray(other)
        assert a.shape == b.shape, f"{what}, output {n}: shape {a.shape}, not {b.shape}"
        assert a.dtype == b.dtype, f"{what}, output {n}: dtype {a.dtype}, not {b.dtype}"
        scale = max(1.0, float(np.max(np.abs(b), initial=0)))
        np.testing.assert_allclose(
            a, b, rtol=tolerance, atol=tolerance * scale, err_msg=f"{what}, output {n}"
        )


def _check_top(
    layer: Layer, under: Layer, arrays: list[Any], top: Function, below: Function, seed: int
) -> None:
    """Check that the function on top is what its layer says of the one below it."""
    own, rest = arrays[: len(under.inputs)], arrays[len(under.inputs) :]
    found = [np.asarray(x) for x in top(*arrays)]
    kind = layer.kind

    def moved(*xs: Any) -> tuple[Any, ...]:
        full: list[Any] = list(own)
        for n, x in zip(layer.by, xs, strict=True):
            full[n] = x
        return below(*full)

    primals = [own[n] for n in layer.by]
    if kind in ("jit", "checkpoint", "cond"):
        close(found, below(*own), kind)
    elif kind in ("vmap", "scan"):
        _check_lanes(layer, found, below, arrays)
    elif kind in ("jvp", "linearize"):
        _check_differences(kind, found, moved, primals, rest)
    else:
        tangents = draw_arrays([under.inputs[n] for n in layer.by], seed + 1)
        pushed = [np.asarray(x) for x in jvp(moved, tuple(primals), tuple(tangents))[1]]
        if kind.startswith("jac"):
            wanted = np.tensordot(found[0], tangents[0], tangents[0].ndim)
            close([wanted], pushed[:1], kind)
            return
        cts = [np.asarray(x) for x in rest] if kind != "grad" else [_weights(x) for x in pushed]
        left, right = _dot(cts, pushed), _dot(found, tangents)
        scale = max(1.0, sum(float(np.sum(np.abs(x))) for x in (*found, *pushed)))
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-8 * scale, err_msg=kind)


def _weights(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    weights: np.ndarray[Any, Any] = np.cos(1.0 + np.arange(x.size)).reshape(x.shape)
    return (0.8 - 0.6j) * weights


def _dot(xs: Sequence[Any], ys: Sequence[Any]) -> float:
    """Return the real part of the sum of products, which transposition keeps."""
    return sum(float(np.real(np.sum(x * y))) for x, y in zip(xs, ys, strict=True))


def _check_lanes(layer: Layer, found: Arrays, below: Function, arrays: list[Any]) -> None:
    lanes = next(x.shape[a] for x, a in zip(arrays, layer.in_axes, strict=True) if a is not None)
    for lane in range(lanes):
        one = [
            x if a is None else take(x, lane, a) for x, a in zip(arrays, layer.in_axes, strict=True)
        ]
        got = [np.take(x, lane, a) for x, a in zip(found, layer.out_axes, strict=True)]
        close(got, below(*one), f"{layer.kind}, lane {lane}")


def _check_differences(
    kind: str, found: Arrays, fun: Function, primals: list[Any], tangents: list[Any]
) -> None:
    """Compare with central differences, as exactly as two step lengths agree."""

    def difference(h: float) -> Arrays:
        ahead, behind = (
            fun(*(x + s * h * t for x, t in zip(primals, tangents, strict=True))) for s in (1, -1)
        )
        return [
            (np.asarray(a) - np.asarray(b)) / (2 * h) for a, b in zip(ahead, behind, strict=True)
        ]

    for n, (got, coarse, fine) in enumerate(
        zip(found, difference(2e-5), difference(1e-5), strict=True)
    ):
        scale = max(1.0, float(np.max(np.abs(fine), initial=0)))
        error = float(np.max(np.abs(coarse - fine), initial=0))
        np.testing.assert_allclose(
            got, fine, rtol=0, atol=2 * error + 1e-6 * scale, err_msg=f"{kind}, output {n}"
        )
