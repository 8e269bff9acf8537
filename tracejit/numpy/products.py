"""Matrix products, contractions, and sums of products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import opt_einsum

from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, canonical, is_complex
from tracejit.numpy.manipulation import moveaxis, window
from tracejit.numpy.promotion import (
    array_of,
    arrays_of,
    broadcast_shapes,
    cast,
    no_out,
    normal_axes,
    normal_axis,
    operand,
    promote_operands,
    stretch,
)
from tracejit.numpy.reductions import sum
from tracejit.numpy.ufuncs import conj, multiply
from tracejit.ops.arithmetic import mul, sub
from tracejit.ops.constant import iota
from tracejit.ops.contraction import dot_general
from tracejit.ops.logical import eq, select
from tracejit.ops.reduction import reduce_or
from tracejit.ops.shape import broadcast_in_dim, full, reduce_sum, reshape, transpose
from tracejit.ops.slicing import concatenate

__all__ = [
    "I64", "cross", "diag", "diagflat", "diagonal", "dot", "einsum", "einsum_path", "inner",
    "iota_plus", "kron", "matmul", "matvec", "outer", "tensordot", "trace", "vdot", "vecdot",
    "vecmat",
]  # fmt: skip

I64 = DTYPES["i64"]


def _pair(x: Any, y: Any, precision: Any = None, dtype: Any = None) -> list[Any]:
    """Return operands of one dtype, or of `dtype`; the precision is full anyway."""
    del precision
    pair = arrays_of(promote_operands([operand(x), operand(y)]))
    return pair if dtype is None else [cast(v, canonical(dtype)) for v in pair]


def matmul(
    x1: Any,
    x2: Any,
    /,
    out: None = None,
    *,
    dtype: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """As :func:`numpy.matmul`: products of stacks of matrices.

    `precision` and `preferred_element_type` are JAX's: products are in full precision anyway, and
    the other is what `dtype` is.
    """
    no_out("matmul", out)
    x, y = _pair(x1, x2, precision, dtype if dtype is not None else preferred_element_type)
    a, b = get_aval(x).shape, get_aval(y).shape
    if not a or not b:
        raise ShapeError(f"matmul: rank 1 at least; got shapes {a} and {b}; use * for scalars")
    rows, columns = len(a) > 1, len(b) > 1
    inner = b[-2] if columns else b[0]
    if a[-1] != inner:
        raise ShapeError(
            f"matmul: the last axis of the first and the last but one of the second must have one "
            f"length; got shapes {a} and {b}"
        )
    if len(b) <= 2:
        return dot_general(x, y, (((len(a) - 1,), (0,)), ((), ())))
    if not rows:
        out_ = dot_general(y, x, (((len(b) - 2,), (0,)), ((), ())))
        return out_
    stack = broadcast_shapes("matmul", a[:-2], b[:-2])
    if a[:-2] != stack and len(a) > 2:
        x = stretch(x, (*stack, *a[-2:]))
    elif len(a) == 2:
        # (i, k) times (..., k, j): contract, then bring i back in front of j.
        out_ = dot_general(x, y, (((1,), (len(b) - 2,)), ((), ())))
        return moveaxis(out_, 0, -2)
    y = stretch(y, (*stack, *b[-2:]))
    lanes = tuple(range(len(stack)))
    n = len(stack)
    return dot_general(x, y, (((n + 1,), (n,)), (lanes, lanes)))


def dot(
    a: Any, b: Any, out: None = None, *, precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """As :func:`numpy.dot`."""
    no_out("dot", out)
    x, y = _pair(a, b, precision, preferred_element_type)
    m, n = get_aval(x).shape, get_aval(y).shape
    if not m or not n:
        return multiply(x, y)
    axis = max(len(n) - 2, 0)
    if m[-1] != n[axis]:
        raise ShapeError(f"dot: the axes that are summed must have one length; got {m} and {n}")
    return dot_general(x, y, (((len(m) - 1,), (axis,)), ((), ())))


def vdot(
    a: Any, b: Any, *, precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """As :func:`numpy.vdot`."""
    x, y = _pair(a, b, precision, preferred_element_type)
    return dot(conj(_flat(x)) if is_complex(get_aval(x).dtype) else _flat(x), _flat(y))


def vecdot(
    x1: Any, x2: Any, /, out: None = None, *, axis: int = -1, precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """As :func:`numpy.vecdot`."""
    no_out("vecdot", out)
    x, y = _pair(x1, x2, precision, preferred_element_type)
    x, y = moveaxis(_conjugated(x), axis, -1), moveaxis(y, axis, -1)
    return _einsum("...i,...i->...", [x, y])


def matvec(x1: Any, x2: Any, /, out: None = None) -> Any:
    """As :func:`numpy.matvec`: matrices times vectors."""
    no_out("matvec", out)
    x, y = _matrix_and_vector("matvec", x1, x2)
    return _einsum("...ij,...j->...i", [x, y])


def vecmat(x1: Any, x2: Any, /, out: None = None) -> Any:
    """As :func:`numpy.vecmat`: vectors, conjugated, times matrices."""
    no_out("vecmat", out)
    y, x = _matrix_and_vector("vecmat", x2, x1)
    return _einsum("...i,...ij->...j", [_conjugated(x), y])


def _conjugated(x: Any) -> Any:
    return conj(x) if is_complex(get_aval(x).dtype) else x


def _matrix_and_vector(name: str, matrix: Any, vector: Any) -> list[Any]:
    x, y = _pair(matrix, vector)
    m, n = get_aval(x).shape, get_aval(y).shape
    axis = -1 if name == "matvec" else -2
    if len(m) < 2 or not n or m[axis] != n[-1]:
        raise ShapeError(
            f"{name}: matrices, and vectors as long as their axis {axis}; got shapes {m} and {n}"
        )
    return [x, y]


def inner(
    a: Any, b: Any, *, precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """As :func:`numpy.inner`."""
    x, y = _pair(a, b, precision, preferred_element_type)
    m, n = get_aval(x).shape, get_aval(y).shape
    if not m or not n:
        return multiply(x, y)
    if m[-1] != n[-1]:
        raise ShapeError(f"inner: the last axes must have one length; got {m} and {n}")
    return dot_general(x, y, (((len(m) - 1,), (len(n) - 1,)), ((), ())))


def outer(a: Any, b: Any, out: None = None) -> Any:
    """As :func:`numpy.outer`."""
    no_out("outer", out)
    x, y = _pair(a, b)
    x, y = _flat(x), _flat(y)
    return multiply(reshape(x, (get_aval(x).size, 1)), y)


def _flat(x: Any) -> Any:
    return reshape(x, (get_aval(x).size,))


def tensordot(
    a: Any, b: Any, axes: Any = 2, *, precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """As :func:`numpy.tensordot`."""
    x, y = _pair(a, b, precision, preferred_element_type)
    m, n = get_aval(x).shape, get_aval(y).shape
    if isinstance(axes, (int, np.integer)):
        count = int(axes)
        pairs = (tuple(range(len(m) - count, len(m))), tuple(range(count)))
    else:
        first, second = axes
        pairs = (normal_axes("tensordot", first, len(m)), normal_axes("tensordot", second, len(n)))
    if len(pairs[0]) != len(pairs[1]) or any(
        not 0 <= i < len(m) or not 0 <= j < len(n) or m[i] != n[j]
        for i, j in zip(*pairs, strict=False)
    ):
        raise ShapeError(f"tensordot: axes must pair up in length; got {axes} for {m} and {n}")
    return dot_general(x, y, (pairs, ((), ())))


def kron(a: Any, b: Any) -> Any:
    """As :func:`numpy.kron`."""
    x, y = _pair(a, b)
    m, n = get_aval(x).shape, get_aval(y).shape
    rank = max(len(m), len(n))
    m, n = (1,) * (rank - len(m)) + m, (1,) * (rank - len(n)) + n
    spread_x = [d for i in m for d in (i, 1)]
    spread_y = [d for j in n for d in (1, j)]
    out = multiply(reshape(x, spread_x), reshape(y, spread_y))
    return reshape(out, [i * j for i, j in zip(m, n, strict=True)])


def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """As :func:`numpy.cross`, of vectors of length 3 (or 2, for the third component alone)."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = _pair(a, b)
    x, y = moveaxis(x, axisa, -1), moveaxis(y, axisb, -1)
    m, n = get_aval(x).shape, get_aval(y).shape
    if m[-1] not in (2, 3) or n[-1] not in (2, 3):
        raise ShapeError(f"cross: vectors of length 2 or 3; got {m[-1]} and {n[-1]}")
    shape = broadcast_shapes("cross", m[:-1], n[:-1])

    def parts(v: Any) -> list[Any]:
        rank = get_aval(v).ndim
        length = get_aval(v).shape[-1]
        columns = [window(v, rank - 1, i, i + 1) for i in range(length)]
        return [stretch(reshape(c, get_aval(v).shape[:-1]), shape) for c in columns]

    p, q = parts(x), parts(y)
    third = sub(mul(p[0], q[1]), mul(p[1], q[0]))
    if len(p) == 2 and len(q) == 2:
        return third
    zero = get_aval(x).dtype.type(0)
    p, q = ([*v, stretch(array_of(zero), shape)] if len(v) == 2 else v for v in (p, q))
    first = sub(mul(p[1], q[2]), mul(p[2], q[1]))
    second = sub(mul(p[2], q[0]), mul(p[0], q[2]))
    out = concatenate([reshape(v, (*shape, 1)) for v in (first, second, third)], len(shape))
    return moveaxis(out, -1, axisc)


# -------------------------------------------------------------------------------- diagonals


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """As :func:`numpy.diagonal`."""
    x = array_of(a)
    rank = get_aval(x).ndim
    if rank < 2:
        raise ShapeError(f"diagonal: rank 2 at least; got shape {get_aval(x).shape}")
    i, j = normal_axis("diagonal", axis1, rank), normal_axis("diagonal", axis2, rank)
    x = moveaxis(x, (i, j), (-2, -1))
    *stack, rows, columns = get_aval(x).shape
    length = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    if not length:
        return full((*stack, 0), 0, get_aval(x).dtype)
    first = (-offset if offset < 0 else 0, offset if offset > 0 else 0)
    square = window(
        window(x, rank - 2, first[0], first[0] + length), rank - 1, first[1], first[1] + length
    )
    dtype = get_aval(x).dtype
    shape = (*stack, length, length)
    on = eq(iota(shape, rank - 2, I64), iota(shape, rank - 1, I64))
    if dtype.kind == "b":
        kept = select(on, square, np.bool_(False))
        return cast(reduce_sum(cast(kept, DTYPES["i8"]), (rank - 1,)), dtype)
    return reduce_sum(select(on, square, dtype.type(0)), (rank - 1,))


def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None
) -> Any:
    """As :func:`numpy.trace`."""
    return sum(diagonal(a, offset, axis1, axis2), -1, dtype, out)


def diag(v: Any, k: int = 0) -> Any:
    """As :func:`numpy.diag`."""
    x = array_of(v)
    rank = get_aval(x).ndim
    if rank == 2:
        return diagonal(x, k)
    if rank != 1:
        raise ShapeError(f"diag: rank 1 or 2; got shape {get_aval(x).shape}")
    n = get_aval(x).shape[0]
    size = n + abs(k)
    dtype = get_aval(x).dtype
    low, high = (k, 0) if k >= 0 else (0, -k)
    del high
    shape = (n, size)
    on = eq(iota(shape, 1, I64), iota_plus(shape, 0, low))
    rows = select(on, broadcast_in_dim(x, shape, (0,)), dtype.type(0))
    if k == 0:
        return rows
    empty = broadcast_in_dim(dtype.type(0), (abs(k), size), ())
    return concatenate([rows, empty] if k > 0 else [empty, rows], 0)


def iota_plus(shape: tuple[int, ...], axis: int, by: int) -> Any:
    """Return the index along an axis plus an int."""
    from_zero = iota(shape, axis, I64)
    return sub(from_zero, np.int64(-by)) if by else from_zero


def diagflat(v: Any, k: int = 0) -> Any:
    """As :func:`numpy.diagflat`."""
    return diag(_flat(array_of(v)), k)


# --------------------------------------------------------------------------------- einsum


def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    out: None = None,
    dtype: Any = None,
    optimize: Any = True,
    **how: Any,
) -> Any:
    """As :func:`numpy.einsum`; the order of contraction is chosen by opt_einsum."""
    no_out("einsum", out)
    del how
    if not isinstance(subscripts, str):
        subscripts, operands = _spelled(subscripts, operands)
    xs = arrays_of(promote_operands([operand(x) for x in operands]))
    if dtype is not None:
        xs = [cast(x, canonical(dtype)) for x in xs]
    return _einsum(subscripts, xs, optimize)


def _spelled(first: Any, rest: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Return the form with subscripts of the form with lists of axes."""
    listed = [first, *rest]
    output = listed.pop() if len(listed) % 2 else None

    def letters(axes: Sequence[Any]) -> str:
        return "".join("..." if a is Ellipsis else opt_einsum.get_symbol(a) for a in axes)

    text = ",".join(letters(axes) for axes in listed[1::2])
    return text + ("" if output is None else "->" + letters(output)), tuple(listed[::2])


def einsum_path(
    subscripts: Any, /, *operands: Any, optimize: Any = "greedy"
) -> tuple[list[Any], str]:
    """As :func:`numpy.einsum_path`: a path that :func:`einsum` takes as `optimize`, and a text."""
    text, rest = subscripts, operands
    if not isinstance(text, str):
        text, rest = _spelled(subscripts, operands)
    shapes = [get_aval(operand(x)).shape for x in rest]
    path, told = opt_einsum.contract_path(text, *shapes, shapes=True, optimize=_strategy(optimize))
    return ["einsum_path", *path], str(told)


def _strategy(optimize: Any) -> Any:
    if isinstance(optimize, (list, tuple)) and optimize and optimize[0] == "einsum_path":
        return list(optimize[1:])
    return (
        {True: "auto", False: "auto"}.get(optimize, optimize)
        if isinstance(optimize, bool)
        else optimize
    )


def _einsum(subscripts: str, xs: list[Any], optimize: Any = True) -> Any:
    shapes = [get_aval(x).shape for x in xs]
    try:
        text, output, _ = opt_einsum.parser.parse_einsum_input((subscripts, *shapes), shapes=True)
    except (ValueError, TypeError) as error:
        raise ShapeError(f"einsum: {error}; got {subscripts!r} for shapes {shapes}") from None
    names = text.split(",")
    lengths: dict[str, int] = {}
    for term, shape in zip(names, shapes, strict=True):
        if len(term) != len(shape):
            raise ShapeError(f"einsum: {term!r} names {len(term)} axes; got shape {shape}")
        for letter, d in zip(term, shape, strict=True):
            if lengths.get(letter, 1) == 1:
                lengths[letter] = d
            elif d not in (1, lengths[letter]):
                raise ShapeError(
                    f"einsum: axis {letter!r} must have one length; got {lengths[letter]} and {d}"
                )
    terms = [_simplified(x, term, lengths) for x, term in zip(xs, names, strict=True)]
    if len(terms) > 2:
        path, _ = opt_einsum.contract_path(
            f"{text}->{output}",
            *[tuple(lengths[c] for c in t) for t in names],
            shapes=True,
            optimize=_strategy(optimize),
        )
    else:
        path = [tuple(range(len(terms)))]
    for chosen in path:
        taken = [terms.pop(i) for i in sorted(chosen, reverse=True)]
        later = set(output).union(*[t for _, t in terms])
        x, term = _summed(*taken.pop(), keep=later.union(*[t for _, t in taken]))
        while taken:
            y, other = taken.pop()
            keep = later.union(*[t for _, t in taken])
            y, other = _summed(y, other, keep.union(term))
            x, term = _contracted(x, term, y, other, keep)
        terms.append((x, term))
    x, term = terms[0]
    x, term = _summed(x, term, set(output))
    return transpose(x, [term.index(c) for c in output])


def _simplified(x: Any, term: str, lengths: dict[str, int]) -> tuple[Any, str]:
    """Take diagonals of repeated letters, and stretch axes of length 1."""
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            i = term.index(letter)
            j = term.index(letter, i + 1)
            x = diagonal(x, 0, i, j)
            term = term[:i] + term[i + 1 : j] + term[j + 1 :] + letter
    shape = tuple(lengths[c] for c in term)
    if get_aval(x).shape != shape:
        x = stretch(x, shape)
    return x, term


def _summed(x: Any, term: str, keep: set[str]) -> tuple[Any, str]:
    """Sum over the axes that nothing else names."""
    gone = [i for i, c in enumerate(term) if c not in keep]
    if not gone:
        return x, term
    if get_aval(x).dtype.kind == "b":
        return reduce_or(x, gone), "".join(c for c in term if c in keep)
    return reduce_sum(x, gone), "".join(c for c in term if c in keep)


def _contracted(x: Any, a: str, y: Any, b: str, keep: set[str]) -> tuple[Any, str]:
    both = [c for c in a if c in b]
    lanes = [c for c in both if c in keep]
    gone = [c for c in both if c not in keep]
    term = (
        "".join(lanes)
        + "".join(c for c in a if c not in both)
        + "".join(c for c in b if c not in both)
    )
    if not gone:  # a product of elements: not for the matrix library
        lengths = dict(zip(a, get_aval(x).shape, strict=True)) | dict(
            zip(b, get_aval(y).shape, strict=True)
        )
        shape = [lengths[c] for c in term]
        return mul(_placed(x, a, term, shape), _placed(y, b, term, shape)), term
    numbers = (
        (tuple(a.index(c) for c in gone), tuple(b.index(c) for c in gone)),
        (tuple(a.index(c) for c in lanes), tuple(b.index(c) for c in lanes)),
    )
    return dot_general(x, y, numbers), term


def _placed(x: Any, own: str, term: str, shape: list[int]) -> Any:
    order = sorted(range(len(own)), key=lambda i: term.index(own[i]))
    x = transpose(x, order)
    return broadcast_in_dim(x, shape, [term.index(own[i]) for i in order])
