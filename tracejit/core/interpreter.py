"""The current interpreter: what ``bind`` asks.

Each transformation is an interpreter with a parent.  It handles the operations on its own
tracers and hands the others to its parent; at the bottom an operation is evaluated.  The bottom
(eager) interpreter is installed by :mod:`tracejit.runtime`, one of two sanctioned upward hooks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

if TYPE_CHECKING:
    from tracejit.core.array import Array
    from tracejit.core.devices import Device
    from tracejit.core.primitive import Primitive

__all__ = [
    "Bottom",
    "Interpreter",
    "active",
    "bottom",
    "current",
    "current_interpreter",
    "install_bottom",
    "interpreting",
]


class Interpreter(Protocol):
    """What gives meaning to a bound primitive."""

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Return the output, or the list of outputs if the primitive has several."""


class Bottom(Interpreter, Protocol):
    """What evaluates, and knows devices."""

    def place(self, x: Array, device: str | None) -> Array:
        """Return `x` committed to a device, itself if it is already."""

    def adopt(self, x: Any) -> Array | None:
        """Return a foreign array on a device as an Array, without a copy if it can be, or None."""

    def copy(self, x: Array) -> Array:
        """Return a copy of `x` on its device, in memory of its own."""

    def share(self, x: Array, **how: Any) -> Any:
        """Return a DLPack capsule over the memory of an array on a device."""

    def dlpack_device(self, x: Array) -> tuple[int, int]:
        """Return what DLPack calls the device of an array."""

    def devices(self) -> list[Device]:
        """Return the devices that can be used, the host first."""

    def wait(self, x: Array) -> None:
        """Return when `x` is computed."""

    def native(self, fun: Callable[..., Any]) -> Callable[..., Any] | None:
        """Return `fun` compiled such that calls on small arrays cost no Python, if that can be."""


class _NoBottom:
    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError("no eager interpreter is installed; import tracejit, not its parts")


_bottom: Bottom = cast(Bottom, _NoBottom())
current: ContextVar[Interpreter | None] = ContextVar("interpreter", default=None)
"""The interpreter of the innermost active transformation."""


def install_bottom(interpreter: Bottom) -> None:
    """Make `interpreter` the one that evaluates when no transformation is active."""
    global _bottom
    _bottom = interpreter


def bottom() -> Bottom:
    """Return the eager interpreter."""
    return _bottom


active = current.get
"""Return the interpreter of the innermost active transformation, or ``None``."""


def current_interpreter() -> Interpreter:
    """Return the interpreter of the innermost active transformation, or the eager one."""
    return current.get() or _bottom


class interpreting:
    """Context manager: `interpreter` is the current one inside the block."""

    __slots__ = ("_interpreter", "_token")

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._token: Token[Interpreter | None] | None = None

    def __enter__(self) -> Interpreter:
        self._token = current.set(self._interpreter)
        return self._interpreter

    def __exit__(self, *exc: object) -> None:
        assert self._token is not None
        current.reset(self._token)
