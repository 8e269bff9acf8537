"""Definitions of special functions that SciPy computes; a few of them are expressions in kernels.

A definition is a name, what it is and one derivative an operand; everything else is common.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracejit.core.errors import MissingRuleError
from tracejit.ir.dtypes import is_float
from tracejit.ops._expansions import LOWERED
from tracejit.ops._pointwise import define_pointwise, same_dtype
from tracejit.ops.arithmetic import mul
from tracejit.ops.special import by_special

__all__ = ["CALLED", "Slope", "by_order", "define_called"]

CALLED = "run by SciPy through the counted callback"

Slope = Callable[..., Any]


def by_order(name: str, which: str = "order") -> Slope:
    """Return the slope by an operand of which nobody has written the derivative."""

    def slope(*args: Any, **params: Any) -> Any:
        del args, params
        raise MissingRuleError(
            f"{name}: there is no derivative by its {which}; give it as a constant, or behind "
            "stop_gradient"
        )

    return slope


def define_called(
    name: str,
    what: str,
    *slopes: Slope,
    impl: Callable[..., Any] | None = None,
    accepts: tuple[Callable[[Any], bool], str] = (is_float, "float"),
    function: str = "",
) -> Callable[..., Any]:
    """Define a pointwise primitive and return the function that binds it.

    Parameters
    ----------
    name : str
        Of the primitive, and of the function of SciPy unless `impl` is given.
    what : str
        What it is, for the docstring.
    *slopes : callable
        One an operand: ``slope(out, *operands)`` is the derivative.
    impl : callable, optional
        As for :func:`tracejit.core.primitive.define`.
    accepts : (callable, str)
        Which dtypes, and what they are called.
    function : str
        The name of the function that is returned; `name` by default.
    """

    def term(slope: Slope) -> Callable[..., Any]:
        return lambda t, out, *xs: mul(t, slope(out, *xs))

    primitive = define_pointwise(
        name,
        impl=impl or by_special(function or name),
        dtype=same_dtype(name, *accepts),
        jvp=[term(s) for s in slopes],
        lower=LOWERED.get(function or name, CALLED),
    )

    def bound(*xs: Any) -> Any:
        return primitive.bind(*xs)

    bound.__name__ = bound.__qualname__ = function or name
    bound.__doc__ = (
        f"{what}; operands are Arrays of equal shape (or rank 0) and one {accepts[1]} dtype, "
        "the result alike."
    )
    return bound
