"""Plan: what a backend receives for one Program: kernels, steps, and where every buffer lives.

Values live in *slots*, numbered pointers.  A slot starts as an input, an output, a constant, a
place in the arena, or empty (``pointer``, set by a step).  Steps run in order; all sizes are plain
data, so a backend compiles kernels only, keyed by their text, and a second size of a program
compiles nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tracejit.ir.avals import ShapedArray
from tracejit.ir.kernel import Kernel
from tracejit.ir.program import Source

__all__ = [
    "Assign",
    "Branch",
    "Callback",
    "Copy",
    "Launch",
    "LibraryCall",
    "Note",
    "Plan",
    "Point",
    "Repeat",
    "Slot",
    "Step",
    "While",
    "all_steps",
]


class Slot(NamedTuple):
    """Where a slot starts.

    Attributes
    ----------
    kind : {"input", "output", "constant", "arena", "pointer"}
        What it points to at the start.
    number : int
        The number of the input, output or constant; the byte offset in the arena.
    aval : ShapedArray
        What it holds.
    """

    kind: str
    number: int
    aval: ShapedArray


class Launch(NamedTuple):
    """Run a kernel over all its rows.

    Attributes
    ----------
    kernel : int
        Its number in the plan.
    slots : tuple of int
        Its buffers.
    sizes : tuple of int
        Its integer arguments.
    floats : tuple of float
        Its float arguments.
    rows : int
        The rows are ``0 .. rows-1``.
    cost : float
        Estimated nanoseconds on one core, by which a backend chooses chunks.
    sources : tuple of Source
        The user lines that were fused into it.
    """

    kernel: int
    slots: tuple[int, ...]
    sizes: tuple[int, ...]
    floats: tuple[float, ...]
    rows: int
    cost: float = 0.0
    sources: tuple[Source, ...] = ()


class LibraryCall(NamedTuple):
    """Call a routine of a numerical library, e.g. ``"matmul"``; ``params`` as the table says.

    ``matmul``: slots (a, b, out), each a C-contiguous stack of matrices; params ``(batch, m, n, k,
    transpose_a, transpose_b)``; out[batch, m, n] = a[batch, m, k] b[batch, k, n], a stored as
    [batch, k, m] if `transpose_a`, b as [batch, n, k] if `transpose_b`; float32 or float64.

    Below, arrays of complex numbers are seen as arrays of their real and imaginary parts: lengths
    and strides count those.

    ``cumsum``, ``cumprod``, ``cummax``, ``cummin``, ``cumlogsumexp``: slots (x, out), both seen as
    [outer, length, inner], of one dtype, complex for ``cumsum`` alone; out may lie where x does;
    params ``(outer, length, inner, reverse)``; out[o, l, i] combines x[o, 0 .. l, i], or
    x[o, l .. length-1, i] if `reverse`.
    Integers wrap round, float16 and bfloat16 are combined in float32, maxima and minima are NaN
    from the first NaN on.

    ``scatter`` (replaces), ``scatter_add``, ``scatter_mul``, ``scatter_min``, ``scatter_max``:
    slots (x, indices, updates, out); x, updates and out of one dtype, complex for the first two
    alone, indices of any integer dtype; out may lie where x does.  params ``(lanes, batch, size,
    drop, unique, S, (stride, room) * S, W, (length, stride) * W)``.  x and out are [lanes, size],
    indices [lanes, batch, S], updates [lanes, batch, length...]; window ``b`` of a lane starts at
    element ``sum(min(max(index, 0), room) * stride)`` of the lane, over the S starts, and element
    ``w...`` of a window lies ``sum(w * stride)`` further, over the W lengths.  If `drop`, a window
    with an index outside ``0 .. room`` is not written.  `unique` promises that no element is
    written twice.  Otherwise ``scatter`` leaves the last in the order of updates; the others
    combine them all, in float32 for float16 and bfloat16, which are rounded once.

    ``sort``: slots (arrays..., sorted arrays...), each array seen as [outer, length, inner], of any
    dtypes, complex numbers as such; params ``(outer, length, inner, num_keys, wanted, counted)``;
    length below 2**31.  All are put into the order of the first `num_keys`, of which the first
    counts most.  What is equal keeps its order; -0.0 equals 0.0; NaN come last and are equal.
    Complex numbers go by real, then by imaginary parts; those with a NaN come last: first those
    whose imaginary part is one, then those whose real part is, by the part that is none, then those
    with two.  Bit n of `wanted` says whether sorted array n must be written; bit n of `counted`
    promises that array n has the number l at [o, l, i], in an integer dtype.

    ``fft``: slots (x, out), complex numbers as such; out may lie where x does if both are complex;
    params ``(kind, norm, length, rank, shape of x..., axes...)``; a Fourier transform along each of
    the axes.  Kinds 0 and 1 are forward and inverse, of complex or of real numbers to complex ones.
    Kind 2 is forward, of real numbers to the first half of the last axis, from which the rest
    follows; kind 3 is its inverse, `length` being that of the last axis of the result.  Norm 0
    divides inverses by the number of points, 2 the others, 1 both by its root.

    ``csr_matmul``: slots (data, indices, indptr, x, out); params ``(rows, columns, k, entries)``;
    out[rows, k] = A x[columns, k], complex numbers as such.  Row r of A has the entries ``p`` from
    ``indptr[r]`` to before ``indptr[r+1]``, data[p] in column indices[p], both int32 or int64;
    entries that are not within ``0 .. entries-1`` or the columns count for nothing.  float16 and
    bfloat16 are summed in float32 and rounded once.

    Linear algebra, of float32, float64, complex64 or complex128, as the primitives of these names
    have it; all arrays are C-contiguous stacks of matrices or vectors.  A matrix that has no result
    gives NaN and does not stop the others.  Slots, and params after the number of matrices:

    ====================  ===================================  ===================================
    ``cholesky``          a, factor                            n
    ``lu``                a, factors, pivots, permutation      m, n
    ``lu_solve``          a, factors, permutation, b, x        n, k, trans
    ``triangular_solve``  a, b, x                              n, k, left, lower, trans, conjugate,
                                                               unit
    ``qr``                a, q, r                              m, n, full
    ``eigh``              a, w, (v)                            n, vectors
    ``svd``               a, (u), s, (vh)                      m, n, full, vectors
    ``eig``               a, w, (left), (right)                n, left, right
    ====================  ===================================  ===================================
    """

    name: str
    slots: tuple[int, ...]
    params: tuple[int, ...]
    source: Source | None = None


class Callback(NamedTuple):
    """Call Python with the GIL taken: ``function(xp, *input arrays) -> list of output arrays``.

    `xp` has NumPy's functions for the arrays of the backend: NumPy itself, or CuPy for arrays that
    stay on the device.  The inputs are views of `inputs`, read-only where `xp` knows that; the
    results are copied into `outputs`.  It is how a primitive without a native lowering runs;
    `explain` counts them.

    If `host`, `xp` is NumPy on every backend: the inputs are brought to the host and the results
    back.  Such a function belongs to the user, and may do more than compute: it is called exactly
    once where the step stands, never ahead of a flag, and what it raises is raised as it is.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    source: Source | None = None
    host: bool = False


class Copy(NamedTuple):
    """Copy bytes between slots; nothing happens if they point to the same place."""

    target: int
    source: int
    nbytes: int


class Assign(NamedTuple):
    """Set pointers, all at once: ``targets[i] = old sources[i]``."""

    targets: tuple[int, ...]
    sources: tuple[int, ...]


class Point(NamedTuple):
    """``target = base + trip * stride`` in bytes, `trip` that of the innermost loop around.

    If `reverse`, the trip counts from the end: ``count - 1 - trip``.
    """

    target: int
    base: int
    stride: int
    reverse: bool = False


class Repeat(NamedTuple):
    """Run steps `count` times."""

    count: int  # type: ignore[assignment]
    body: tuple[Step, ...]


class While(NamedTuple):
    """Run `condition`; while the bool in slot `predicate` holds, run `body` and again."""

    condition: tuple[Step, ...]
    predicate: int
    body: tuple[Step, ...]


class Branch(NamedTuple):
    """Run the branch whose number the int32 in slot `index` holds (clamped to the range)."""

    index: int  # type: ignore[assignment]
    branches: tuple[tuple[Step, ...], ...]


Step = Launch | LibraryCall | Callback | Copy | Assign | Point | Repeat | While | Branch


def all_steps(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Yield every step, those inside loops and branches too."""
    for step in steps:
        yield step
        if isinstance(step, Repeat):
            yield from all_steps(step.body)
        elif isinstance(step, While):
            yield from all_steps(step.condition)
            yield from all_steps(step.body)
        elif isinstance(step, Branch):
            for branch in step.branches:
                yield from all_steps(branch)


class Note(NamedTuple):
    """A decision of the compiler, for ``explain``, and the user line it is about if it is one."""

    text: str
    source: Source | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """A compiled Program before a backend has seen it.

    Attributes
    ----------
    name : str
        For messages.
    kernels : tuple of Kernel
        Each text once.
    steps : tuple of Step
        What to do.
    slots : tuple of Slot
        Where everything is.
    inputs, outputs : tuple of ShapedArray
        The signature.
    constants : tuple of array
        Host or device arrays, passed by reference.
    arena_bytes : int
        Scratch memory of one call; offsets are multiples of 64.
    aliases : dict of int to int
        Outputs that are written into a donated input: output number -> input number.
    notes : tuple of Note
        What was fused, what was not and why, for ``explain``.
    """

    name: str
    kernels: tuple[Kernel, ...]
    steps: tuple[Step, ...]
    slots: tuple[Slot, ...]
    inputs: tuple[ShapedArray, ...]
    outputs: tuple[ShapedArray, ...]
    constants: tuple[Any, ...] = ()
    arena_bytes: int = 0
    aliases: dict[int, int] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
