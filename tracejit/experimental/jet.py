"""``jet``: Taylor-mode differentiation, for derivatives of high order along a curve."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.control import taylor as _control_rules
from tracejit.core.errors import DTypeError, StructureError
from tracejit.core.pytree import tree_flatten, tree_unflatten
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_inexact
from tracejit.transforms import taylor_rules as _rules
from tracejit.transforms.flat import (
    FlatFunction,
    derivative_of,
    flatten_like,
    leaf_path,
    materialize,
    paths_of,
)
from tracejit.transforms.taylor import jet_flat, scaled

__all__ = ["jet"]

_REGISTERED = _rules, _control_rules  # imported for the rules that they register


def jet(
    fun: Callable[..., Any],
    primals: Sequence[Any],
    series: Sequence[Sequence[Any]],
    factorial_scaled: bool = True,
) -> tuple[Any, Any]:
    """Evaluate a function and its derivatives along a curve (Taylor mode).

    With the curve ``x(t)`` whose derivatives at 0 are `primals` and `series`, the results are the
    derivatives of ``fun(x(t))`` at 0.  The cost grows with the square of the order, for a few
    primitives with its cube, where nested :func:`tracejit.jvp` doubles with each order.

    Parameters
    ----------
    fun : callable
        Takes ``len(primals)`` pytrees of arrays.
    primals : sequence of pytrees
        ``x(0)``: floating or complex.
    series : sequence of sequences of pytrees
        For each primal the first K derivatives of ``x(t)`` at 0, each of the structure, shapes
        and dtypes of the primal; K is the same for all.
    factorial_scaled : bool
        Whether terms, here and in the result, are derivatives (the default) or the coefficients
        of the Taylor series, ``k!`` times smaller.

    Returns
    -------
    primals_out : pytree
        ``fun(x(0))``.
    series_out : pytree
        The structure of `primals_out` with a list of K arrays for each leaf: the derivatives.

    Raises
    ------
    StructureError
        If the series have different lengths, or a term has not the structure of its primal.
    ShapeError, DTypeError
        If a term has not the shape and dtype of its primal, or a primal is not floating.
    MissingRuleError
        If there is no derivative of a primitive; names it and the line.

    Examples
    --------
    >>> import tracejit, tracejit.numpy as tnp
    >>> value, terms = tracejit.jet(tnp.exp, (0.0,), ((1.0, 0.0, 0.0),))
    >>> [float(t) for t in terms]
    [1.0, 1.0, 1.0]
    """
    for what, given in (("primals", primals), ("series", series)):
        if not isinstance(given, (tuple, list)):
            raise StructureError(
                f"jet: {what} must be a tuple or list, one entry an argument; "
                f"got {type(given).__name__}"
            )
    if len(primals) != len(series):
        raise StructureError(
            f"jet: there must be one series for each primal; got {len(primals)} primals and "
            f"{len(series)} series"
        )
    lengths = [len(terms) for terms in series]
    if len(set(lengths)) > 1 or 0 in lengths:
        raise StructureError(
            "jet: the series of all arguments must have one length, that is not 0; "
            f"got lengths {', '.join(map(str, lengths))}"
        )
    primals = tuple(primals)
    order = lengths[0] if lengths else 0
    leaves, treedef = tree_flatten(primals)
    avals = [get_aval(x) for x in leaves]
    paths = paths_of(primals)

    def called(number: int) -> str:
        first, *rest = paths[number]
        return leaf_path(fun, first.idx, tuple(rest))

    for number, aval in enumerate(avals):
        if not is_inexact(aval.dtype):
            raise DTypeError(
                f"jet: {called(number)} has dtype {aval.dtype}; primals must be floating or "
                "complex: convert it, or close over it"
            )
    terms: list[list[Any]] = [[] for _ in leaves]
    for k in range(order):
        at_k = tuple(given[k] for given in series)
        found = flatten_like("jet", f"primals and terms {k} of the series", at_k, primals, treedef)
        for number, (t, aval) in enumerate(zip(found, avals, strict=True)):
            where = functools.partial(called, number)
            t = derivative_of(f"jet: term {k} of the series", t, aval, where)
            terms[number].append(scaled(t, 1 / math.factorial(k + 1)) if factorial_scaled else t)
    flat = FlatFunction(fun, treedef)
    if not order:
        return flat.result(flat()), tree_unflatten(flat.out_treedef, [[]] * flat.count)
    outs, terms_out = jet_flat(flat, order, leaves, terms)
    lists = [
        [
            materialize(scaled(t, math.factorial(k)) if factorial_scaled else t)
            for k, t in enumerate(own, 1)
        ]
        for own in terms_out
    ]
    return flat.result(outs), tree_unflatten(flat.out_treedef, lists)
