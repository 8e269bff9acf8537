"""Protocols: what a backend must answer, and nothing of how.

A backend is found by its entry point in the group ``tracejit.backends``, whose value is a function
``make_backend() -> Backend`` that imports nothing heavy until it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tracejit.ir.plan import Plan
from tracejit.ir.target import Target

__all__ = ["Backend", "Executable"]


class Executable(Protocol):
    """A plan made native; may be called from several threads at once."""

    def __call__(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Run on buffers of the backend's device.

        Parameters
        ----------
        inputs, outputs : sequence of buffers
            C-contiguous, of the shapes and dtypes of the plan; outputs are written.

        Raises
        ------
        Exception
            What a callback raised; ``KeyboardInterrupt`` if the run was interrupted.
        """

    def text(self, stage: str) -> str:
        """Return the program at a stage of the backend: ``"llvm"``, ``"cuda"`` or ``"asm"``."""


class Backend(Protocol):
    """A place where plans run."""

    name: str

    def is_available(self) -> str:
        """Return ``""``, or a sentence saying what is missing; never raises."""

    def target(self) -> Target:
        """Return what the compiler may know of this machine."""

    def compile(self, plan: Plan) -> Executable:
        """Return the executable of `plan`; kernels already compiled are taken from caches."""

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return an uninitialised C-contiguous buffer (recycled where that pays)."""

    def allocator(self, shape: tuple[int, ...], dtype: Any) -> Callable[[], Any]:
        """Return a function that does what :meth:`empty` does for one shape, quickly."""

    def set_num_threads(self, n: int) -> None:
        """Use `n` threads from the next call on; results do not depend on it."""

    def counters(self) -> dict[str, int]:
        """Return counters: kernels compiled, taken from memory, taken from disk, callbacks."""
