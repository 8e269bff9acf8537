"""Arrays on a simulated device, which behave as CuPy's do.

Their memory is the host's, so NumPy computes with them; but NumPy is not let near them unasked:
what CuPy refuses is refused here, so that a host read that was forgotten shows.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tracejit_cuda.runtime import CudaError
from tracejit_cuda.simulator.memory import Allocation, Heap

__all__ = [
    "SORTS",
    "DeviceArray",
    "Step",
    "allocation_of",
    "apply",
    "empty",
    "recorder",
    "refuse_while_recording",
    "stably",
]

Step = Callable[[], None]

# fmt: off
METHODS = frozenset((
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "astype", "choose", "clip",
    "compress", "conj", "conjugate", "copy", "cumprod", "cumsum", "diagonal", "dot", "fill",
    "flatten", "max", "mean", "min", "nonzero", "partition", "prod", "put", "ravel", "repeat",
    "reshape", "round", "searchsorted", "sort", "squeeze", "std", "sum", "swapaxes", "take",
    "trace", "transpose", "var", "view",
))
# fmt: on
"""Methods of NumPy's arrays that CuPy's have, too."""

SORTS = frozenset(("sort", "argsort"))
"""Functions and methods that CuPy has in one kind, which is stable."""

VIEWS = frozenset(("T", "mT", "real", "imag"))
"""Attributes that are arrays."""


class _Recording(threading.local):
    """What records the work of this thread, if something does."""

    steps: list[Step] | None = None


recorder = _Recording()


class DeviceArray(NDArrayOperatorsMixin):
    """An array in the memory of a simulated device.

    Parameters
    ----------
    host : numpy.ndarray
        The same elements, for NumPy.
    heap : Heap
        Of its device.
    base : object, optional
        Whose memory it is, if not its own.

    Attributes
    ----------
    shape : tuple of int
        Lengths of the axes.
    dtype : numpy.dtype
        Element type.
    nbytes : int
        Bytes of the elements.
    """

    __slots__ = ("_host", "base", "dtype", "heap", "nbytes", "shape")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray[Any, Any], heap: Heap, base: Any = None) -> None:
        self._host = host
        self.heap = heap
        self.base = base
        self.shape: tuple[int, ...] = host.shape
        self.dtype: np.dtype[Any] = host.dtype
        self.nbytes = host.nbytes

    # -------------------------------------------------------------- what it is

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._host.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._host.size

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self._host.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next along each axis."""
        return self._host.strides

    @property
    def flags(self) -> Any:
        """How it lies in memory."""
        return self._host.flags

    @property
    def device(self) -> int:
        """Number of its device."""
        return self.heap.device

    @property
    def address(self) -> int:
        """Where it starts."""
        return self._host.ctypes.data

    def __len__(self) -> int:
        return len(self._host)

    def __repr__(self) -> str:
        return f"DeviceArray({self._host!r})"

    # ------------------------------------------------------- to and from hosts

    def get(self, *_: Any, **__: Any) -> np.ndarray[Any, Any]:
        """Return a copy in host memory."""
        refuse_while_recording("a read of device memory")
        return self._host.copy()

    def set(self, values: np.ndarray[Any, Any]) -> None:
        """Copy the elements of a host array."""
        refuse_while_recording("a write from host memory")
        np.copyto(self._host, values, casting="no")

    def item(self, *place: Any) -> Any:
        """Return an element as a Python scalar."""
        refuse_while_recording("a read of device memory")
        return self._host.item(*place)

    def tolist(self) -> Any:
        """Return the elements as lists of Python scalars."""
        refuse_while_recording("a read of device memory")
        return self._host.tolist()

    def __array__(self, *_: Any, **__: Any) -> np.ndarray[Any, Any]:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed: use `.get()` on a device array"
        )

    def __bool__(self) -> bool:
        refuse_while_recording("a read of device memory")
        return bool(self._host)

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        refuse_while_recording("a read of device memory")
        return operator.index(self._host)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """What other libraries would find on a GPU."""
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address if self.size else 0, False),
            "strides": None if self.flags.c_contiguous else self.strides,
            "version": 3,
        }

    def __dlpack__(self, **_: Any) -> Any:
        raise BufferError("memory of a simulated device is of no use to another library")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.device  # kDLCUDA

    # --------------------------------------------------------- what it can do

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        outputs = options.get("out", ())
        for x in (*inputs, *(outputs if isinstance(outputs, tuple) else (outputs,))):
            if isinstance(x, np.ndarray):  # as CuPy
                raise TypeError(f"Unsupported type {type(x)}")
        return apply(getattr(ufunc, method), inputs, options)

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            method = getattr(np.ndarray, name)
            if name in SORTS:
                method = stably(method)
            return lambda *args, **options: apply(method, (self, *args), options)
        if name in VIEWS:
            return apply(lambda host: getattr(host, name), (self,), {})
        raise AttributeError(f"an array on a simulated device has no attribute {name!r}")

    def __getitem__(self, key: Any) -> Any:
        return apply(_item, (self, key), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        apply(operator.setitem, (self, key, value), {})

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, _: Any) -> Any:
        return self.copy()


def stably(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of NumPy that sorts, as CuPy does whatever kind it is asked for."""
    return lambda *args, **options: function(*args, **{**options, "kind": "stable"})


def _item(host: np.ndarray[Any, Any], key: Any) -> Any:
    """Return a part of an array; one element is an array over it."""
    found = host[key]
    if isinstance(found, np.generic):
        return host[(*key, ...) if isinstance(key, tuple) else (key, ...)]
    return found


def refuse_while_recording(what: str) -> None:
    """Raise if the work of this thread is being recorded."""
    if recorder.steps is not None:
        raise CudaError(f"{what} cannot be part of a graph")


def allocation_of(host: np.ndarray[Any, Any]) -> Allocation | None:
    """Return the memory that an array lies in, ``None`` if it is no device's."""
    owner: Any = host
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return owner if isinstance(owner, Allocation) else None


def empty(shape: Sequence[int], dtype: Any, heap: Heap) -> DeviceArray:
    """Return a C-contiguous array of fresh memory."""
    kind = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    allocation = heap.allocate(count * kind.itemsize)
    memory = np.asarray(allocation)
    return DeviceArray(memory.view(kind).reshape(shape), heap)


def apply(
    function: Callable[..., Any],
    args: Sequence[Any],
    options: dict[str, Any],
    heap: Heap | None = None,
) -> Any:
    """Call a function of NumPy on arrays of a device; arrays that it returns are on the device.

    Parameters
    ----------
    function : callable
        Gets NumPy arrays over the same memory.
    args, options
        What it is called with; device arrays may be in lists, tuples and dicts.
    heap : Heap, optional
        Of the device of the result, where no argument is an array.
    """
    arrays: list[DeviceArray] = []
    plain, named = _to_host(tuple(args), arrays), _to_host(options, arrays)
    heaps = {x.heap for x in arrays}
    if len(heaps) > 1:
        raise ValueError(f"arrays on different devices: {sorted(h.device for h in heaps)}")
    target = heaps.pop() if heaps else heap
    found = function(*plain, **named)
    result = _to_device(found, arrays, target)
    if recorder.steps is not None:
        recorder.steps.append(lambda: _refresh(result, function(*plain, **named)))
    return result


def _to_host(x: Any, arrays: list[DeviceArray]) -> Any:
    if isinstance(x, DeviceArray):
        arrays.append(x)
        return x._host
    if type(x) in (list, tuple):
        return type(x)(_to_host(y, arrays) for y in x)
    if type(x) is dict:
        return {key: _to_host(y, arrays) for key, y in x.items()}
    return x


def _to_device(x: Any, arrays: Sequence[DeviceArray], heap: Heap | None) -> Any:
    if isinstance(x, np.ndarray | np.generic):
        return x if heap is None else _placed(x, arrays, heap)
    if isinstance(x, list | tuple):
        parts = [_to_device(y, arrays, heap) for y in x]
        # What has fields is a tuple with a name, e.g. the result of a decomposition.
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return x


def _placed(x: Any, arrays: Sequence[DeviceArray], heap: Heap) -> DeviceArray:
    """Return a result as an array of the device: an operand, a view of one, or a copy."""
    for array in arrays:
        if array._host is x:
            return array
    allocation = allocation_of(x) if isinstance(x, np.ndarray) else None
    if allocation is not None:
        owner = next((a for a in arrays if allocation_of(a._host) is allocation), None)
        base = None if owner is None else owner if owner.base is None else owner.base
        return DeviceArray(x, heap, base)
    placed = empty(x.shape, x.dtype, heap)
    placed._host[...] = x
    return placed


def _refresh(result: Any, found: Any) -> None:
    """Write what a recorded call returns now where its first results lie."""
    if isinstance(result, DeviceArray):
        if allocation_of(np.asarray(found)) is None:
            result._host[...] = found
    elif isinstance(result, list | tuple):
        for r, f in zip(result, found, strict=True):
            _refresh(r, f)
