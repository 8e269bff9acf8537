"""The invariants of a Program, checked after every pass in tests.

A variable is written once and read only after that; the types of an equation's outputs are
those its primitive infers; sub-programs obey the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_bool, is_complex, is_float
from tracejit.ir.program import Atom, Equation, Literal, Program, Var, sub_programs

__all__ = ["ProgramError", "infer_by_primitive", "verify"]

Infer = Callable[[Any, tuple[ShapedArray, ...], dict[str, Any]], tuple[ShapedArray, ...]]


class ProgramError(Exception):
    """A Program is not well formed: an error of the library, not of the user."""


def infer_by_primitive(
    primitive: Any, avals: tuple[ShapedArray, ...], params: dict[str, Any]
) -> tuple[ShapedArray, ...]:
    """Return ``primitive.result_avals(avals, params)``."""
    found: tuple[ShapedArray, ...] = primitive.result_avals(avals, params)
    return found


def verify(program: Program, infer: Infer = infer_by_primitive) -> None:
    """Check the invariants of a Program and of its sub-programs.

    Parameters
    ----------
    program : Program
        What to check.
    infer : callable
        ``infer(primitive, avals, params)`` returns the avals of the outputs; by default it asks
        the primitive.

    Raises
    ------
    ProgramError
        Naming the first equation that is wrong, with its Program.
    """
    written: set[Var] = set()

    def write(v: Any, where: str) -> None:
        if not isinstance(v, Var):
            _fail(program, f"{where}: only variables are written; got {v!r}")
        if v in written:
            _fail(program, f"{where}: a variable of {v.aval} is written twice")
        if v.aval.device is not None:
            _fail(program, f"{where}: types in a Program have no device; got {v.aval}")
        written.add(v)

    def read(a: Any, where: str) -> None:
        if isinstance(a, Literal):
            if problem := _literal_problem(a):
                _fail(program, f"{where}: {problem}")
        elif not isinstance(a, Var):
            _fail(program, f"{where}: operands are variables or literals; got {a!r}")
        elif a not in written:
            _fail(program, f"{where}: a variable of {a.aval} is read before it is written")

    for number, v in enumerate(program.inputs):
        write(v, f"input {number}")
    for number, (v, value) in enumerate(program.constants):
        where = f"constant {number}"
        write(v, where)
        shape, dtype = np.shape(value), getattr(value, "dtype", None)
        if shape != v.aval.shape or dtype != v.aval.dtype:
            _fail(program, f"{where}: the variable has {v.aval}, the array {dtype}{shape}")
    for number, eq in enumerate(program.equations):
        where = f"equation {number}, {_show(eq)}"
        for a in eq.inputs:
            read(a, where)
        _check_types(program, eq, where, infer)
        for v in eq.outputs:
            write(v, where)
        for name, sub in sub_programs(eq.params):
            try:
                verify(sub, infer)
            except ProgramError as error:
                raise ProgramError(f"{where}: in {name}: {error}") from error
    for number, a in enumerate(program.outputs):
        read(a, f"output {number}")


def _check_types(program: Program, eq: Equation, where: str, infer: Infer) -> None:
    try:
        expected = infer(eq.primitive, tuple(a.aval for a in eq.inputs), eq.params)
    except Exception as error:
        raise ProgramError(_message(program, f"{where}: {error}")) from error
    got = tuple(v.aval for v in eq.outputs)
    if got != tuple(expected):
        _fail(program, f"{where}: the outputs should have {_avals(expected)}; got {_avals(got)}")


def _literal_problem(a: Literal) -> str:
    if a.aval.shape:
        return f"a literal has rank 0; got {a.aval}"
    dtype = a.aval.dtype
    kind: Any = (
        bool
        if is_bool(dtype)
        else float
        if is_float(dtype)
        else complex
        if is_complex(dtype)
        else int
    )
    return "" if type(a.value) is kind else f"a literal of {a.aval} holds {a.value!r}"


def _avals(avals: Any) -> str:
    return ", ".join(map(str, avals)) or "nothing"


def _show(eq: Equation) -> str:
    def atom(a: Atom) -> str:
        return f"{a.value!r}:{a.aval}" if isinstance(a, Literal) else str(a.aval)

    left = _avals([v.aval for v in eq.outputs])
    return f"{left} = {eq.primitive.name} {' '.join(map(atom, eq.inputs))}"


def _message(program: Program, problem: str) -> str:
    return f"{problem}\nin\n{program}"


def _fail(program: Program, problem: str) -> None:
    raise ProgramError(_message(program, problem))
