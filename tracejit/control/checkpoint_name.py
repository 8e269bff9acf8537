"""checkpoint_name: a name by which a policy of ``checkpoint`` knows a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import StructureError
from tracejit.core.pytree import tree_map
from tracejit.ops._pointwise import define_pointwise

__all__ = ["checkpoint_name", "name_p"]


def checkpoint_name(x: Any, name: str) -> Any:
    """Give values a name, for the policies of :func:`~tracejit.checkpoint`.

    Parameters
    ----------
    x : pytree of arrays
        The values.
    name : str
        The name; several values may have the same.

    Returns
    -------
    pytree of arrays
        The same values.

    Raises
    ------
    StructureError
        If `name` is no str.

    See Also
    --------
    tracejit.checkpoint_policies.save_only_these_names
    """
    if not isinstance(name, str):
        raise StructureError(
            f"checkpoint_name: the name must be a str: checkpoint_name(x, name); "
            f"got {type(name).__name__}"
        )
    return tree_map(lambda leaf: name_p.bind(leaf, name=name), x)


def _same_dtype(dtype: np.dtype[Any], *, name: str) -> np.dtype[Any]:
    del name
    return dtype


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], *, name: str) -> tuple[Any, Any]:
    # The tangent has no name: it is not what a policy means.
    return name_p.bind(*primals, name=name), tangents[0]


def _transpose(ct: Any, x: Any, *, name: str) -> tuple[Any]:
    del x, name
    return (ct,)


name_p = define_pointwise(
    "name",
    impl=lambda xp, x, *, name: x,
    dtype=_same_dtype,
    jvp=_jvp,
    transpose=_transpose,
    lower=lambda k, x, *, name: x,
)
