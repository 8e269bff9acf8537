"""``debug_nans``: which operation made a NaN, and on which line.

An operation is to blame if there is a NaN in its result and none in its operands.  What runs a
Program is to blame for its results only: a NaN that a jitted function makes and does not return is
no error.  If it returns one, it is run again, one operation at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tracejit.control.branch import cond_p
from tracejit.control.call import call
from tracejit.control.programs import callees
from tracejit.control.scan import scan_p
from tracejit.control.stepwise import PassThrough
from tracejit.control.while_loop import while_p
from tracejit.core.array import Array, host_array
from tracejit.core.errors import NanError
from tracejit.core.interpreter import interpreting
from tracejit.core.primitive import Primitive
from tracejit.core.settings import current_settings
from tracejit.core.source import describe
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_inexact
from tracejit.ir.program import Program, Source, Var
from tracejit.transforms.stage import literal_value

__all__ = ["NanChecks"]


class _Blamed(NamedTuple):
    primitive: Primitive
    operands: Sequence[Any]
    results: Sequence[Any]
    source: Source | None


class NanChecks(PassThrough):
    """Hands every operation to its parent, and looks at the result."""

    __slots__ = ()

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Return what the parent does; raises NanError if there is a NaN that was not before."""
        result = super().process(primitive, operands, params)
        if not current_settings().debug_nans:
            return result
        results = result if primitive.multiple else [result]
        if _made(operands, results):
            with interpreting(self.parent):
                blamed = _within(primitive, operands, params)
            raise _error(blamed or _Blamed(primitive, operands, results, None), primitive)
        return result


def _has_nan(x: Any) -> bool:
    if isinstance(x, (Array, np.ndarray, np.generic)):
        return is_inexact(get_aval(x).dtype) and bool(np.isnan(host_array(x)).any())
    return isinstance(x, (float, complex)) and x != x


def _made(operands: Sequence[Any], results: Sequence[Any]) -> bool:
    return bool(operands) and any(map(_has_nan, results)) and not any(map(_has_nan, operands))


def _within(
    primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]
) -> _Blamed | None:
    """Return what is to blame among the operations that a control operation runs."""
    find = callees.get(primitive)
    if find is not None:
        avals = [get_aval(x) for x in operands]
        return _in_program(find(avals, params), operands)
    if primitive is cond_p:
        branches = params["branches"]
        taken = min(max(int(operands[0]), 0), len(branches) - 1)
        return _in_program(branches[taken], operands[1:])
    if primitive is scan_p:
        return _in_scan(operands, **params)
    if primitive is while_p:
        return _in_while(operands, **params)
    return None


def _in_program(program: Program, operands: Sequence[Any]) -> _Blamed | None:
    env: dict[Any, Any] = dict(zip(program.inputs, operands, strict=True))
    env.update(program.constants)
    for primitive, inputs, params, outputs, source in program.equations:
        given = [env[a] if type(a) is Var else literal_value(a) for a in inputs]
        found = primitive.bind(*given, **params)
        results = found if primitive.multiple else [found]
        if _made(given, results):
            return _within(primitive, given, params) or _Blamed(primitive, given, results, source)
        env.update(zip(outputs, results, strict=True))
    return None


def _in_scan(
    operands: Sequence[Any],
    *,
    program: Program,
    length: int,
    reverse: bool,
    n_consts: int,
    n_carry: int,
    **_: Any,
) -> _Blamed | None:
    consts, carry = operands[:n_consts], operands[n_consts : n_consts + n_carry]
    for i in reversed(range(length)) if reverse else range(length):
        given = [*consts, *carry, *(host_array(x)[i] for x in operands[n_consts + n_carry :])]
        results = call(program, *given)
        if _made(given, results):
            return _in_program(program, given)
        carry = results[:n_carry]
    return None


def _in_while(
    operands: Sequence[Any],
    *,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
    **_: Any,
) -> _Blamed | None:
    first = cond_nconsts + body_nconsts
    of_test, of_body, carry = (
        operands[:cond_nconsts], operands[cond_nconsts:first], operands[first:],
    )  # fmt: skip
    while bool(call(cond_program, *of_test, *carry)[0]):
        given = [*of_body, *carry]
        carry = call(body_program, *given)
        if _made(given, carry):
            return _in_program(body_program, given)
    return None


def _error(blamed: _Blamed, outer: Primitive) -> NanError:
    made = next(x for x in blamed.results if _has_nan(x))
    first = tuple(int(n) for n in np.argwhere(np.isnan(host_array(made)))[0])
    place = f" (first at {list(first)})" if first else ""
    given = ", ".join(_described(x) for x in blamed.operands)
    line = describe(blamed.source)
    inside = f"\n  on the line {line}\n  in a run of {outer}" if line else ""
    return NanError(
        f"{blamed.primitive}: its result {get_aval(made)} has a NaN{place}, and there is none in "
        f"its operands: {given}{inside}"
    )


def _described(x: Any) -> str:
    aval = get_aval(x)
    values = host_array(x) if isinstance(x, Array) else np.asarray(x)
    if not is_inexact(aval.dtype) or np.iscomplexobj(values) or not values.size:
        return f"{aval}"
    return f"{aval} from {float(values.min()):.6g} to {float(values.max()):.6g}"
