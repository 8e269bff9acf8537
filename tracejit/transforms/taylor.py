"""Taylor mode: carry a truncated power series with every value.

A value ``x(t) = x_0 + x_1 t + ... + x_K t^K`` is a primal ``x_0`` and ``K`` terms, coefficients
of the series (the public :func:`tracejit.experimental.jet.jet` deals in derivatives, ``k!`` times
as large).  A primitive has a rule in :data:`taylor_rules` if there is a good recurrence for it;
any other follows from its derivative alone: with ``y = f(x)``, the rule of forward mode evaluated
on the series of ``x`` and of ``x'``, to one order less, is the series of ``y'``, and
``y_k = y'_{k-1} / k``.  That is polynomial in the order, where nested forward mode doubles.

References
----------
A. Griewank, A. Walther, "Evaluating Derivatives", 2nd ed., SIAM (2008), chapter 13.
J. Bettencourt, M. J. Johnson, D. Duvenaud, "Taylor-mode automatic differentiation for
higher-order derivatives in JAX" (2019).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.core import primitive as tables
from tracejit.core.errors import MissingRuleError
from tracejit.core.interpreter import Interpreter, current_interpreter, interpreting
from tracejit.core.primitive import Primitive
from tracejit.core.source import current_source, describe
from tracejit.core.tracer import Tracer, get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.dtypes import is_inexact
from tracejit.ir.program import Program
from tracejit.ops.arithmetic import mul
from tracejit.ops.constant import scalar_like
from tracejit.transforms.dce import dce
from tracejit.transforms.jvp import concrete_value, instantiate_zero
from tracejit.transforms.stage import evaluate, replaying, source_now, stage

__all__ = [
    "JetInterpreter",
    "JetTracer",
    "Terms",
    "jet_flat",
    "jet_program",
    "scaled",
    "taylor_rules",
    "term_by_term",
]

Terms = list[Any]
"""The coefficients of ``t, t^2, ...``: values, Zero among them."""

taylor_rules: dict[Primitive, Callable[..., Any]] = {}
"""``rule(order, primals, terms, **params) -> (out, terms_out)``.

`terms` has a list of `order` terms for each operand, all of them Zero for one that has no series;
not all operands are such.  The terms of the output may be a function of no arguments that computes
them, called if they are needed.  If the primitive has several outputs both results are lists.
"""


class JetTracer(Tracer):
    """A primal and the terms of its series, values of the parent interpreter."""

    __slots__ = ("_parent", "_terms", "_where", "primal")

    def __init__(
        self,
        interpreter: JetInterpreter,
        primal: Any,
        terms: Terms | Callable[[], Terms],
        where: Any = None,
    ) -> None:
        self.interpreter = interpreter
        self._parent = interpreter.parent
        self.primal = primal
        self.aval = get_aval(primal)
        self._terms = terms
        self._where = where

    @property
    def terms(self) -> Terms:
        """The terms, computed when they are first asked for."""
        if callable(self._terms):
            # A rule of forward mode computes its output too, and few of them make use of it.
            try:
                with interpreting(self._parent), replaying(self._where):
                    self._terms = self._terms()
            except MissingRuleError as error:
                line = describe(self._where)
                if line in str(error):
                    raise
                raise MissingRuleError(f"jet: {error}\n  because of {line}") from None
        return self._terms

    @property
    def concrete(self) -> Any:
        """The value of the primal where it is known, so that Python may branch on it."""
        return concrete_value(self.primal)


class JetInterpreter:
    """Applies Taylor rules; what carries no series goes to the parent as it is."""

    __slots__ = ("finished", "order", "parent")

    def __init__(self, parent: Interpreter, order: int) -> None:
        self.parent = parent
        self.order = order
        self.finished = False

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Return the outputs, as tracers where they have a series."""
        if not any(type(x) is JetTracer and x.interpreter is self for x in operands):
            with interpreting(self.parent):
                return self.parent.process(primitive, operands, params)
        primals, terms = [], []
        for x in operands:
            primal, own = self.split(x)
            primals.append(primal)
            terms.append(own)
        where = source_now()
        with interpreting(self.parent), replaying(where):
            rule = taylor_rules.get(primitive)
            if rule is not None:
                out, terms_out = rule(self.order, primals, terms, **params)
            else:
                out, terms_out = by_derivative(primitive, self.order, primals, terms, params)
        if primitive.multiple:
            return [self._join(p, t, where) for p, t in zip(out, terms_out, strict=True)]
        return self._join(out, terms_out, where)

    def _join(self, primal: Any, terms: Any, where: Any) -> Any:
        if not is_inexact(get_aval(primal).dtype):
            return primal
        if not callable(terms) and all(isinstance(t, Zero) for t in terms):
            return primal
        return JetTracer(self, primal, terms, where)

    def split(self, x: Any) -> tuple[Any, Terms]:
        """Return the primal and the terms of a value."""
        if type(x) is JetTracer and x.interpreter is self:
            return x.primal, x.terms
        return x, [Zero(get_aval(x))] * self.order


def scaled(x: Any, factor: float) -> Any:
    """Return a term times a number."""
    if isinstance(x, Zero) or factor == 1:
        return x
    return mul(x, scalar_like(x, factor))


def term_by_term(primitive: Primitive) -> Callable[..., Any]:
    """Return the rule of a primitive whose derivative does not change with what has a series.

    That is one that is linear in all that it can be differentiated by, or is so in pieces.
    """

    def rule(
        order: int, primals: Sequence[Any], terms: Sequence[Terms], **params: Any
    ) -> tuple[Any, Any]:
        jvp = tables.jvp[primitive]
        found = [
            jvp(primals, tangents, **params)
            if any(not isinstance(t, Zero) for t in tangents)
            else None
            for tangents in zip(*terms, strict=True)
        ]
        out = next((pair[0] for pair in found if pair is not None), None)
        if out is None:
            out = primitive.bind(*primals, **params)
        outs = out if primitive.multiple else [out]
        zero = [Zero(get_aval(o)) for o in outs]
        by_order = [
            zero if pair is None else pair[1] if primitive.multiple else [pair[1]] for pair in found
        ]
        terms_out = [list(column) for column in zip(*by_order, strict=True)]
        return (out, terms_out) if primitive.multiple else (out, terms_out[0])

    return rule


def by_derivative(
    primitive: Primitive,
    order: int,
    primals: Sequence[Any],
    terms: Sequence[Terms],
    params: dict[str, Any],
) -> tuple[Any, Any]:
    """Return the outputs of a primitive, and their terms from its rule of forward mode."""
    jvp = tables.jvp.get(primitive)
    if jvp is None:
        here = source_now()
        where = "" if here == current_source() else describe(here)  # else it is appended anyway
        raise MissingRuleError(
            f"jet: there is no Taylor rule of {primitive}, nor a derivative to make one from: "
            f"{tables.jvp.absent.get(primitive, 'no rule was registered')}. Apply stop_gradient "
            "to what it reads if its result is to count as a constant"
            + (f"\n  in {where}" if where else "")
        )
    if primitive.effectful:  # what it does is done once
        first = [instantiate_zero(t[0]) if _inexact(t[0]) else t[0] for t in terms]
        out, tangents = jvp(primals, first, **params)
        if any(not isinstance(t, Zero) for t in (tangents if primitive.multiple else [tangents])):
            raise MissingRuleError(f"jet: {primitive} has effects and a derivative at once")
        if primitive.multiple:
            return out, [[t] * order for t in tangents]
        return out, [tangents] * order
    out = primitive.bind(*primals, **params)

    def compute() -> list[Terms]:
        rates = _rates(order, primals, terms, lambda p, t: jvp(p, t, **params)[1], primitive)
        return [[scaled(rate, 1 / k) for k, rate in enumerate(of_output, 1)] for of_output in rates]

    if not primitive.multiple:
        return out, lambda: compute()[0]
    found: list[list[Terms]] = []

    def of_output(n: int) -> Terms:
        if not found:
            found.append(compute())
        return found[0][n]

    return out, [lambda n=n: of_output(n) for n in range(len(out))]


def _inexact(t: Any) -> bool:
    return is_inexact(get_aval(t).dtype if not isinstance(t, Zero) else t.aval.dtype)


def _rates(
    order: int,
    primals: Sequence[Any],
    terms: Sequence[Terms],
    tangent: Callable[..., Any],
    primitive: Primitive,
) -> list[Terms]:
    """Return for each output the coefficients of the series of its derivative, from ``t^0`` on."""
    interpreter = JetInterpreter(current_interpreter(), order - 1)
    try:
        values, directions = [], []
        for primal, own in zip(primals, terms, strict=True):
            speed = [scaled(t, k) for k, t in enumerate(own, 1)]
            values.append(_series(interpreter, primal, own[:-1]))
            if all(isinstance(t, Zero) for t in speed):
                directions.append(speed[0])
            else:
                directions.append(_series(interpreter, instantiate_zero(speed[0]), speed[1:]))
        with interpreting(interpreter):
            found = tangent(values, directions)
        rates = []
        for t in found if primitive.multiple else [found]:
            if isinstance(t, Zero):
                rates.append([t] * order)
            else:
                start, rest = interpreter.split(t)
                rates.append([start, *rest])
        return rates
    finally:
        interpreter.finished = True


def _series(interpreter: JetInterpreter, primal: Any, terms: Terms) -> Any:
    if all(isinstance(t, Zero) for t in terms):
        return primal
    return JetTracer(interpreter, primal, terms)


def jet_flat(
    fun: Callable[..., Sequence[Any]], order: int, primals: Sequence[Any], terms: Sequence[Terms]
) -> tuple[list[Any], list[Terms]]:
    """Evaluate a function of flat sequences on series.

    Parameters
    ----------
    fun : callable
        Takes and returns flat sequences of values.
    order : int
        The number of terms.
    primals : sequence of values
        Where.
    terms : sequence of list of values or Zero
        The `order` further coefficients of each.

    Returns
    -------
    outs : list
        The values.
    terms_out : list of list
        Their further coefficients, :class:`~tracejit.core.zeros.Zero` among them.
    """
    interpreter = JetInterpreter(current_interpreter(), order)
    try:
        inputs = [_series(interpreter, p, t) for p, t in zip(primals, terms, strict=True)]
        with interpreting(interpreter):
            results = fun(*inputs)
        pairs = [interpreter.split(x) for x in results]
    finally:
        interpreter.finished = True
    return [p for p, _ in pairs], [t for _, t in pairs]


_memo: weakref.WeakKeyDictionary[Program, dict[Any, tuple[Program, tuple[bool, ...]]]] = (
    weakref.WeakKeyDictionary()
)


def jet_program(
    program: Program, order: int, moving: Sequence[bool], wanted: Sequence[bool] | None = None
) -> tuple[Program, tuple[bool, ...]]:
    """Return the Program of values and terms; memoised by the identity of `program`.

    Parameters
    ----------
    program : Program
        What to evaluate on series.
    order : int
        The number of terms.
    moving : sequence of bool
        Which inputs have a series.
    wanted : sequence of bool, optional
        Which outputs shall have terms even if they are zero; integer outputs never have.

    Returns
    -------
    program : Program
        Inputs: the primals, then `order` terms for each input flagged in `moving`.  Outputs: the
        primal outputs, then `order` terms for each output flagged in `moving_out`.
    moving_out : tuple of bool
        Which outputs have a series.
    """
    moving = tuple(moving)
    flags = (False,) * len(program.outputs) if wanted is None else tuple(wanted)
    forced = tuple(f and is_inexact(a.dtype) for f, a in zip(flags, program.out_avals, strict=True))
    known = _memo.setdefault(program, {})
    found = known.get((order, moving, forced))
    if found is not None:
        return found
    count = len(program.inputs)
    moving_out: tuple[bool, ...] = ()

    def both(*inputs: Any) -> Sequence[Any]:
        nonlocal moving_out
        given = iter(inputs[count:])
        terms = [
            [next(given) if flag else Zero(aval) for _ in range(order)]
            for flag, aval in zip(moving, program.in_avals, strict=True)
        ]
        outs, terms_out = jet_flat(
            lambda *args: evaluate(program, args), order, inputs[:count], terms
        )
        moving_out = tuple(
            force or any(not isinstance(t, Zero) for t in own)
            for force, own in zip(forced, terms_out, strict=True)
        )
        flat = [t for own, flag in zip(terms_out, moving_out, strict=True) if flag for t in own]
        return [*outs, *map(instantiate_zero, flat)]

    avals = [
        *program.in_avals,
        *(
            a.strong()
            for a, flag in zip(program.in_avals, moving, strict=True)
            if flag
            for _ in range(order)
        ),
    ]
    found = dce(stage(both, avals, f"{program.name}_jet")), moving_out
    known[order, moving, forced] = found
    return found
