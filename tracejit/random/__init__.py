"""``tracejit.random``: pseudo-random numbers from explicit keys.

A key is made by :func:`key`: an array of shape ``()`` and dtype ``key<fry>``, which is no number
and is a leaf of pytrees; ``split(key, n)`` has shape ``(n,)``.  Every function here takes such a
key, or the two uint32 words that it is made of (:func:`key_data`), which is what :func:`PRNGKey`
returns; the numbers are the same.  Every transformation takes keys: of the axes of an array of
keys, those of :attr:`shape` count.

Equal keys give equal numbers, on any device and for any number of threads.  :func:`key`,
:func:`split`, :func:`fold_in`, :func:`bits`, :func:`uniform`, :func:`normal` and :func:`randint`
give the bits that JAX gives with its default, partitionable threefry2x32.  Ours are the same
on any machine; XLA's uniform and normal numbers have other last bits on processors without fused
multiply-adds.
"""

from __future__ import annotations

from tracejit.random.continuous import (
    double_sided_maxwell,
    lognormal,
    maxwell,
    pareto,
    rayleigh,
    triangular,
    wald,
    weibull_min,
)
from tracejit.random.discrete import (
    binomial,
    geometric,
    multinomial,
    poisson,
)
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
from tracejit.random.gamma_family import (
    ball,
    beta,
    chisquare,
    dirichlet,
    f,
    gamma,
    generalized_normal,
    loggamma,
    t,
)
from tracejit.random.keys import (
    PRNGKey,
    bits,
    clone,
    fold_in,
    key,
    key_data,
    key_impl,
    split,
    wrap_key_data,
)
from tracejit.random.vectors import (
    multivariate_normal,
    orthogonal,
)

__all__ = [
    "PRNGKey",
    "ball",
    "bernoulli",
    "beta",
    "binomial",
    "bits",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "clone",
    "dirichlet",
    "double_sided_maxwell",
    "exponential",
    "f",
    "fold_in",
    "gamma",
    "generalized_normal",
    "geometric",
    "gumbel",
    "key",
    "key_data",
    "key_impl",
    "laplace",
    "loggamma",
    "logistic",
    "lognormal",
    "maxwell",
    "multinomial",
    "multivariate_normal",
    "normal",
    "orthogonal",
    "pareto",
    "permutation",
    "poisson",
    "rademacher",
    "randint",
    "rayleigh",
    "shuffle",
    "split",
    "t",
    "triangular",
    "truncated_normal",
    "uniform",
    "wald",
    "weibull_min",
    "wrap_key_data",
]
