"""``fori_loop`` and ``map``: loops in terms of ``scan`` and ``while_loop``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.control.carried import avals_of, check_structure, check_types
from tracejit.control.scan import scan
from tracejit.control.while_loop import while_loop
from tracejit.core.array import Array
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.pytree import tree_leaves, tree_map, tree_structure
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import is_integer, promote
from tracejit.ops.arithmetic import add
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import lt
from tracejit.ops.shape import reshape
from tracejit.ops.slicing import concatenate, slice_
from tracejit.transforms.flat import check_callable
from tracejit.transforms.stage import check_outputs, function_name
from tracejit.transforms.vectorize import vmap

__all__ = ["fori_loop", "map_"]


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
) -> Any:
    """Run ``val = body_fun(i, val)`` for ``i`` from `lower` up to, not including, `upper`.

    Parameters
    ----------
    lower, upper : int, or integer scalar
        The bounds.
    body_fun : callable
        Takes the index and the value, returns the next value, of the same structure, shapes and
        dtypes.
    init_val : pytree of arrays
        The first value.  Python scalars in it take the dtype that `body_fun` makes of them.
    unroll : int or bool, optional
        Accepted for compatibility: the compiler decides how to write the loop.

    Returns
    -------
    pytree of arrays
        The last value; `init_val` if `upper` is not above `lower`.

    Raises
    ------
    ShapeError, DTypeError
        If a bound is no integer scalar, or a leaf changes; the error names it.
    StructureError
        If the structure of the value changes.

    Notes
    -----
    With bounds that are known while tracing it is a :func:`scan`, else a :func:`while_loop`; both
    have all derivatives.
    """
    del unroll
    check_callable("fori_loop", body_fun, "body_fun")
    avals = []
    for name, bound in (("lower", lower), ("upper", upper)):
        try:
            aval = get_aval(bound)
        except DTypeError:
            raise DTypeError(
                f"fori_loop: {name} must be an integer; got {type(bound).__name__}"
            ) from None
        if aval.shape:
            raise ShapeError(f"fori_loop: {name} must be a scalar; got {aval}")
        if not is_integer(aval.dtype):
            raise DTypeError(f"fori_loop: {name} must be an integer; got {aval}")
        avals.append(aval)
    dtype, weak = promote([(a.dtype, a.weak) for a in avals])
    first = convert_element_type(lower, dtype, weak)

    what = f"fori_loop: the result of {function_name(body_fun)}"
    _, _, treedef, names = avals_of("the value", init_val)

    def step(carry: Any) -> Any:
        i, value = carry
        result = body_fun(i, value)
        check_structure(what, tree_structure(result), treedef)
        leaves = tree_leaves(result)
        check_outputs(body_fun, result, leaves)
        before = [get_aval(x) for x in tree_leaves(value)]
        after = [get_aval(x) for x in leaves]
        # A weak value may yet be promoted.
        fits = [a.weak and a.shape == b.shape for a, b in zip(before, after, strict=True)]
        after = [a if fit else b for fit, a, b in zip(fits, before, after, strict=True)]
        check_types(what, names, before, after)
        return add(i, 1 if weak else dtype.type(1)), result

    step.__name__ = function_name(body_fun)
    if _known(lower) and _known(upper):
        count = max(0, int(upper) - int(lower))

        def trip(carry: Any, _: None) -> tuple[Any, None]:
            return step(carry), None

        trip.__name__ = step.__name__
        (_, value), _ = scan(trip, (first, init_val), length=count)
        return value
    last = convert_element_type(upper, dtype, weak)
    return while_loop(lambda carry: lt(carry[0], last), step, (first, init_val))[1]


def _known(x: Any) -> bool:
    return isinstance(x, (int, np.generic, np.ndarray, Array)) and not isinstance(x, Tracer)


def map_(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """Apply a function to each slice of `xs`, one after the other.

    Parameters
    ----------
    f : callable
        Takes a slice.
    xs : pytree of arrays, shape (n, ...)
        The arguments.
    batch_size : int, optional
        How many slices to work on at once, by :func:`~tracejit.vmap`.

    Returns
    -------
    pytree of arrays, shape (n, ...)
        The stacked results.

    Raises
    ------
    ShapeError
        If the leading axes of `xs` differ, or `batch_size` is not positive.

    See Also
    --------
    vmap : all slices at once.
    """
    check_callable("map", f, "f")
    if batch_size is None:
        return scan(lambda _, x: (None, f(x)), None, xs)[1]
    if batch_size < 1:
        raise ShapeError(f"map: batch_size must be positive; got {batch_size}")
    lengths: list[int] = []
    tree_map(lambda x: lengths.append(get_aval(x).shape[0]), xs)
    whole = lengths[0] // batch_size * batch_size
    batched = vmap(f)

    def part(x: Any, start: int, stop: int) -> Any:
        shape = get_aval(x).shape
        return slice_(x, (start,) + (0,) * (len(shape) - 1), (stop, *shape[1:]))

    def blocks(x: Any) -> Any:
        shape = get_aval(x).shape
        return reshape(part(x, 0, whole), (whole // batch_size, batch_size, *shape[1:]))

    _, done = scan(lambda _, x: (None, batched(x)), None, tree_map(blocks, xs))
    done = tree_map(lambda y: reshape(y, (whole, *y.shape[2:])), done)
    if whole == lengths[0]:
        return done
    rest = batched(tree_map(lambda x: part(x, whole, lengths[0]), xs))
    return tree_map(lambda a, b: concatenate((a, b), 0), done, rest)
