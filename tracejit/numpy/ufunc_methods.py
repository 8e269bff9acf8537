"""``add.reduce`` and its kin: the methods of NumPy's ufuncs, as attributes of our functions.

An elementwise function stays a function, which is quicker to call than an object; :class:`ufunc`
says of it that it has the methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.control.associative import associative_scan
from tracejit.control.scan import scan
from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.numpy.creation import astype
from tracejit.numpy.indexing import read, read_index
from tracejit.numpy.manipulation import concatenate, expand_dims, moveaxis, window
from tracejit.numpy.promotion import (
    UnsupportedArgument,
    array_of,
    known,
    no_out,
    normal_axes,
    normal_axis,
    operand,
)
from tracejit.numpy.updates import At
from tracejit.ops.shape import reshape

__all__ = ["give_methods", "install", "ufunc"]

Function = Callable[..., Any]

# What a reduction of nothing gives; those that have none refuse.
_IDENTITIES: dict[str, Any] = {
    "add": 0, "multiply": 1, "logical_and": True, "logical_or": False, "logical_xor": False,
    "bitwise_and": -1, "bitwise_or": 0, "bitwise_xor": 0, "gcd": 0, "hypot": 0,
    "logaddexp": -np.inf, "logaddexp2": -np.inf,
}  # fmt: skip
_REDUCED_BY = {
    "add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min", "logical_and": "all",
    "logical_or": "any",
}  # fmt: skip
_ACCUMULATED_BY = {"add": "cumsum", "multiply": "cumprod"}
_UPDATES = {"add": "add", "subtract": "subtract", "multiply": "multiply", "divide": "divide",
            "power": "power", "maximum": "max", "minimum": "min"}  # fmt: skip
_ASSOCIATIVE = frozenset(
    ("add", "multiply", "maximum", "minimum", "fmax", "fmin", "logical_and", "logical_or",
     "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor", "gcd", "lcm", "hypot",
     "logaddexp", "logaddexp2")
)  # fmt: skip


class _UfuncMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return callable(instance) and hasattr(instance, "nin") and hasattr(instance, "reduceat")


class ufunc(metaclass=_UfuncMeta):
    """What elementwise functions are instances of: they have the methods of NumPy's ufuncs.

    Attributes
    ----------
    nin, nout, nargs : int
        How many operands and results it has.
    identity : scalar or None
        What a reduction of nothing gives.
    """


def _one_axis(function: Function, x: Any, axis: int) -> Any:
    """Return the elements along an axis combined one after the other, the axis gone."""
    name = function.__name__
    length = get_aval(x).shape[axis]
    if name in _ASSOCIATIVE:
        # By halves: as many steps as a tree is deep.
        while length > 1:
            half = length // 2
            pairs = function(window(x, axis, 0, half), window(x, axis, half, 2 * half))
            rest = [window(x, axis, 2 * half, length)] if length % 2 else []
            x = concatenate([pairs, *rest], axis)
            length = half + length % 2
        return reshape(x, _without(get_aval(x).shape, axis))
    xs = moveaxis(x, axis, 0)
    first = function(xs[0], xs[0])
    start = astype(xs[0], get_aval(first).dtype)
    return scan(lambda carry, row: (function(carry, row), None), start, xs[1:])[0]


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(d for i, d in enumerate(shape) if i != axis)


def _reduce(function: Function, by: Function | None) -> Function:
    name = function.__name__

    def reduce(
        array: Any,
        axis: Any = 0,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        """Combine the elements along axes."""
        no_out(f"{name}.reduce", out)
        how = {"initial": initial, "where": where}
        how = {k: v for k, v in how.items() if v is not None}
        if by is not None:
            if dtype is not None:
                how["dtype"] = dtype
            return by(array, axis=axis, keepdims=keepdims, **how)
        if "where" in how:
            raise UnsupportedArgument(f"{name}.reduce: where= is not supported; use where() first")
        x = array_of(array) if dtype is None else astype(array, dtype)
        axes = sorted(normal_axes(f"{name}.reduce", axis, get_aval(x).ndim), reverse=True)
        if name not in _ASSOCIATIVE and len(axes) > 1:
            raise ShapeError(f"{name}.reduce: one axis, for the order matters; got {axis}")
        shape = get_aval(x).shape
        for a in axes:
            if not shape[a]:
                if name not in _IDENTITIES:
                    raise ShapeError(f"{name}.reduce: nothing along axis {a}, and no identity")
                fill = np.full(_without(get_aval(x).shape, a), _IDENTITIES[name])
                x = astype(fill, get_aval(x).dtype)
            else:
                x = _one_axis(function, x, a)
        if initial is not None:
            x = function(initial, x)
        return expand_dims(x, tuple(axes)) if keepdims else x

    return reduce


def _accumulate(function: Function, by: Function | None) -> Function:
    name = function.__name__

    def accumulate(array: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Any:
        """Combine the elements along an axis, keeping what is had after each."""
        no_out(f"{name}.accumulate", out)
        if by is not None:
            return by(array, axis, dtype)
        x = array_of(array) if dtype is None else astype(array, dtype)
        axis = normal_axis(f"{name}.accumulate", axis, get_aval(x).ndim)
        if not get_aval(x).shape[axis]:
            return x
        if name in _ASSOCIATIVE:
            return associative_scan(function, x, axis=axis)
        xs = moveaxis(x, axis, 0)
        start = astype(xs[0], get_aval(function(xs[0], xs[0])).dtype)

        def step(carry: Any, row: Any) -> tuple[Any, Any]:
            carry = function(carry, row)
            return carry, carry

        _, rows = scan(step, start, xs[1:])
        return moveaxis(concatenate([start[None], rows], 0), 0, axis)

    return accumulate


def _outer(function: Function) -> Function:
    def outer(A: Any, B: Any, /) -> Any:
        """Return the function of all pairs."""
        x, y = operand(A), operand(B)
        rank = get_aval(y).ndim
        return function(reshape(array_of(x), (*get_aval(x).shape, *(1,) * rank)), y)

    return outer


def _reduceat(function: Function, reduce: Function) -> Function:
    name = function.__name__

    def reduceat(
        array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: None = None
    ) -> Any:
        """Reduce slices, each from one index to the next; the indices must be known."""
        no_out(f"{name}.reduceat", out)
        x = array_of(array) if dtype is None else astype(array, dtype)
        axis = normal_axis(f"{name}.reduceat", axis, get_aval(x).ndim)
        remedy = "The lengths of the slices must be static."
        starts = np.asarray(known(operand(indices), f"{name}.reduceat()", remedy)).tolist()
        length = get_aval(x).shape[axis]
        pieces = []
        for start, stop in zip(starts, [*starts[1:], length], strict=True):
            if not 0 <= start < length:
                raise ShapeError(f"{name}.reduceat: index {start} is out of range for {length}")
            part = window(x, axis, start, max(stop, start + 1))
            pieces.append(reduce(part, axis, keepdims=True))
        return concatenate(pieces, axis)

    return reduceat


def _at(function: Function) -> Function:
    name = function.__name__
    name = {"true_divide": "divide"}.get(name, name)

    def at(a: Any, indices: Any, b: Any = None, /, *, inplace: bool = True) -> Any:
        """Return `a` with the part at `indices` combined; `inplace` must be False."""
        if inplace:
            raise UnsupportedArgument(
                f"{name}.at: arrays are immutable; write x = {name}.at(x, ..., inplace=False), or "
                f"x = x.at[...].{_UPDATES.get(name, 'apply')}(...)"
            )
        x = array_of(a)
        if name in _UPDATES:
            return getattr(At(x)[indices], _UPDATES[name])(b)
        part = read(x, read_index(indices, get_aval(x).shape))
        return At(x)[indices].set(function(part) if b is None else function(part, b))

    return at


def _refused(name: str, method: str) -> Function:
    def refuse(*args: Any, **how: Any) -> Any:
        raise ShapeError(f"{name}.{method}: only for functions of two operands and one result")

    return refuse


def give_methods(
    function: Function, nin: int, nout: int, namespace: dict[str, Any]
) -> None:
    """Give an elementwise function the attributes and methods of a ufunc.

    Parameters
    ----------
    function : callable
        Of `nin` operands, with `nout` results.
    nin, nout : int
        See `function`.
    namespace : dict
        ``tracejit.numpy``, with the reductions that some functions have.
    """
    name = function.__name__
    found: dict[str, Any] = {
        "nin": nin,
        "nout": nout,
        "nargs": nin + nout,
        "identity": _IDENTITIES.get(name),
        "at": _at(function),
    }
    methods = ("reduce", "accumulate", "outer", "reduceat")
    if nin == 2 and nout == 1:
        reduction = _REDUCED_BY.get(name)
        accumulation = _ACCUMULATED_BY.get(name)
        reduce = _reduce(function, namespace[reduction] if reduction else None)
        accumulate = _accumulate(function, namespace[accumulation] if accumulation else None)
        made = (reduce, accumulate, _outer(function), _reduceat(function, reduce))
        found |= dict(zip(methods, made, strict=True))
    else:
        found |= {method: _refused(name, method) for method in methods}
    for attribute, value in found.items():
        setattr(function, attribute, value)


_ONE = """abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh
bitwise_count bitwise_invert bitwise_not cbrt ceil conj conjugate cos cosh deg2rad degrees exp exp2
expm1 fabs floor invert isfinite isinf isnan log log10 log1p log2 logical_not negative positive
rad2deg radians reciprocal rint sign signbit sin sinh spacing sqrt square tan tanh trunc"""
_TWO = """add arctan2 atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift
bitwise_xor copysign divide equal float_power floor_divide fmax fmin fmod gcd greater greater_equal
heaviside hypot lcm ldexp left_shift less less_equal logaddexp logaddexp2 logical_and logical_or
logical_xor
maximum minimum mod multiply nextafter not_equal pow power remainder right_shift subtract
true_divide"""


def install(namespace: dict[str, Any]) -> None:
    """Give the elementwise functions of ``tracejit.numpy`` the methods of ufuncs.

    Parameters
    ----------
    namespace : dict
        The names of ``tracejit.numpy``.
    """
    for names, nin, nout in ((_ONE, 1, 1), (_TWO, 2, 1), ("frexp modf", 1, 2), ("divmod", 2, 2)):
        for name in names.split():
            give_methods(namespace[name], nin, nout, namespace)
