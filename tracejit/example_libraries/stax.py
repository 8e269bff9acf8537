"""Layers as pairs of functions, ``init(key, input_shape)`` and ``apply(params, inputs)``.

A dimension of -1 in an input shape stands for the batch, of any length.  Networks are made of
layers by :func:`serial` and :func:`parallel`::

    init, apply = serial(Dense(128), Relu, Dense(10), LogSoftmax)
    shape, params = init(random.key(0), (-1, 784))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tracejit.numpy as tnp
from tracejit import lax, nn, random
from tracejit.core.errors import ShapeError
from tracejit.lax.padded_windows import padtype_to_pads
from tracejit.nn.initializers import glorot_normal, normal, ones, zeros

__all__ = [
    "AvgPool", "BatchNorm", "Conv", "ConvTranspose", "Dense", "Dropout", "Elu", "Exp",
    "FanInConcat",
    "FanInSum", "FanOut", "Flatten", "Gelu", "GeneralConv", "GeneralConvTranspose", "Identity",
    "LeakyRelu", "LogSoftmax", "MaxPool", "Relu", "Selu", "Sigmoid", "Softmax", "Softplus",
    "SumPool", "Tanh", "elementwise", "parallel", "serial", "shape_dependent",
]  # fmt: skip

Shape = tuple[int, ...]
Layer = tuple[Callable[..., Any], Callable[..., Any]]


def Dense(out_dim: int, W_init: Any = None, b_init: Any = None) -> Layer:
    """Return a layer of sums with weights, and a bias.

    Parameters
    ----------
    out_dim : int
        How many outputs.
    W_init, b_init : initializer, optional
        Of the weights (Glorot's by default) and of the bias.
    """
    weights = glorot_normal() if W_init is None else W_init
    biases = normal() if b_init is None else b_init

    def init(rng: Any, input_shape: Shape) -> Any:
        one, two = random.split(rng)
        params = weights(one, (input_shape[-1], out_dim)), biases(two, (out_dim,))
        return (*input_shape[:-1], out_dim), params

    def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
        w, b = params
        return tnp.dot(inputs, w) + b

    return init, apply


def GeneralConv(
    dimension_numbers: tuple[str, str, str],
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    W_init: Any = None,
    b_init: Any = None,
) -> Layer:
    """Return a layer of a convolution and a bias.

    Parameters
    ----------
    dimension_numbers : tuple of three str
        See :func:`tracejit.lax.conv_dimension_numbers`.
    out_chan : int
        Output channels.
    filter_shape : sequence of int
        The window along the spatial dimensions.
    strides, padding
        As in :func:`tracejit.lax.conv_general_dilated`.
    W_init, b_init : initializer, optional
        Of the weights and of the bias.
    """
    return _convolution(
        dimension_numbers, out_chan, filter_shape, strides, padding, W_init, b_init,
        lax.conv_general_dilated, False,
    )  # fmt: skip


def GeneralConvTranspose(
    dimension_numbers: tuple[str, str, str],
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    W_init: Any = None,
    b_init: Any = None,
) -> Layer:
    """Return a layer of a transposed convolution and a bias; see :func:`GeneralConv`."""
    return _convolution(
        dimension_numbers, out_chan, filter_shape, strides, padding, W_init, b_init,
        lax.conv_transpose, True,
    )  # fmt: skip


def _convolution(
    spec: Any, out_chan: int, filter_shape: Sequence[int], strides: Any, padding: Any,
    W_init: Any, b_init: Any, convolve: Callable[..., Any], transposed: bool,
) -> Layer:  # fmt: skip
    lhs, rhs, out = spec
    steps = (1,) * len(filter_shape) if strides is None else tuple(strides)
    weights = glorot_normal(rhs.index("I"), rhs.index("O")) if W_init is None else W_init
    biases = normal(1e-6) if b_init is None else b_init

    def init(rng: Any, input_shape: Shape) -> Any:
        spatial = iter(filter_shape)
        shape = tuple(
            out_chan if c == "O" else input_shape[lhs.index("C")] if c == "I" else next(spatial)
            for c in rhs
        )
        lengths = dict(zip((c for c in rhs if c not in "OI"), filter_shape, strict=True))
        strided = dict(zip(lengths, steps, strict=True))
        names = [c for c in lhs if c not in "NC"]
        given = [input_shape[lhs.index(c)] for c in names]
        sizes = _lengths(
            given, [lengths[c] for c in names], [strided[c] for c in names], padding, transposed
        )
        known = {**dict(zip(names, sizes, strict=True)), "C": out_chan}
        known["N"] = input_shape[lhs.index("N")]
        one, two = random.split(rng)
        bias = biases(two, tuple(out_chan if c == "C" else 1 for c in out))
        return tuple(known[c] for c in out), (weights(one, shape), bias)

    def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
        w, b = params
        return convolve(inputs, w, steps, padding, dimension_numbers=spec) + b

    return init, apply


def _lengths(
    lengths: Sequence[int], sizes: Sequence[int], strides: Sequence[int], padding: Any,
    transposed: bool,
) -> list[int]:  # fmt: skip
    """Return how many windows there are along each axis."""
    found = []
    for n, (length, size, stride) in enumerate(zip(lengths, sizes, strides, strict=True)):
        if transposed and isinstance(padding, str):
            whole = padding.upper() == "VALID"
            found.append(length * stride + (max(size - stride, 0) if whole else 0))
            continue
        if isinstance(padding, str):
            low, high = padtype_to_pads([length], [size], [stride], padding)[0]
        else:
            low, high = padding[n]
        step = 1 if transposed else stride
        wide = (length - 1) * stride + 1 if transposed else length
        found.append((wide + low + high - size) // step + 1)
    return found


def Conv(out_chan: int, filter_shape: Sequence[int], *args: Any, **kwargs: Any) -> Layer:
    """Return a convolution of images, channels last; see :func:`GeneralConv`."""
    return GeneralConv(("NHWC", "HWIO", "NHWC"), out_chan, filter_shape, *args, **kwargs)


def ConvTranspose(out_chan: int, filter_shape: Sequence[int], *args: Any, **kwargs: Any) -> Layer:
    """Return a transposed convolution of images, channels last; see :func:`GeneralConv`."""
    return GeneralConvTranspose(("NHWC", "HWIO", "NHWC"), out_chan, filter_shape, *args, **kwargs)


def BatchNorm(
    axis: int | Sequence[int] = (0, 1, 2), epsilon: float = 1e-5, center: bool = True,
    scale: bool = True, beta_init: Any = zeros, gamma_init: Any = ones,
) -> Layer:  # fmt: skip
    """Return batch normalisation by the statistics of the batch.

    Parameters
    ----------
    axis : int or sequence of int, optional
        The axes to average over.
    epsilon : float, optional
        Added to the variance.
    center, scale : bool, optional
        Whether there are a shift and a scale to learn.
    beta_init, gamma_init : initializer, optional
        Of these.
    """
    axes = (axis,) if isinstance(axis, int) else tuple(axis)

    def init(rng: Any, input_shape: Shape) -> Any:
        shape = tuple(d for a, d in enumerate(input_shape) if a not in axes)
        one, two = random.split(rng)
        params = (
            beta_init(one, shape) if center else (), gamma_init(two, shape) if scale else ()
        )  # fmt: skip
        return input_shape, params

    def apply(params: Any, x: Any, **kwargs: Any) -> Any:
        beta, gamma = params
        place = tuple(None if a in axes else slice(None) for a in range(tnp.ndim(x)))
        z = nn.standardize(x, axes, epsilon=epsilon)
        z = z * gamma[place] if scale else z
        return z + beta[place] if center else z

    return init, apply


def elementwise(fun: Callable[..., Any], **fun_kwargs: Any) -> Layer:
    """Return the layer that applies a function without parameters, which keeps the shape."""
    return (
        lambda rng, input_shape: (input_shape, ()),
        lambda params, inputs, **kwargs: fun(inputs, **fun_kwargs),
    )


Tanh = elementwise(tnp.tanh)
Relu = elementwise(nn.relu)
Exp = elementwise(tnp.exp)
LogSoftmax = elementwise(nn.log_softmax, axis=-1)
Softmax = elementwise(nn.softmax, axis=-1)
Softplus = elementwise(nn.softplus)
Sigmoid = elementwise(nn.sigmoid)
Elu = elementwise(nn.elu)
LeakyRelu = elementwise(nn.leaky_relu)
Selu = elementwise(nn.selu)
Gelu = elementwise(nn.gelu)
Identity = elementwise(lambda x: x)


def _pooling(pool: Callable[..., Any]) -> Callable[..., Layer]:
    def layer(
        window_shape: Sequence[int], strides: Any = None, padding: Any = "VALID", spec: Any = None
    ) -> Layer:
        """Return a layer that pools windows of the spatial dimensions.

        Parameters
        ----------
        window_shape : sequence of int
            The window.
        strides : sequence of int, optional
            From one window to the next; 1 by default.
        padding : str or pairs, optional
            As in :func:`tracejit.lax.reduce_window`.
        spec : str, optional
            Where the dimensions are, such as ``NCHW``; channels last by default.
        """
        rank = len(window_shape) + 2
        places = [*range(1, rank - 1)]
        if spec is not None:
            places = [a for a, c in enumerate(spec) if c not in "NC"]
        steps = (1,) * len(window_shape) if strides is None else tuple(strides)
        order = [a for a in range(rank) if a not in places]
        order = [order[0], *places, order[1]]

        def init(rng: Any, input_shape: Shape) -> Any:
            shape = list(input_shape)
            given = [shape[a] for a in places]
            for a, n in zip(places, _lengths(given, window_shape, steps, padding, False),
                            strict=True):  # fmt: skip
                shape[a] = n
            return tuple(shape), ()

        def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
            out = pool(tnp.transpose(inputs, order), window_shape, steps, padding)
            return tnp.transpose(out, [order.index(a) for a in range(rank)])

        return init, apply

    return layer


def _sum_pool(x: Any, window_shape: Sequence[int], strides: Any, padding: Any) -> Any:
    return nn.avg_pool(x, window_shape, strides, padding) * math.prod(window_shape)


def _mean_pool(x: Any, window_shape: Sequence[int], strides: Any, padding: Any) -> Any:
    return nn.avg_pool(x, window_shape, strides, padding, count_include_pad=False)


MaxPool = _pooling(nn.max_pool)
SumPool = _pooling(_sum_pool)
AvgPool = _pooling(_mean_pool)


def _flatten_init(rng: Any, input_shape: Shape) -> Any:
    del rng
    return (input_shape[0], math.prod(input_shape[1:])), ()


Flatten: Layer = (
    _flatten_init,
    lambda params, inputs, **kwargs: tnp.reshape(inputs, (inputs.shape[0], -1)),
)


def Dropout(rate: float, mode: str = "train") -> Layer:
    """Return a layer that sets elements to 0 at random when it trains.

    Parameters
    ----------
    rate : float
        The probability that an element is **kept**, as in JAX's library.
    mode : str, optional
        ``train`` (``apply`` then needs ``rng=``), or anything else to leave its input as it is.
    """

    def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
        if mode != "train":
            return inputs
        key = kwargs.get("rng")
        if key is None:
            raise TypeError("Dropout: apply(params, inputs, rng=key) needs a key to train")
        keep = random.bernoulli(key, rate, tnp.shape(inputs))
        return tnp.where(keep, inputs / rate, 0)

    return (lambda rng, input_shape: (input_shape, ())), apply


def FanOut(num: int) -> Layer:
    """Return the layer that hands its input to `num` others."""
    return (
        lambda rng, input_shape: ([input_shape] * num, ()),
        lambda params, inputs, **kwargs: [inputs] * num,
    )


FanInSum: Layer = (
    lambda rng, input_shape: (input_shape[0], ()),
    lambda params, inputs, **kwargs: sum(inputs[1:], inputs[0]),
)


def FanInConcat(axis: int = -1) -> Layer:
    """Return the layer that joins its inputs along an axis."""

    def init(rng: Any, input_shape: Sequence[Shape]) -> Any:
        place = axis % len(input_shape[0])
        total = sum(shape[place] for shape in input_shape)
        first = input_shape[0]
        return (*first[:place], total, *first[place + 1 :]), ()

    return init, lambda params, inputs, **kwargs: tnp.concatenate(inputs, axis)


def serial(*layers: Layer) -> Layer:
    """Return the network that applies layers one after the other."""
    inits = [layer[0] for layer in layers]
    applies = [layer[1] for layer in layers]

    def init(rng: Any, input_shape: Any) -> Any:
        params = []
        for start in inits:
            rng, key = random.split(rng)
            input_shape, param = start(key, input_shape)
            params.append(param)
        return input_shape, params

    def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
        for layer, param, key in zip(applies, params, _keys(kwargs, len(applies)), strict=True):
            inputs = layer(param, inputs, **{**kwargs, "rng": key})
        return inputs

    return init, apply


def parallel(*layers: Layer) -> Layer:
    """Return the network that applies each layer to an input of its own."""
    inits = [layer[0] for layer in layers]
    applies = [layer[1] for layer in layers]

    def init(rng: Any, input_shape: Sequence[Any]) -> Any:
        if len(input_shape) != len(inits):
            raise ShapeError(
                f"parallel: an input for each of {len(inits)} layers; got {len(input_shape)}"
            )
        keys = random.split(rng, len(inits))
        found = [start(key, shape) for start, key, shape in zip(inits, keys, input_shape,
                                                                strict=True)]  # fmt: skip
        return [shape for shape, _ in found], tuple(params for _, params in found)

    def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
        keys = _keys(kwargs, len(applies))
        return [
            layer(param, x, **{**kwargs, "rng": key})
            for layer, param, x, key in zip(applies, params, inputs, keys, strict=True)
        ]

    return init, apply


def _keys(kwargs: dict[str, Any], count: int) -> Any:
    key = kwargs.get("rng")
    return [None] * count if key is None else random.split(key, count)


def shape_dependent(make_layer: Callable[[Any], Layer]) -> Layer:
    """Return the layer that `make_layer` makes for the shape of its input."""
    return (
        lambda rng, input_shape: make_layer(input_shape)[0](rng, input_shape),
        lambda params, inputs, **kwargs: make_layer(tnp.shape(inputs))[1](
            params, inputs, **kwargs
        ),
    )
