"""Functions of functions: along an axis, over axes, of every element."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import ConcretizationError, ShapeError
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import DTYPES
from tracejit.numpy.manipulation import expand_dims, moveaxis
from tracejit.numpy.manipulation import stack as join
from tracejit.numpy.promotion import (
    array_of,
    broadcast_shapes,
    cast,
    dtype_or,
    normal_axis,
    stretch,
)
from tracejit.ops.shape import reshape
from tracejit.transforms.vectorize import vmap

__all__ = ["apply_along_axis", "apply_over_axes", "frompyfunc", "iterable", "vectorize"]

_ARGUMENT = r"\(\s*(?:\w+(?:\s*,\s*\w+)*)?\s*\)"
_SIGNATURE = re.compile(rf"\s*{_ARGUMENT}(?:\s*,\s*{_ARGUMENT})*\s*|\s*")


def iterable(y: Any) -> bool:
    """As :func:`numpy.iterable`: arrays of rank 0 are not."""
    try:
        iter(y)
    except TypeError:
        return False
    return True


def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any
) -> Any:
    """As :func:`numpy.apply_along_axis`; the function is called once, on all vectors at once.

    Only if it looks at values, and they are known, is it called for each vector.

    Parameters
    ----------
    func1d : callable
        Takes an array of rank 1.
    axis : int
        Of the vectors.
    arr : array_like
        The vectors.
    *args, **kwargs
        Further arguments of `func1d`.
    """
    x = array_of(arr)
    rank = get_aval(x).ndim
    axis = normal_axis("apply_along_axis", axis, rank)

    def function(v: Any) -> Any:
        return array_of(func1d(v, *args, **kwargs))

    mapped = function
    for _ in range(rank - axis - 1):
        mapped = vmap(mapped, in_axes=-1, out_axes=-1)
    for _ in range(axis):
        mapped = vmap(mapped)
    try:
        return mapped(x)
    except ConcretizationError:
        shape = tuple(d for i, d in enumerate(get_aval(x).shape) if i != axis)
        if isinstance(x, Tracer) or not math.prod(shape):
            raise
        found = _one_by_one(function, [moveaxis(x, axis, -1)], [shape], shape)
        own = get_aval(found).ndim - len(shape)
        return moveaxis(found, range(len(shape), len(shape) + own), range(axis, axis + own))


def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """As :func:`numpy.apply_over_axes`."""
    x = array_of(a)
    rank = get_aval(x).ndim
    each = axes if isinstance(axes, Sequence) else [axes]
    for axis in each:
        axis = normal_axis("apply_over_axes", axis, rank)
        found = array_of(func(x, axis))
        if get_aval(found).ndim == rank - 1:
            found = expand_dims(found, axis)
        elif get_aval(found).ndim != rank:
            raise ShapeError(
                f"apply_over_axes: func must keep the rank {rank} or lower it by one; got "
                f"{get_aval(found).ndim}"
            )
        x = found
    return x


# ----------------------------------------------------------------------------------- vectorize


def _read_signature(text: str) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    left, arrow, right = text.partition("->")
    if not arrow or not _SIGNATURE.fullmatch(left) or not _SIGNATURE.fullmatch(right):
        raise ShapeError(f"vectorize: a signature is such as '(m,n),(n)->(m)'; got {text!r}")

    def arguments(part: str) -> list[tuple[str, ...]]:
        return [
            tuple(re.findall(r"\w+", one)) for one in re.findall(_ARGUMENT, part)
        ]

    return arguments(left), arguments(right)


def vectorize(
    pyfunc: Callable[..., Any] | None = None,
    otypes: Any = None,
    doc: str | None = None,
    excluded: Collection[int | str] | None = None,
    cache: bool = False,
    signature: str | None = None,
) -> Callable[..., Any]:
    """As :class:`numpy.vectorize`, by :func:`tracejit.vmap`: nothing is looped.

    Only if the function looks at values, and they are known, is it called for each element.

    Parameters
    ----------
    pyfunc : callable, optional
        Of scalars, or of what `signature` says; without it a decorator is returned.
    otypes : sequence of dtype, optional
        To which the results are converted.
    doc : str, optional
        The docstring of the result.
    excluded : collection of int and str, optional
        Arguments, by place or keyword, that are passed as they are.
    cache : bool
        Ignored: the function is called once.
    signature : str, optional
        The axes that the function sees, such as ``"(m,n),(n)->(m)"``.

    Returns
    -------
    callable
        Broadcasts its arguments.  Keyword arguments are passed as they are.

    Raises
    ------
    ShapeError
        If arguments or results do not fit the signature, or do not broadcast.
    """
    del cache
    if pyfunc is None:
        return lambda f: vectorize(f, otypes, doc, excluded, False, signature)
    of = pyfunc
    kept = frozenset(excluded or ())
    read = None if signature is None else _read_signature(signature)

    @functools.wraps(of)
    def function(*args: Any, **kwargs: Any) -> Any:
        moving = [i for i in range(len(args)) if i not in kept]
        named = _mapped_names(of, args, kwargs, kept)
        xs = [array_of(args[i]) for i in moving] + [array_of(kwargs[n]) for n in named]

        def inner(*values: Any) -> Any:
            full = list(args)
            for i, v in zip(moving, values, strict=False):
                full[i] = v
            keywords = dict(zip(named, values[len(moving) :], strict=True))
            return of(*full, **(kwargs | keywords))

        found = _broadcast_call(inner, xs, read)
        return found if otypes is None else _converted(found, otypes)

    if doc is not None:
        function.__doc__ = doc
    return function


def _mapped_names(
    of: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], kept: frozenset[Any]
) -> list[str]:
    """Return the keyword arguments that are broadcast: those not excluded by name or place."""
    try:
        names = list(inspect.signature(of).parameters)
    except (TypeError, ValueError):
        names = []
    places = {name: i for i, name in enumerate(names)}
    return [n for n in kwargs if n not in kept and places.get(n, -1) not in kept]


def _converted(found: Any, otypes: Any) -> Any:
    types = list(otypes)
    if isinstance(found, tuple):
        return tuple(cast(x, dtype_or(t, DTYPES["f64"])) for x, t in zip(found, types, strict=True))
    return cast(found, dtype_or(types[0], DTYPES["f64"]))


def _broadcast_call(
    of: Callable[..., Any],
    xs: list[Any],
    read: tuple[list[tuple[str, ...]], list[tuple[str, ...]]] | None,
) -> Any:
    inputs = [()] * len(xs) if read is None else read[0]
    if len(inputs) != len(xs):
        raise ShapeError(f"vectorize: the signature has {len(inputs)} arguments; got {len(xs)}")
    lengths: dict[str, int] = {}
    stacks = []
    for x, names in zip(xs, inputs, strict=True):
        shape = get_aval(x).shape
        if len(shape) < len(names):
            raise ShapeError(
                f"vectorize: an argument has the axes ({','.join(names)}); got shape {shape}"
            )
        split = len(shape) - len(names)
        stacks.append(shape[:split])
        for name, length in zip(names, shape[split:], strict=True):
            if lengths.setdefault(name, length) != length:
                raise ShapeError(
                    f"vectorize: axis {name} has one length; got {lengths[name]} and {length}"
                )
    stack = broadcast_shapes("vectorize", *stacks)
    rank = len(stack)

    def checked(*values: Any) -> Any:
        found = of(*values)
        return _checked(found, None if read is None else read[1], lengths)

    if not xs:
        return checked()
    # From the last axis of the stack to the first; an argument that lacks one, or has it with
    # length 1, is not mapped over it, so that nothing is copied.
    function: Callable[..., Any] = checked
    for back in range(1, rank + 1):
        maps = tuple(0 if len(s) >= back and s[-back] == stack[-back] else None for s in stacks)
        function = vmap(function, in_axes=maps) if any(m == 0 for m in maps) else function
    try:
        return function(*(_squeezed(x, s, stack) for x, s in zip(xs, stacks, strict=True)))
    except ConcretizationError:
        if not math.prod(stack) or any(isinstance(x, Tracer) for x in xs):
            raise
        return _one_by_one(checked, xs, stacks, stack)


def _one_by_one(
    function: Callable[..., Any],
    xs: list[Any],
    stacks: list[tuple[int, ...]],
    stack: tuple[int, ...],
) -> Any:
    """Call a function that looks at values for one element after the other, as NumPy does."""
    whole = [
        stretch(x, stack + get_aval(x).shape[len(own) :])
        for x, own in zip(xs, stacks, strict=True)
    ]
    found = [function(*(x[place] for x in whole)) for place in np.ndindex(*stack)]
    if isinstance(found[0], tuple):
        return tuple(_stacked(list(parts), stack) for parts in zip(*found, strict=True))
    return _stacked(found, stack)


def _stacked(parts: list[Any], stack: tuple[int, ...]) -> Any:
    together = join(parts)
    return reshape(together, (*stack, *get_aval(together).shape[1:]))


def _squeezed(x: Any, own: tuple[int, ...], stack: tuple[int, ...]) -> Any:
    """Return an argument without the axes over which it is not mapped."""
    aligned = stack[len(stack) - len(own) :]
    kept = [d for d, e in zip(own, aligned, strict=True) if d == e]
    return reshape(x, (*kept, *get_aval(x).shape[len(own) :]))


def _checked(found: Any, outputs: Any, lengths: dict[str, int]) -> Any:
    many = isinstance(found, tuple)
    results = [array_of(x) for x in (found if many else (found,))]
    if outputs is None:
        outputs = [()] * len(results)
    if len(outputs) != len(results):
        raise ShapeError(
            f"vectorize: the signature has {len(outputs)} results; the function returned "
            f"{len(results)}"
        )
    for x, names in zip(results, outputs, strict=True):
        shape = get_aval(x).shape
        if len(shape) != len(names):
            raise ShapeError(
                f"vectorize: a result has the axes ({','.join(names)}); got shape {shape}"
            )
        for name, length in zip(names, shape, strict=True):
            if lengths.setdefault(name, length) != length:
                raise ShapeError(
                    f"vectorize: axis {name} has one length; got {lengths[name]} and {length}"
                )
    return tuple(results) if many else results[0]


def frompyfunc(
    func: Callable[..., Any], /, nin: int, nout: int, *, identity: Any = None
) -> Callable[..., Any]:
    """As :func:`numpy.frompyfunc`, by :func:`vectorize`: of arrays with numbers, not objects.

    Parameters
    ----------
    func : callable
        Of scalars.
    nin, nout : int
        How many arguments and results it has.
    identity : scalar, optional
        Kept as an attribute.

    Raises
    ------
    ShapeError
        If it is called with, or returns, another number.
    """
    mapped = vectorize(func)

    @functools.wraps(func)
    def function(*args: Any) -> Any:
        if len(args) != nin:
            raise ShapeError(f"frompyfunc: {nin} arguments are taken; got {len(args)}")
        found = mapped(*args)
        count = len(found) if isinstance(found, tuple) else 1
        if count != nout:
            raise ShapeError(f"frompyfunc: {nout} results are wanted; the function gave {count}")
        return found

    told = {"nin": nin, "nout": nout, "nargs": nin + nout, "identity": identity}
    for name, value in told.items():
        setattr(function, name, value)
    return function
