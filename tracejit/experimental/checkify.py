"""Checks of values in compiled code, as ``jax.experimental.checkify`` has them.

:func:`check` looks at a value when it is known.  By itself it raises when the program runs.
:func:`checkify` makes of a function one that returns the first error as a value, for programs that
go on.  It records the function and runs its Program anew with a state: the number of the check
that failed first, and what its message says.  Loops, branches and jitted functions carry the state.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tracejit import numpy as tnp
from tracejit.control.branch import cond_p, switch
from tracejit.control.call import call_p
from tracejit.control.callbacks import bind_debug, debug_callback_p
from tracejit.control.checkpoint import checkpoint_p
from tracejit.control.host_functions import Lanes
from tracejit.control.programs import staged_body
from tracejit.control.scan import scan, scan_p
from tracejit.control.while_loop import while_loop, while_p
from tracejit.core.errors import DTypeError, ShapeError, StructureError
from tracejit.core.errors import TracejitError as JaxRuntimeError
from tracejit.core.pytree import register_pytree_node, tree_flatten, tree_map, tree_unflatten
from tracejit.core.source import describe
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_bool, is_float
from tracejit.ir.program import Equation, Program, Var
from tracejit.ops.bounds import check_index_p
from tracejit.runtime.settings import settings
from tracejit.transforms.flat import array_or_tracer
from tracejit.transforms.stage import literal_value

__all__ = [
    "Error", "ErrorCategory", "JaxRuntimeError", "all_checks", "automatic_checks", "check",
    "check_error", "checkify", "debug_check", "div_checks", "float_checks", "index_checks",
    "init_error", "nan_checks", "user_checks",
]  # fmt: skip


class ErrorCategory(enum.Enum):
    """What is checked."""

    USER = "user"
    NAN = "nan"
    DIV = "div"
    INDEX = "index"


user_checks = frozenset({ErrorCategory.USER})
nan_checks = frozenset({ErrorCategory.NAN})
div_checks = frozenset({ErrorCategory.DIV})
index_checks = frozenset({ErrorCategory.INDEX})
float_checks = nan_checks | div_checks
automatic_checks = float_checks | index_checks
all_checks = automatic_checks | user_checks


@dataclass(frozen=True)
class _Check:
    """What is called where a check stands that nobody collects."""

    message: str

    def __call__(self, pred: Any, *args: Any, **kwargs: Any) -> None:
        if not np.all(pred):
            raise JaxRuntimeError(f"{self.message.format(*args, **kwargs)} (`check` failed)")


def check(pred: Any, msg: str, *fmt_args: Any, debug: bool = False, **fmt_kwargs: Any) -> None:
    """Check that a value is true when it is known.

    Parameters
    ----------
    pred : scalar of bool
        What must hold.  Under ``vmap``, in every lane.
    msg : str
        What to say otherwise; a format string.
    *fmt_args, **fmt_kwargs
        What it is formatted with; arrays may be traced.
    debug : bool
        Whether it counts only within :func:`checkify`.

    Raises
    ------
    JaxRuntimeError
        Where it fails: at once, or when the jitted function is called that it stands in; not if
        a :func:`checkify` around collects it.
    DTypeError, ShapeError
        If `pred` is no scalar of bool.
    """
    aval = get_aval(pred)
    if not is_bool(aval.dtype):
        raise DTypeError(f"checkify.check: pred must be a bool; got {aval}")
    if aval.shape:
        raise ShapeError(f"checkify.check: pred must be a scalar; got {aval}; use all() or any()")
    kind: Callable[..., Any] = _DebugCheck(msg) if debug else _Check(msg)
    bind_debug("checkify.check", kind, (pred, *fmt_args), fmt_kwargs, False)


def debug_check(pred: Any, msg: str, *fmt_args: Any, **fmt_kwargs: Any) -> None:
    """As :func:`check`, but of no effect outside of :func:`checkify`."""
    check(pred, msg, *fmt_args, debug=True, **fmt_kwargs)


class _DebugCheck(_Check):
    def __call__(self, pred: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""


# ---------------------------------------------------------------------------------- errors


@dataclass(frozen=True)
class _Site:
    """A check in a program: what it says.

    ``avals`` are those of the values in the message, in the order of the state.
    """

    category: ErrorCategory
    text: str
    line: str
    avals: tuple[ShapedArray, ...] = ()
    takes: Any = None
    given: tuple[bool, ...] = ()
    fixed: tuple[Any, ...] = field(default=(), compare=False)

    def message(self, values: Sequence[Any]) -> str:
        """Return the message with values."""
        at = f"\n  at {self.line}" if self.line else ""
        if self.category is not ErrorCategory.USER:
            return self.text.format(*values) + at
        rest = iter([True, *values])  # the predicate is the first
        pairs = zip(self.fixed, self.given, strict=True)
        leaves = [next(rest) if given else x for x, given in pairs]
        args, kwargs = tree_unflatten(self.takes, leaves)
        return f"{self.text.format(*args[1:], **kwargs)} (`check` failed){at}"


class Error:
    """The first error of a call, or none: a pytree.

    :meth:`get` says which, :meth:`throw` raises it.
    """

    __slots__ = ("_sites", "_values", "code")

    def __init__(self, code: Any, values: Any, sites: tuple[_Site, ...]) -> None:
        self.code = code
        self._values = values
        self._sites = sites

    def get(self) -> str | None:
        """Return the message of the error; None if there is none.

        Under ``vmap`` there is one an error lane, each with its index.
        """
        codes = np.asarray(self.code)
        found = []
        for index in np.ndindex(codes.shape):
            code = int(codes[index])
            if code >= 0:
                values = [np.asarray(x)[index] for x in self._values[code]]
                where_ = f"at mapped index {', '.join(map(str, index))}: " if index else ""
                found.append(where_ + self._sites[code].message(values))
        return "\n".join(found) or None

    def throw(self) -> None:
        """Raise JaxRuntimeError if there is an error."""
        message = self.get()
        if message is not None:
            raise JaxRuntimeError(message)

    def __repr__(self) -> str:
        if isinstance(self.code, Tracer):
            return f"Error({self.code!r})"
        return f"Error({self.get()!r})"


register_pytree_node(
    Error,
    lambda e: ((e.code, e._values), e._sites),
    lambda sites, children: Error(children[0], children[1], sites),
)

init_error = Error(np.int64(-1), (), ())
"""No error."""


def check_error(error: Error) -> None:
    """Raise an error, or hand it on to the :func:`checkify` around.

    Raises
    ------
    JaxRuntimeError
        As :func:`check`.
    """
    if not isinstance(error, Error):
        raise StructureError(f"check_error: an Error is needed; got {type(error).__name__}")
    if not isinstance(error.code, Tracer):
        error.throw()
        return
    for n, site in enumerate(error._sites):
        bad = tnp.any(tnp.equal(error.code, n))
        bind_debug("checkify.check", _Again(site), (~bad, *error._values[n]), {}, False)


class _Again(_Check):
    """A check that another checkify collected."""

    def __init__(self, site: _Site) -> None:
        super().__init__(site.text)
        object.__setattr__(self, "site", site)

    site: _Site

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Again) and self.site == other.site

    def __hash__(self) -> int:
        return hash(self.site)

    def __call__(self, pred: Any, *values: Any, **kwargs: Any) -> None:
        """Raise the error with its values."""
        if not np.all(pred):
            raise JaxRuntimeError(self.site.message(values))


# -------------------------------------------------------------------------------- checkify


def checkify(
    f: Callable[..., Any], errors: frozenset[ErrorCategory] = user_checks
) -> Callable[..., tuple[Error, Any]]:
    """Return a function that returns the first error beside the result.

    Parameters
    ----------
    f : callable
        A function of pytrees of arrays; in it checks stand, also within jitted functions, loops
        and branches.  Within functions with a derivative of their own they are not collected, but
        raise when the program runs.
    errors : frozenset of ErrorCategory
        What counts: ``user_checks`` (those of :func:`check`), ``nan_checks`` (an operation whose
        result has a NaN), ``div_checks`` (a divisor that is 0), ``index_checks`` (an index out of
        range), or unions, such as ``all_checks``.

    Returns
    -------
    callable
        ``checked(*args, **kwargs) -> (Error, result)``; it may be jitted, mapped, differentiated.

    Examples
    --------
    >>> import tracejit, tracejit.numpy as tnp
    >>> from tracejit.experimental import checkify
    >>> def f(x):
    ...     checkify.check(x > 0, "x must be positive; it is {}", x)
    ...     return tnp.log(x)
    >>> error, y = tracejit.jit(checkify.checkify(f))(-1.0)
    >>> error.get().splitlines()[0]
    'x must be positive; it is -1.0 (`check` failed)'
    """
    chosen = frozenset(errors)

    def checked(*args: Any, **kwargs: Any) -> tuple[Error, Any]:
        leaves, treedef = tree_flatten((args, kwargs))
        types = tree_unflatten(treedef, [get_aval(x) for x in leaves])

        def of_pair(args: Any, kwargs: Any) -> Any:
            return f(*args, **kwargs)

        of_pair.__name__ = getattr(f, "__name__", "checked")
        with settings(check_bounds=ErrorCategory.INDEX in chosen):
            program, constants, out_treedef = staged_body(of_pair, types)
        walk = _Walk(program, chosen)
        outs, state = walk.run(program, [*constants, *leaves], walk.start())
        error = Error(*state, tuple(walk.sites))
        return error, tree_unflatten(out_treedef, map(array_or_tracer, outs))

    checked.__name__ = getattr(f, "__name__", "checked")
    return checked


State = tuple[Any, tuple[Any, ...]]
"""The number of the check that failed first, or -1; the values that its message has."""

_INLINED = (call_p, checkpoint_p)
_DIVISIONS = frozenset({"div", "quot", "rem"})


class _Found(NamedTuple):
    number: int
    category: ErrorCategory


class _Walk:
    """Runs a Program with the state of its checks."""

    def __init__(self, program: Program, chosen: frozenset[ErrorCategory]) -> None:
        self.sites: list[_Site] = []
        self._chosen = chosen
        self._of: dict[int, list[_Found]] = {}
        self._has: dict[int, bool] = {}
        self._collect(program)

    def start(self) -> State:
        """Return the state of no error."""
        values = tuple([tuple([tnp.zeros(a.shape, a.dtype) for a in s.avals]) for s in self.sites])
        return tnp.asarray(np.int64(-1)), values

    # ------------------------------------------------------------ which checks there are

    def _collect(self, program: Program) -> bool:
        """Give the checks of a Program numbers; return whether there are any."""
        known = self._has.get(id(program))
        if known is None:
            found = [self._at(eq) for eq in program.equations]
            known = self._has[id(program)] = any(found)
        return known

    def _at(self, eq: Equation) -> bool:
        if id(eq) not in self._of:
            self._of[id(eq)] = []
            for site in self._own(eq):
                self._of[id(eq)].append(_Found(len(self.sites), site.category))
                self.sites.append(site)
        below = [self._collect(p) for p in _within(eq)]
        return bool(self._of[id(eq)]) or any(below)

    def _own(self, eq: Equation) -> Iterator[_Site]:
        line = describe(eq.source)
        primitive = eq.primitive
        if primitive is debug_callback_p:
            if ErrorCategory.USER in self._chosen and (site := _user_site(eq, line)):
                yield site
        elif primitive is check_index_p:
            aval = ShapedArray((), eq.inputs[0].aval.dtype)
            text = "out-of-bounds indexing: index {} is out of bounds for axis %d with size %d"
            text %= eq.params["axis"], eq.params["length"]
            yield _Site(ErrorCategory.INDEX, text, describe(eq.params["source"]) or line, (aval,))
        elif not _within(eq):
            if ErrorCategory.DIV in self._chosen and primitive.name in _DIVISIONS:
                yield _Site(ErrorCategory.DIV, "division by zero", line)
            outs = [v for v in eq.outputs if v.aval.dtype.kind == "c" or is_float(v.aval.dtype)]
            if ErrorCategory.NAN in self._chosen and outs:
                text = f"nan generated by primitive: {primitive.name}"
                yield _Site(ErrorCategory.NAN, text, line)

    # ------------------------------------------------------------------------- running

    def run(
        self, program: Program, args: Sequence[Any], state: State
    ) -> tuple[list[Any], State]:
        """Return the outputs of a Program and the state after it."""
        env: dict[Any, Any] = dict(zip(program.inputs, args, strict=True))
        env.update(program.constants)

        def read(atom: Any) -> Any:
            return env[atom] if type(atom) is Var else literal_value(atom)

        for eq in program.equations:
            outs, state = self._step(eq, [read(a) for a in eq.inputs], state)
            env.update(zip(eq.outputs, outs, strict=True))
        return [read(a) for a in program.outputs], state

    def _step(self, eq: Equation, values: list[Any], state: State) -> tuple[list[Any], State]:
        if any(map(self._collect, _within(eq))):
            return self._into(eq, values, state)
        found = self._of[id(eq)]
        if eq.primitive is debug_callback_p and found:
            bad, said = _first_lane(eq.params["function"], values)
            return [], _failed(state, found[0].number, bad, said)
        if eq.primitive is check_index_p:
            (index,) = values
            bad = (index < 0) | (index >= eq.params["length"])
            first = tnp.asarray(index).ravel()[tnp.argmax(bad)]
            return [index], _failed(state, found[0].number, tnp.any(bad), [first])
        result = eq.primitive.bind(*values, **eq.params)
        outs = list(result) if eq.primitive.multiple else [result]
        for number, category in found:
            if category is ErrorCategory.DIV:
                bad = tnp.any(tnp.asarray(values[1]) == 0)
            else:
                parts = [tnp.any(tnp.isnan(x)) for x in outs if get_aval(x).dtype.kind not in "iub"]
                bad = tnp.any(tnp.asarray(parts))
            state = _failed(state, number, bad, [])
        return outs, state

    def _into(self, eq: Equation, values: list[Any], state: State) -> tuple[list[Any], State]:
        """Run what has Programs with checks in them."""
        params = eq.params
        if eq.primitive in _INLINED:
            return self.run(params["program"], values, state)
        if eq.primitive is cond_p:
            def taken(program: Program) -> Callable[..., Any]:
                return lambda state, *operands: self.run(program, operands, state)

            branches = [taken(p) for p in params["branches"]]
            found: tuple[list[Any], State] = switch(values[0], branches, state, *values[1:])
            return found
        if eq.primitive is scan_p:
            return self._scan(params, values, state)
        return self._while(params, values, state)

    def _scan(
        self, params: dict[str, Any], values: list[Any], state: State
    ) -> tuple[list[Any], State]:
        consts, count = values[: params["n_consts"]], params["n_carry"]
        end = len(consts) + count

        def body(pair: Any, xs: Any) -> Any:
            carry, state = pair
            outs, state = self.run(params["program"], [*consts, *carry, *xs], state)
            return (outs[:count], state), outs[count:]

        (carry, state), ys = scan(
            body, (values[len(consts) : end], state), values[end:], params["length"],
            params["reverse"],
        )  # fmt: skip
        return [*carry, *ys], state

    def _while(
        self, params: dict[str, Any], values: list[Any], state: State
    ) -> tuple[list[Any], State]:
        """Run a loop; what its condition checks is looked at again before each step, and after."""
        n, m = params["cond_nconsts"], params["body_nconsts"]
        for_test, for_body, carry = values[:n], values[n : n + m], values[n + m :]

        def tested(carry: list[Any], state: State) -> tuple[Any, State]:
            (go,), state = self.run(params["cond_program"], [*for_test, *carry], state)
            return go, state

        def body(pair: Any) -> Any:
            carry, state = pair
            state = tested(carry, state)[1]
            return self.run(params["body_program"], [*for_body, *carry], state)

        carry, state = while_loop(lambda pair: tested(*pair)[0], body, (carry, state))
        return carry, tested(carry, state)[1]


def _within(eq: Equation) -> list[Program]:
    """Return the Programs that are run with the state."""
    if eq.primitive in _INLINED or eq.primitive is scan_p:
        return [eq.params["program"]]
    if eq.primitive is cond_p:
        return list(eq.params["branches"])
    if eq.primitive is while_p:
        return [eq.params["cond_program"], eq.params["body_program"]]
    return []


def _failed(state: State, number: int, bad: Any, said: Sequence[Any]) -> State:
    """Return the state after a check; the first that fails counts."""
    code, values = state
    now = bad & (code < 0)
    own = tuple([tnp.where(now, new, old) for new, old in zip(said, values[number], strict=True)])
    return tnp.where(now, number, code), (*values[:number], own, *values[number + 1 :])


def _user_site(eq: Equation, line: str) -> _Site | None:
    """Return the site of a check of the user; None for another callback."""
    function, avals = eq.params["function"], [a.aval for a in eq.inputs]
    while isinstance(function, Lanes):
        pairs = zip(avals, function.batched, strict=True)
        avals = [a.update(shape=a.shape[1:]) if batched else a for a, batched in pairs]
        function = function.function
    callback = function.callback
    if isinstance(callback, _Again):
        return callback.site
    if not isinstance(callback, _Check):
        return None
    kinds = tuple([ShapedArray(a.shape, a.dtype) for a in avals[1:]])
    return _Site(
        ErrorCategory.USER, callback.message, line, kinds, function.takes, function.given,
        function.fixed,
    )  # fmt: skip


def _first_lane(function: Any, values: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Return whether a check fails in some lane, and the values that the first one says."""
    pred, said = values[0], list(values[1:])
    while isinstance(function, Lanes):
        own, *others = function.batched
        held = tnp.all(pred, axis=tuple(range(1, get_aval(pred).ndim))) if own else None
        lane = 0 if held is None else tnp.argmax(~held)
        said = [x[lane] if batched else x for x, batched in zip(said, others, strict=True)]
        pred = pred[lane] if own else pred
        function = function.function
    return ~tnp.asarray(pred), tree_map(tnp.asarray, said)
