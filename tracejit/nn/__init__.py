"""``tracejit.nn``: what neural networks are made of, under the names of ``jax.nn``.

Activations, the softmax family, normalisation, attention and pooling are functions of arrays;
:mod:`tracejit.nn.initializers` draws weights.  Convolutions are in :mod:`tracejit.lax`, optimizers
in :mod:`tracejit.example_libraries.optimizers`.
"""

from tracejit.nn import initializers
from tracejit.nn.activations import (
    celu,
    elu,
    gelu,
    glu,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    identity,
    leaky_relu,
    log_sigmoid,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_sign,
    softplus,
    sparse_plus,
    sparse_sigmoid,
    squareplus,
    swish,
    tanh,
)
from tracejit.nn.attention import dot_product_attention
from tracejit.nn.normalization import (
    batch_norm,
    layer_norm,
    log1mexp,
    log_softmax,
    logmeanexp,
    one_hot,
    rms_norm,
    softmax,
    standardize,
)
from tracejit.nn.pooling import avg_pool, max_pool, min_pool
from tracejit.scipy.special import logsumexp

__all__ = [
    "avg_pool", "batch_norm", "celu", "dot_product_attention", "elu", "gelu", "glu",
    "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "identity", "initializers",
    "layer_norm", "leaky_relu", "log1mexp", "log_sigmoid", "log_softmax", "logmeanexp",
    "logsumexp", "max_pool", "min_pool", "mish", "one_hot", "relu", "relu6", "rms_norm", "selu",
    "sigmoid", "silu", "soft_sign", "softmax", "softplus", "sparse_plus", "sparse_sigmoid",
    "squareplus", "standardize", "swish", "tanh",
]  # fmt: skip
