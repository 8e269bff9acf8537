"""Convolutions, under the names of ``jax.lax``.

A convolution is a matrix product of windows of the operand with the weights (`im2col`), so that it
runs at the speed of matrix products, and its derivatives are again products and sums of windows.
With one weight for each channel (depthwise) the products are summed where they are computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import canonical
from tracejit.lax.elementwise import matched
from tracejit.lax.padded_windows import Padding, cut_windows, per_axis, window_axes
from tracejit.ops import contraction, shape, slicing
from tracejit.ops.arithmetic import mul
from tracejit.ops.constant import scalar_like
from tracejit.ops.convert import convert_element_type
from tracejit.ops.shape import broadcast_in_dim, reduce_sum

__all__ = [
    "ConvDimensionNumbers",
    "conv",
    "conv_dimension_numbers",
    "conv_general_dilated",
    "conv_general_dilated_patches",
    "conv_transpose",
    "conv_with_general_padding",
]


class ConvDimensionNumbers(NamedTuple):
    """Where the dimensions of a convolution are, as positions of axes.

    Attributes
    ----------
    lhs_spec : tuple of int
        The axes of the operand: batch, channels, then the spatial ones.
    rhs_spec : tuple of int
        The axes of the weights: output channels, input channels, then the spatial ones.
    out_spec : tuple of int
        The axes of the result: batch, channels, then the spatial ones.
    """

    lhs_spec: tuple[int, ...]
    rhs_spec: tuple[int, ...]
    out_spec: tuple[int, ...]


def conv_dimension_numbers(
    lhs_shape: Sequence[int], rhs_shape: Sequence[int], dimension_numbers: Any
) -> ConvDimensionNumbers:
    """Turn a description of a convolution's dimensions into positions of axes.

    Parameters
    ----------
    lhs_shape, rhs_shape : sequence of int
        Shapes of the operand and of the weights, of one rank.
    dimension_numbers : None, tuple of three str, or ConvDimensionNumbers
        Strings such as ``("NHWC", "HWIO", "NHWC")``: `N` is the batch, `C` the channels, `O` and
        `I` those of the weights; None is channels first, ``("NCHW", "OIHW", "NCHW")``.

    Raises
    ------
    ShapeError
        If the ranks differ, or a string does not name each dimension once.
    """
    rank = len(lhs_shape)
    if len(rhs_shape) != rank or rank < 2:
        raise ShapeError(
            "conv: operand and weights of one rank, at least 2; got shapes "
            f"{tuple(lhs_shape)} and {tuple(rhs_shape)}"
        )
    if isinstance(dimension_numbers, ConvDimensionNumbers):
        return dimension_numbers
    if dimension_numbers is None:
        first = tuple(range(rank))
        return ConvDimensionNumbers(first, first, first)
    if len(dimension_numbers) != 3:
        raise ShapeError(
            "conv: dimension_numbers for operand, weights and result; got "
            f"{dimension_numbers!r}"
        )
    lhs, rhs, out = dimension_numbers
    if not all(isinstance(spec, str) for spec in (lhs, rhs, out)):
        return ConvDimensionNumbers(tuple(lhs), tuple(rhs), tuple(out))
    spatial = [c for c in rhs if c not in "OI"]
    found = []
    for spec, leading in ((lhs, "NC"), (rhs, "OI"), (out, "NC")):
        if len(spec) != rank or set(spec) != {*leading, *spatial} or len(set(spec)) != rank:
            raise ShapeError(
                f"conv: dimension_numbers that name each of {leading} and the spatial dimensions "
                f"of the weights {rhs!r} once, for rank {rank}; got {spec!r}"
            )
        found.append(tuple(spec.index(c) for c in (*leading, *spatial)))
    return ConvDimensionNumbers(*found)


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Padding,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Convolve over any number of spatial dimensions (in the sense of neural networks).

    Parameters
    ----------
    lhs : Array, rank n + 2
        The operand: batch, channels and n spatial dimensions.
    rhs : Array, rank n + 2, dtype of `lhs`
        The weights: output channels, input channels of a group and n spatial dimensions.  They are
        not reversed: this is a correlation.
    window_strides : sequence of int, length n
        From one output to the next.
    padding : str or sequence of (low, high)
        ``SAME``, ``SAME_LOWER``, ``VALID``, or zeros before and after (negative: cut off).
    lhs_dilation, rhs_dilation : sequence of int, length n, optional
        From one element to the next, in the operand (fractional strides) and in the weights.
    dimension_numbers : optional
        See :func:`conv_dimension_numbers`; channels first by default.
    feature_group_count : int, optional
        Groups of channels that do not meet.
    batch_group_count : int, optional
        Groups of the batch, each of which makes its own output channels.
    precision : optional
        Accepted for compatibility; products are in full precision.
    preferred_element_type : dtype-like, optional
        The dtype in which to sum, and of the result.

    Returns
    -------
    Array, rank n + 2, dtype of `lhs`
        The convolution, laid out as `dimension_numbers` says.

    Raises
    ------
    ShapeError
        If the ranks differ or the numbers of channels or groups do not fit.
    DTypeError
        If the dtypes differ.
    """
    del precision
    name = "conv_general_dilated"
    lhs, rhs = matched(name, lhs, rhs)
    x, w = get_aval(lhs), get_aval(rhs)
    if x.dtype != w.dtype:
        raise DTypeError(f"{name}: operand and weights of one dtype; got {x} and {w}")
    spec = conv_dimension_numbers(x.shape, w.shape, dimension_numbers)
    axes, rank = spec.lhs_spec[2:], x.ndim - 2
    sizes = [w.shape[a] for a in spec.rhs_spec[2:]]
    _check_groups(x.shape, w.shape, spec, feature_group_count, batch_group_count)
    lengths = [x.shape[a] for a in axes]
    cuts = window_axes(name, lengths, sizes, window_strides, padding, lhs_dilation, rhs_dilation)
    dtype = x.dtype if preferred_element_type is None else canonical(preferred_element_type)
    if 0 in sizes:
        raise ShapeError(f"{name}: weights of at least one element; got shape {w.shape}")
    windows = cut_windows(lhs, scalar_like(lhs, 0), axes, cuts)
    # From here on: batch, channels, spatial dimensions, windows.
    windows = shape.transpose(windows, (*spec.lhs_spec, *range(rank + 2, 2 * rank + 2)))
    weights = shape.transpose(rhs, spec.rhs_spec)
    if batch_group_count > 1:
        out = _by_batches(windows, weights, batch_group_count, dtype)
    elif feature_group_count > 1:
        out = _by_features(windows, weights, feature_group_count, dtype)
    elif spec.out_spec[1] == rank + 1:
        out = _channels_last(windows, weights, dtype)
    else:
        out = _channels_first(windows, weights, dtype)
    places = [0] * (rank + 2)
    for place, a in enumerate(spec.out_spec):
        places[a] = place
    return shape.transpose(out, places)


def _check_groups(
    x: Sequence[int], w: Sequence[int], spec: ConvDimensionNumbers, features: int, batches: int
) -> None:
    channels, outputs = x[spec.lhs_spec[1]], w[spec.rhs_spec[0]]
    wanted, count = w[spec.rhs_spec[1]], x[spec.lhs_spec[0]]
    if features < 1 or batches < 1 or (features > 1 and batches > 1):
        raise ShapeError(
            "conv_general_dilated: groups of features or of the batch, at least 1; got "
            f"{features} and {batches}"
        )
    if channels != wanted * features or outputs % features:
        raise ShapeError(
            f"conv_general_dilated: weights for {channels} input channels in {features} groups, "
            f"so {channels}/{features} each, and output channels that these divide; got weights "
            f"of shape {tuple(w)} with {wanted} and {outputs}"
        )
    if count % batches or outputs % batches:
        raise ShapeError(
            f"conv_general_dilated: batch_group_count={batches} must divide the batch {count} and "
            f"the output channels {outputs}"
        )


def _channels_first(windows: Any, weights: Any, dtype: Any) -> Any:
    """Multiply so that windows and result are written along the last spatial dimension."""
    rank = get_aval(weights).ndim - 2
    inner = tuple(range(2 + rank, 2 + 2 * rank))
    windows = shape.transpose(windows, (1, *inner, 0, *range(2, 2 + rank)))
    summed = tuple(range(1 + rank))
    numbers = ((tuple([a + 1 for a in summed]), summed), ((), ()))
    out = contraction.dot_general(weights, windows, numbers, dtype)
    return shape.transpose(out, (1, 0, *range(2, 2 + rank)))


def _channels_last(windows: Any, weights: Any, dtype: Any) -> Any:
    """Multiply so that windows and result are written along the channels."""
    rank = get_aval(weights).ndim - 2
    inner = tuple(range(2 + rank, 2 + 2 * rank))
    windows = shape.transpose(windows, (0, *range(2, 2 + rank), *inner, 1))
    weights = shape.transpose(weights, (*range(2, 2 + rank), 1, 0))
    summed = tuple(range(1 + rank))
    numbers = ((tuple([a + 1 + rank for a in summed]), summed), ((), ()))
    out = contraction.dot_general(windows, weights, numbers, dtype)
    return shape.transpose(out, (0, 1 + rank, *range(1, 1 + rank)))


def _product(windows: Any, weights: Any, lanes: tuple[int, ...], dtype: Any) -> Any:
    """Multiply ``[*lanes, batch, in, *spatial, *window]`` by ``[*lanes, out, in, *window]``.

    The result is ``[*lanes, batch, out, *spatial]``.
    """
    rank = (get_aval(windows).ndim - len(lanes) - 2) // 2
    n = len(lanes)
    summed = (n + 1, *range(n + 2 + rank, n + 2 + 2 * rank))
    theirs = tuple(range(n + 1, n + 2 + rank))
    lead = tuple(range(n))
    numbers = ((summed, theirs), (lead, lead))
    out = contraction.dot_general(windows, weights, numbers, dtype)
    last = n + 1 + rank
    return shape.transpose(out, (*range(n + 1), last, *range(n + 1, last)))


def _by_features(windows: Any, weights: Any, groups: int, dtype: Any) -> Any:
    """Convolve groups of channels by groups of weights."""
    (batch, channels, *rest), outer = get_aval(windows).shape, get_aval(weights).shape
    each = channels // groups
    windows = shape.reshape(windows, (batch, groups, each, *rest))
    weights = shape.reshape(weights, (groups, outer[0] // groups, *outer[1:]))
    rank = len(rest) // 2
    if each == 1:
        out = _depthwise(windows, weights, rank, dtype)
    else:
        windows = shape.transpose(windows, (1, 0, *range(2, 3 + 2 * rank)))
        out = _product(windows, weights, (0,), dtype)
        out = shape.transpose(out, (1, 0, *range(2, 3 + rank)))
    return shape.reshape(out, (batch, outer[0], *rest[:rank]))


def _depthwise(windows: Any, weights: Any, rank: int, dtype: Any) -> Any:
    """Sum products of ``[batch, group, 1, *spatial, *window]`` and ``[group, out, 1, *window]``."""
    windows, weights = (convert_element_type(v, dtype) for v in (windows, weights))
    batch, groups, _, *rest = get_aval(windows).shape
    outputs = get_aval(weights).shape[1]
    full = (batch, groups, outputs, *rest)
    windows = broadcast_in_dim(
        shape.squeeze(windows, [2]), full, (0, 1, *range(3, 3 + 2 * rank))
    )
    inner = tuple(range(3 + rank, 3 + 2 * rank))
    weights = broadcast_in_dim(shape.squeeze(weights, [2]), full, (1, 2, *inner))
    return reduce_sum(mul(windows, weights), inner)


def _by_batches(windows: Any, weights: Any, groups: int, dtype: Any) -> Any:
    """Convolve groups of the batch by groups of weights; their outputs are other channels."""
    (batch, *rest), outer = get_aval(windows).shape, get_aval(weights).shape
    rank = (len(rest) - 1) // 2
    windows = shape.reshape(windows, (groups, batch // groups, *rest))
    weights = shape.reshape(weights, (groups, outer[0] // groups, *outer[1:]))
    out = _product(windows, weights, (0,), dtype)
    out = shape.transpose(out, (1, 0, *range(2, 3 + rank)))
    return shape.reshape(out, (batch // groups, outer[0], *rest[1 : 1 + rank]))


def conv(
    lhs: Any, rhs: Any, window_strides: Sequence[int], padding: str, precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """Convolve, channels first; see :func:`conv_general_dilated`."""
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, precision=precision,
        preferred_element_type=preferred_element_type,
    )  # fmt: skip


def conv_with_general_padding(
    lhs: Any, rhs: Any, window_strides: Sequence[int], padding: Padding,
    lhs_dilation: Sequence[int] | None, rhs_dilation: Sequence[int] | None,
    precision: Any = None, preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """Convolve, channels first, with dilations; see :func:`conv_general_dilated`."""
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, precision=precision,
        preferred_element_type=preferred_element_type,
    )  # fmt: skip


def conv_transpose(
    lhs: Any,
    rhs: Any,
    strides: Sequence[int],
    padding: Padding,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Convolve with fractional strides: what the gradient of a convolution does.

    Parameters
    ----------
    lhs, rhs : Array, rank n + 2
        The operand and the weights, as in :func:`conv_general_dilated`.
    strides : sequence of int, length n
        How many outputs there are for an element of the operand.
    padding : str or sequence of (low, high)
        ``SAME``, ``VALID``, or as in :func:`conv_general_dilated`, which gets them.
    rhs_dilation : sequence of int, length n, optional
        Dilation of the weights.
    dimension_numbers : optional
        See :func:`conv_dimension_numbers`; for rank 3 to 5, channels last by default.
    transpose_kernel : bool, optional
        Whether to reverse the weights and to exchange their channels, as in a gradient.
    precision, preferred_element_type : optional
        As in :func:`conv_general_dilated`.

    Raises
    ------
    ShapeError
        As :func:`conv_general_dilated`.
    """
    rank = get_aval(lhs).ndim - 2
    if dimension_numbers is None:
        spatial = {1: "H", 2: "HW", 3: "DHW"}.get(rank)
        if spatial is None:
            raise ShapeError(
                f"conv_transpose: dimension_numbers are needed for {rank} spatial dimensions"
            )
        dimension_numbers = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    spec = conv_dimension_numbers(get_aval(lhs).shape, get_aval(rhs).shape, dimension_numbers)
    sizes = [get_aval(rhs).shape[a] for a in spec.rhs_spec[2:]]
    steps = per_axis("conv_transpose", "a stride", strides, rank)
    dilations = per_axis("conv_transpose", "a dilation of the weights", rhs_dilation, rank)
    if isinstance(padding, str):
        reaches = [(n - 1) * d + 1 for n, d in zip(sizes, dilations, strict=True)]
        padding = [
            _transposed_pads(n, s, padding) for n, s in zip(reaches, steps, strict=True)
        ]
    if transpose_kernel:
        rhs = slicing.flip(rhs, spec.rhs_spec[2:])
        out, into, *rest = spec.rhs_spec
        spec = spec._replace(rhs_spec=(into, out, *rest))
    return conv_general_dilated(
        lhs, rhs, (1,) * rank, padding, steps, dilations, spec, precision=precision,
        preferred_element_type=preferred_element_type,
    )  # fmt: skip


def _transposed_pads(size: int, stride: int, padding: str) -> tuple[int, int]:
    """Return the zeros that make the result `stride` times as long, or as long as it can be."""
    if padding.upper() == "SAME":
        total = size + stride - 2
        low = size - 1 if stride > size - 1 else -(-total // 2)
    elif padding.upper() == "VALID":
        total = size + stride - 2 + max(size - stride, 0)
        low = size - 1
    else:
        raise ShapeError(f"conv_transpose: padding SAME, VALID or pairs; got {padding!r}")
    return low, total - low


def conv_general_dilated_patches(
    lhs: Any,
    filter_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Return the windows that a convolution multiplies, as channels (``im2col``).

    Parameters
    ----------
    lhs : Array, rank n + 2
        The operand.
    filter_shape : sequence of int, length n
        The size of the windows.
    window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers
        As in :func:`conv_general_dilated`.
    precision, preferred_element_type : optional
        The dtype of the result; that of `lhs` by default.

    Returns
    -------
    Array, rank n + 2
        As a convolution's, with a channel for each input channel and element of the window, in
        this order.
    """
    del precision
    x = get_aval(lhs)
    spec = conv_dimension_numbers(x.shape, (1,) * x.ndim, dimension_numbers)
    rank, axes = x.ndim - 2, spec.lhs_spec[2:]
    cuts = window_axes(
        "conv_general_dilated_patches", [x.shape[a] for a in axes], filter_shape, window_strides,
        padding, lhs_dilation, rhs_dilation,
    )  # fmt: skip
    out = cut_windows(lhs, scalar_like(lhs, 0), axes, cuts)
    batch, channels, *spatial = spec.lhs_spec
    out = shape.transpose(
        out, (batch, channels, *range(rank + 2, 2 * rank + 2), *spatial)
    )
    lengths = [get_aval(out).shape[-rank + n] for n in range(rank)]
    out = shape.reshape(
        out, (x.shape[batch], x.shape[channels] * math.prod(filter_shape), *lengths)
    )
    places = [0] * (rank + 2)
    for place, a in enumerate(spec.out_spec):
        places[a] = place
    out = shape.transpose(out, places)
    if preferred_element_type is None:
        return out
    return convert_element_type(out, canonical(preferred_element_type))
