"""grad, value_and_grad, jvp, vjp, linearize and linear_transpose: JAX's names and meaning.

Complex numbers follow JAX: for a real-valued ``f(x + iy)``, ``grad`` returns
``df/dx - i df/dy``, and ``vjp`` is the transpose of ``jvp`` without conjugation.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.core.errors import DTypeError, ShapeError, StructureError
from tracejit.core.keyarray import KEY_DTYPE, key_leaves
from tracejit.core.pytree import Partial, PyTreeDef, keystr, tree_flatten, tree_unflatten
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_bool, is_complex, is_inexact, is_integer
from tracejit.ir.program import Program
from tracejit.transforms.abstract import abstract_leaf
from tracejit.transforms.dce import dce
from tracejit.transforms.flat import (
    FlatFunction,
    argument_avals,
    array_or_tracer,
    bind_positions,
    check_callable,
    derivative_of,
    flatten_like,
    leaf_path,
    materialize,
    named_like,
    normal_argnums,
    paths_of,
    positions_of,
)
from tracejit.transforms.jvp import instantiate_zero, jvp_flat
from tracejit.transforms.linearize import linearize_parts, vjp_flat
from tracejit.transforms.partial_eval import bounded_memory
from tracejit.transforms.stage import evaluate, function_name, hoist_constants, stage
from tracejit.transforms.transpose import backward_pass

__all__ = ["grad", "jvp", "linear_transpose", "linearize", "value_and_grad", "vjp"]

Argnums = int | Sequence[int]

LEAF = tree_flatten(0)[1]
"""The structure of one array."""


def check_input(
    name: str, fun: Callable[..., Any], position: int, tree: Any, holomorphic: bool, allow_int: bool
) -> None:
    """Raise DTypeError unless one can differentiate in reverse by the leaves of an argument."""
    avals = argument_avals(name, fun, [position], [tree])
    keys = key_leaves(tree_flatten(tree)[1])
    for number, (aval, is_key) in enumerate(zip(avals, keys, strict=True)):
        dtype: Any = KEY_DTYPE if is_key else aval.dtype
        if is_key:
            if allow_int and not holomorphic:
                continue
            problem = (
                "one cannot differentiate by keys; leave the argument out of argnums, or pass "
                "allow_int=True for a derivative of dtype float0"
            )
        elif holomorphic and not is_complex(dtype):
            problem = "with holomorphic=True inputs must be complex"
        elif is_bool(dtype) or is_integer(dtype):
            if allow_int:
                continue
            problem = (
                "inputs must be floating or complex; convert it, or pass allow_int=True for a "
                "derivative of dtype float0, or leave the argument out of argnums"
            )
        elif not is_inexact(dtype):
            problem = "inputs must be floating or complex"
        else:
            continue
        where = leaf_path(fun, position, paths_of(tree)[number])
        raise DTypeError(f"{name}: {where} has dtype {dtype}; {problem}")


def check_real_output(name: str, aval: ShapedArray, holomorphic: bool, where: str = "") -> None:
    """Raise DTypeError unless an output is real, or complex if holomorphic."""
    dtype = aval.dtype
    if holomorphic:
        if not is_complex(dtype):
            raise DTypeError(
                f"{name}: with holomorphic=True the output{where} must be complex; got {dtype}"
            )
    elif is_complex(dtype):
        raise DTypeError(
            f"{name}: the output{where} must be real; got {dtype}. For a holomorphic function pass "
            "holomorphic=True; for another one with complex outputs use vjp"
        )
    elif not is_inexact(dtype):
        raise DTypeError(f"{name}: the output{where} must be floating; got {dtype}")


def value_and_grad(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    memory: int | str | None = None,
) -> Callable[..., Any]:
    """Return a function that evaluates `fun` and its gradient.

    Parameters
    ----------
    fun : callable
        Returns a real scalar (complex with `holomorphic`), or with `has_aux` a pair
        ``(scalar, aux)``.
    argnums : int or sequence of int
        The positional arguments, pytrees of floating or complex arrays, to differentiate by.
    has_aux : bool
        Whether `fun` returns a pair whose second part is not differentiated.
    holomorphic : bool
        Whether `fun` is promised to be holomorphic; inputs and output must be complex.
    allow_int : bool
        Whether to allow integer leaves; their gradient has dtype float0.
    memory : int or str, optional
        What the values that a loop keeps for the backward pass may take, in bytes or as
        ``"64MB"``; beyond it they are computed again, in the order that needs the fewest steps.
        By default a loop of known length keeps what each trip leaves, and one of unknown length
        16 to 64 of its states.

    Returns
    -------
    callable
        Takes the arguments of `fun`; returns ``(value, gradient)`` or
        ``((value, aux), gradient)``.  The gradient has the structure of the argument, or is a
        tuple of such if `argnums` is a sequence.

    Raises
    ------
    ShapeError
        If the output is not a scalar.
    DTypeError
        If an input or the output has the wrong kind of dtype; names the leaf.
    StructureError
        If `argnums` names no argument.

    See Also
    --------
    vjp : for outputs that are not scalars.
    jacrev : for whole Jacobians.
    """
    return _value_and_grad("value_and_grad", fun, argnums, has_aux, holomorphic, allow_int, memory)


_SIZE = re.compile(r"([\d.]+)\s*(k|M|G|T|)(i?)B?")


def in_bytes(name: str, memory: int | str | None) -> int | None:
    """Return a bound on memory as a number of bytes.

    Raises
    ------
    StructureError
        If it is neither a positive number nor a text like ``"64MB"``.
    """
    if memory is None:
        return None
    match = _SIZE.fullmatch(memory.strip()) if isinstance(memory, str) else None
    if match is not None:
        number, prefix, binary = match.groups()
        memory = int(float(number) * (1024 if binary else 1000) ** " kMGT".index(prefix or " "))
    if isinstance(memory, str) or memory < 1:
        raise StructureError(
            f'{name}: memory must be a number of bytes or a text like "64MB"; got {memory!r}'
        )
    return memory


def _value_and_grad(
    name: str,
    fun: Callable[..., Any],
    argnums: Argnums,
    has_aux: bool,
    holomorphic: bool,
    allow_int: bool,
    memory: int | str | None,
) -> Callable[..., Any]:
    budget = in_bytes(name, memory)
    argnums = normal_argnums(name, argnums)

    @named_like(name, fun)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        positions = positions_of(name, argnums, len(args))
        chosen = tuple(args[i] for i in positions)
        for position, tree in zip(positions, chosen, strict=True):
            check_input(name, fun, position, tree, holomorphic, allow_int)
        leaves, treedef = tree_flatten(chosen)
        flat = FlatFunction(bind_positions(fun, positions, args, kwargs), treedef, has_aux)
        with bounded_memory(budget):
            outs, pullback = vjp_flat(flat, leaves)
        if flat.out_treedef != LEAF:
            count = f"{flat.count} array{'s' * (flat.count != 1)}"
            raise ShapeError(
                f"{name}: the function must return one scalar; it returned {count} in "
                f"{flat.out_treedef}. With has_aux=True it may return a pair (scalar, aux); use "
                "jacrev for more outputs, or vjp"
            )
        aval = get_aval(outs[0])
        if aval.shape:
            raise ShapeError(
                f"{name}: the output must be a scalar; got shape {aval.shape}. Sum it "
                "(tracejit.numpy.sum) or use jacrev for the whole Jacobian, or vjp"
            )
        check_real_output(name, aval, holomorphic)
        seeds = [aval.dtype.type(1), *(Zero(get_aval(x)) for x in outs[1:])]
        gradients = tree_unflatten(treedef, map(materialize, pullback(seeds)))
        value = flat.result(outs)
        result = gradients[0] if isinstance(argnums, int) else gradients
        return ((value, flat.aux(outs)), result) if has_aux else (value, result)

    made: Callable[..., Any] = value_and_gradient
    return made


def grad(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    memory: int | str | None = None,
) -> Callable[..., Any]:
    """Return a function that evaluates the gradient of `fun`.

    Parameters
    ----------
    fun, argnums, has_aux, holomorphic, allow_int, memory
        As for :func:`value_and_grad`.

    Returns
    -------
    callable
        Takes the arguments of `fun`; returns the gradient, or with `has_aux` the pair
        ``(gradient, aux)``.  For a complex argument ``x + iy`` of a real-valued `fun` it is
        ``df/dx - i df/dy``, as in JAX: descend along its conjugate.

    Raises
    ------
    ShapeError, DTypeError, StructureError
        As for :func:`value_and_grad`.
    """
    both = _value_and_grad("grad", fun, argnums, has_aux, holomorphic, allow_int, memory)

    @named_like("grad", fun)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, result = both(*args, **kwargs)
        return (result, value[1]) if has_aux else result

    made: Callable[..., Any] = gradient
    return made


def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> Any:
    """Evaluate a function and its derivative along a direction (forward mode).

    Parameters
    ----------
    fun : callable
        Takes ``len(primals)`` pytrees of arrays.
    primals : tuple or list of pytrees
        Where.
    tangents : tuple or list of pytrees
        The direction: the structure, shapes and dtypes of `primals`; float0 for integers.
    has_aux : bool
        Whether `fun` returns ``(result, aux)``.

    Returns
    -------
    out, tangent_out : pytrees
        The value and its derivative; then ``aux`` with `has_aux`.

    Raises
    ------
    StructureError, ShapeError, DTypeError
        If primals and tangents do not match; names the leaf.
    """
    for what, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (tuple, list)):
            raise DTypeError(
                f"jvp: {what} must be a tuple or list, one entry an argument; "
                f"got {type(given).__name__}"
            )
    primals, tangents = tuple(primals), tuple(tangents)
    check_callable("jvp", fun)
    avals = argument_avals("jvp", fun, range(len(primals)), primals)
    leaves, treedef = tree_flatten(primals)
    given = flatten_like("jvp", "primals and tangents", tangents, primals, treedef)
    directions = _tangents("jvp", fun, primals, avals, given)
    flat = FlatFunction(fun, treedef, has_aux)
    outs, tangents_out = jvp_flat(flat, leaves, directions)
    result = flat.result(outs)
    tangent = tree_unflatten(flat.out_treedef, map(materialize, tangents_out[: flat.count]))
    return (result, tangent, flat.aux(outs)) if has_aux else (result, tangent)


def _tangents(
    name: str, fun: Callable[..., Any], primals: Any, avals: Sequence[ShapedArray], given: Any
) -> list[Any]:
    """Return the tangents given for arguments, checked; Zero for integers."""

    def called(number: int) -> str:
        first, *rest = paths_of(primals)[number]
        return leaf_path(fun, first.idx, tuple(rest))

    return [
        derivative_of(f"{name}: the tangent", t, aval, functools.partial(called, number))
        for number, (aval, t) in enumerate(zip(avals, given, strict=True))
    ]


def vjp(
    fun: Callable[..., Any],
    *primals: Any,
    has_aux: bool = False,
    memory: int | str | None = None,
) -> Any:
    """Evaluate a function and return its pullback (reverse mode).

    Parameters
    ----------
    fun : callable
        Takes ``len(primals)`` pytrees of arrays.
    *primals : pytrees
        Where.
    has_aux : bool
        Whether `fun` returns ``(result, aux)``.
    memory : int or str, optional
        As for :func:`value_and_grad`.

    Returns
    -------
    out : pytree
        The value.
    pullback : Partial
        Takes a cotangent of the structure, shapes and dtypes of `out`; returns a tuple of
        cotangents, one a primal.  It may be called many times.  It is a pytree of residuals.
    aux : pytree
        Only with `has_aux`.
    """
    check_callable("vjp", fun)
    in_avals = argument_avals("vjp", fun, range(len(primals)), primals)
    leaves, treedef = tree_flatten(primals)
    flat = FlatFunction(fun, treedef, has_aux)
    with bounded_memory(in_bytes("vjp", memory)):
        outs, program, flags, nonzero_out = linearize_parts(flat, leaves)
    keep = nonzero_out[: flat.count]
    program = dce(program.replace(outputs=program.outputs[: sum(keep)]))
    program, residuals = hoist_constants(program)
    pullback = Partial(
        _Pullback(
            program,
            (False,) * len(residuals) + (True,) * sum(flags),
            flags,
            keep,
            tuple(in_avals),
            tuple(get_aval(x) for x in outs[: flat.count]),
            treedef,
            flat.out_treedef,
        ),
        residuals,
    )
    result = flat.result(outs)
    return (result, pullback, flat.aux(outs)) if has_aux else (result, pullback)


class _Pullback:
    """The static part of a pullback; called with the residuals and a cotangent."""

    def __init__(
        self,
        program: Program,
        linear: tuple[bool, ...],
        nonzero: tuple[bool, ...],
        nonzero_out: tuple[bool, ...],
        in_avals: tuple[ShapedArray, ...],
        out_avals: tuple[ShapedArray, ...],
        in_treedef: PyTreeDef,
        out_treedef: PyTreeDef,
    ) -> None:
        self._program = program
        self._linear = linear
        self._nonzero = nonzero
        self._nonzero_out = nonzero_out
        self._in_avals = in_avals
        self._out_avals = out_avals
        self._in_treedef = in_treedef
        self._out_treedef = out_treedef
        self.__name__ = "pullback"

    def __call__(self, residuals: Sequence[Any], *given: Any) -> Any:
        if len(given) != 1:
            raise StructureError(
                "vjp: the pullback takes one argument, the cotangent of the output, which has its "
                f"structure {self._out_treedef}; got {len(given)} arguments"
            )
        (ct,) = given
        like = tree_unflatten(self._out_treedef, self._out_avals)
        leaves = flatten_like("vjp", "cotangent and output", ct, like, self._out_treedef)
        cts = [
            derivative_of(
                "vjp: the cotangent", x, aval, functools.partial(self._called, like, number)
            )
            for number, (x, aval) in enumerate(zip(leaves, self._out_avals, strict=True))
        ]
        seeds = [x for x, flag in zip(cts, self._nonzero_out, strict=True) if flag]
        args = [*residuals, *(None for flag in self._nonzero if flag)]
        found = iter(backward_pass(self._program, self._linear, args, seeds))
        every = [
            next(found) if flag else Zero(aval)
            for flag, aval in zip(self._nonzero, self._in_avals, strict=True)
        ]
        return tree_unflatten(self._in_treedef, map(materialize, every))

    def _called(self, like: Any, number: int) -> str:
        return f"result{keystr(paths_of(like)[number])}"


def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Evaluate a function and return its derivative there as a linear function.

    What the derivative needs of the values is computed once, however often it is called.

    Parameters
    ----------
    fun : callable
        Takes ``len(primals)`` pytrees of arrays.
    *primals : pytrees
        Where.
    has_aux : bool
        Whether `fun` returns ``(result, aux)``.

    Returns
    -------
    out : pytree
        The value.
    derivative : Partial
        Takes one tangent a primal, returns the tangent of `out`.  It is a pytree of residuals.
    aux : pytree
        Only with `has_aux`.
    """
    check_callable("linearize", fun)
    in_avals = argument_avals("linearize", fun, range(len(primals)), primals)
    leaves, treedef = tree_flatten(primals)
    flat = FlatFunction(fun, treedef, has_aux)
    outs, program, flags, nonzero_out = linearize_parts(flat, leaves)
    keep = nonzero_out[: flat.count]
    program = dce(program.replace(outputs=program.outputs[: sum(keep)]))
    program, residuals = hoist_constants(program)
    like = tree_unflatten(treedef, in_avals)
    out_avals = [get_aval(x) for x in outs[: flat.count]]
    out_treedef = flat.out_treedef

    def derivative(residuals: Sequence[Any], *tangents: Any) -> Any:
        given = flatten_like("linearize", "primals and tangents", tangents, like, treedef)
        every = _tangents("linearize", fun, like, in_avals, given)
        args = [t for t, flag in zip(every, flags, strict=True) if flag]
        found = iter(evaluate(program, [*residuals, *args]))
        return tree_unflatten(
            out_treedef,
            [
                materialize(next(found) if flag else Zero(aval))
                for flag, aval in zip(keep, out_avals, strict=True)
            ],
        )

    result = flat.result(outs)
    made = Partial(derivative, residuals)
    return (result, made, flat.aux(outs)) if has_aux else (result, made)


def linear_transpose(fun: Callable[..., Any], *primals: Any) -> Callable[[Any], tuple[Any, ...]]:
    """Transpose a function that is promised to be linear.

    Parameters
    ----------
    fun : callable
        Linear in its arguments, ``len(primals)`` pytrees of arrays.
    *primals : pytrees of arrays or ShapeDtypeStruct
        Only shapes and dtypes count; floating or complex throughout, or integers throughout.

    Returns
    -------
    callable
        Takes a cotangent of the output of `fun`, returns a tuple of cotangents, one an argument.

    Raises
    ------
    MissingRuleError
        When called, if `fun` is not linear: says which operation is not.
    """
    check_callable("linear_transpose", fun)
    leaves, treedef = tree_flatten(primals)
    avals = [abstract_leaf(x).strong() for x in leaves]
    flat = FlatFunction(fun, treedef)
    program = dce(stage(flat, avals, function_name(fun)))
    for what, some in (("inputs", avals), ("outputs", program.out_avals)):
        if len({is_inexact(a.dtype) for a in some}) > 1:
            raise DTypeError(
                f"linear_transpose: all {what} must be floating or complex, or all integers; "
                f"got {', '.join(str(a.dtype) for a in some)}"
            )
    out_avals = [a.strong() for a in program.out_avals]
    linear = (True,) * len(avals)

    def transposed(ct: Any) -> tuple[Any, ...]:
        like = tree_unflatten(flat.out_treedef, out_avals)
        cts = flatten_like("linear_transpose", "cotangent and output", ct, like, flat.out_treedef)
        for number, (x, aval) in enumerate(zip(cts, out_avals, strict=True)):
            if is_inexact(aval.dtype):
                cts[number] = derivative_of(
                    "linear_transpose: the cotangent",
                    x,
                    aval,
                    lambda number=number: f"result{keystr(paths_of(like)[number])}",  # type: ignore[misc]
                )
        found = backward_pass(program, linear, avals, cts)
        result: tuple[Any, ...] = tree_unflatten(
            treedef, [array_or_tracer(instantiate_zero(x)) for x in found]
        )
        return result

    return transposed
