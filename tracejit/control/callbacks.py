"""Calls of functions of the user on the host: pure, with effects, and for debugging.

The three differ in what may be left out.  A *pure* callback is called only if its result is used;
an *io* callback is called always, and once, wherever it stands; a *debug* callback too, but it
returns nothing, so that every transformation can carry it along.  All three are called on copies in
host memory, in the order of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracejit.control.host_functions import HostFunction, Lanes
from tracejit.core.errors import DTypeError, MissingRuleError, StructureError
from tracejit.core.primitive import Primitive, define
from tracejit.core.pytree import keystr, tree_flatten, tree_flatten_with_path, tree_unflatten
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_inexact
from tracejit.ops._pointwise import move_axis
from tracejit.ops.shape import broadcast_in_dim
from tracejit.transforms.abstract import abstract_leaf
from tracejit.transforms.batching import force_axis
from tracejit.transforms.flat import array_or_tracer

__all__ = ["bind_debug", "debug_callback", "io_callback", "is_operand", "pure_callback"]

VMAP_METHODS = ("sequential", "sequential_unrolled", "expand_dims", "broadcast_all")


def pure_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: None = None,
    vmap_method: str | None = None,
    **kwargs: Any,
) -> Any:
    """Call a function that computes with NumPy, or with whatever it likes, on the host.

    Parameters
    ----------
    callback : callable
        A function without effects.  It gets NumPy arrays, its own copies, in place of the arrays
        of `args` and `kwargs`, and returns a pytree of arrays.
    result_shape_dtypes : pytree of ShapeDtypeStruct, or of arrays
        What it returns.
    *args, **kwargs : pytrees of arrays
        Its arguments.
    sharding : None
        Accepted for compatibility.
    vmap_method : str, optional
        What ``vmap`` does: ``"sequential"`` (or ``"sequential_unrolled"``) calls it for one lane
        after another; ``"expand_dims"`` calls it once, on arrays with a leading axis of lanes, of
        length 1 where all lanes have the same; ``"broadcast_all"`` the same with all of them
        repeated to the number of lanes.  The results then have a leading axis of lanes.

    Returns
    -------
    pytree of Array
        Of the structure, shapes and dtypes of `result_shape_dtypes`.

    Raises
    ------
    ShapeError, DTypeError, StructureError
        When it runs, if the callback does not return what was promised.  A Python scalar takes the
        dtype promised, if that is of its kind.
    MissingRuleError
        Under ``vmap`` without `vmap_method`; under ``jvp`` and ``grad`` if a result has a
        derivative: give it with ``custom_jvp``.

    Notes
    -----
    It is called where its result is computed and at no other time: not at all if nothing depends
    on its result, once for several equal calls in one compiled function, and again where a
    derivative computes values again (``checkpoint``, ``grad(..., memory=...)``).  Under ``vmap`` a
    branch of ``cond``, and a trip of ``while_loop``, is run for all lanes if it is for one, and so
    are the calls in it.  What it raises arrives as it is.
    """
    _check_sharding("pure_callback", sharding)
    if vmap_method is not None and vmap_method not in VMAP_METHODS:
        raise ValueError(
            f"pure_callback: vmap_method must be None or one of {', '.join(VMAP_METHODS)}; "
            f"got {vmap_method!r}"
        )
    function, operands, avals = _prepared(
        "pure_callback", callback, args, kwargs, result_shape_dtypes
    )
    outs = pure_callback_p.bind(
        *operands, function=function, results=avals, vmap_method=vmap_method
    )
    return tree_unflatten(function.returns, map(array_or_tracer, outs))


def io_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: None = None,
    ordered: bool = False,
    **kwargs: Any,
) -> Any:
    """Call a function that does more than compute: reads a sensor, writes a file.

    Parameters
    ----------
    callback : callable
        It gets NumPy arrays, its own copies, in place of the arrays of `args` and `kwargs`.
    result_shape_dtypes : pytree of ShapeDtypeStruct, or of arrays
        What it returns; None if it returns None.
    *args, **kwargs : pytrees of arrays
        Its arguments.
    sharding : None
        Accepted for compatibility.
    ordered : bool
        Whether it must keep its place among all that is called.  All calls keep their order here,
        whatever is said; but ``vmap`` refuses one that is ordered, since what stands between two
        calls is done for all lanes at once.

    Returns
    -------
    pytree of Array
        Of the structure, shapes and dtypes of `result_shape_dtypes`.

    Raises
    ------
    ShapeError, DTypeError, StructureError
        When it runs, if the callback does not return what was promised.
    MissingRuleError
        Under ``vmap`` if `ordered`; under ``jvp`` and ``grad`` if a result has a derivative; in a
        loop whose values a derivative computes again (``while_loop``, ``grad(..., memory=...)``)
        if it needs a result.

    Notes
    -----
    It is called exactly once each time that its place in the program is reached: also if its result
    is not used, never ahead of time, and never again where a derivative computes values again; a
    ``checkpoint`` stores what it returned.  Under
    ``vmap`` it is called for one lane after another, if its arguments differ between lanes, and
    once if they do not; in a loop or a branch that only some lanes run, for these.  What it raises
    arrives as it is, and the calls before it have happened.
    """
    _check_sharding("io_callback", sharding)
    function, operands, avals = _prepared(
        "io_callback", callback, args, kwargs, result_shape_dtypes
    )
    outs = io_callback_p.bind(*operands, function=function, results=avals, ordered=bool(ordered))
    return tree_unflatten(function.returns, map(array_or_tracer, outs))


def debug_callback(
    callback: Callable[..., Any] | None = None,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    **kwargs: Any,
) -> Any:
    """Call a function on values of a compiled or transformed program, to look at them.

    Parameters
    ----------
    callback : callable, optional
        It gets NumPy arrays, its own copies, in place of the arrays of `args` and `kwargs`, and
        what else there is as it is; what it returns is ignored.  Left out, a function that takes
        `callback`, `args` and `kwargs` is returned.
    *args, **kwargs : pytrees
        Its arguments.
    ordered : bool
        Whether it must keep its place among all that is called.  All calls do.
    partitioned : bool
        Accepted for compatibility.

    Raises
    ------
    StructureError
        If `callback` is no function.

    Notes
    -----
    It is called once each time that its place in the program is reached, as :func:`io_callback`
    is: under ``grad`` and ``jvp`` with the values, on the way forward; under ``vmap`` for one lane
    after another.
    """
    del partitioned
    if callback is not None:
        bind_debug("debug.callback", callback, args, kwargs, ordered)
        return None
    if args or kwargs:
        raise StructureError("debug.callback: the first argument must be a function; got none")

    def with_options(callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        bind_debug("debug.callback", callback, args, kwargs, ordered)

    return with_options


def bind_debug(
    name: str,
    callback: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    ordered: bool,
    given: Callable[[Any], bool] | None = None,
) -> None:
    """Bind a debug callback.

    Parameters
    ----------
    name : str
        What the user called, for messages.
    callback, args, kwargs, ordered
        As for :func:`debug_callback`.
    given : callable, optional
        Says of a leaf whether it is an operand rather than passed as it is.
    """
    leaves, treedef = tree_flatten((tuple(args), kwargs))
    flags = [(given or is_operand)(x) for x in leaves]
    fixed = tuple([None if flag else x for x, flag in zip(leaves, flags, strict=True)])
    function = HostFunction(name, callback, treedef, tuple(flags), fixed, None)
    operands = [x for x, flag in zip(leaves, flags, strict=True) if flag]
    debug_callback_p.bind(*operands, function=function, results=(), ordered=bool(ordered))


def is_operand(x: Any) -> bool:
    """Whether a leaf is an array or a scalar, rather than something else."""
    try:
        get_aval(x)
    except DTypeError:
        return False
    return True


def _check_sharding(name: str, sharding: None) -> None:
    if sharding is not None:
        raise ValueError(f"{name}: there are no shardings; leave sharding out, got {sharding!r}")


def _prepared(
    name: str,
    callback: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    promised: Any,
) -> tuple[HostFunction, list[Any], tuple[ShapedArray, ...]]:
    """Return the function, its operands, and the types of its results."""
    pairs, treedef = tree_flatten_with_path((tuple(args), kwargs))
    for path, x in pairs:
        if not is_operand(x):
            what = "kwargs" if path[0].idx else "args"
            raise DTypeError(
                f"{name}: {what}{keystr(path[1:])} must be an array or a scalar; got "
                f"{type(x).__name__}. Let the function capture it: functools.partial"
            )
    wanted, returns = tree_flatten_with_path(promised)
    avals = []
    for path, x in wanted:
        try:
            aval = ShapedArray(x.shape, x.dtype) if hasattr(x, "shape") else abstract_leaf(x)
            avals.append(aval.strong())
        except (AttributeError, TypeError, ValueError):
            raise DTypeError(
                f"{name}: result_shape_dtypes{keystr(path)} must have a shape and a dtype, as "
                f"tracejit.ShapeDtypeStruct(shape, dtype) has; got {type(x).__name__}"
            ) from None
    flags = (True,) * len(pairs)
    function = HostFunction(name, callback, treedef, flags, (None,) * len(pairs), returns)
    return function, [x for _, x in pairs], tuple(avals)


# --------------------------------------------------------------------------------- the rules


def _impl(
    xp: Any, *arrays: Any, function: Any, results: tuple[ShapedArray, ...], **how: Any
) -> Any:
    del xp, how
    return function(arrays, results)


def _shape(*avals: ShapedArray, results: tuple[ShapedArray, ...], **params: Any) -> Any:
    del avals, params
    return list(results)


def _jvp(primitive: Callable[[], Primitive]) -> Callable[..., Any]:
    """Return the derivative of what has results only if these have none."""

    def rule(
        primals: Sequence[Any], tangents: Sequence[Any], **params: Any
    ) -> tuple[list[Any], list[Zero]]:
        del tangents
        if any(is_inexact(a.dtype) for a in params["results"]):
            function = params["function"]
            raise MissingRuleError(
                f"there is no derivative of {function.name}: of {function.__name__} nothing is "
                "known but that it runs on the host. Give its derivative, in a function that "
                "calls it, with tracejit.custom_jvp (or custom_vjp); or say that there is none, "
                "with tracejit.stop_gradient around its operands"
            )
        outs = primitive().bind(*primals, **params)
        return outs, [Zero(a) for a in params["results"]]

    return rule


def _lanes(
    primitive: Callable[[], Primitive],
    operands: Sequence[Any],
    axes: Sequence[int | None],
    **params: Any,
) -> tuple[list[Any], list[int]]:
    """Bind a callback so that it is called for one lane after another."""
    size = _size(operands, axes)
    values = [x if a is None else move_axis(x, a, 0) for x, a in zip(operands, axes, strict=True)]
    params["function"] = Lanes(params["function"], size, tuple([a is not None for a in axes]))
    params["results"] = _stacked(params["results"], size)
    outs = primitive().bind(*values, **params)
    return outs, [0] * len(outs)


def _size(operands: Sequence[Any], axes: Sequence[int | None]) -> int:
    pairs = zip(operands, axes, strict=True)
    return next(get_aval(x).shape[a] for x, a in pairs if a is not None)


def _stacked(avals: Sequence[ShapedArray], size: int) -> tuple[ShapedArray, ...]:
    return tuple([a.update(shape=(size, *a.shape)) for a in avals])


def _pure_batch(
    operands: Sequence[Any], axes: Sequence[int | None], **params: Any
) -> tuple[list[Any], list[int]]:
    method, function = params["vmap_method"], params["function"]
    if method is None:
        raise MissingRuleError(
            f"there is no batching of pure_callback without vmap_method: say how "
            f"{function.__name__} takes several lanes, pure_callback(..., vmap_method=...): "
            "'sequential' calls it for each, 'expand_dims' and 'broadcast_all' once for all of them"
        )
    if method.startswith("sequential"):
        return _lanes(lambda: pure_callback_p, operands, axes, **params)
    size = _size(operands, axes)
    length = size if method == "broadcast_all" else 1
    values = []
    for x, axis in zip(operands, axes, strict=True):
        if axis is None:
            shape = get_aval(x).shape
            values.append(broadcast_in_dim(x, (length, *shape), range(1, len(shape) + 1)))
        else:
            values.append(force_axis(x, axis, 0, size))
    params["results"] = _stacked(params["results"], size)
    outs = pure_callback_p.bind(*values, **params)
    return outs, [0] * len(outs)


def _io_batch(
    operands: Sequence[Any], axes: Sequence[int | None], **params: Any
) -> tuple[list[Any], list[int]]:
    if params["ordered"]:
        function = params["function"]
        raise MissingRuleError(
            f"there is no batching of io_callback with ordered=True: vmap runs what stands between "
            f"two calls of {function.__name__} for all lanes at once. Use ordered=False, which "
            "calls it for one lane after another, or run the lanes one after another: "
            "tracejit.lax.map in place of vmap"
        )
    return _lanes(lambda: io_callback_p, operands, axes, **params)


def _debug_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[list[Any], list[Any]]:
    del tangents
    return debug_callback_p.bind(*primals, **params), []


_NOT_LINEAR = (
    "a function on the host is not linear. Under linear_transpose and grad it can be given values, "
    "but not what the values on the way back are computed from, such as a tangent"
)
_LOWER = "it is a function on the host, which the driver of a compiled program calls"

pure_callback_p: Primitive = define(
    "pure_callback",
    multiple=True,
    keeps_weak=False,
    host=True,
    impl=_impl,
    shape=_shape,
    jvp=_jvp(lambda: pure_callback_p),
    transpose=_NOT_LINEAR,
    batch=_pure_batch,
    lower=_LOWER,
)
io_callback_p: Primitive = define(
    "io_callback",
    multiple=True,
    effectful=True,
    keeps_weak=False,
    host=True,
    impl=_impl,
    shape=_shape,
    jvp=_jvp(lambda: io_callback_p),
    transpose=_NOT_LINEAR,
    batch=_io_batch,
    lower=_LOWER,
)
debug_callback_p: Primitive = define(
    "debug_callback",
    multiple=True,
    effectful=True,
    keeps_weak=False,
    host=True,
    impl=_impl,
    shape=_shape,
    jvp=_debug_jvp,
    transpose=_NOT_LINEAR,
    batch=lambda operands, axes, **params: _lanes(
        lambda: debug_callback_p, operands, axes, **params
    ),
    lower=_LOWER,
)
