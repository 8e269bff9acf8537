"""Read a Program back from its text, so that Programs can be written in tests and kept in files.

The text is what ``str(program)`` prints; ``str(parse(text, ...)) == text``.  Sources are not in
the text, nor are constants of more than
:data:`~tracejit.ir.program.INLINE_CONSTANT` elements: those are given as values.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES, dtype_of_name, is_complex, is_float
from tracejit.ir.program import Atom, Equation, Literal, Program, Var

__all__ = ["ParseError", "parse"]


class ParseError(ValueError):
    """A text is not that of a Program; names the line and what was expected."""


def parse(text: str, primitives: Mapping[str, Any], constants: Sequence[Any] = ()) -> Program:
    """Return the Program of a text.

    Parameters
    ----------
    text : str
        As printed by ``str(program)``.
    primitives : mapping of str to primitive
        By name (:data:`tracejit.core.primitive.PRIMITIVES`).
    constants : sequence of arrays
        The values of the constants printed as ``<0>``, ``<1>``, ...

    Returns
    -------
    Program
        One that prints as `text`.

    Raises
    ------
    ParseError
        If the text cannot be read: names the line.
    """
    parser = _Parser(text, primitives, constants)
    program = parser.program("")
    if parser.peek() is not None:
        parser.fail("nothing after the closing brace")
    return program


_ATOM = re.compile(r"[a-z]+")
_TYPE = re.compile(r"(~?)(\w+)\[([\d,]*)\]")
_HEADER = re.compile(r"program (\S+?)\((.*)\) \{")
_EQUATION = re.compile(r"(?:(\S+(?:, \S+)*) = )?(\w+)(.*)")
_BLOCK = re.compile(r"(\w+)(?:\[(\d+)\])? = (program .*)")


class _Parser:
    def __init__(self, text: str, primitives: Mapping[str, Any], constants: Sequence[Any]) -> None:
        self._lines = [line for line in text.splitlines() if line.strip()]
        self._at = 0
        self._primitives = primitives
        self._constants = constants

    def peek(self) -> str | None:
        return self._lines[self._at].strip() if self._at < len(self._lines) else None

    def next(self, what: str) -> str:
        line = self.peek()
        if line is None:
            raise ParseError(f"the text of a Program ends early: expected {what}")
        self._at += 1
        return line

    def fail(self, what: str) -> NoReturn:
        at = min(self._at, len(self._lines)) - 1
        raise ParseError(f"line {at + 1}: expected {what}; got {self._lines[at].strip()!r}")

    def program(self, first: str) -> Program:
        """Read a Program whose first line is `first`, or the next one if that is empty."""
        header = _HEADER.fullmatch(first or self.next("program"))
        if header is None:
            self.fail("program NAME(INPUTS) {")
        env: dict[str, Var] = {}
        inputs = [self._new(typed, env) for typed in _split(header[2], ", ")]
        constants: list[tuple[Var, Any]] = []
        equations: list[Equation] = []
        while True:
            line = self.next("return")
            if line.startswith("const "):
                constants.append(self._constant(line, env))
            elif line == "return" or line.startswith("return "):
                outputs = [self._atom(word, env) for word in line.split()[1:]]
                break
            else:
                equations.append(self._equation(line, env))
        if self.next("}") != "}":
            self.fail("}")
        return Program(inputs, equations, outputs, constants, header[1])

    def _new(self, typed: str, env: dict[str, Var]) -> Var:
        name, _, type_text = typed.partition(":")
        if not _ATOM.fullmatch(name) or name in env:
            self.fail(f"a new variable and its type (not {typed!r})")
        var = env[name] = Var(self._aval(type_text))
        return var

    def _aval(self, text: str) -> ShapedArray:
        aval = _aval_of_text(text)
        if aval is None:
            self.fail(f"a type like f64[2,3] (not {text!r})")
        return aval

    def _atom(self, word: str, env: dict[str, Var]) -> Atom:
        value_text, colon, dtype_text = word.rpartition(":")
        if not colon:
            if word not in env:
                self.fail(f"a variable written above (not {word!r})")
            return env[word]
        weak, short = dtype_text.startswith("~"), dtype_text.removeprefix("~")
        try:
            dtype = dtype_of_name(short)
            value = _scalar(value_text)
        except ValueError:
            self.fail(f"a literal like 2.0:f64 (not {word!r})")
        if is_complex(dtype):
            value = complex(value)
        elif is_float(dtype):
            value = float(value)
        return Literal(value, ShapedArray((), dtype, weak))

    def _constant(self, line: str, env: dict[str, Var]) -> tuple[Var, Any]:
        typed, _, text = line.removeprefix("const ").partition(" = ")
        var = self._new(typed, env)
        numbered = re.fullmatch(r"<(\d+)>", text)
        if numbered is None:
            value = np.array(_value(text), dtype=var.aval.dtype).reshape(var.aval.shape)
            return var, value
        number = int(numbered[1])
        if number >= len(self._constants):
            self.fail(f"a constant that is given (number {number} of {len(self._constants)})")
        return var, self._constants[number]

    def _equation(self, line: str, env: dict[str, Var]) -> Equation:
        opens = line.endswith(" {")
        match = _EQUATION.fullmatch(line.removesuffix(" {"))
        if match is None:
            self.fail("an equation")
        left, name, rest = match.groups()
        primitive = self._primitives.get(name)
        if primitive is None:
            self.fail(f"a primitive (none is called {name!r})")
        params, rest = self._params(rest)
        inputs = tuple(self._atom(word, env) for word in rest.split())
        if opens:
            self._blocks(params)
        outputs = tuple(self._new(typed, env) for typed in _split(left or "", ", "))
        return Equation(primitive, inputs, params, outputs)

    def _params(self, text: str) -> tuple[dict[str, Any], str]:
        if not text.startswith("["):
            return {}, text
        words, end = _words(text)
        params = {}
        for word in words:
            key, equals, shown = word.partition("=")
            if not equals:
                self.fail(f"key=value (not {word!r})")
            try:
                params[key] = _param(shown)
            except (ValueError, SyntaxError):
                self.fail(f"a value of the param {key} that can be read (not {shown!r})")
        return params, text[end:]

    def _blocks(self, params: dict[str, Any]) -> None:
        while (line := self.next("}")) != "}":
            match = _BLOCK.fullmatch(line)
            if match is None:
                self.fail("a sub-program, KEY = program NAME(INPUTS) {")
            key, number, first = match.groups()
            program = self.program(first)
            params[key] = program if number is None else (*params.get(key, ()), program)


def _aval_of_text(text: str) -> ShapedArray | None:
    match = _TYPE.fullmatch(text)
    if match is None or match[2] not in DTYPES:
        return None
    shape = tuple(int(d) for d in _split(match[3], ","))
    return ShapedArray(shape, DTYPES[match[2]], bool(match[1]))


def _split(text: str, separator: str) -> list[str]:
    """Split at `separator`, but not within brackets."""
    parts, depth, start, at = [], 0, 0, 0
    while at < len(text):
        char = text[at]
        depth += (char in "([") - (char in ")]")
        if not depth and text.startswith(separator, at):
            parts.append(text[start:at])
            at += len(separator)
            start = at
            continue
        at += 1
    return [*parts, text[start:]] if text[start:] else parts


def _words(text: str) -> tuple[list[str], int]:
    """Split ``[a=b c=d]...`` into its words; strings and brackets hold together."""
    words, depth, start, at, quote = [], 0, 1, 0, ""
    while at < len(text):
        char = text[at]
        if quote:
            at += char == "\\"
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
            if not depth:
                words.append(text[start:at])
                return [w for w in words if w], at + 1
        elif char == " " and depth == 1:
            words.append(text[start:at])
            start = at + 1
        at += 1
    raise ParseError(f"the bracket of params is not closed: {text!r}")


_NUMBERS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


def _scalar(text: str) -> Any:
    """Return the number, bool, None or string that `text` writes; ValueError if none."""
    if text in _NUMBERS:
        return _NUMBERS[text]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return complex(text)  # "(nan+infj)" and such; ValueError if it is none
    if isinstance(value, (tuple, list, dict, set)):
        raise ValueError(text)
    return value


def _value(text: str) -> Any:
    """Return the nested list that `text` writes."""
    if text.startswith("["):
        return [_value(part) for part in _split(text[1:-1], ",")]
    return _scalar(text)


def _param(text: str) -> Any:
    if text in DTYPES:
        return DTYPES[text]
    aval = _aval_of_text(text)
    if aval is not None:
        return aval
    if text.startswith("(") and text.endswith(")"):
        try:
            return complex(text)
        except ValueError:
            return tuple(_param(part) for part in _split_params(text[1:-1]))
    return _scalar(text)


def _split_params(text: str) -> list[str]:
    """Split the inside of a tuple at its commas; strings and brackets hold together."""
    parts, depth, start, quote, at = [], 0, 0, "", 0
    while at < len(text):
        char = text[at]
        if quote:
            at += char == "\\"
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == "," and not depth:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]] if text[start:] else parts
