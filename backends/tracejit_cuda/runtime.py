"""Runtime: what the backend asks of whatever runs kernels.

Two implementations: :mod:`tracejit_cuda.cupy_runtime` (CuPy, on a GPU) and
:mod:`tracejit_cuda.simulator` (the same source strings compiled for the host, threads as fibers).
All work of one device is enqueued on one stream, in order, and does not block the host unless a
method says so.

A kernel is ``extern "C" __global__ void NAME(const ARGS a)`` where ``ARGS`` is a plain struct: it
has one argument, passed by value, whose bytes the caller lays out (natural alignment; pointers are
8 bytes).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np

__all__ = ["Buffer", "CudaError", "Function", "Graph", "Properties", "Runtime"]


class CudaError(RuntimeError):
    """The device, the driver or the compiler refused; the message says what and what to do."""


class Properties(NamedTuple):
    """What a device is.

    Attributes
    ----------
    name : str
        Of the card, as its driver says.
    arch : str
        The target of code generation, e.g. ``"sm_90"``.
    multiprocessors : int
        How many there are.
    cache_bytes : int
        Size of the last-level cache.
    shared_bytes : int
        Shared memory that one block may have.
    """

    name: str
    arch: str
    multiprocessors: int
    cache_bytes: int
    shared_bytes: int


class Buffer(Protocol):
    """A C-contiguous array in device memory (a ``cupy.ndarray``, or the simulator's)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    nbytes: int

    def get(self) -> np.ndarray[Any, Any]:
        """Return a copy in host memory; waits for the stream."""


Function = Any
"""A loaded kernel; only its runtime knows what it is."""


class Graph(Protocol):
    """Work recorded once, enqueued again by one call."""

    def launch(self) -> None:
        """Enqueue the recorded work."""


class Runtime(Protocol):
    """One way to run kernels; see the module."""

    name: str
    namespace: Any
    """What rules get as ``xp``: a module with NumPy's functions over buffers."""
    label: str
    """What a failure of the work enqueued next is blamed on, e.g. the name of a plan; ``""``: the
    name of the kernel.  A failure shows when it is waited for, and names the latest few."""

    def missing(self) -> str:
        """Return ``""``, or a sentence saying what is missing and how to get it; never raises."""

    def device_count(self) -> int:
        """Return how many devices there are."""

    def properties(self, device: int) -> Properties:
        """Return what a device is."""

    def on_device(self, device: int) -> AbstractContextManager[None]:
        """Return a context in which functions of `namespace` run on a device, in its order.

        The default device needs none, unless the caller's thread has another stream of the
        namespace current.
        """

    def empty(self, shape: tuple[int, ...], dtype: Any, device: int) -> Buffer:
        """Return an uninitialised buffer; memory is recycled in the order of the stream.

        Raises
        ------
        MemoryError
            If the device has no such room; the message says how much was asked for and is free.
        """

    def upload(self, array: np.ndarray[Any, Any], device: int) -> Buffer:
        """Return a buffer with the elements of a host array, which may be changed afterwards."""

    def download(self, buffer: Buffer) -> np.ndarray[Any, Any]:
        """Return a copy in host memory, after the work that is enqueued.

        Raises
        ------
        CudaError
            If some of that work failed; ``buffer.get()`` raises the namespace's own error.
        """

    def address(self, buffer: Buffer) -> int:
        """Return where a buffer starts in device memory."""

    def view(
        self, address: int, shape: tuple[int, ...], dtype: Any, device: int, owner: Any
    ) -> Buffer:
        """Return a buffer over memory that `owner` keeps alive."""

    def adopt(self, x: Any) -> Buffer | None:
        """Return a C-contiguous buffer of a foreign device array, without a copy if it can be.

        ``None`` if `x` is not an array on a device of this runtime.
        """

    def device_of(self, buffer: Buffer) -> int:
        """Return the number of the device that holds a buffer."""

    def load(self, source: str, names: Sequence[str], device: int) -> dict[str, Function]:
        """Compile a source (or take it from the disk cache) and return its kernels by name.

        Raises
        ------
        CudaError
            With the compiler's log, if the source does not compile.
        """

    def launch(
        self,
        function: Function,
        blocks: int,
        threads: int,
        shared: int,
        arguments: ctypes.Array[Any],
        device: int,
        cooperative: bool = False,
    ) -> None:
        """Enqueue a kernel.

        Parameters
        ----------
        function : Function
            From :meth:`load`.
        blocks, threads : int
            A one-dimensional grid of one-dimensional blocks.
        shared : int
            Bytes of dynamic shared memory.
        arguments : ctypes array of bytes
            The struct; copied before this returns.
        device : int
            Where.
        cooperative : bool
            Whether all blocks must be resident at once, because they wait for one another.
        """

    def resident_blocks(self, function: Function, threads: int, shared: int, device: int) -> int:
        """Return how many blocks of a kernel may be resident at once on the whole device."""

    def copy(self, target: int, source: int, nbytes: int, device: int) -> None:
        """Enqueue a copy within device memory."""

    def peek(self, address: int, dtype: np.dtype[Any], device: int) -> Any:
        """Return one element as a Python scalar; waits for the stream."""

    def capture(self, run: Callable[[], None], device: int) -> Graph:
        """Return what `run` enqueues (launches and copies) as a graph, without running it."""

    def synchronize(self, device: int) -> None:
        """Wait until all enqueued work is done.

        Raises
        ------
        CudaError
            If some of it failed.
        """

    def release_memory(self) -> None:
        """Give unused memory back to the device."""
