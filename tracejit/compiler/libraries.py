"""Which equations a backend may answer by a call of a library, and how the call is written.

A call describes its arrays by a few integers, so that a backend need not know primitives; their
meanings stand at :class:`tracejit.ir.plan.LibraryCall`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from tracejit.compiler.contract import stacks
from tracejit.compiler.values import Block, Group, Opaque, Value
from tracejit.ir.dtypes import is_complex, is_integer
from tracejit.ir.program import Equation
from tracejit.ir.target import Target

__all__ = ["Routine", "library_call", "of_sort"]

SCANS = ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
SCATTERS = ("scatter", "scatter_add", "scatter_mul", "scatter_min", "scatter_max")

PAIRED = ("cumsum", "scatter", "scatter_add")
"""What is done to the two parts of complex numbers each by itself."""
MATRICES = (
    "cholesky", "eig", "eigh", "lu", "lu_solve", "qr", "svd", "triangular_solve",
)  # fmt: skip
WHOLE = ("sort", "fft", "csr_matmul", *MATRICES)
"""What is done to complex numbers as a whole."""
FFT_KINDS = ("FFT", "IFFT", "RFFT", "IRFFT")
FFT_NORMS = ("backward", "ortho", "forward")

LARGEST_MATRIX = 1 << 14
"""Side of a matrix, up to which what LAPACK works in is counted by 32 bits."""
LONGEST_ROW = 2**31
"""Length of what is sorted, below which it is numbered by 32 bits."""


class Routine(NamedTuple):
    """A library call without its slots.

    Attributes
    ----------
    name : str
        Of the library call.
    params : tuple of int
        Its description of the arrays.
    in_place : bool
        Whether the result may lie where the first operand does.
    """

    name: str
    params: tuple[int, ...]
    in_place: bool = False


def library_call(eq: Equation, target: Target) -> Routine | None:
    """Return how a library computes an equation, or None if none of `target` does."""
    name = eq.primitive.name
    write = _ROUTINES.get(name)
    if write is None:
        return None
    if name not in (*PAIRED, *WHOLE) and is_complex(eq.outputs[0].aval.dtype):
        return None
    routine = write(eq)
    return routine if routine is not None and routine.name in target.libraries else None


def _product(eq: Equation) -> Routine | None:
    form = stacks(eq)
    dtype = eq.outputs[0].aval.dtype
    if form is None or dtype.name not in ("float32", "float64"):
        return None
    if any(a.aval.dtype != dtype for a in eq.inputs):
        return None
    return Routine("matmul", tuple(int(p) for p in form))


def _parts(eq: Equation) -> int:
    return 2 if is_complex(eq.outputs[0].aval.dtype) else 1


def _scan(eq: Equation) -> Routine:
    shape, axis = eq.inputs[0].aval.shape, eq.params["axis"]
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :]) * _parts(eq)
    params = (outer, shape[axis], inner, int(eq.params["reverse"]))
    return Routine(eq.primitive.name, params, in_place=True)


def _scatter(eq: Equation) -> Routine:
    x, indices, updates = (a.aval.shape for a in eq.inputs)
    parts = _parts(eq)
    axes, collapsed, lanes = (eq.params[p] for p in ("axes", "collapsed", "lanes"))
    shape, batch = x[lanes:], math.prod(indices[lanes:-1])
    moved = iter(updates[len(indices) - 1 :])
    sizes = [1 if a in collapsed else next(moved) for a in range(len(shape))]
    strides = [math.prod(shape[a + 1 :]) * parts for a in range(len(shape))]
    # Without updates, a window may be larger than the operand.
    starts = [(strides[a], max(shape[a] - sizes[a], 0)) for a in axes]
    window: list[tuple[int, int]] = []
    for length, stride in zip((*sizes, parts), (*strides, 1), strict=True):
        if window and window[-1][1] == length * stride:
            window[-1] = (window[-1][0] * length, stride)
        elif length != 1:
            window.append((length, stride))
    size = math.prod(shape) * parts
    head = (math.prod(x[:lanes]), batch, size, int(eq.params["mode"] == "drop"))
    unique = int(eq.params["unique"] or batch <= 1)
    pairs = [n for group in (starts, window) for n in (len(group), *(i for p in group for i in p))]
    return Routine(eq.primitive.name, (*head, unique, *pairs), in_place=True)


def _sort(eq: Equation) -> Routine | None:
    shape, axis = eq.inputs[0].aval.shape, eq.params["axis"]
    if shape[axis] >= LONGEST_ROW:
        return None
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    return Routine("sort", (outer, shape[axis], inner, eq.params["num_keys"]))


def _fft(eq: Equation) -> Routine:
    x, params = eq.inputs[0].aval, eq.params
    axes, lengths = params["axes"], params["lengths"]
    kind, norm = FFT_KINDS.index(params["kind"]), FFT_NORMS.index(params["norm"])
    numbers = (kind, norm, lengths[-1], x.ndim, *x.shape, *axes)
    return Routine("fft", numbers, in_place=x.dtype == eq.outputs[0].aval.dtype)


def _sparse(eq: Equation) -> Routine:
    data, _, indptr, x = (a.aval for a in eq.inputs)
    return Routine("csr_matmul", (indptr.size - 1, *x.shape, data.size))


def _matrices(eq: Equation) -> Routine | None:
    a, p = eq.inputs[0].aval, eq.params
    if a.dtype.itemsize == 2 or (a.size == 0 and eq.primitive.name in ("svd", "qr")):
        return None
    *lanes, m, n = a.shape
    if max(m, n) > LARGEST_MATRIX:
        return None
    head: tuple[int, ...] = (math.prod(lanes), n)
    name = eq.primitive.name
    if name in ("lu_solve", "triangular_solve"):
        side = -2 if name == "triangular_solve" and not p["left"] else -1
        head = (*head, eq.outputs[0].aval.shape[side])
    elif name in ("lu", "qr", "svd"):
        head = (math.prod(lanes), m, n)
    flags = tuple(int(p[k]) for k in _FLAGS.get(name, ()))
    return Routine(name, (*head, *flags))


_FLAGS = {
    "eig": ("left", "right"),
    "eigh": ("vectors",),
    "lu_solve": ("trans",),
    "qr": ("full",),
    "svd": ("full", "vectors"),
    "triangular_solve": ("left", "lower", "trans", "conjugate", "unit"),
}
"""Params of primitives that are params of the call, in order."""


def of_sort(block: Block, last: dict[Value, int], item: Opaque) -> tuple[int, int]:
    """Return what is known of a sort where it stands: the last two params of the library call.

    Parameters
    ----------
    block : Block
        Where it stands.
    last : dict of Value to int
        The item that reads or writes a value last; see
        :func:`tracejit.compiler.memory.last_uses`.
    item : Opaque
        The sort.
    """
    here = block.items.index(item)
    tasks = (t for other in block.items if isinstance(other, Group) for t in other.tasks)
    makers = {t.value: t.loader.owner for t in tasks}
    wanted = counted = 0
    for n, (v, out) in enumerate(zip(item.inputs, item.outputs, strict=True)):
        wanted |= (last[out.base] > here) << n
        maker = makers.get(v)
        if maker is not None and maker.primitive.name == "iota" and is_integer(v.aval.dtype):
            counted |= (maker.params["axis"] == item.equation.params["axis"]) << n
    return wanted, counted


_ROUTINES: dict[str, Callable[[Equation], Routine | None]] = {
    "dot_general": _product,
    **dict.fromkeys(SCANS, _scan),
    **dict.fromkeys(SCATTERS, _scatter),
    "sort": _sort,
    "fft": _fft,
    "csr_matmul": _sparse,
    **dict.fromkeys(MATRICES, _matrices),
}
