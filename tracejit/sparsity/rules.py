"""Which elements of the operands each element of an output of a linear primitive depends on.

Patterns are found on the Program of the *tangents*, which is linear, so that only primitives
that are linear meet sets of unknowns, and custom derivative rules count as they are written.
What only moves elements is run on their numbers instead of their values, by its own
``impl`` rule.  A primitive without a rule here depends on all it reads, and is named in the
notes (:class:`tracejit.sparsity.detect.Detector`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tracejit.core import primitive as tables
from tracejit.core.primitive import PRIMITIVES
from tracejit.ir.avals import ShapedArray
from tracejit.ops._placement import gather_impl, window_sizes
from tracejit.sparsity.rows import Rows, check_entries, every, merged, product, sparse, taken, union

__all__ = ["RULES", "Conservative", "Entry", "Known", "size_of"]


class Known:
    """A value that does not depend on the unknowns, computed when a rule asks for it.

    Attributes
    ----------
    roots : frozenset of int
        The arguments, integers all of them, whose values it is computed from.
    """

    __slots__ = ("_compute", "_value", "roots")

    def __init__(self, compute: Callable[[], Any], roots: frozenset[int] = frozenset()) -> None:
        self._compute: Callable[[], Any] | None = compute
        self._value: Any = None
        self.roots = roots

    def value(self) -> Any:
        """Return the value, a NumPy array."""
        if self._compute is not None:
            self._value, self._compute = self._compute(), None
        return self._value


class Entry(NamedTuple):
    """What is known of a variable: its type, on what its elements depend, perhaps its value."""

    aval: ShapedArray
    rows: Rows | None
    known: Known | None = None


class Conservative(Exception):
    """Raised by a rule that cannot tell: the outputs depend on all that is read."""


Rule = Callable[..., Rows | None]
"""``rule(entries, aval, read, **params)``: the rows of the output, of type `aval`.

``read(entry)`` is the value of an entry, or raises Conservative if it is not known.
"""

RULES: dict[str, Rule] = {}


def size_of(aval: ShapedArray) -> int:
    """Return the number of elements."""
    return math.prod(aval.shape)


def _stretched(entry: Entry, count: int) -> Rows | None:
    if entry.rows is None or entry.rows.shape[0] == count:
        return entry.rows
    return taken(entry.rows, np.zeros(count, np.int64))


# ------------------------------------------------------------------------------- pointwise


def _pointwise(entries: Sequence[Entry], aval: ShapedArray, read: Any, **params: Any) -> Any:
    del read, params
    out = None
    for entry in entries:
        out = union(out, _stretched(entry, size_of(aval)))
    return out


def _without(rows: Rows | None, dropped: Any, count: int) -> Rows | None:
    """Return `rows` with those flagged empty."""
    dropped = np.broadcast_to(np.asarray(dropped).reshape(-1), (count,))
    if rows is None or not dropped.any():
        return rows
    return None if dropped.all() else taken(rows, np.where(dropped, -1, np.arange(count)))


def _mul(entries: Sequence[Entry], aval: ShapedArray, read: Any) -> Any:
    rows = _pointwise(entries, aval, read)
    for factor in entries:
        # What is multiplied by a constant zero, the mask of a boundary say, has no derivative.
        if factor.known is not None and not factor.known.roots:
            rows = _without(rows, factor.known.value() == 0, size_of(aval))
    return rows


def _select(entries: Sequence[Entry], aval: ShapedArray, read: Any) -> Any:
    which, *cases = entries
    if which.known is None or which.known.roots:
        return _pointwise(cases, aval, read)
    chosen, count = np.asarray(which.known.value(), bool), size_of(aval)
    on, off = (_stretched(case, count) for case in cases)
    return union(_without(on, ~chosen, count), _without(off, chosen, count))


_POINTWISE = """
abs acos acosh add asin asinh atan atan2 atanh cbrt ceil clamp complex conj convert_element_type
copysign cos cosh device_put digamma div erf erf_inv erfc exp exp2 expm1 floor hypot imag
integer_pow lgamma log log10 log1p log2 logistic max min name neg polygamma pow real rem round rsqrt
sign sin sinh sqrt stop_gradient sub tan tanh trunc
"""
RULES.update(dict.fromkeys(_POINTWISE.split(), _pointwise))
RULES["mul"] = _mul
RULES["select"] = _select


# -------------------------------------------------------------------------------- movement


def _stacked(entries: Sequence[Entry]) -> tuple[Rows, list[Any]]:
    """Return the rows of all operands under one another, and their numbers as arrays."""
    columns = next(e.rows.shape[1] for e in entries if e.rows is not None)
    parts, numbers, start = [], [], 0
    for entry in entries:
        count = size_of(entry.aval)
        empty = sparse().csr_array((count, columns), dtype=bool)
        parts.append(empty if entry.rows is None else entry.rows)
        numbers.append(np.arange(start, start + count).reshape(entry.aval.shape))
        start += count
    return (parts[0] if len(parts) == 1 else sparse().vstack(parts, "csr")), numbers


def _moving(name: str, operands: int | None) -> Rule:
    """Return the rule of a primitive that moves elements of its first so many operands."""

    def rule(entries: Sequence[Entry], aval: ShapedArray, read: Any, **params: Any) -> Any:
        del aval
        count = len(entries) if operands is None else operands
        rows, numbers = _stacked(entries[:count])
        places = [read(e) for e in entries[count:]]
        return taken(rows, tables.impl[PRIMITIVES[name]](np, *numbers, *places, **params))

    return rule


for _name, _operands in {
    "broadcast_in_dim": 1,
    "concatenate": None,
    "flip": 1,
    "pad": 2,
    "reshape": 1,
    "slice": 1,
    "sliding_windows": 1,
    "transpose": 1,
}.items():
    RULES[_name] = _moving(_name, _operands)

_window = _moving("dynamic_slice", 1)
_update = _moving("dynamic_update_slice", 2)


def _lane_by_lane(entry: Entry, aval: ShapedArray, lanes: int) -> Rows:
    """Return rows that depend on all of `entry` that has the same leading `lanes` axes."""
    outer = math.prod(aval.shape[:lanes])
    size, count = size_of(entry.aval), size_of(aval)
    if not outer or not size or not count:
        return taken(entry.rows, np.full(count, -1))
    lane = merged(entry.rows, np.arange(size) // (size // outer), outer)
    return taken(lane, np.arange(count) // (count // outer))


def _dynamic_slice(entries: Sequence[Entry], aval: ShapedArray, read: Any, **params: Any) -> Any:
    if all(e.known is not None for e in entries[1:]):
        return _window(entries, aval, read, **params)
    raise Conservative


def _dynamic_update_slice(
    entries: Sequence[Entry], aval: ShapedArray, read: Any, **params: Any
) -> Any:
    x, update, *starts = entries
    if all(e.known is not None for e in starts):
        return _update(entries, aval, read, **params)
    if update.rows is None:
        return x.rows
    return union(x.rows, every(update.rows, size_of(aval)))


def _gather(
    entries: Sequence[Entry], aval: ShapedArray, read: Any, *, lanes: int, **params: Any
) -> Any:
    x, indices = entries
    if indices.known is None:
        if lanes:
            return _lane_by_lane(x, aval, lanes)
        raise Conservative
    numbers = np.arange(size_of(x.aval)).reshape(x.aval.shape)
    params["fill"] = -1
    return taken(x.rows, gather_impl(np, numbers, read(indices), lanes=lanes, **params))


def _targets(entries: Sequence[Entry], read: Any, params: dict[str, Any]) -> Any:
    """Return for each element of the updates of a scatter the place it goes to, or -1."""
    x, indices, updates = (e.aval for e in entries)
    collapsed, lanes = params["collapsed"], params["lanes"]
    sizes = window_sizes(x.shape, updates.shape, len(indices.shape) - 1, collapsed, lanes)
    return gather_impl(
        np,
        np.arange(size_of(x)).reshape(x.shape),
        read(entries[1]),
        axes=params["axes"],
        sizes=tuple(sizes),
        collapsed=collapsed,
        lanes=lanes,
        mode="fill" if params["mode"] == "drop" else params["mode"],
        fill=-1,
    )


def _scatter(replaces: bool) -> Rule:
    def rule(entries: Sequence[Entry], aval: ShapedArray, read: Any, **params: Any) -> Any:
        x, indices, updates = entries
        count = size_of(aval)
        if indices.known is None:
            if updates.rows is None:
                return x.rows
            if params["lanes"] and count:
                return union(x.rows, _lane_by_lane(updates, aval, params["lanes"]))
            return union(x.rows, every(updates.rows, count))
        places = np.asarray(_targets(entries, read, params)).reshape(-1)
        kept, moved = x.rows, updates.rows
        if replaces:
            covered = np.zeros(count, bool)
            covered[places[places >= 0]] = True
            kept = _without(kept, covered, count)
            # The last of several writes to one place wins.
            last = np.full(count + 1, -1)
            last[places] = np.arange(len(places))
            return union(kept, None if moved is None else taken(moved, last[:count]))
        return union(kept, None if moved is None else merged(moved, places, count))

    return rule


def _overlap_add(
    entries: Sequence[Entry], aval: ShapedArray, read: Any, *, lengths: Any, **params: Any
) -> Any:
    del read, lengths
    (x,) = entries
    count = size_of(aval)
    places = tables.impl[PRIMITIVES["sliding_windows"]](
        np, np.arange(count).reshape(aval.shape), **params
    )
    return merged(x.rows, places.reshape(-1), count)


RULES["dynamic_slice"] = _dynamic_slice
RULES["dynamic_update_slice"] = _dynamic_update_slice
RULES["gather"] = _gather
RULES["overlap_add"] = _overlap_add
RULES["scatter"] = _scatter(replaces=True)
for _name in ("scatter_add", "scatter_max", "scatter_min", "scatter_mul"):
    RULES[_name] = _scatter(replaces=False)


# --------------------------------------------------------------- sums, products of matrices


def _reduction(
    entries: Sequence[Entry], aval: ShapedArray, read: Any, *, axes: Sequence[int], **params: Any
) -> Any:
    del read, params
    (x,) = entries
    shape = [1 if a in axes else d for a, d in enumerate(x.aval.shape)]
    targets = np.broadcast_to(np.arange(size_of(aval)).reshape(shape), x.aval.shape)
    return merged(x.rows, targets, size_of(aval))


for _name in ("reduce_max", "reduce_min", "reduce_prod", "reduce_sum"):
    RULES[_name] = _reduction


def _cumulative(
    entries: Sequence[Entry], aval: ShapedArray, read: Any, *, axis: int, reverse: bool
) -> Any:
    del read
    (x,) = entries
    length, count = aval.shape[axis], size_of(aval)
    check_entries(count * (length + 1) // 2)
    numbers = np.moveaxis(np.arange(count).reshape(aval.shape), axis, -1).reshape(-1, length)
    earlier, later = np.tril_indices(length)[::-1]
    if reverse:
        earlier, later = later, earlier
    pairs = numbers[:, later].reshape(-1), numbers[:, earlier].reshape(-1)
    reach = sparse().csr_array((np.ones(len(pairs[0]), bool), pairs), shape=(count, count))
    return product(reach, x.rows)


for _name in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"):
    RULES[_name] = _cumulative


def _dot_general(
    entries: Sequence[Entry],
    aval: ShapedArray,
    read: Any,
    *,
    dimension_numbers: Any,
    preferred: Any,
) -> Any:
    del preferred
    (xc, yc), (xb, yb) = dimension_numbers
    x, y = entries
    xf, yf = (
        [a for a in range(len(e.aval.shape)) if a not in c and a not in b]
        for e, c, b in ((x, xc, xb), (y, yc, yb))
    )
    # Results are numbered (batch, row, column); so are the operands, with what is summed last.
    one = _one_sided(x, (xb, xf, xc), y, (yb, yf, yc), read, aval, first=True)
    other = _one_sided(y, (yb, yf, yc), x, (xb, xf, xc), read, aval, first=False)
    return union(one, other)


def _canonical(entry: Entry, groups: Any) -> tuple[Any, tuple[int, ...]]:
    """Return the numbers of the elements as (batch, free, summed), and those lengths."""
    order = [a for group in groups for a in group]
    lengths = tuple(math.prod(entry.aval.shape[a] for a in group) for group in groups)
    numbers = np.arange(size_of(entry.aval)).reshape(entry.aval.shape)
    return np.transpose(numbers, order).reshape(lengths), lengths


def _one_sided(
    x: Entry, x_groups: Any, y: Entry, y_groups: Any, read: Any, aval: ShapedArray, first: bool
) -> Rows | None:
    """Return what a product depends on through one of its operands."""
    if x.rows is None:
        return None
    del read
    numbers, (batch, free, summed) = _canonical(x, x_groups)
    there, (_, other, _) = _canonical(y, y_groups)
    count = size_of(aval)
    results = np.arange(count).reshape((batch, free, other) if first else (batch, other, free))
    if not first:
        results = results.swapaxes(1, 2)
    if y.known is None or y.known.roots:
        lines = merged(x.rows, _inverse(numbers) // max(summed, 1), batch * free)
        line = np.broadcast_to(np.arange(batch * free).reshape(batch, free, 1), results.shape)
        return taken(lines, line.reshape(-1)[_inverse(results)])
    values = np.asarray(y.known.value()).reshape(-1)[there]
    b, n, k = np.nonzero(values)
    rows = results[b, :, n].reshape(-1)
    columns = numbers[b, :, k].reshape(-1)
    matrix = sparse().csr_array(
        (np.ones(len(rows), bool), (rows, columns)), shape=(count, size_of(x.aval))
    )
    return product(matrix, x.rows)


def _inverse(numbers: Any) -> Any:
    """Return where in `numbers`, a permutation, each number stands."""
    flat = np.asarray(numbers).reshape(-1)
    out = np.empty_like(flat)
    out[flat] = np.arange(len(flat))
    return out


def _solve(entries: Sequence[Entry], aval: ShapedArray, read: Any, **params: Any) -> Any:
    del read
    *known, b = entries
    if any(a.rows is not None for a in known):
        raise Conservative
    numbers = np.arange(size_of(aval)).reshape(aval.shape)
    # One system is a column, or a row if the matrix stands to the right.
    first = numbers[..., :1, :] if params.get("left", True) else numbers[..., :1]
    column = np.broadcast_to(first, aval.shape).reshape(-1)
    return taken(merged(b.rows, column, len(column)), column)


def _csr_matmul(entries: Sequence[Entry], aval: ShapedArray, read: Any) -> Any:
    data, indices, indptr, x = entries
    n, k = aval.shape
    count, columns = data.aval.shape[0], x.aval.shape[0]
    col, ends = (np.asarray(read(i)) for i in (indices, indptr))
    row = np.searchsorted(ends[1:], np.arange(count), side="right")
    kept = np.flatnonzero((row < n) & (col >= 0) & (col < columns))
    each = np.arange(k)
    to = (row[kept, None] * k + each).reshape(-1)
    out = None
    for entry, numbers in ((data, kept[:, None] + 0 * each), (x, col[kept, None] * k + each)):
        if entry.rows is None:
            continue
        places = to, numbers.reshape(-1)
        shape = (n * k, size_of(entry.aval))
        matrix = sparse().csr_array((np.ones(len(to), bool), places), shape=shape)
        out = union(out, product(matrix, entry.rows))
    return out


RULES["csr_matmul"] = _csr_matmul
RULES["dot_general"] = _dot_general
RULES["lu_solve"] = _solve
RULES["triangular_solve"] = _solve
