"""Random programs with control flow, as Python source: it can be read, run, pasted into a report.

The programs can be differentiated almost everywhere, and their values are of the order of one: what
compares, rounds, sorts or takes an extreme does so after an offset that nothing else has, so that
there are no ties, and every way of evaluating takes the same branch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Choose", "Spec", "draw_arrays", "random_program"]

Choose = Callable[[int], int]
"""Takes n, returns a number from 0 up to n; the smaller, the simpler the program."""

MAX_SIZE = 64


class Spec(NamedTuple):
    """A value: its shape, and ``f`` for float64, ``c`` for complex128, ``i`` for int64."""

    shape: tuple[int, ...]
    kind: str

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))


class Value(NamedTuple):
    """A name in the source, and what it stands for."""

    name: str
    spec: Spec


def draw_arrays(specs: Sequence[Spec], seed: int) -> list[np.ndarray[Any, Any]]:
    """Return one array a Spec, the same for the same seed."""
    rng = np.random.default_rng(seed)
    arrays = []
    for shape, kind in specs:
        x = np.asarray(rng.uniform(-1, 1, shape))
        if kind == "c":
            x = x + 1j * rng.uniform(-1, 1, shape)
        arrays.append(np.asarray(rng.integers(0, 3, shape) if kind == "i" else x))
    return arrays


def random_program(choose: Choose) -> tuple[list[str], tuple[Spec, ...], tuple[Spec, ...]]:
    """Return the lines of a random function ``f0``, what it takes and what it returns.

    Parameters
    ----------
    choose : callable
        Where the choices come from.
    """
    writer = _Writer(choose)
    inputs = [Value(f"x{n}", writer.any_spec()) for n in range(1 + choose(3))]
    if choose(4) == 3:
        inputs.append(Value("index", Spec(writer.any_shape(2), "i")))
    writer.line(0, f"def f0({_listed(v.name for v in inputs)}):")
    outputs = writer.body(inputs, 1 + choose(6))
    writer.line(1, f"return ({_listed(v.name for v in outputs)},)")
    return [HEAD, *writer.lines], _specs(inputs), _specs(outputs)


HEAD = """import numpy as np
import tracejit as tj
import tracejit.numpy as xp
from tracejit import lax

def squash(z):
    return z / (1.0 + xp.real(z * xp.conj(z)))
"""


def _specs(values: Sequence[Value]) -> tuple[Spec, ...]:
    return tuple(v.spec for v in values)


def _listed(items: Any) -> str:
    return ", ".join(map(str, items))


# ------------------------------------------------------------------------------------- programs

POINTWISE = (
    "xp.sin({0})", "0.7 * {0}", "xp.tanh({0})", "{0} * {0}", "1.5 - {0}", "xp.exp(-{0} * {0})",
    "xp.log1p({0} * {0})", "xp.sqrt(1.5 + {0} * {0})", "1.0 / (1.5 + {0} * {0})", "xp.cos({0})",
    "xp.arctan({0})", "lax.logistic({0})", "xp.tanh({0} ** 3)", "xp.abs({0} + 0.01234)",
    "xp.maximum({0}, 0.05671)", "xp.where({0} > 0.04321, xp.sin({0}), 0.3 * {0})", "lax.erf({0})",
    "xp.sign({0} - 0.03213) * {0}", "xp.clip({0}, -0.5432, 0.5123)", "lax.expm1(0.3 * {0})",
    "(1.5 + {0} * {0}) ** 0.3", "xp.floor(2.345 * {0} + 0.1234) * {0}", "lax.cbrt(2.0 + {0} * {0})",
    "lax.rsqrt(1.5 + {0} * {0})", "xp.select([{0} < 0.0123, {0} < 0.5432], [{0}, 0.2 * {0}], 0.1)",
)  # fmt: skip
COMPLEX = (
    "(0.6 - 0.4j) * {0}", "xp.conj({0})", "{0} * {0}", "xp.exp(0.5 * {0})", "xp.sin(0.5 * {0})",
    "{0} / (1.5 + xp.abs({0}) ** 2)", "1.0 / (xp.conj({0}) + 3.0j)", "xp.sqrt({0} + 4.0)",
    "xp.log({0} + 4.0)", "lax.complex(xp.imag({0}), xp.tanh(xp.real({0})))", "xp.tanh(0.3 * {0})",
)  # fmt: skip
COMPLEX_TO_REAL = ("xp.real({0})", "xp.imag({0})", "xp.abs({0} + 0.0123)", "xp.angle({0} + 4.0)")
PAIRS = (
    "{0} + {1}", "{0} * {1}", "{0} - 0.5 * {1}", "{0} / (1.5 + {1} * {1})",
    "xp.arctan2({0}, 1.5 + {1} * {1})", "xp.where({0} > {1} + 0.02345, {0}, {1})",
    "xp.minimum({0}, {1} + 0.01357)", "(1.5 + {0} * {0}) ** xp.tanh({1})",
    "xp.hypot({0} + 2.0, {1})", "xp.logaddexp({0}, {1})",
)  # fmt: skip
COMPLEX_PAIRS = ("{0} + {1}", "{0} * {1}", "{0} - 0.5j * {1}", "{0} * xp.conj({1})",
                 "{0} / ({1} + 4.0)")  # fmt: skip


class _Writer:
    """Writes the statements of a program."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.lines: list[str] = []
        self.count = 0

    # Choices.

    def pick(self, items: Sequence[Any]) -> Any:
        return items[self.choose(len(items))]

    def any_shape(self, rank: int = 3) -> tuple[int, ...]:
        return tuple(self.pick((3, 2, 4, 1)) for _ in range(self.choose(rank + 1)))

    def any_spec(self) -> Spec:
        return Spec(self.any_shape(), "c" if self.choose(5) == 4 else "f")

    def value(self, values: Sequence[Value], kinds: str = "fc") -> Value:
        """Pick a value, rather a late one."""
        fit = [v for v in values if v.spec.kind in kinds]
        if not fit:
            return Value(f"xp.cos(xp.real({values[0].name}))", Spec(values[0].spec.shape, "f"))
        return fit[-1 - min(self.choose(len(fit)), self.choose(len(fit)))]

    def axis(self, spec: Spec) -> int:
        return self.choose(len(spec.shape))

    # Expressions.

    def line(self, indent: int, text: str) -> None:
        self.lines.append("    " * indent + text)

    def fresh(self, letter: str = "v") -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def fit(self, value: Value, spec: Spec) -> str:
        """Return an expression of `value` of `spec`."""
        name, (shape, kind) = value
        if kind == "i":
            name, kind = f"xp.cos({name})", "f"
        if kind != spec.kind:
            name = f"xp.real({name})" if spec.kind == "f" else f"(0.6 + 0.8j) * {name}"
        if shape == spec.shape:
            return name
        try:
            if np.broadcast_shapes(shape, spec.shape) == spec.shape:
                return f"xp.broadcast_to({name}, {spec.shape})"
        except ValueError:
            pass
        return f"xp.full({spec.shape}, xp.mean({name}))"

    def squashed(self, text: str, kind: str) -> str:
        return f"xp.tanh({text})" if kind == "f" else f"squash({text})"

    # Statements.

    def body(self, values: Sequence[Value], statements: int) -> list[Value]:
        """Write statements, and return the values to return: at least one."""
        known = list(values)
        for _ in range(statements):
            known.append(self.statement(known, 1, 2))
        last = known[-1] if known[-1].spec.kind != "i" else self.value(known)
        return [last, self.value(known)] if self.choose(3) == 2 else [last]

    def statement(self, values: list[Value], indent: int, nesting: int) -> Value:
        plain = (self.pointwise, self.pair, self.reduction, self.movement, self.indexing,
                 self.update, self.product, self.ordering, self.complexes)  # fmt: skip
        if nesting and self.choose(5) >= 2:
            structures = (self.scan, self.loop, self.branch, self.call, self.derivative,
                          self.mapped)  # fmt: skip
            made: Value = self.pick(structures)(values, indent, nesting - 1)
            return made
        text, spec = self.pick(plain)(values)
        if spec.size > MAX_SIZE:
            text, spec = f"xp.mean({text})", Spec((), spec.kind)
        name = self.fresh()
        self.line(indent, f"{name} = {text}")
        return Value(name, spec)

    def pointwise(self, values: list[Value]) -> tuple[str, Spec]:
        x = self.value(values)
        return self.pick(POINTWISE if x.spec.kind == "f" else COMPLEX).format(x.name), x.spec

    def pair(self, values: list[Value]) -> tuple[str, Spec]:
        x, y = self.value(values), self.value(values)
        kind = "c" if "c" in x.spec.kind + y.spec.kind else "f"
        try:
            shape = np.broadcast_shapes(x.spec.shape, y.spec.shape)
            other = y.name
        except ValueError:
            shape, other = x.spec.shape, f"xp.mean({y.name})"
        text = self.pick(PAIRS if kind == "f" else COMPLEX_PAIRS).format(x.name, other)
        return text, Spec(shape, kind)

    def reduction(self, values: list[Value]) -> tuple[str, Spec]:
        x = self.value(values)
        shape = list(x.spec.shape)
        if not shape:
            return f"xp.sum({x.name}) * 0.5", x.spec
        axis = self.axis(x.spec)
        keep = self.choose(4) == 3
        names = ["sum", "mean", "prod"]
        text = x.name
        if x.spec.kind == "f":
            names += ["max", "min", "var", "cumsum", "cumprod", "logsumexp"]
            text = f"({x.name} + {self.offsets(x.spec)})"
        name = self.pick(names)
        if name.startswith("cum"):
            return f"xp.tanh(xp.{name}({x.name}, axis={axis}))", x.spec
        shape[axis : axis + 1] = [1] if keep else []
        spec = Spec(tuple(shape), x.spec.kind)
        if name == "logsumexp":
            inner = f"xp.sum(xp.exp({x.name}), axis={axis}, keepdims={keep})"
            return f"xp.log({inner})", spec
        if name in ("max", "min", "var"):
            return f"xp.{name}({text}, axis={axis}, keepdims={keep})", spec
        return f"xp.{name}({x.name}, axis={axis}, keepdims={keep})", spec

    def offsets(self, spec: Spec) -> str:
        """Return an array of `spec` whose elements differ, so that sums with it have no ties."""
        return f"xp.reshape(xp.sin(1.0 + xp.arange({spec.size})), {spec.shape})"

    def movement(self, values: list[Value]) -> tuple[str, Spec]:
        x = self.value(values)
        name, (shape, kind) = x
        rank = len(shape)
        if not rank:
            return f"xp.full((3,), {name})", Spec((3,), kind)
        axis = self.axis(x.spec)
        length = shape[axis]
        how = self.choose(10)
        if how == 0:
            order = [*range(1, rank), 0]
            return f"xp.transpose({name}, {order})", Spec(tuple(shape[i] for i in order), kind)
        if how == 1:
            return f"xp.reshape({name}, (-1,))", Spec((x.spec.size,), kind)
        if how == 2:
            return f"xp.roll({name}, {1 - self.choose(4)}, axis={axis})", x.spec
        if how == 3:
            return f"xp.flip({name}, axis={axis})", x.spec
        if how == 4:
            other = self.fit(self.value(values), x.spec)
            joined = (*shape[:axis], 2 * length, *shape[axis + 1 :])
            return f"xp.concatenate([{name}, {other}], axis={axis})", Spec(joined, kind)
        if how == 5:
            other = self.fit(self.value(values), x.spec)
            joined = (*shape[:axis], 2, *shape[axis:])
            return f"xp.stack([{name}, {other}], axis={axis})", Spec(joined, kind)
        if how == 6:
            widths = [(int(i == axis), int(i == axis) * self.choose(3)) for i in range(rank)]
            padded = tuple(d + a + b for d, (a, b) in zip(shape, widths, strict=True))
            mode = self.pick(("constant", "edge", "wrap"))
            return f"xp.pad({name}, {widths}, mode={mode!r})", Spec(padded, kind)
        if how == 7:
            return f"xp.expand_dims({name}, {axis})", Spec((*shape[:axis], 1, *shape[axis:]), kind)
        if how == 8:
            tiled = (*shape[:axis], 2 * length, *shape[axis + 1 :])
            return f"xp.repeat({name}, 2, axis={axis})", Spec(tiled, kind)
        if how == 9 and length > 1:
            less = (*shape[:axis], length - 1, *shape[axis + 1 :])
            return f"xp.diff({name}, axis={axis})", Spec(less, kind)
        return f"xp.moveaxis({name}, {axis}, -1)", Spec(
            (*shape[:axis], *shape[axis + 1 :], length), kind
        )

    def index_of(self, values: list[Value], length: int) -> tuple[str, tuple[int, ...]]:
        """Return the text of integers within `length`, known or not, and their shape."""
        ints = [v for v in values if v.spec.kind == "i"]
        how = self.choose(4)
        if how == 1:
            listed = [self.choose(length) - length * self.choose(2) for _ in range(2)]
            return f"np.array({listed})", (2,)
        if how == 2:
            x = self.value(values, "f")
            if x.spec.size < 8 or not x.spec.shape:
                scaled = f"xp.floor({2.345 * length} * {x.name} + 0.1234)"
                return f"({scaled}.astype(int) % {length})", x.spec.shape
        if how == 3 and ints:
            x = self.pick(ints)
            return f"({x.name} % {length})", x.spec.shape
        return str(self.choose(length)), ()

    def indexing(self, values: list[Value]) -> tuple[str, Spec]:
        x = self.value(values)
        name, (shape, kind) = x
        if not shape:
            return f"{name}[None]", Spec((1,), kind)
        axis = self.axis(x.spec)
        before, length, after = shape[:axis], shape[axis], shape[axis + 1 :]
        lead = ":, " * axis
        how = self.choose(7)
        if how == 0:
            index, extra = self.index_of(values, length)
            if extra and axis:
                return f"xp.take({name}, {index}, axis={axis})", Spec(
                    (*before, *extra, *after), kind
                )
            return f"{name}[{lead}{index}]", Spec((*before, *extra, *after), kind)
        if how == 1:
            step = self.pick((1, 2, -1))
            low = self.choose(min(length, 2)) if step > 0 else 0
            cut = f"{low}::{step}" if step > 0 else "::-1"
            count = len(range(length)[low::step]) if step > 0 else length
            return f"{name}[{lead}{cut}]", Spec((*before, count, *after), kind)
        if how == 2:
            size = 1 + self.choose(length)
            start, extra = self.index_of(values, length)
            start = start if extra == () else "0"
            text = f"lax.dynamic_slice_in_dim({name}, {start}, {size}, axis={axis})"
            return text, Spec((*before, size, *after), kind)
        if how == 3:
            index, extra = self.index_of(values, length)
            if len(extra) == 1 and kind == "f":
                aligned = (*(1 for _ in before), *extra, *(1 for _ in after))
                spec = Spec((*before, *extra, *after), kind)
                full = f"xp.broadcast_to(xp.reshape({index}, {aligned}), {spec.shape})"
                return f"xp.take_along_axis({name}, {full}, axis={axis})", spec
        if how == 4 and len(shape) == 2:
            count = min(shape)
            return f"{name}[xp.arange({count}), xp.arange({count})]", Spec((count,), kind)
        if how == 5:
            ends = Spec((*before, 2 * after[0], *after[1:]), kind) if after else None
            if ends is not None:
                text = f"xp.concatenate([{name}[{lead}0], {name}[{lead}-1]], axis={axis})"
                return text, ends
        return f"{name}[..., None]", Spec((*shape, 1), kind)

    def update(self, values: list[Value]) -> tuple[str, Spec]:
        x = self.value(values)
        name, (shape, kind) = x
        if not shape:
            return self.pointwise(values)
        index, extra = self.index_of(values, shape[0])
        part = self.fit(self.value(values), Spec((*extra, *shape[1:]), kind))
        how = self.pick(("add", "set", "multiply", "max", "window"))
        if how in ("set", "multiply", "max") and extra:
            how = "add"  # which of several updates of an element lasts is nowhere said
        if how == "max" and kind == "c":
            how = "set"
        if how == "window":
            rows = self.fit(self.value(values), Spec((1, *shape[1:]), kind))
            start = index if extra == () else "0"
            return f"lax.dynamic_update_slice_in_dim({name}, {rows}, {start}, 0)", x.spec
        if how == "max":
            part = f"{part} + 0.01928"
        return f"{name}.at[{index}].{how}({part})", x.spec

    def product(self, values: list[Value]) -> tuple[str, Spec]:
        x, y = self.value(values), self.value(values)
        kind = "c" if "c" in x.spec.kind + y.spec.kind else "f"
        left, right = x.spec.shape, y.spec.shape
        if not left or not right:
            return f"{x.name} * xp.sum({y.name})", Spec(left, kind)
        how = self.choose(3)
        if how == 0:
            inner = left[-1]
            wanted = Spec((inner, 2), y.spec.kind)
            out = Spec((*left[:-1], 2), kind)
            return self.squashed(f"{x.name} @ {self.fit(y, wanted)}", kind), out
        if how == 1:
            wanted = Spec((left[0], 3), y.spec.kind)
            text = f"xp.tensordot({x.name}, {self.fit(y, wanted)}, axes=((0,), (0,)))"
            return self.squashed(text, kind), Spec((*left[1:], 3), kind)
        text = f"xp.einsum('...i,...i->...', {x.name}, {self.fit(y, Spec(left, y.spec.kind))})"
        return self.squashed(text, kind), Spec(left[:-1], kind)

    def ordering(self, values: list[Value]) -> tuple[str, Spec]:
        x = self.value(values, "f")
        if not x.spec.shape:
            return f"xp.floor(2.345 * {x.name} + 0.1234).astype(int)", Spec((), "i")
        axis = self.axis(x.spec)
        text = f"{x.name} + {self.offsets(x.spec)}"
        less = Spec((*x.spec.shape[:axis], *x.spec.shape[axis + 1 :]), "i")
        how = self.choose(4)
        if how == 0:
            return f"xp.sort({text}, axis={axis})", x.spec
        if how == 1:
            return f"xp.argmax({text}, axis={axis})", less
        if how == 2:
            return f"xp.sum({x.name} > 0.02468, axis={axis})", less
        return f"xp.argsort({text}, axis={axis})", Spec(x.spec.shape, "i")

    def complexes(self, values: list[Value]) -> tuple[str, Spec]:
        x = self.value(values)
        if x.spec.kind == "c":
            return self.pick(COMPLEX_TO_REAL).format(x.name), Spec(x.spec.shape, "f")
        other = self.fit(self.value(values), x.spec)
        text = self.pick(("lax.complex({0}, {1})", "xp.exp(1j * {0}) * {1}"))
        return text.format(x.name, other), Spec(x.spec.shape, "c")

    # Structures: each writes a function, whose body sees all that is known where it stands.

    def function(
        self,
        parameters: Sequence[Value],
        values: list[Value],
        wanted: Sequence[Spec],
        indent: int,
        nesting: int,
    ) -> str:
        """Write a function returning values of `wanted`, that are of the order of one."""
        name = self.fresh("g")
        self.line(indent, f"def {name}({_listed(v.name for v in parameters)}):")
        known = [*values, *parameters]
        for _ in range(1 + self.choose(3)):
            known.append(self.statement(known, indent + 1, nesting))
        texts = []
        for n, spec in enumerate(wanted):
            value = known[-1] if n == 0 else self.value(known, "fci")
            texts.append(self.squashed(self.fit(value, spec), spec.kind))
        self.line(indent + 1, f"return {_listed(texts)}")
        return name

    def scan(self, values: list[Value], indent: int, nesting: int) -> Value:
        start, rows = self.value(values), self.value(values)
        carry, row = self.fresh("c"), self.fresh("r")
        slices = rows.spec._replace(shape=rows.spec.shape[1:])
        ys = Spec(self.any_shape(1), "f")
        parameters = [Value(carry, start.spec), Value(row, slices)]
        if not rows.spec.shape:  # there is nothing to go over, so it goes over numbers
            parameters[1], over = Value(row, Spec((), "i")), "xp.arange(2)"
        else:
            over = rows.name
        count = rows.spec.shape[0] if rows.spec.shape else 2
        step = self.function(parameters, values, [start.spec, ys], indent, nesting)
        last, outs = self.fresh(), self.fresh()
        reverse = bool(self.choose(2))
        self.line(
            indent, f"{last}, {outs} = lax.scan({step}, {start.name}, {over}, reverse={reverse})"
        )
        stacked = Value(outs, Spec((count, *ys.shape), "f"))
        if self.choose(2):
            values.append(stacked)
            return Value(last, start.spec)
        values.append(Value(last, start.spec))
        return stacked

    def loop(self, values: list[Value], indent: int, nesting: int) -> Value:
        start = self.value(values)
        carry, i, out = self.fresh("c"), self.fresh("i"), self.fresh()
        parameters = [Value(i, Spec((), "i")), Value(carry, start.spec)]
        step = self.function(parameters, values, [start.spec], indent, nesting)
        if self.choose(3) < 2:
            self.line(
                indent, f"{out} = lax.fori_loop(0, {1 + self.choose(3)}, {step}, {start.name})"
            )
            return Value(out, start.spec)
        # Its length hangs on what was computed.
        end = f"xp.sum(xp.real({carry}[1])) < {self.pick((0.5432, 1.2345, -0.1357))}"
        self.line(
            indent,
            f"{out} = lax.while_loop(lambda {carry}: ({carry}[0] < 3) & ({end}), "
            f"lambda {carry}: ({carry}[0] + 1, {step}({carry}[0], {carry}[1])), "
            f"(0, {start.name}))[1]",
        )
        return Value(out, start.spec)

    def branch(self, values: list[Value], indent: int, nesting: int) -> Value:
        x, on = self.value(values), self.value(values)
        spec = Spec(self.any_shape(2), x.spec.kind)
        count = 2 + self.choose(2)
        names = []
        for _ in range(count):
            parameter = Value(self.fresh("b"), x.spec)
            names.append(self.function([parameter], values, [spec], indent, nesting))
        out = self.fresh()
        number = f"xp.sum(xp.real({on.name}))"
        if count == 2:
            self.line(
                indent, f"{out} = lax.cond({number} > 0.07651, {names[0]}, {names[1]}, {x.name})"
            )
        else:
            index = f"xp.floor({number} + 1.0123).astype(int)"
            self.line(indent, f"{out} = lax.switch({index}, [{_listed(names)}], {x.name})")
        return Value(out, spec)

    def call(self, values: list[Value], indent: int, nesting: int) -> Value:
        x = self.value(values)
        spec = Spec(self.any_shape(2), x.spec.kind)
        parameter = Value(self.fresh("a"), x.spec)
        name = self.function([parameter], values, [spec], indent, nesting)
        out = self.fresh()
        self.line(indent, f"{out} = tj.{self.pick(('jit', 'checkpoint'))}({name})({x.name})")
        return Value(out, spec)

    def derivative(self, values: list[Value], indent: int, nesting: int) -> Value:
        x = self.value(values, "f")
        parameter = Value(self.fresh("a"), x.spec)
        number = Spec((), "f")
        out = self.fresh()
        name = self.function([parameter], values, [number], indent, nesting)
        if self.choose(2):
            pushed = f"tj.jvp({name}, ({x.name},), (xp.cos({x.name}),))[1]"
            self.line(indent, f"{out} = xp.tanh({pushed})")
            return Value(out, number)
        self.line(indent, f"{out} = xp.tanh(tj.grad({name})({x.name}))")
        return Value(out, x.spec)

    def mapped(self, values: list[Value], indent: int, nesting: int) -> Value:
        x = self.value(values)
        if not x.spec.shape:
            return self.call(values, indent, nesting)
        axis = self.axis(x.spec)
        row = Spec((*x.spec.shape[:axis], *x.spec.shape[axis + 1 :]), x.spec.kind)
        spec = Spec(self.any_shape(1), x.spec.kind)
        name = self.function([Value(self.fresh("a"), row)], values, [spec], indent, nesting)
        out = self.fresh()
        if self.choose(2):
            self.line(indent, f"{out} = lax.map({name}, xp.moveaxis({x.name}, {axis}, 0))")
        else:
            self.line(indent, f"{out} = tj.vmap({name}, in_axes={axis})({x.name})")
        return Value(out, Spec((x.spec.shape[axis], *spec.shape), spec.kind))
