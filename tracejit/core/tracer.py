"""Tracer: what stands for an array while a function is traced or transformed.

``numpy`` installs the operators and methods of arrays on Tracer and Array alike
(:func:`install`); here are only the questions that a traced value cannot answer, each with an
error that says what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from tracejit.core.array import Array
from tracejit.core.described import Described
from tracejit.core.errors import ConcretizationError, DTypeError, LeakedTracerError
from tracejit.core.interpreter import Interpreter, bottom
from tracejit.core.scalars import PYTHON_SCALARS, aval_of_scalar
from tracejit.core.source import describe
from tracejit.core.treedef import is_whole
from tracejit.core.zeros import Linear, NotLinearError
from tracejit.ir.avals import ShapedArray

__all__ = ["Tracer", "check_live", "get_aval", "leak_message"]


class Tracer(Described):
    """A traced array: an aval and the interpreter that owns it.

    Subclasses are the transformations' own.  ``concrete`` is the value where the interpreter
    knows it (eager ``grad``), so that Python control flow works on it; else ``None``.
    """

    __slots__ = ("__weakref__", "aval", "interpreter")
    __array_priority__ = 1000

    aval: ShapedArray
    interpreter: Interpreter

    @property
    def concrete(self) -> Any:
        """The value behind the tracer if it is known, else ``None``."""
        return None

    def _refuse(self, what: str, remedy: str) -> NoReturn:
        check_live(self)
        raise ConcretizationError(
            f"{what} needs the value of an array, but here it is traced: {self.aval!r} has a "
            f"shape and a dtype and no value yet. {remedy}"
        )

    def _scalar(self, what: str, remedy: str) -> Any:
        value = self.concrete
        if value is None:
            self._refuse(what, remedy)
        return value

    def __bool__(self) -> bool:
        return bool(
            self._scalar(
                "A Python `if`, `while`, `and`, `or` or `not`",
                "Write tracejit.numpy.where(c, x, y) to choose elements, "
                "tracejit.lax.cond(c, f, g, *operands) to choose a branch, "
                "tracejit.lax.while_loop(cond, body, x) to loop, `&`, `|`, `~` for logic; or "
                "make the argument static: jit(f, static_argnums=...).",
            )
        )

    def __float__(self) -> float:
        return float(
            self._scalar("float()", "Keep the array, or return it from the jitted function.")
        )

    def __int__(self) -> int:
        return int(
            self._scalar(
                "int()", "Use .astype(int) to convert it and keep it traced, or make it static."
            )
        )

    def __complex__(self) -> complex:
        return complex(self._scalar("complex()", "Use .astype(complex) to keep it traced."))

    def __index__(self) -> int:
        value = self._scalar(
            "An index, a shape or a range()",
            "To read at a traced index write x[i] or tracejit.lax.dynamic_slice; for a loop write "
            "tracejit.lax.fori_loop; a shape must be static: jit(f, static_argnums=...).",
        )
        return int(value.__index__())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        value = self._scalar(
            "np.array() or np.asarray()",
            "Use tracejit.numpy functions (or np functions on the traced value itself, "
            "which are recorded); to call NumPy on values use a callback.",
        )
        return np.asarray(value, dtype=dtype)

    def __len__(self) -> int:
        if not self.aval.shape:
            raise DTypeError("len() of an array of rank 0")
        return self.aval.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.aval.shape:
            raise DTypeError("iteration over an array of rank 0")
        return (self[i] for i in range(self.aval.shape[0]))  # type: ignore[index]

    def __setitem__(self, index: object, value: object) -> NoReturn:
        raise DTypeError(
            "arrays are immutable: write x = x.at[index].set(value) instead of x[index] = value"
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.aval!r}>"


def get_aval(x: Any) -> ShapedArray:
    """Return the aval of an array, a Tracer, a NumPy array or a scalar, without its device.

    A foreign array on a device, such as CuPy's, is an array, too.

    Raises
    ------
    DTypeError
        If `x` is none of these.
    """
    if isinstance(x, (Tracer, Array)):
        return x.aval.placeless
    if type(x) in PYTHON_SCALARS:
        return aval_of_scalar(x)
    if isinstance(x, (np.ndarray, np.generic)):
        try:
            return ShapedArray(x.shape, x.dtype)
        except TypeError as error:
            raise DTypeError(str(error)) from None
    if isinstance(x, (bool, int, float, complex)):
        return aval_of_scalar(x)
    if isinstance(x, Linear):
        raise NotLinearError
    found = bottom().adopt(x)
    if found is not None:
        return found.aval.placeless
    if is_whole(x):
        x.__tracejit_array__()  # raises: says what to do with keys
    raise DTypeError(
        f"an operand must be an array or a scalar; got {type(x).__name__}: {str(x)[:60]!r}"
    )


def check_live(tracer: Tracer) -> None:
    """Raise LeakedTracerError if the transformation that made `tracer` has ended."""
    if getattr(tracer.interpreter, "finished", False):
        raise LeakedTracerError(leak_message(tracer))


def leak_message(tracer: Tracer) -> str:
    """Return the message for a tracer met outside the transformation that made it."""
    made = _made_at(tracer)
    return (
        f"a traced value of {tracer.aval!r} is used after the transformation (jit, grad, vmap, "
        "...) that made it has ended: it stands for no array now. Return it from the "
        "transformed function instead of storing it in a variable or an attribute from within."
        + (f"\n  it was made at {made}" if made else "")
    )


def _made_at(tracer: Tracer) -> str:
    """Return where the operation stands of which `tracer` is the result, if it was recorded."""
    var = getattr(tracer, "recorded", None)
    for eq in getattr(tracer.interpreter, "equations", ()):
        if any(out is var for out in eq.outputs):
            return describe(eq.source)
    for name in ("primal", "tangent", "value"):
        inner = getattr(tracer, name, None)
        if isinstance(inner, Tracer) and (made := _made_at(inner)):
            return made
    return ""
