"""Policies for :func:`~tracejit.checkpoint`: which intermediate values the backward pass keeps.

A policy is a function ``policy(primitive, *avals, **params) -> bool`` of an operation, the types of
its operands and its static parameters: whether its result may be stored.  It should be hashable by
its value, as those here are, so that what is compiled is found again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tracejit.control.checkpoint_name import name_p
from tracejit.control.treeverse import treeverse
from tracejit.core.primitive import Primitive
from tracejit.ops.contraction import dot_general_p

__all__ = [
    "Policy",
    "checkpoint_dots",
    "checkpoint_dots_with_no_batch_dims",
    "dots_saveable",
    "dots_with_no_batch_dims_saveable",
    "everything_saveable",
    "nothing_saveable",
    "save_any_names_but_these",
    "save_anything_except_these_names",
    "save_from_both_policies",
    "save_only_these_names",
    "treeverse",
]

Policy = Callable[..., bool]


def everything_saveable(primitive: Primitive, *avals: Any, **params: Any) -> bool:
    """Store what the backward pass needs, as if there were no checkpoint."""
    del primitive, avals, params
    return True


def nothing_saveable(primitive: Primitive, *avals: Any, **params: Any) -> bool:
    """Store nothing but the arguments, and compute the rest again: the default."""
    del primitive, avals, params
    return False


def dots_saveable(primitive: Primitive, *avals: Any, **params: Any) -> bool:
    """Store the results of contractions (matrix products), and compute the rest again."""
    del avals, params
    return primitive is dot_general_p


def dots_with_no_batch_dims_saveable(primitive: Primitive, *avals: Any, **params: Any) -> bool:
    """Store the results of contractions without batch axes, and compute the rest again.

    Products with the weights of a layer have none; those of one sample's values with each other
    have.
    """
    del avals
    if primitive is not dot_general_p:
        return False
    _, (x_batch, y_batch) = params["dimension_numbers"]
    return not x_batch and not y_batch


checkpoint_dots = dots_saveable
checkpoint_dots_with_no_batch_dims = dots_with_no_batch_dims_saveable


@dataclass(frozen=True)
class _ByName:
    names: frozenset[str]
    listed: bool
    unnamed: bool

    def __call__(self, primitive: Primitive, *avals: Any, **params: Any) -> bool:
        del avals
        if primitive is name_p:
            return (params["name"] in self.names) == self.listed
        return self.unnamed


def save_only_these_names(*names_which_can_be_saved: str) -> Policy:
    """Store the values that :func:`~tracejit.ad_checkpoint.checkpoint_name` gave these names."""
    return _ByName(frozenset(names_which_can_be_saved), True, False)


def save_any_names_but_these(*names_not_to_save: str) -> Policy:
    """Store the values that have a name, but for these."""
    return _ByName(frozenset(names_not_to_save), False, False)


def save_anything_except_these_names(*names_not_to_save: str) -> Policy:
    """Store what the backward pass needs, but for the values that have these names.

    The value that is named is an operation's result, too: to have it computed again, name the
    results of all operations that it could be had from at no cost.
    """
    return _ByName(frozenset(names_not_to_save), False, True)


@dataclass(frozen=True)
class _Either:
    first: Policy
    second: Policy

    def __call__(self, primitive: Primitive, *avals: Any, **params: Any) -> bool:
        return self.first(primitive, *avals, **params) or self.second(primitive, *avals, **params)


def save_from_both_policies(policy_1: Policy, policy_2: Policy) -> Policy:
    """Store what one of two policies lets be stored."""
    return _Either(policy_1, policy_2)
