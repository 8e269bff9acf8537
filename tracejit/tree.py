"""Pytree functions, under the names of ``jax.tree``.

See :mod:`tracejit.core.pytree` for what a pytree is.  A key of ``tracejit.random`` is a leaf.
"""

from tracejit.core.pytree import tree_broadcast as broadcast
from tracejit.core.pytree import tree_transpose as transpose
from tracejit.core.pytree import tree_unflatten as unflatten
from tracejit.core.usertree import tree_all as all
from tracejit.core.usertree import tree_flatten as flatten
from tracejit.core.usertree import tree_flatten_with_path as flatten_with_path
from tracejit.core.usertree import tree_leaves as leaves
from tracejit.core.usertree import tree_leaves_with_path as leaves_with_path
from tracejit.core.usertree import tree_map as map
from tracejit.core.usertree import tree_map_with_path as map_with_path
from tracejit.core.usertree import tree_reduce as reduce
from tracejit.core.usertree import tree_reduce_associative as reduce_associative
from tracejit.core.usertree import tree_structure as structure

__all__ = [
    "all",
    "broadcast",
    "flatten",
    "flatten_with_path",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "reduce",
    "reduce_associative",
    "structure",
    "transpose",
    "unflatten",
]
