"""Jacobians and Hessians as sparse matrices, from a few products with seeds of their colouring."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracejit import numpy as tnp
from tracejit.control.loops import map_
from tracejit.core.array import host_array
from tracejit.core.errors import ConcretizationError, DTypeError, SparsityError, StructureError
from tracejit.core.interpreter import active
from tracejit.core.pytree import keystr, tree_flatten, tree_flatten_with_path, tree_unflatten
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import is_complex, is_float
from tracejit.runtime.jit import jit
from tracejit.sparsity.plan import Call, Plan, make_plan
from tracejit.sparsity.rows import sparse
from tracejit.transforms.derivatives import grad, jvp, vjp
from tracejit.transforms.flat import bind_positions, leaf_path, positions_of
from tracejit.transforms.jacobians import hessian as dense_hessian
from tracejit.transforms.jacobians import jacrev
from tracejit.transforms.stage import function_name
from tracejit.transforms.vectorize import vmap

__all__ = ["SparseJacobian", "hessian", "jacobian", "sparsity_pattern"]

Argnums = int | Sequence[int]
AT_ONCE = 32
"""So many products are found at once, and then as many again, which bounds the memory."""


def jacobian(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    sparsity: Any = None,
) -> Callable[..., Any]:
    """Return a function that evaluates the Jacobian of `fun`, dense or sparse.

    Parameters
    ----------
    fun, argnums, has_aux, holomorphic, allow_int
        As for :func:`tracejit.jacrev`, which this is without `sparsity`.
    sparsity : None, True, "detect", or matrix, optional
        Whether the Jacobian is found as a sparse matrix; ``"detect"`` (or True) finds its pattern
        of zeros from the Program of `fun`.  A ``scipy.sparse`` matrix or a boolean array of shape
        (outputs, unknowns) is taken for the pattern (a tuple of them, one an argument, if
        `argnums` is a sequence), and checked at one random direction when it is first used.

    Returns
    -------
    callable
        With `sparsity` a :class:`SparseJacobian`.  It takes the arguments of `fun` and returns a
        ``scipy.sparse.csr_array`` of shape (outputs, unknowns): arrays are flattened in row-major
        order, and the leaves of pytrees follow one another.  It is a tuple of them if `argnums`
        is a sequence; with `has_aux` a pair of that and ``aux``.

    Raises
    ------
    SparsityError
        If the derivative is dense, or a pattern that was given leaves out entries.
    ShapeError, DTypeError, StructureError
        If a pattern has not the shape of the derivative, inputs or outputs are not floating, or
        `argnums` names no argument.

    Warns
    -----
    tracejit.sparsity.SparsityWarning
        If an operation is taken to depend on all it reads since it is not known better.

    Notes
    -----
    Columns that share no row have one colour and are found by one jvp (or rows by one vjp, if
    that takes fewer colours), all colours at once in one compiled call.  Pattern and colours are
    found at the first call with arguments of these shapes.  Integer arguments that say where
    something is read or written count with their values: a mesh may be an argument.

    Examples
    --------
    >>> import numpy as np, tracejit
    >>> from tracejit.sparsity import jacobian
    >>> jacobian(lambda x: x[1:] - x[:-1], sparsity="detect")(np.ones(4)).toarray()
    array([[-1.,  1.,  0.,  0.],
           [ 0., -1.,  1.,  0.],
           [ 0.,  0., -1.,  1.]])
    """
    if sparsity is None or sparsity is False:
        return jacrev(fun, argnums, has_aux, holomorphic, allow_int)
    return SparseJacobian("jacobian", fun, argnums, has_aux, holomorphic, sparsity)


def hessian(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    sparsity: Any = None,
) -> Callable[..., Any]:
    """Return a function that evaluates the second derivatives of `fun`, dense or sparse.

    Parameters
    ----------
    fun, argnums, has_aux, holomorphic
        As for :func:`tracejit.jacfwd`.
    sparsity : None, True, "detect", or matrix, optional
        As for :func:`jacobian`; `fun` must be scalar then.  A pattern is made symmetric.

    Returns
    -------
    callable
        With `sparsity` a :class:`SparseJacobian` that returns a ``scipy.sparse.csr_array`` of
        shape (unknowns, unknowns), or blocks of it, a tuple of tuples, if `argnums` is a
        sequence.  By its symmetry it takes fewer products than a Jacobian (a star colouring).

    Raises
    ------
    SparsityError, ShapeError, DTypeError, StructureError
        As for :func:`jacobian`.
    """
    if sparsity is None or sparsity is False:
        return dense_hessian(fun, argnums, has_aux, holomorphic)
    return SparseJacobian("hessian", fun, argnums, has_aux, holomorphic, sparsity)


def sparsity_pattern(fun: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """Return a function that finds where the Jacobian of `fun` may be other than 0.

    Parameters
    ----------
    fun : callable
        Takes and returns pytrees of floating or complex arrays.
    argnums : int or sequence of int
        The positional arguments to differentiate by.

    Returns
    -------
    callable
        Takes the arguments of `fun`; returns a ``scipy.sparse.csr_array`` of bool of shape
        (outputs, unknowns), or a tuple of them if `argnums` is a sequence.  Values do not count,
        except those of integers that say where something is read or written.
    """
    found = SparseJacobian("sparsity_pattern", fun, argnums, False, None, "detect")
    return found.pattern


@dataclass
class _Prepared:
    """A plan, what evaluates it, and whether its pattern is known to be full enough."""

    plan: Plan
    evaluate: Callable[..., Any]
    checked: bool


class SparseJacobian:
    """A Jacobian or Hessian as a sparse matrix; made by :func:`jacobian` and :func:`hessian`.

    Called with the arguments of the function it returns CSR matrices.  Its methods, which take the
    same arguments, return the parts: only :meth:`values` does work that depends on the values of
    the arguments, and it may be called under ``jit``, ``vmap`` and ``grad``.
    """

    __name__: str

    def __init__(
        self,
        name: str,
        fun: Callable[..., Any],
        argnums: Argnums,
        has_aux: bool,
        holomorphic: bool | None,
        sparsity: Any,
    ) -> None:
        functools.update_wrapper(self, fun, updated=())
        self.__name__ = f"{name}_{function_name(fun)}"
        self._name = name
        self._argnums = argnums
        self._has_aux = has_aux
        self._holomorphic = holomorphic
        self._sparsity = sparsity
        self._symmetric = name == "hessian"
        self._of = fun
        self._fun = grad(fun, argnums, has_aux, bool(holomorphic)) if self._symmetric else fun
        self._known: dict[Any, list[_Prepared]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate the derivative as ``scipy.sparse.csr_array``."""
        if active() is not None:
            raise ConcretizationError(
                f"{self._name}: with sparsity= the result is a matrix of SciPy, which cannot be "
                "traced; call it outside of jit, vmap and grad, or take its entries with "
                f"{self._name}(fun, sparsity=...).values(*args)"
            )
        prepared = self._prepared(args, kwargs)
        data, aux = prepared.evaluate(args, kwargs)
        plan = prepared.plan
        pattern = plan.pattern
        matrix = sparse().csr_array(
            (np.array(host_array(data)), pattern.indices, pattern.indptr), shape=pattern.shape
        )
        if not prepared.checked:
            self._check(matrix, args, kwargs)
            prepared.checked = True
        result = self._blocks(plan, matrix)
        return (result, aux) if self._has_aux else result

    def values(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate the entries, in the order of the pattern: an Array of shape (entries,)."""
        data, aux = self._prepared(args, kwargs).evaluate(args, kwargs)
        return (data, aux) if self._has_aux else data

    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """Return the pattern, the colours and the notes for arguments of these types."""
        return self._prepared(args, kwargs).plan

    def pattern(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pattern: what a call returns, with True for entries."""
        plan = self.plan(*args, **kwargs)
        return self._blocks(plan, plan.pattern.copy())

    def _blocks(self, plan: Plan, matrix: Any) -> Any:
        if isinstance(self._argnums, int):
            return matrix
        ends = np.cumsum([0, *plan.counts])
        spans = [slice(a, b) for a, b in itertools.pairwise(ends.tolist())]
        if not self._symmetric:
            return tuple(matrix[:, span] for span in spans)
        return tuple(tuple(matrix[rows, columns] for columns in spans) for rows in spans)

    # ----------------------------------------------------------------------------- planning

    def _prepared(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Prepared:
        """Return the plan for these arguments, and what evaluates it."""
        leaves, treedef = tree_flatten((args, kwargs))
        # Of an integer that is traced there is no value, so the pattern may be fuller.
        kinds = [(get_aval(x).placeless, isinstance(x, Tracer)) for x in leaves]
        known = self._known.setdefault((treedef, *kinds), [])
        for found in known:
            if found.plan.fits(leaves):
                return found
        positions = positions_of(self._name, self._argnums, len(args))
        for position in positions:
            self._check_input(position, args[position])
        call = Call(
            self._name, self._value if self._has_aux else self._fun, positions, args, kwargs
        )
        plan = make_plan(self._name, call, self._sparsity, self._symmetric)
        evaluate = jit(functools.partial(self._evaluate, plan, positions))
        known.append(_Prepared(plan, evaluate, not plan.given))
        return known[-1]

    def _value(self, *args: Any, **kwargs: Any) -> Any:
        """Return what is differentiated, without ``aux``."""
        result = self._fun(*args, **kwargs)
        if not isinstance(result, tuple) or len(result) != 2:
            raise StructureError(
                f"{self._name}: with has_aux=True, {function_name(self._of)} must return a pair "
                f"(result, aux); got {type(result).__name__}"
            )
        return result[0]

    def _check_input(self, position: int, tree: Any) -> None:
        accepts = is_complex if self._holomorphic else is_float
        for path, x in tree_flatten_with_path(tree)[0]:
            dtype = get_aval(x).dtype
            if accepts(dtype) or (self._holomorphic is None and is_complex(dtype)):
                continue
            where = leaf_path(self._of, position, path)
            wanted = "complex with holomorphic=True" if self._holomorphic else "floating"
            raise DTypeError(f"{self._name}: {where} has dtype {dtype}; it must be {wanted}")

    # --------------------------------------------------------------------------- evaluation

    def _evaluate(
        self, plan: Plan, positions: Sequence[int], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, Any]:
        """Return the entries and ``aux``; run compiled."""
        fun = bind_positions(self._fun, positions, args, kwargs)
        chosen = tuple(args[p] for p in positions)
        forward = plan.mode == "forward"
        if forward:
            like = chosen
            aux = fun(*chosen)[1] if self._has_aux else None
        else:
            like, pullback, *rest = vjp(fun, *chosen, has_aux=self._has_aux)
            aux = rest[0] if rest else None
        leaves, treedef = tree_flatten(like)
        dtype = tnp.result_type(*leaves) if leaves else np.dtype(np.float64)
        if not plan.products:
            return tnp.zeros(len(plan.source), dtype), aux
        ends = np.cumsum([get_aval(x).size for x in leaves])[:-1].tolist()

        def product(seed: Any) -> Any:
            parts = [
                tnp.reshape(part, get_aval(x).shape).astype(get_aval(x).dtype)
                for part, x in zip(tnp.split(seed, ends), leaves, strict=True)
            ]
            seeds = tree_unflatten(treedef, parts)
            if forward:
                out = jvp(fun, chosen, seeds, has_aux=self._has_aux)[1]
            else:
                out = pullback(seeds)
            return tnp.concatenate([tnp.ravel(x) for x in tree_flatten(out)[0]])

        colours = tnp.asarray(plan.colours)

        def products_of(some: Any) -> Any:
            return vmap(product)((colours[None, :] == some[:, None]).astype(dtype))

        count = plan.products
        if count <= AT_ONCE:
            products = products_of(tnp.arange(count))
        else:
            batches = tnp.arange(-(-count // AT_ONCE) * AT_ONCE).reshape(-1, AT_ONCE)
            products = map_(products_of, batches)  # those beyond the last colour are zero
        return tnp.ravel(products)[tnp.asarray(plan.source)], aux

    def _check(self, matrix: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise SparsityError if the matrix is not the derivative along a random direction."""
        positions = positions_of(self._name, self._argnums, len(args))
        chosen = tuple(args[p] for p in positions)
        leaves, treedef = tree_flatten(chosen)
        draw = np.random.default_rng(0).standard_normal
        direction = [
            draw(get_aval(x).shape).astype(get_aval(x).dtype) for x in map(tnp.asarray, leaves)
        ]
        flat = np.concatenate([np.ravel(d) for d in direction])

        def along(args: Any, kwargs: Any, seeds: Any) -> Any:
            fun = bind_positions(self._fun, positions, args, kwargs)
            chosen = tuple(args[p] for p in positions)
            return jvp(fun, chosen, seeds, has_aux=self._has_aux)[1]

        found = jit(along)(args, kwargs, tree_unflatten(treedef, direction))
        parts = tree_flatten_with_path(found)[0]
        wanted = np.concatenate([np.ravel(host_array(x)) for _, x in parts])
        got = matrix @ flat
        scale = abs(matrix) @ abs(flat) + abs(wanted)
        wrong = abs(got - wanted) > np.sqrt(np.finfo(wanted.dtype).eps) * scale
        if not wrong.any():
            return
        row = int(np.flatnonzero(wrong)[0])
        ends = np.cumsum([get_aval(x).size for _, x in parts])
        n = int(np.searchsorted(ends, row, side="right"))
        path, x = parts[n]
        place = row - int(ends[n]) + get_aval(x).size
        index = tuple(int(i) for i in np.unravel_index(place, get_aval(x).shape))
        raise SparsityError(
            f"{self._name}: the sparsity pattern that was given leaves out entries that are not "
            f"0: {int(wrong.sum())} of {len(wrong)} rows are wrong along a random direction, the "
            f"first is row {row}, element {index} of result{keystr(path)}. Give a pattern that "
            'holds them, or sparsity="detect"'
        )
