"""``disable_jit``: jitted functions and control operators run as Python, one operation at a time.

For looking into a function: inside, values are arrays that can be printed, and a debugger stops
where it should.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tracejit.core.interpreter import (
    Interpreter,
    active,
    bottom,
    current_interpreter,
    interpreting,
)
from tracejit.core.primitive import Primitive
from tracejit.core.pytree import tree_map
from tracejit.core.tracer import get_aval
from tracejit.ops.shape import reshape
from tracejit.ops.slicing import concatenate
from tracejit.transforms.flat import array_or_tracer
from tracejit.transforms.jvp import concrete_value

__all__ = [
    "PassThrough",
    "as_arrays",
    "chosen",
    "disable_jit",
    "jit_disabled",
    "scanned",
    "untransformed",
    "whiled",
]

jit_disabled: ContextVar[bool] = ContextVar("jit_disabled", default=False)
"""Whether functions run as Python."""


class PassThrough:
    """Hands every operation to its parent.

    While there is an interpreter, calls of jitted functions do not take their fast path.
    """

    __slots__ = ("parent",)

    def __init__(self, parent: Interpreter) -> None:
        self.parent = parent

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        with interpreting(self.parent):
            return self.parent.process(primitive, operands, params)


@contextmanager
def disable_jit(disable: bool = True) -> Iterator[None]:
    """Context manager: jitted functions and control operators run as the Python that they are.

    ``jit``, ``cond``, ``switch``, ``scan``, ``fori_loop``, ``map`` and ``while_loop`` call the
    user's functions on arrays, so that one can print values and step through with a debugger.

    Parameters
    ----------
    disable : bool
        False undoes it within a block.

    Notes
    -----
    Where a branch or the end of a loop depends on a traced value (under ``vmap``, or inside
    ``make_program``), it is traced as ever.

    Examples
    --------
    >>> import tracejit
    >>> @tracejit.jit
    ... def f(x):
    ...     return float(x) + 1.0
    >>> with tracejit.disable_jit():
    ...     float(f(2.0))
    3.0
    """
    token = jit_disabled.set(disable)
    try:
        with interpreting(PassThrough(current_interpreter())):
            yield
    finally:
        jit_disabled.reset(token)


def untransformed() -> bool:
    """Whether no transformation is in progress."""
    now = active()
    while isinstance(now, PassThrough):
        now = now.parent
    return now is None or now is bottom()


def as_arrays(tree: Any) -> Any:
    """Return a pytree as traced code would meet it: its leaves are arrays."""
    return tree_map(array_or_tracer, tree)


def chosen(index: Any) -> int | None:
    """Return which branch to run as Python; None if it is to be traced."""
    value = concrete_value(index) if jit_disabled.get() else None
    return None if value is None else int(value)


def whiled(test: Callable[[Any], Any], body: Callable[[Any], Any], value: Any) -> Any:
    """Run ``while_loop`` as Python; None if it is to be traced, else a tuple of the result."""
    if not jit_disabled.get():
        return None
    value = as_arrays(value)
    if concrete_value(test(value)) is None:
        return None
    while test(value):
        value = as_arrays(body(value))
    return (value,)


def scanned(
    pair: Callable[[Any, Any], Any], carry: Any, xs: Any, length: int, reverse: bool
) -> Any:
    """Run ``scan`` as Python; None if it is to be traced."""
    if not jit_disabled.get() or not length:
        return None
    found = []
    carry, xs = as_arrays((carry, xs))
    for i in reversed(range(length)) if reverse else range(length):
        carry, y = as_arrays(pair(carry, tree_map(lambda x, i=i: x[i], xs)))
        found.append(y)
    if reverse:
        found.reverse()

    def stacked(*ys: Any) -> Any:
        return concatenate([reshape(y, (1, *get_aval(y).shape)) for y in ys], 0)

    return carry, tree_map(stacked, *found)
