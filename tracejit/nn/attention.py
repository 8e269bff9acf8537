"""Attention by scaled dot products."""

from __future__ import annotations

import math
from typing import Any

import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.nn.normalization import softmax
from tracejit.scipy.special import logsumexp

__all__ = ["dot_product_attention"]


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    *,
    scale: float | None = None,
    is_causal: bool = False,
    query_seq_lengths: Any = None,
    key_value_seq_lengths: Any = None,
    local_window_size: int | tuple[int, int] | None = None,
    implementation: str | None = None,
    return_residual: bool = False,
) -> Any:
    """Average values, weighted by the softmax of products of queries and keys.

    Parameters
    ----------
    query : Array, shape (batch, t, n, h) or (t, n, h)
        Queries: `t` positions, `n` heads, `h` components.
    key, value : Array, shape (batch, s, k, h) or (s, k, h)
        Keys and values of `s` positions; `k` divides `n`, and heads share them in groups.
    bias : Array, optional
        Added to the products; broadcasts against (batch, n, t, s).
    mask : Array of bool, optional
        Where a query may look; broadcasts against (batch, n, t, s).
    scale : float, optional
        What products are multiplied by; ``1 / sqrt(h)`` by default.
    is_causal : bool, optional
        Whether a query sees no later position.
    query_seq_lengths, key_value_seq_lengths : Array of int, shape (batch,), optional
        How many positions of each sequence count.
    local_window_size : int or (int, int), optional
        How far before and after itself a query looks.
    implementation : str, optional
        Accepted for compatibility.
    return_residual : bool, optional
        Whether to return the logarithms of the sums of the exponentials too.

    Returns
    -------
    Array, shape of `query`, dtype of `query`
        A query that sees nothing gets 0.
    Array, shape of `query` without its components
        If `return_residual`: the logarithms, without derivatives, -inf where nothing is seen.

    Raises
    ------
    ShapeError
        If ranks, heads or components do not fit.

    Notes
    -----
    Vaswani et al., *Attention is all you need*, 2017.
    """
    del implementation
    query, key, value = (tnp.asarray(v) for v in (query, key, value))
    shapes = [get_aval(v).shape for v in (query, key, value)]
    flat = len(shapes[0]) == 3
    if any(len(s) != len(shapes[0]) for s in shapes) or len(shapes[0]) not in (3, 4):
        raise ShapeError(
            "nn.dot_product_attention: query, key and value of shapes (batch, positions, heads, "
            f"components) or without the batch; got {shapes[0]}, {shapes[1]} and {shapes[2]}"
        )
    if flat:
        query, key, value = (v[None] for v in (query, key, value))
    (batch, t, n, h), (_, s, k, _), _ = (get_aval(v).shape for v in (query, key, value))
    fits = get_aval(key).shape == (batch, s, k, h) and get_aval(value).shape[:3] == (batch, s, k)
    if not fits or k == 0 or n % k:
        raise ShapeError(
            "nn.dot_product_attention: keys and values with the batch, components and a number of "
            f"heads that divides that of the queries; got shapes {shapes[0]}, {shapes[1]} and "
            f"{shapes[2]}"
        )
    groups = n // k
    query = tnp.reshape(query, (batch, t, k, groups, h))
    logits = tnp.einsum("btkgh,bskh->bkgts", query, key)
    logits = tnp.reshape(logits, (batch, n, t, s)) * (1 / math.sqrt(h) if scale is None else scale)
    if bias is not None:
        logits = logits + bias
    seen = _seen(t, s, is_causal, local_window_size)
    for lengths, axis in ((query_seq_lengths, 2), (key_value_seq_lengths, 3)):
        if lengths is not None:
            shape = [1, 1, 1, 1]
            shape[axis] = (t, s)[axis - 2]
            place = tnp.reshape(tnp.arange(shape[axis]), tuple(shape))
            within = place < tnp.reshape(tnp.asarray(lengths), (-1, 1, 1, 1))
            seen = within if seen is None else seen & within
    if mask is not None:
        seen = tnp.asarray(mask) if seen is None else seen & tnp.asarray(mask)
    if seen is not None:
        seen = tnp.broadcast_to(seen, (batch, n, t, s))
    weights = tnp.reshape(softmax(logits, -1, where=seen), (batch, k, groups, t, s))
    out = tnp.einsum("bkgts,bskh->btkgh", weights, value)
    out = tnp.reshape(out, (batch, t, n, get_aval(value).shape[3])).astype(get_aval(query).dtype)
    if not return_residual:
        return out[0] if flat else out
    seen = True if seen is None else seen
    sums = logsumexp(tnp.where(seen, logits, -math.inf), -1).astype(get_aval(key).dtype)
    sums = lax.stop_gradient(tnp.moveaxis(sums, 1, 2))
    return (out[0], sums[0]) if flat else (out, sums)


def _seen(t: int, s: int, causal: bool, window: Any) -> Any:
    """Return which keys a query sees by their distance, or None if all."""
    if not causal and window is None:
        return None
    ahead = tnp.arange(s)[None, :] - tnp.arange(t)[:, None]
    seen = tnp.ones((t, s), bool)
    if causal:
        seen = seen & (ahead <= 0)
    if window is not None:
        before, after = (window, window) if isinstance(window, int) else window
        seen = seen & (ahead >= -before) & (ahead <= after)
    return seen
