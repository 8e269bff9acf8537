"""What is found once for all values of the arguments: pattern, colours, where entries are read."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tracejit.core.array import host_array
from tracejit.core.errors import DTypeError, MissingRuleError, ShapeError
from tracejit.core.pytree import tree_flatten, tree_unflatten
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_complex, is_inexact, is_integer
from tracejit.ir.program import Program
from tracejit.sparsity.colouring import colour_columns, colour_symmetric, count_of, readable
from tracejit.sparsity.detect import Detector
from tracejit.sparsity.rows import diagonal, sparse
from tracejit.sparsity.rules import Entry, Known, size_of
from tracejit.transforms.dce import dce
from tracejit.transforms.derivatives import vjp
from tracejit.transforms.jvp import jvp_program
from tracejit.transforms.stage import stage, stage_tree

__all__ = ["Call", "Plan", "SparsityWarning", "detect", "given_pattern", "make_plan"]


MUCH_LESS = 0.8


class SparsityWarning(UserWarning):
    """A pattern of zeros may be fuller than the derivative is."""


class Call:
    """A function and the arguments by which it is differentiated, seen as flat.

    Parameters
    ----------
    name : str
        Of the transformation, for messages.
    fun : callable
        What is differentiated; without auxiliary results.
    positions : sequence of int
        The arguments to differentiate by.
    args, kwargs
        What it is called with.

    Attributes
    ----------
    leaves : list
        Of ``(args, kwargs)``.
    order : list of int
        Which of them are unknowns, in the order of the columns.
    counts : list of int
        The number of unknowns at each position.
    out_avals : tuple of ShapedArray
        Of the leaves of the result.
    """

    def __init__(
        self,
        name: str,
        fun: Callable[..., Any],
        positions: Sequence[int],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.fun = fun
        self.leaves, self.treedef = tree_flatten((args, kwargs))
        self.avals = [get_aval(x).placeless for x in self.leaves]
        lengths = [len(tree_flatten(arg)[0]) for arg in args]
        starts = [0, *itertools.accumulate(lengths)]
        spans = [range(starts[n], starts[n + 1]) for n in positions]
        self.order = [leaf for span in spans for leaf in span]
        self.counts = [sum(size_of(self.avals[leaf]) for leaf in span) for span in spans]
        self.program: Program = stage_tree(fun, args, kwargs)[0]
        self.out_avals = self.program.out_avals
        for aval in self.out_avals:
            if not is_inexact(aval.dtype):
                raise DTypeError(
                    f"{name}: the outputs must be floating or complex; got {aval.dtype}"
                )

    @property
    def unknowns(self) -> list[ShapedArray]:
        """The types of the arrays to differentiate by."""
        return [self.avals[leaf] for leaf in self.order]

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the derivative as a matrix."""
        return sum(map(size_of, self.out_avals)), sum(map(size_of, self.unknowns))


class Plan(NamedTuple):
    """How a sparse derivative is evaluated, for one signature of the arguments.

    Attributes
    ----------
    pattern : scipy.sparse.csr_array of bool, shape (outputs, unknowns)
        Where the derivative may be other than 0.
    mode : {"forward", "reverse"}
        Whether the products are jvps with sums of columns, or vjps with sums of rows.
    colours : numpy.ndarray of int64
        The product in which each column (row, in reverse mode) is; -1 for none.
    products : int
        The number of colours, each of them a jvp or a vjp.
    notes : tuple of str
        Where the pattern may be fuller than the derivative, with the lines of the user.
    source : numpy.ndarray of int64
        For each entry its place among the elements of the products.
    shapes : tuple of tuple of int
        The shapes of the arrays to differentiate by.
    counts : tuple of int
        The number of unknowns in each argument to differentiate by.
    roots : tuple of (int, numpy.ndarray)
        The integer arguments whose values the pattern rests on: the numbers of their leaves.
    given : bool
        Whether the pattern is the user's.
    """

    pattern: Any
    mode: str
    colours: Any
    products: int
    notes: tuple[str, ...]
    source: Any
    shapes: tuple[tuple[int, ...], ...]
    counts: tuple[int, ...]
    roots: tuple[tuple[int, Any], ...]
    given: bool

    def fits(self, leaves: Sequence[Any]) -> bool:
        """Whether the pattern holds for these values."""
        return all(
            not isinstance(leaves[n], Tracer) and np.array_equal(host_array(leaves[n]), value)
            for n, value in self.roots
        )

    def __repr__(self) -> str:
        kind = "jvps" if self.mode == "forward" else "vjps"
        m, n = self.pattern.shape
        return f"Plan({m} x {n}, {self.pattern.nnz} entries, {self.products} {kind})"


def detect(call: Call) -> tuple[Any, Detector, bool]:
    """Return the pattern of a derivative, the detector, and whether there is a forward mode."""
    flags = [n in call.order for n in range(len(call.leaves))]
    try:
        program, nonzero_out = jvp_program(call.program, flags)
    except MissingRuleError:
        return (*_detect_backward(call), False)
    detector, seeds = Detector(call.shape[1]), _seeds(call.unknowns)
    # The tangents are in the order of the arguments, the columns in that of the positions.
    tangents = [seeds[call.order.index(n)] for n, flag in enumerate(flags) if flag]
    outs = iter(detector.run(program, [*_primals(call), *tangents])[len(call.out_avals) :])
    parts = [next(outs).rows if flag else None for flag in nonzero_out]
    return _under_one_another(parts, call.out_avals, call.shape[1]), detector, True


def _seeds(avals: Sequence[ShapedArray]) -> list[Entry]:
    """Return arrays that hold each unknown in one place."""
    sizes = [size_of(aval) for aval in avals]
    return [
        Entry(aval, diagonal(size, end - size, sum(sizes)))
        for aval, size, end in zip(avals, sizes, itertools.accumulate(sizes), strict=True)
    ]


def _pulled(call: Call) -> Program:
    """Return the Program from arguments and cotangents to the cotangents of the unknowns."""
    count = len(call.leaves)

    def pulled(*inputs: Any) -> list[Any]:
        leaves = list(inputs[:count])

        def of_unknowns(*unknowns: Any) -> list[Any]:
            every = list(leaves)
            for leaf, x in zip(call.order, unknowns, strict=True):
                every[leaf] = x
            args, kwargs = tree_unflatten(call.treedef, every)
            return tree_flatten(call.fun(*args, **kwargs))[0]

        pullback = vjp(of_unknowns, *(leaves[leaf] for leaf in call.order))[1]
        return list(pullback(list(inputs[count:])))

    return dce(stage(pulled, [*call.avals, *(a.strong() for a in call.out_avals)]))


def _has_pullback(call: Call) -> bool:
    try:
        _pulled(call)
    except MissingRuleError:
        return False
    return True


def _detect_backward(call: Call) -> tuple[Any, Detector]:
    """Find the pattern of the transpose, from the Program of the pullback."""
    program, detector = _pulled(call), Detector(call.shape[0])
    found = detector.run(program, [*_primals(call), *_seeds(call.out_avals)])
    turned = _under_one_another([e.rows for e in found], call.unknowns, call.shape[0])
    pattern = turned.T.tocsr()
    pattern.sort_indices()
    return pattern, detector


def _primals(call: Call) -> list[Entry]:
    """Return the entries of the arguments; integers are known, unless they are traced."""
    return [
        Entry(aval, None, Known(lambda x=x: host_array(x), frozenset([n])))  # type: ignore[misc]
        if is_integer(aval.dtype) and not isinstance(x, Tracer)
        else Entry(aval, None)
        for n, (x, aval) in enumerate(zip(call.leaves, call.avals, strict=True))
    ]


def _under_one_another(parts: Sequence[Any], avals: Sequence[ShapedArray], columns: int) -> Any:
    blocks = [
        sparse().csr_array((size_of(aval), columns), dtype=bool) if rows is None else rows
        for rows, aval in zip(parts, avals, strict=True)
    ]
    return (
        sparse().vstack(blocks, "csr") if blocks else sparse().csr_array((0, columns), dtype=bool)
    )


def given_pattern(name: str, pattern: Any, shape: tuple[int, int]) -> Any:
    """Return the user's pattern as a boolean CSR array.

    What is stored in a sparse matrix counts, zeros too; of a dense one what is not zero.

    Raises
    ------
    ShapeError
        If it has not the shape of the derivative.
    """
    if isinstance(pattern, (tuple, list)):
        nested = bool(pattern) and isinstance(pattern[0], (tuple, list))
        blocks = [[_structure(p) for p in row] for row in (pattern if nested else [pattern])]
        found = sparse().csr_array(sparse().block_array(blocks, format="csr"))
    else:
        found = _structure(pattern)
    if found.shape != shape:
        raise ShapeError(
            f"{name}: the sparsity pattern must have the shape of the derivative, one row for "
            f"each element of the outputs and one column for each unknown, {shape}; got "
            f"{found.shape}"
        )
    return found


def _structure(pattern: Any) -> Any:
    if not sparse().issparse(pattern):
        array = np.asarray(pattern)
        if array.ndim != 2:
            raise ShapeError(f"a sparsity pattern must be a matrix; got shape {array.shape}")
        return sparse().csr_array(array != 0)
    found = sparse().csr_array(pattern.tocoo())
    out = sparse().csr_array(
        (np.ones(found.nnz, bool), found.indices, found.indptr), shape=found.shape
    )
    out.sum_duplicates()
    return out


def make_plan(name: str, call: Call, sparsity: Any, symmetric: bool) -> Plan:
    """Find the pattern, colour it, and say where each entry is read.

    Parameters
    ----------
    name : str
        Of the transformation, for messages.
    call : Call
        What is differentiated, by what.
    sparsity : "detect", True, or a pattern
        See :func:`tracejit.sparsity.jacobian`.
    symmetric : bool
        Whether the derivative is.

    Returns
    -------
    Plan
        For arguments of these types.

    Warns
    -----
    SparsityWarning
        If part of the pattern is dense only because it was not known better.
    """
    given = not (sparsity is True or (isinstance(sparsity, str) and sparsity == "detect"))
    roots: tuple[tuple[int, Any], ...] = ()
    notes: tuple[str, ...] = ()
    forward = True
    if given:
        pattern = given_pattern(name, sparsity, call.shape)
    else:
        pattern, detector, forward = detect(call)
        roots = tuple((n, np.array(host_array(call.leaves[n]))) for n in sorted(detector.roots))
        notes = tuple(detector.notes)
    if notes:
        warnings.warn(
            f"{name}: the pattern may be fuller than the derivative; " + "; ".join(notes),
            SparsityWarning,
            stacklevel=4,
        )
    if symmetric:
        pattern = pattern + pattern.T.tocsr()
    pattern.sort_indices()
    mode, colours, source = _coloured(call, pattern, symmetric, forward)
    return Plan(
        pattern,
        mode,
        colours,
        count_of(colours),
        notes,
        source,
        tuple(a.shape for a in call.unknowns),
        tuple(call.counts),
        roots,
        given,
    )


def _coloured(call: Call, pattern: Any, symmetric: bool, forward: bool) -> tuple[str, Any, Any]:
    """Return the mode, the colours, and for each entry its place in the products."""
    m, n = pattern.shape
    row = np.repeat(np.arange(m, dtype=np.int64), np.diff(pattern.indptr))
    column = pattern.indices.astype(np.int64)
    in_shapes = [a.shape for a in call.unknowns]
    if symmetric:
        colours = colour_symmetric(pattern, in_shapes)
        direct = colours[column] * n + row
        mirrored = colours[row] * n + column
        return "forward", colours, np.where(readable(pattern, colours), direct, mirrored)
    turned = pattern.T.tocsr()
    turned.sort_indices()
    # Each mode needs at least as many products as the fullest row (or column) has entries.
    least = {"forward": pattern, "reverse": turned}
    if not forward:
        del least["forward"]
    elif any(is_complex(a.dtype) for a in call.out_avals) and not all(
        is_complex(a.dtype) for a in call.unknowns
    ):
        del least["reverse"]
    bound = {mode: int(np.diff(p.indptr).max(initial=0)) for mode, p in least.items()}
    best: tuple[str, Any] | None = None
    for mode in sorted(bound, key=lambda mode: bound[mode]):  # forward first, if they are equal
        if best is not None and MUCH_LESS * count_of(best[1]) <= bound[mode]:
            break  # the other mode cannot do with many fewer
        if mode == "reverse" and forward and not _has_pullback(call):
            continue
        shapes = in_shapes if mode == "forward" else [a.shape for a in call.out_avals]
        colours = colour_columns(least[mode], shapes)
        if best is None or count_of(colours) < count_of(best[1]):
            best = mode, colours
    assert best is not None
    mode, colours = best
    if mode == "forward":
        return mode, colours, colours[column] * m + row
    return mode, colours, colours[row] * n + column
