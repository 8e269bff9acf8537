"""``tracejit.random``: pseudo-random numbers from explicit keys.

A key is a pair of uint32 words; equal keys give equal numbers, on any device and for any number
of threads.  :func:`key`, :func:`split`, :func:`fold_in`, :func:`bits`, :func:`uniform`,
:func:`normal` and :func:`randint` give the bits that JAX gives with its default, partitionable
threefry2x32.
"""

from __future__ import annotations

from tracejit.random.distributions import (
    bernoulli,
    categorical,
    cauchy,
    choice,
    exponential,
    gumbel,
    laplace,
    logistic,
    normal,
    permutation,
    rademacher,
    randint,
    shuffle,
    truncated_normal,
    uniform,
)
from tracejit.random.keys import PRNGKey, bits, fold_in, key, key_data, split, wrap_key_data

__all__ = [
    "PRNGKey",
    "bernoulli",
    "bits",
    "categorical",
    "cauchy",
    "choice",
    "exponential",
    "fold_in",
    "gumbel",
    "key",
    "key_data",
    "laplace",
    "logistic",
    "normal",
    "permutation",
    "rademacher",
    "randint",
    "shuffle",
    "split",
    "truncated_normal",
    "uniform",
    "wrap_key_data",
]
