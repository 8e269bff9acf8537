"""Random numbers: counter-based keys, and distributions.  No hidden state.

A function of a key gives the same numbers for the same key, under every transformation and for any
number of threads.  Keys, their splitting and their bits are those of JAX.
"""

from tracejit.random.distributions import (
    bernoulli,
    categorical,
    choice,
    exponential,
    gumbel,
    laplace,
    logistic,
    normal,
    permutation,
    randint,
    truncated_normal,
    uniform,
)
from tracejit.random.keys import PRNGKey, bits, fold_in, key, split

__all__ = [
    "PRNGKey",
    "bernoulli",
    "bits",
    "categorical",
    "choice",
    "exponential",
    "fold_in",
    "gumbel",
    "key",
    "laplace",
    "logistic",
    "normal",
    "permutation",
    "randint",
    "split",
    "truncated_normal",
    "uniform",
]
