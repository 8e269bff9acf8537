"""Protocols: what a backend must answer, and nothing of how.

A backend is found by its entry point in the group ``tracejit.backends``, whose value is a function
``make_backend() -> Backend`` that imports nothing heavy until it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np

from tracejit.backend.calls import FastCalls
from tracejit.ir.plan import Plan
from tracejit.ir.target import Target

__all__ = ["Backend", "DeviceBuffer", "Executable"]


class DeviceBuffer(Protocol):
    """A C-contiguous array in the memory of a device; on the host buffers are numpy arrays.

    One whose memory another buffer owns has that one as its attribute ``base``.  Where the memory
    is CUDA's, it also has ``__cuda_array_interface__``.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""

    def get(self) -> np.ndarray[Any, Any]:
        """Return a copy in host memory, after the work that is enqueued."""


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
    """A place where plans run.

    A backend whose `platform` is ``"cpu"`` runs on host arrays.  Another has devices, numbered
    from 0, whose buffers are :class:`DeviceBuffer`; its platform is its name.  What is enqueued
    on a device runs in order, and need not be done when a method returns.
    """

    name: str
    platform: str

    def is_available(self) -> str:
        """Return ``""``, or a sentence saying what is missing; never raises."""

    def device_count(self) -> int:
        """Return how many devices there are."""

    def target(self) -> Target:
        """Return what the compiler may know of this machine."""

    def compile(self, plan: Plan, device: int = 0) -> Executable:
        """Return the executable of `plan`; kernels already compiled are taken from caches.

        The constants of the plan are buffers of the device.
        """

    def empty(self, shape: tuple[int, ...], dtype: Any, device: int = 0) -> Any:
        """Return an uninitialised C-contiguous buffer (recycled where that pays)."""

    def allocator(
        self, shape: tuple[int, ...], dtype: Any, device: int = 0
    ) -> Callable[[], Any]:
        """Return a function that does what :meth:`empty` does for one shape, quickly."""

    def put(self, array: np.ndarray[Any, Any], device: int = 0) -> Any:
        """Return a new buffer with the elements of a host array, which may change afterwards."""

    def evaluate(
        self, function: Callable[..., Sequence[Any]], buffers: Sequence[Any], device: int = 0
    ) -> list[Any]:
        """Return what ``function(xp, *buffers)`` returns, as C-contiguous buffers.

        Parameters
        ----------
        function : callable
            Calls functions of ``xp``, a module with NumPy's names over buffers of the device;
            returns a list of arrays, which may be views of `buffers`.
        buffers : sequence of buffers
            Of the device; not written to.
        device : int
            Where.

        Raises
        ------
        TypeError, NotImplementedError, AttributeError, ValueError
            If ``xp`` lacks something; the caller then compiles the operation instead.
        """

    def wait(self, device: int = 0) -> None:
        """Return when the work that is enqueued on a device is done."""

    def adopt(self, x: Any) -> tuple[Any, int] | None:
        """Return a buffer of a foreign array and the number of its device; ``None`` if not ours.

        The memory is shared if it is contiguous.  Work enqueued by the owner so far comes first.

        Parameters
        ----------
        x : object
            Anything; arrays have ``__cuda_array_interface__`` or ``__dlpack_device__``.
        """

    def share(self, buffer: Any, **how: Any) -> Any:
        """Return a DLPack capsule over the memory of a buffer.

        Parameters
        ----------
        buffer : buffer
            Kept alive by the capsule.
        **how
            ``stream`` and ``max_version`` of ``__dlpack__``, where they were given.
        """

    def dlpack_device(self, device: int = 0) -> tuple[int, int]:
        """Return what DLPack calls a device: its type and number, e.g. ``(2, 0)`` for CUDA's."""

    def fast_calls(
        self, array_type: type, active: ContextVar[Any], place: ContextVar[Any]
    ) -> FastCalls | None:
        """Return what answers calls of jitted functions natively, or None if nothing does.

        Parameters
        ----------
        array_type : type
            The class of arrays, with slots ``aval`` and ``buf``.
        active, place : ContextVar
            A call is answered only where the first is None, and the second as well unless the
            device of the signature is settled.
        """

    def set_num_threads(self, n: int) -> None:
        """Use `n` threads from the next call on; results do not depend on it."""

    def release_memory(self) -> None:
        """Give memory that is kept for later, and holds no array, back to the system."""

    def counters(self) -> dict[str, int]:
        """Return counters: kernels compiled, taken from memory, taken from disk, callbacks."""
