"""Sliding windows, and the sum of overlapping windows, which is their transpose.

Convolutions and pooling are made of these and of products and reductions that exist already: a
convolution is a matrix product of windows and weights, pooling a reduction of windows.  Windows
that touch but do not overlap are a reshape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tracejit.core.errors import ShapeError
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES
from tracejit.ops._pointwise import jvp_linear, move_axis
from tracejit.ops.shape import reshape, transpose
from tracejit.ops.slicing import slice_

__all__ = ["overlap_add", "sliding_windows"]

INT64 = DTYPES["i64"]
MOST_PLACES = 32
"""Elements of a window up to which each is an expression of its own where windows are added."""
Ints = tuple[int, ...]
Index = tuple[Any, ...]


class Axis(NamedTuple):
    """How one axis is cut into windows."""

    axis: int
    size: int
    stride: int
    dilation: int

    @property
    def reach(self) -> int:
        """Elements from the first of a window to its last, both counted."""
        return (self.size - 1) * self.dilation + 1

    def count(self, length: int) -> int:
        """Return how many windows lie within an axis."""
        return max((length - self.reach) // self.stride + 1, 0)


def sliding_windows(
    x: Any,
    axes: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
) -> Any:
    """Cut an array into windows, which may overlap.

    Parameters
    ----------
    x : Array, any shape and dtype
        The operand.
    axes : sequence of int
        The axes that are cut, each once.
    sizes : sequence of int
        Elements of a window along each of `axes`, at least 1.
    strides : sequence of int, optional
        From one window to the next; 1 by default.
    dilations : sequence of int, optional
        From one element of a window to the next; 1 by default.

    Returns
    -------
    Array, shape (axes of `x`, in which those of `axes` count windows, \\*sizes), dtype of `x`
        Element ``k`` of window ``o`` is element ``o * stride + k * dilation``.

    Raises
    ------
    ShapeError
        If an axis does not exist or is named twice, or a size, stride or dilation is below 1.
    """
    axes, sizes = tuple(axes), tuple(sizes)
    strides = (1,) * len(axes) if strides is None else tuple(strides)
    dilations = (1,) * len(axes) if dilations is None else tuple(dilations)
    cuts = _cuts("sliding_windows", get_aval(x).shape, axes, sizes, strides, dilations)
    if all(c.stride == c.size and c.dilation == 1 for c in cuts):
        return _touching(x, cuts)
    return sliding_windows_p.bind(
        x, axes=axes, sizes=sizes, strides=strides, dilations=dilations
    )


def _cuts(
    name: str, shape: Ints, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints
) -> list[Axis]:
    if not len(axes) == len(sizes) == len(strides) == len(dilations):
        raise ShapeError(
            f"{name}: one size, stride and dilation for each of the axes {axes}; got sizes "
            f"{sizes}, strides {strides}, dilations {dilations}"
        )
    if len(set(axes)) != len(axes) or any(not 0 <= a < len(shape) for a in axes):
        raise ShapeError(f"{name}: different axes of shape {shape}; got {axes}")
    if any(n < 1 for n in (*sizes, *strides, *dilations)):
        raise ShapeError(
            f"{name}: sizes, strides and dilations of at least 1; got {sizes}, {strides}, "
            f"{dilations}"
        )
    return [Axis(*c) for c in zip(axes, sizes, strides, dilations, strict=True)]


def _touching(x: Any, cuts: Sequence[Axis]) -> Any:
    shape = get_aval(x).shape
    counts = {c.axis: (c.count(shape[c.axis]), c.size) for c in cuts}
    limits = [counts[a][0] * counts[a][1] if a in counts else d for a, d in enumerate(shape)]
    x = slice_(x, [0] * len(shape), limits)
    split: list[int] = []
    kept: list[int] = []
    inner: dict[int, int] = {}
    for a, d in enumerate(limits):
        kept.append(len(split))
        if a in counts:
            inner[a] = len(split) + 1
            split += counts[a]
        else:
            split.append(d)
    return transpose(reshape(x, tuple(split)), (*kept, *(inner[c.axis] for c in cuts)))


def _windows_shape(
    x: ShapedArray, *, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints
) -> ShapedArray:
    cuts = _cuts("sliding_windows", x.shape, axes, sizes, strides, dilations)
    shape = list(x.shape)
    for c in cuts:
        shape[c.axis] = c.count(shape[c.axis])
    return x.update(shape=(*shape, *sizes))


def _windows_impl(
    xp: Any, x: Any, *, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints
) -> Any:
    cuts = [Axis(*c) for c in zip(axes, sizes, strides, dilations, strict=True)]
    shape, steps = list(x.shape), list(x.strides)
    inner = []
    for c in cuts:
        shape[c.axis] = c.count(x.shape[c.axis])
        inner.append(x.strides[c.axis] * c.dilation)
        steps[c.axis] *= c.stride
    if 0 in shape:
        return xp.zeros((*shape, *sizes), x.dtype)
    view = xp.lib.stride_tricks.as_strided(x, (*shape, *sizes), (*steps, *inner))
    return view.copy()


def _windows_transpose(ct: Any, x: Any, *, axes: Ints, **params: Any) -> tuple[Any]:
    lengths = [x.aval.shape[a] for a in axes]
    return (overlap_add(ct, axes, lengths, params["strides"], params["dilations"]),)


def _moved(axes: Ints, b: int) -> Ints:
    return tuple([a + (a >= b) for a in axes])


def _windows_batch(
    operands: Sequence[Any], batched: Sequence[int], *, axes: Ints, **params: Any
) -> tuple[Any, int]:
    (x,), (b,) = operands, batched
    return sliding_windows_p.bind(x, axes=_moved(axes, b), **params), b


def _windows_lower(
    k: Any, x: Any, *, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints
) -> Callable[[Index], Any]:
    rank = x.aval.ndim

    def load(index: Index) -> Any:
        at = list(index[:rank])
        for n, a in enumerate(axes):
            within = k.scale_index(index[rank + n], dilations[n])
            at[a] = k.add_index(k.scale_index(at[a], strides[n]), within)
        return x(tuple(at))

    return load


sliding_windows_p: Primitive = define(
    "sliding_windows",
    impl=_windows_impl,
    shape=_windows_shape,
    jvp=jvp_linear(lambda: sliding_windows_p),
    transpose=_windows_transpose,
    batch=_windows_batch,
    lower=_windows_lower,
)


def overlap_add(
    x: Any,
    axes: Sequence[int],
    lengths: Sequence[int],
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
) -> Any:
    """Add windows where they lie: the transpose of :func:`sliding_windows`.

    Parameters
    ----------
    x : Array, shape (..., \\*sizes), numeric
        Windows, as :func:`sliding_windows` returns them.
    axes : sequence of int
        The axes that count windows; the last ``len(axes)`` axes of `x` are the windows themselves.
    lengths : sequence of int
        What becomes of `axes`.
    strides, dilations : sequence of int, optional
        As in :func:`sliding_windows`.

    Returns
    -------
    Array, shape of `x` without its last axes, those of `axes` of `lengths`, dtype of `x`

    Raises
    ------
    ShapeError
        If these are not the windows of an array with such lengths.
    """
    axes, lengths = tuple(axes), tuple(lengths)
    strides = (1,) * len(axes) if strides is None else tuple(strides)
    dilations = (1,) * len(axes) if dilations is None else tuple(dilations)
    first = get_aval(x).ndim - len(axes)
    sizes = get_aval(x).shape[max(first, 0) :]
    if len(axes) < 2:
        return overlap_add_p.bind(
            x, axes=axes, sizes=sizes, lengths=lengths, strides=strides, dilations=dilations
        )
    _added_shape(
        get_aval(x), axes=axes, sizes=sizes, lengths=lengths, strides=strides, dilations=dilations
    )
    # Axis by axis: as many terms as the sides of a window have elements, not as its area has.
    # The windows' other axes wait in front, so that those of `x` that are last stay so.
    rest = len(axes) - 1
    for a, size, length, stride, dilation in zip(
        axes, sizes, lengths, strides, dilations, strict=True
    ):
        # [*axes of x, size, *rest] -> [*rest, *axes of x, size] -> [*rest, *axes of x]
        x = transpose(x, (*range(first + 1, first + 1 + rest), *range(first + 1)))
        x = overlap_add_p.bind(
            x, axes=(a + rest,), sizes=(size,), lengths=(length,), strides=(stride,),
            dilations=(dilation,),
        )  # fmt: skip
        x = transpose(x, (*range(rest, rest + first), *range(rest)))
        rest -= 1
    return x


def _added_shape(
    x: ShapedArray, *, axes: Ints, sizes: Ints, lengths: Ints, strides: Ints, dilations: Ints
) -> ShapedArray:
    rank = x.ndim - len(axes)
    if rank < 0 or x.shape[rank:] != sizes or len(lengths) != len(axes):
        raise ShapeError(
            f"overlap_add: windows of {len(axes)} axes and as many lengths; got {x} and {lengths}"
        )
    cuts = _cuts("overlap_add", x.shape[:rank], axes, sizes, strides, dilations)
    shape = list(x.shape[:rank])
    for c, length in zip(cuts, lengths, strict=True):
        if c.count(length) != shape[c.axis]:
            raise ShapeError(
                f"overlap_add: an axis of length {length} has {c.count(length)} windows of size "
                f"{c.size}, stride {c.stride}, dilation {c.dilation}; got {shape[c.axis]}"
            )
        shape[c.axis] = length
    return x.update(shape=tuple(shape))


def _added_impl(
    xp: Any, x: Any, *, axes: Ints, sizes: Ints, lengths: Ints, strides: Ints, dilations: Ints
) -> Any:
    rank = x.ndim - len(axes)
    shape = list(x.shape[:rank])
    for a, length in zip(axes, lengths, strict=True):
        shape[a] = length
    out = xp.zeros(tuple(shape), x.dtype)
    for place in _places(sizes):
        where = [slice(None)] * rank
        for a, k, stride, dilation in zip(axes, place, strides, dilations, strict=True):
            first, count = k * dilation, x.shape[a]
            where[a] = slice(first, first + (count - 1) * stride + 1 if count else first, stride)
        out[tuple(where)] += x[(..., *place)]
    return out


def _places(sizes: Ints) -> list[Ints]:
    places: list[Ints] = [()]
    for n in sizes:
        places = [(*p, k) for p in places for k in range(n)]
    return places


def _added_transpose(ct: Any, x: Any, *, lengths: Ints, **params: Any) -> tuple[Any]:
    del x, lengths
    return (sliding_windows_p.bind(ct, **params),)


def _added_batch(
    operands: Sequence[Any], batched: Sequence[int], *, axes: Ints, **params: Any
) -> tuple[Any, int]:
    (x,), (b,) = operands, batched
    first = get_aval(x).ndim - len(axes)
    if b >= first:
        x, b = move_axis(x, b, 0), 0
    return overlap_add_p.bind(x, axes=_moved(axes, b), **params), b


def _added_lower(
    k: Any, x: Any, *, axes: Ints, sizes: Ints, lengths: Ints, strides: Ints, dilations: Ints
) -> Any:
    counts = x.aval.shape
    rank = x.aval.ndim - len(axes)
    if 0 in counts:
        return k.constant(0, x.aval.dtype)
    shape = list(counts[:rank])
    for a, length in zip(axes, lengths, strict=True):
        shape[a] = length
    zero = k.scalar(0, x.aval.dtype)
    if math.prod(sizes) <= MOST_PLACES:
        return _few_places(k, x, sizes, axes, strides, dilations)

    def term(index: Index) -> Any:
        """Return what one place of the windows adds to an element: 0 where it does not lie."""
        at, hit = list(index), None
        for n, a in enumerate(axes):
            stride, reach = strides[n], (sizes[n] - 1) * dilations[n]
            offset = k.add_index(index[a], k.scale_index(index[rank + n], -dilations[n]))
            # Division is of what is not negative.
            lead = -(-reach // stride)
            moved = k.add_index(offset, lead * stride)
            window = k.add_index(k.floordiv_index(moved, stride), -lead)
            number = k.index_value(window, INT64)
            tests = [
                k.apply("ge", number, k.scalar(0, INT64)),
                k.apply("lt", number, k.scalar(counts[a], INT64)),
            ]
            if stride > 1:
                rest = k.index_value(k.mod_index(moved, stride), INT64)
                tests.append(k.apply("eq", rest, k.scalar(0, INT64)))
            for test in tests:
                hit = test if hit is None else k.apply("and", hit, test)
            at[a] = k.data_index(number, 0, counts[a] - 1)
        value = x(tuple(at))
        return value if hit is None else k.apply("select", hit, value, zero)

    terms = k.loader(x.aval.update(shape=(*shape, *sizes)), term)
    return k.reduce("add", terms, tuple(range(rank, rank + len(axes))))


def _few_places(
    k: Any, x: Any, sizes: Ints, axes: Ints, strides: Ints, dilations: Ints
) -> Callable[[Index], Any]:
    """Add the places of the windows one by one, each shifted to where it lies.

    Every one is an affine index within a box, of which the compiler can make branch-free regions;
    within a reduction it would be tested for each element.
    """
    counts = x.aval.shape
    rank = x.aval.ndim - len(axes)
    zero = k.scalar(0, x.aval.dtype)

    def shifted(index: Index, place: Ints) -> Any:
        at, within, between = list(index[:rank]), [], []
        for a, p, stride, dilation in zip(axes, place, strides, dilations, strict=True):
            moved = k.add_index(index[a], -p * dilation)
            within.append((moved, 0, (counts[a] - 1) * stride + 1))
            at[a] = moved

        def read() -> Any:
            for a, stride in zip(axes, strides, strict=True):
                if stride > 1:
                    between.append((k.mod_index(at[a], stride), 0, 1))
                    at[a] = k.floordiv_index(at[a], stride)
            inner = (*at, *[k.add_index(k.zero, p) for p in place])
            return k.inside(between, lambda: x(inner), lambda: zero)

        return k.inside(within, read, lambda: zero)

    def load(index: Index) -> Any:
        first, *rest = [shifted(index, place) for place in _places(sizes)]
        for value in rest:
            first = k.apply("add", first, value)
        return first

    return load


overlap_add_p: Primitive = define(
    "overlap_add",
    impl=_added_impl,
    shape=_added_shape,
    jvp=jvp_linear(lambda: overlap_add_p),
    transpose=_added_transpose,
    batch=_added_batch,
    lower=_added_lower,
)
