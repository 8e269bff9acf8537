"""``custom_jvp``, ``custom_vjp``, ``custom_vmap``: functions with rules of the user.

A function may have several rules: a derivative for each mode and one for batching.  What is not
given is derived from what is: reverse mode transposes a ``jvp`` rule, forward mode transposes a
backward rule, and without a batching rule the function and its rules are vectorized.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tracejit.control.custom_given import GivenRules
from tracejit.control.custom_rule import bind_custom
from tracejit.control.custom_stages import Given
from tracejit.control.stepwise import untransformed
from tracejit.core.array import Array
from tracejit.core.errors import DTypeError, MissingRuleError, StructureError
from tracejit.core.pytree import tree_flatten, tree_flatten_with_path, tree_map, tree_unflatten
from tracejit.core.tracer import Tracer, get_aval
from tracejit.core.zeros import Zero
from tracejit.ops._pointwise import add
from tracejit.transforms.dce import dce
from tracejit.transforms.flat import (
    array_or_tracer,
    leaf_path,
    materialize,
    positions_of,
)
from tracejit.transforms.stage import check_outputs, function_name, hoist_constants
from tracejit.transforms.stage_known import stage_for

__all__ = ["custom_gradient", "custom_jvp", "custom_vjp", "custom_vmap"]

Rule = Callable[..., Any]


class _CustomFunction:
    """A function and its rules; the rules may be given in any order, before it is called."""

    _needs = ""

    def __init__(
        self,
        fun: Callable[..., Any],
        nondiff_argnums: int | Sequence[int] = (),
        nondiff_argnames: str | Sequence[str] = (),
    ) -> None:
        functools.update_wrapper(self, fun)
        self._given = Given(type(self).__name__, fun)
        numbers = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else nondiff_argnums
        named = _positions_of_names(self._given, nondiff_argnames)
        self.nondiff_argnums = tuple(sorted({*numbers, *named})) if named else tuple(numbers)

    # ------------------------------------------------------------------------- rules

    def defjvp(self, jvp: Rule, symbolic_zeros: bool = False) -> Rule:
        """Give the rule of forward mode.

        Parameters
        ----------
        jvp : callable
            Takes the arguments of ``nondiff_argnums``, then the tuple of the others (primals) and
            the tuple of their tangents; returns the result and its tangent.
        symbolic_zeros : bool
            Whether tangents known to be zero are given as
            :class:`~tracejit.custom_derivatives.SymbolicZero`.

        Returns
        -------
        callable
            `jvp`, so that the method may be used as a decorator.
        """
        self._given = replace(self._given, jvp=jvp, jvp_zeros=symbolic_zeros)
        return jvp

    def defjvps(self, *jvps: Rule | None) -> None:
        """Give the derivative by each argument, for a function without ``nondiff_argnums``.

        Parameters
        ----------
        *jvps : callable or None
            One an argument: takes its tangent, the result and the arguments; returns what it adds
            to the tangent of the result.  None for an argument that adds nothing.
        """
        if self.nondiff_argnums:
            raise StructureError(
                f"{self._given.name}: defjvps is for functions without nondiff_argnums; use defjvp"
            )

        def jvp(primals: Any, tangents: Any) -> Any:
            if len(jvps) != len(primals):
                raise StructureError(
                    f"{self._given.name}: defjvps was given {len(jvps)} rules, and the function "
                    f"{len(primals)} arguments; give None for one that adds nothing"
                )
            out = self(*primals)
            leaves, treedef = tree_flatten(out)
            sums = [Zero(get_aval(x)) for x in leaves]
            for rule, t in zip(jvps, tangents, strict=True):
                if rule is None:
                    continue
                parts, found = tree_flatten(rule(t, out, *primals))
                if found != treedef:
                    raise StructureError(
                        f"{self._given.name}: {function_name(rule)} of defjvps must return the "
                        f"structure of the result, {treedef}; got {found}"
                    )
                sums = [
                    part if isinstance(total, Zero) else add(total, part)
                    for total, part in zip(sums, parts, strict=True)
                ]
            return out, tree_unflatten(treedef, map(materialize, sums))

        jvp.__name__ = "defjvps"
        self.defjvp(jvp)

    def defvjp(
        self, fwd: Rule, bwd: Rule, symbolic_zeros: bool = False, optimize_remat: bool = False
    ) -> None:
        """Give the rules of reverse mode.

        Parameters
        ----------
        fwd : callable
            Takes the arguments of the function; returns the result and what `bwd` needs, a pytree
            (residuals).
        bwd : callable
            Takes the arguments of ``nondiff_argnums``, the residuals and the cotangent of the
            result; returns a tuple of cotangents, one an argument that is not among
            ``nondiff_argnums``.  None stands for zero.
        symbolic_zeros : bool
            Whether `fwd` is given arguments that say whether they are differentiated by
            (:class:`~tracejit.custom_derivatives.CustomVJPPrimal`), and `bwd` a
            :class:`~tracejit.custom_derivatives.SymbolicZero` for a cotangent known to be zero.
        optimize_remat : bool
            Has no effect: the results of `fwd` that nobody reads are never computed.
        """
        del optimize_remat
        self._given = replace(self._given, fwd=fwd, bwd=bwd, vjp_zeros=symbolic_zeros)

    def def_vmap(self, rule: Rule) -> Rule:
        """Give the rule of ``vmap``.

        Parameters
        ----------
        rule : callable
            Takes the number of lanes, a list of pytrees of bool that say which arguments have a
            batch axis, and the arguments: batch axes are the first.  Returns the result of all
            lanes and a pytree of bool that says which of its leaves have a batch axis.

        Returns
        -------
        callable
            `rule`, so that the method may be used as a decorator.
        """
        self._given = replace(self._given, batch=rule)
        return rule

    # ------------------------------------------------------------------------- calls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; its rules are used under transformations."""
        given = self._given
        if not getattr(given, self._needs):
            rule = {"jvp": "defjvp", "fwd": "defvjp", "batch": "def_vmap"}[self._needs]
            raise MissingRuleError(
                f"{given.name} has no rule: give it by {given.fun.__name__}.{rule}(...) before "
                "it is called"
            )
        args = _resolved(given, args, kwargs)
        positions = positions_of(given.name, self.nondiff_argnums, len(args), "nondiff_argnums")
        fixed = {n: args[n] for n in positions}
        for n, x in fixed.items():
            _refuse_traced(given, n, x)
        dynamic = tuple(x for n, x in enumerate(args) if n not in positions)
        _check_leaves(given, dynamic, [n for n in range(len(args)) if n not in positions])
        leaves, in_treedef = tree_flatten(dynamic)
        if untransformed() and not any(isinstance(x, Tracer) for x in leaves):
            result = given.fun(*args)  # nobody transforms it
            check_outputs(given.fun, result, tree_flatten(result)[0])
            return tree_map(array_or_tracer, result)
        return _bind(given, fixed, leaves, in_treedef)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<{self._given.name}>"


class custom_jvp(_CustomFunction):
    """A function with a derivative rule of its own.

    Parameters
    ----------
    fun : callable
        A function of pytrees of arrays.
    nondiff_argnums : int or sequence of int
        Positional arguments that are no arrays to be differentiated by, such as functions.
    nondiff_argnames : str or sequence of str
        The same by name, in addition.

    Raises
    ------
    MissingRuleError
        When called, if no rule was given by ``defjvp`` or ``defjvps``.

    Notes
    -----
    A ``vjp`` rule may be given too, by ``defvjp``: reverse mode then uses that, forward mode the
    ``jvp`` rule.  ``def_vmap`` gives a batching rule.

    What the function closes over is an operand like others, except that no rule speaks of it:
    derivatives by it are those of the function.

    Examples
    --------
    >>> import tracejit
    >>> @tracejit.custom_jvp
    ... def f(x, y):
    ...     return x * y
    >>> @f.defjvp
    ... def f_jvp(primals, tangents):
    ...     (x, y), (dx, dy) = primals, tangents
    ...     return f(x, y), 10.0 * (dx * y + x * dy)
    >>> float(tracejit.grad(f)(2.0, 3.0))
    30.0
    """

    _needs = "jvp"


class custom_vjp(_CustomFunction):
    """A function with a reverse derivative of its own.

    Parameters
    ----------
    fun : callable
        A function of pytrees of arrays.
    nondiff_argnums : int or sequence of int
        Positional arguments that are no arrays to be differentiated by, such as functions.
    nondiff_argnames : str or sequence of str
        The same by name, in addition.

    Raises
    ------
    MissingRuleError
        When called, if no rule was given by ``defvjp``.

    Notes
    -----
    Forward mode transposes the backward rule; it uses a ``jvp`` rule where one is given, too, by
    ``defjvp``.  ``def_vmap`` gives a batching rule.

    Examples
    --------
    >>> import tracejit
    >>> @tracejit.custom_vjp
    ... def clipped(x):
    ...     return x
    >>> clipped.defvjp(lambda x: (x, None), lambda _, ct: (tracejit.numpy.clip(ct, -1.0, 1.0),))
    >>> float(tracejit.grad(lambda x: 5.0 * clipped(x))(2.0))
    1.0
    """

    _needs = "fwd"


class custom_vmap(_CustomFunction):
    """A function with a batching rule of its own.

    Parameters
    ----------
    fun : callable
        A function of pytrees of arrays.

    Raises
    ------
    MissingRuleError
        When called, if no rule was given by ``def_vmap``.

    Notes
    -----
    Derivatives are those of the function unless ``defjvp`` or ``defvjp`` gives rules.
    """

    _needs = "batch"


def custom_gradient(fun: Callable[..., Any]) -> custom_vjp:
    """Return a function whose pullback is what `fun` returns with its result.

    Parameters
    ----------
    fun : callable
        Returns ``(result, pullback)``; ``pullback`` takes the cotangent of the result, and returns
        a tuple of cotangents, one an argument, or the cotangent alone if there is one argument.

    Returns
    -------
    custom_vjp
        The function of ``result``.
    """

    @functools.wraps(fun)
    def value(*args: Any) -> Any:
        return fun(*args)[0]

    def fwd(*args: Any) -> Any:
        from_args = fun(*args)
        return from_args[0], args

    def bwd(args: Any, ct: Any) -> Any:
        found = fun(*args)[1](ct)
        return found if isinstance(found, (tuple, list)) else (found,)

    made = custom_vjp(value)
    made.defvjp(fwd, bwd)
    return made


def _positions_of_names(given: Given, names: str | Sequence[str]) -> list[int]:
    names = (names,) if isinstance(names, str) else tuple(names)
    if not names:
        return []
    known = list(inspect.signature(given.fun).parameters)
    for name in names:
        if name not in known:
            raise StructureError(
                f"{given.name}: nondiff_argnames names {name!r}, but the arguments are "
                f"{', '.join(map(repr, known)) or 'none'}"
            )
    return [known.index(name) for name in names]


def _resolved(given: Given, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Return all arguments by position, with defaults."""
    try:
        signature = inspect.signature(given.fun)
    except (TypeError, ValueError):
        if kwargs:
            raise StructureError(
                f"{given.name} must be called with positional arguments: its signature is not known"
            ) from None
        return tuple(args)
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        raise StructureError(
            f"{given.name} takes {', '.join(map(repr, bound.kwargs))} by keyword only, which its "
            "rules cannot be given; make it a positional argument"
        )
    return bound.args


def _refuse_traced(given: Given, position: int, x: Any) -> None:
    for path, leaf in tree_flatten_with_path(x)[0]:
        if isinstance(leaf, Tracer):
            raise StructureError(
                f"{given.name}: {leaf_path(given.fun, position, path)} is among nondiff_argnums, "
                f"which are static, but here it is traced: {leaf.aval!r}. Leave it out of "
                "nondiff_argnums; a rule may return a zero derivative (None) for it"
            )


def _check_leaves(given: Given, dynamic: Sequence[Any], positions: Sequence[int]) -> None:
    for position, tree in zip(positions, dynamic, strict=True):
        for x in tree_flatten(tree)[0]:
            if isinstance(x, (Tracer, Array, np.ndarray, np.generic, bool, int, float, complex)):
                continue
            try:
                get_aval(x)
            except DTypeError:
                path = next(p for p, y in tree_flatten_with_path(tree)[0] if y is x)
                raise DTypeError(
                    f"{given.name}: {leaf_path(given.fun, position, path)} must be an array; got "
                    f"{type(x).__name__}. Name it in nondiff_argnums if it is static"
                ) from None


def _bind(given: Given, fixed: dict[int, Any], leaves: Sequence[Any], in_treedef: Any) -> Any:
    out_treedef: Any = None
    count = len(fixed) + len(in_treedef.children())

    def flat(*inputs: Any) -> list[Any]:
        nonlocal out_treedef
        rest = iter(tree_unflatten(in_treedef, inputs))
        result = given.fun(*(fixed[n] if n in fixed else next(rest) for n in range(count)))
        outs, out_treedef = tree_flatten(result)
        check_outputs(given.fun, result, outs)
        return outs

    avals = [get_aval(x) for x in leaves]
    program, _ = stage_for(flat, avals, lambda: leaves, function_name(given.fun))
    program, captured = hoist_constants(dce(program))
    rules = GivenRules(given, fixed, in_treedef, out_treedef, program, captured)
    outs = bind_custom(program, rules, [*captured, *leaves])
    return tree_unflatten(out_treedef, map(array_or_tracer, outs))
