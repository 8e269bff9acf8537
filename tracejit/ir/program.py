"""Program: the array IR, a list of equations over typed variables.

A Program is immutable and holds its constants.  Sub-programs are params of the equations of
control primitives.  The text form prints here and is read back by :mod:`tracejit.ir.parse`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_bool, short_name

__all__ = ["Atom", "Equation", "Literal", "Program", "Source", "Var", "sub_programs"]


class Var:
    """A variable: written once, by an equation or as an input or constant of its Program."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"Var({self.aval})"


class Literal:
    """A scalar constant inside an equation.

    Attributes
    ----------
    value : bool, int, float or complex
        The Python value; floats of narrow dtypes are already rounded to them.
    aval : ShapedArray, shape ()
        Its dtype and weakness.
    """

    __slots__ = ("aval", "value")

    def __init__(self, value: Any, aval: ShapedArray) -> None:
        self.value = value
        self.aval = aval

    def __repr__(self) -> str:
        return f"Literal({self.value!r}, {self.aval})"


Atom = Var | Literal


class Source(NamedTuple):
    """Where the user wrote an operation: resolved to a line only when it is shown.

    Attributes
    ----------
    code : code object
        The function.
    offset : int
        The instruction.
    scope : str
        The names that the user gave to what was in progress, ``"outer/inner"``.
    """

    code: CodeType
    offset: int
    scope: str = ""

    def line(self) -> int:
        """Return the line number of the instruction."""
        line = self.code.co_firstlineno
        for start, end, number in self.code.co_lines():
            if start <= self.offset < end and number is not None:
                return number
        return line

    def __str__(self) -> str:
        where = f"{self.code.co_filename}:{self.line()} in {self.code.co_qualname}"
        return f"{where} [{self.scope}]" if self.scope else where


class Equation(NamedTuple):
    """One bound primitive: ``outputs = primitive[params] inputs``.

    `primitive` is the object of :mod:`tracejit.core.primitive`; here only its ``name`` counts.
    """

    primitive: Any
    inputs: tuple[Atom, ...]
    params: dict[str, Any]
    outputs: tuple[Var, ...]
    source: Source | None = None


class Program:
    """A function of arrays as data: inputs, equations, outputs, and its constants.

    Attributes
    ----------
    inputs : tuple of Var
        The arguments, in order.
    equations : tuple of Equation
        In an order in which every Var is written before it is read.
    outputs : tuple of Var or Literal
        The results, in order.
    constants : tuple of (Var, array)
        Arrays captured by the traced function, each bound to a Var.
    name : str
        What it was traced from, for messages.
    """

    __slots__ = ("__weakref__", "constants", "equations", "inputs", "name", "outputs")

    def __init__(
        self,
        inputs: Iterable[Var],
        equations: Iterable[Equation],
        outputs: Iterable[Atom],
        constants: Iterable[tuple[Var, Any]] = (),
        name: str = "program",
    ) -> None:
        self.inputs = tuple(inputs)
        self.equations = tuple(equations)
        self.outputs = tuple(outputs)
        self.constants = tuple(constants)
        self.name = name

    @property
    def in_avals(self) -> tuple[ShapedArray, ...]:
        """The abstract values of the inputs."""
        return tuple(v.aval for v in self.inputs)

    @property
    def out_avals(self) -> tuple[ShapedArray, ...]:
        """The abstract values of the outputs."""
        return tuple(a.aval for a in self.outputs)

    def replace(self, **changes: Any) -> Program:
        """Return a Program with some of its attributes replaced."""
        fields = {name: getattr(self, name) for name in Program.__slots__ if name != "__weakref__"}
        return Program(**{**fields, **changes})

    def __str__(self) -> str:
        return "\n".join(_Printer().lines(self))

    def __repr__(self) -> str:
        return str(self)


def sub_programs(params: dict[str, Any]) -> Iterator[tuple[str, Program]]:
    """Yield the Programs among the params of an equation, with the names of their params."""
    for name, value in params.items():
        if isinstance(value, Program):
            yield name, value
        elif isinstance(value, tuple):
            for item in value:
                if isinstance(item, Program):
                    yield name, item


INLINE_CONSTANT = 16
"""Constants of at most so many elements are printed in full."""


class _Printer:
    """Prints Programs; names are given in order of appearance, fresh in every Program."""

    def lines(self, program: Program) -> list[str]:
        names: dict[Var, str] = {}

        def name(v: Var) -> str:
            found = names.get(v)
            if found is None:
                found = names[v] = _letters(len(names))
            return found

        def show(a: Atom) -> str:
            return _literal(a) if isinstance(a, Literal) else name(a)

        def typed(a: Var) -> str:
            return f"{name(a)}:{a.aval}"

        out = [f"program {program.name}({', '.join(typed(v) for v in program.inputs)}) {{"]
        for number, (v, value) in enumerate(program.constants):
            out.append(f"  const {typed(v)} = {_constant(value, number)}")
        for eq in program.equations:
            left = ", ".join(typed(v) for v in eq.outputs)
            args = "".join(f" {show(a)}" for a in eq.inputs)
            head, blocks = self._params(eq.params)
            left = f"{left} = " if left else ""
            if not blocks:
                out.append(f"  {left}{eq.primitive.name}{head}{args}")
                continue
            out.append(f"  {left}{eq.primitive.name}{head}{args} {{")
            for key, block in blocks:
                first, *rest = block
                out.append(f"    {key} = {first}")
                out.extend(f"    {line}" for line in rest)
            out.append("  }")
        out.append(f"  return{''.join(f' {show(a)}' for a in program.outputs)}")
        out.append("}")
        return out

    def _params(self, params: dict[str, Any]) -> tuple[str, list[tuple[str, list[str]]]]:
        plain, blocks = [], []
        for key, value in params.items():
            if isinstance(value, Program):
                blocks.append((key, self.lines(value)))
            elif isinstance(value, tuple) and value and isinstance(value[0], Program):
                blocks.extend((f"{key}[{n}]", self.lines(p)) for n, p in enumerate(value))
            else:
                plain.append(f"{key}={show_param(value)}")
        return (f"[{' '.join(plain)}]" if plain else ""), blocks


def _letters(n: int) -> str:
    text = ""
    while True:
        text = chr(ord("a") + n % 26) + text
        n = n // 26 - 1
        if n < 0:
            return text


def _literal(a: Literal) -> str:
    weak = "~" if a.aval.weak else ""
    value = bool(a.value) if is_bool(a.aval.dtype) else a.value
    return f"{value!r}:{weak}{short_name(a.aval.dtype)}".replace(" ", "")


def _constant(value: Any, number: int) -> str:
    if value.size > INLINE_CONSTANT:
        return f"<{number}>"
    array = np.asarray(value)
    if array.dtype.names is None:
        return repr(array.tolist()).replace(" ", "")
    return f"<{number}>"


def show_param(value: Any) -> str:
    """Return the text of a param; no spaces, so that params split on blanks."""
    if isinstance(value, np.dtype):
        return short_name(value)
    if isinstance(value, ShapedArray):
        return repr(value)
    if isinstance(value, (tuple, list)):
        inner = ",".join(show_param(v) for v in value)
        return f"({inner}{',' if len(value) == 1 else ''})"
    if isinstance(value, str):
        return repr(value)
    if value is None or isinstance(value, (bool, int, float, complex)):
        return repr(value).replace(" ", "")
    return f"<{getattr(value, '__name__', type(value).__name__)}>"
