"""``jit``: a function compiled once a signature, and called natively from then on.

A call flattens its arguments, looks its signature up (structure, interned avals, device), and runs
the compiled Program.  Under another transformation the call is recorded, as one equation of the
primitive ``call``, so ``grad`` and ``vmap`` see through it.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tracejit.control.call import call
from tracejit.control.stepwise import as_arrays, jit_disabled
from tracejit.core.array import Array, check_kept, uncommitted
from tracejit.core.collector import collector_paused
from tracejit.core.devices import default_place, device_at
from tracejit.core.errors import DeviceError, DTypeError, StructureError
from tracejit.core.interpreter import active
from tracejit.core.pytree import PyTreeDef, keystr, tree_flatten, tree_flatten_with_path
from tracejit.core.settings import traced_settings
from tracejit.core.shardings import one_device
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program
from tracejit.ops.devices import device_put
from tracejit.runtime.dispatch import MISS, make_dispatcher
from tracejit.runtime.donation import is_alone, run_donating
from tracejit.runtime.executor import CompiledProgram, compiled
from tracejit.runtime.native import fast_calls, fast_type, make_record
from tracejit.runtime.placement import Destination, adopted, buffer_at, place_for
from tracejit.runtime.stages import Lowered
from tracejit.transforms.abstract import ShapeDtypeStruct
from tracejit.transforms.batching import named_axes
from tracejit.transforms.stage import function_name, stage_tree

__all__ = ["JitFunction", "jit"]


class _Entry:
    """One signature of a jitted function."""

    __slots__ = (
        "avals", "compiled", "dispatched", "donated", "name", "native", "out_treedef", "place",
        "program", "single",
    )  # fmt: skip

    def __init__(
        self,
        program: Program,
        out_treedef: PyTreeDef,
        avals: tuple[ShapedArray, ...],
        donated: tuple[bool, ...],
        name: str,
        place: str | None,
    ) -> None:
        self.program = program
        self.place = place
        self.out_treedef = out_treedef
        self.avals = avals
        self.donated = donated
        self.name = name
        self.single = out_treedef is _LEAF
        self.compiled: CompiledProgram | None = None
        self.native: set[tuple[type, ...]] = set()
        self.dispatched: set[tuple[type, ...]] = set()


_LEAF = tree_flatten(0)[1]
MOST_DISPATCHERS = 8
"""Signatures of one function that have a fast path; the latest ones."""


class JitFunction:
    """A compiled function; made by :func:`jit`."""

    __name__: str

    def __new__(cls, *args: Any, **kwargs: Any) -> JitFunction:
        """Return a function whose calls may become native."""
        del args, kwargs
        made: JitFunction = object.__new__(fast_type(JitFunction))
        return made

    def __init__(
        self,
        fun: Callable[..., Any],
        static_argnums: tuple[int, ...],
        static_argnames: tuple[str, ...],
        donate_argnums: tuple[int, ...],
        donate_argnames: tuple[str, ...],
        inline: bool,
        destination: Destination,
    ) -> None:
        functools.update_wrapper(self, fun)
        self.__name__ = getattr(fun, "__name__", None) or function_name(fun)  # a partial has none
        self._fun = fun
        self._static_argnums = static_argnums
        self._static_argnames = static_argnames
        self._donate_argnums = donate_argnums
        self._donate_argnames = donate_argnames
        self._inline = inline
        self._destination = destination
        self._entries: dict[Any, _Entry] = {}
        self._lock = threading.RLock()
        self._fast: tuple[Callable[[tuple[Any, ...]], Any], ...] = ()
        self._records: tuple[Any, ...] = ()
        self._plain = not (static_argnums or static_argnames)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; compiled natively at the first call of each signature."""
        if not kwargs and active() is None:
            for dispatch in self._fast:
                result = dispatch(args)
                if result is not MISS:
                    return result
        tree = (args, kwargs) if self._plain else self._dynamic(args, kwargs)
        leaves, treedef = tree_flatten(tree)
        avals = []
        traced = active() is not None
        for n, x in enumerate(leaves):
            if isinstance(x, Array):
                avals.append(x.aval.placeless)
                continue
            if isinstance(x, Tracer):
                traced = True
            else:
                leaves[n] = x = adopted(x)
            avals.append(self._aval(x, args, kwargs))
        if traced:
            if jit_disabled.get():
                dynamic, named = as_arrays(tree)
                return self._closed(args, kwargs)(*dynamic, **named)
            return self._record(args, kwargs, leaves, treedef, avals)
        entry = self._entry(args, kwargs, leaves, treedef, avals)
        if entry.donated:
            return self._call_donating(entry, leaves, avals)
        ready = entry.compiled
        if ready is None:
            ready = entry.compiled = self._compiled(entry, ())
        if self._plain and not kwargs:
            self._remember(entry, args, leaves, ready)
        place = entry.place
        out = ready([buffer_at(x, a, place) for x, a in zip(leaves, avals, strict=True)])
        return out[0] if entry.single else entry.out_treedef.unflatten(out)

    def _compiled(self, entry: _Entry, donated: Sequence[bool]) -> CompiledProgram:
        return compiled(entry.program, entry.place, donated, self._destination.host_backend)

    def _call_donating(
        self, entry: _Entry, leaves: Sequence[Any], avals: Sequence[ShapedArray]
    ) -> Any:
        """Call with arguments whose memory is given away.

        Only that of an Array may be, and only if nothing else reads it: an eager ``x[1:]`` or
        ``numpy.asarray(x)`` shares the memory of ``x``, which then stays as it is.  What is
        uploaded for the call is given away in any case.
        """
        place = entry.place
        here = [isinstance(x, Array) and x.aval.device == place for x in leaves]
        given = [
            d and (is_alone(x) if own else place is not None and bool(a.shape))
            for d, own, x, a in zip(entry.donated, here, leaves, avals, strict=True)
        ]
        ready = self._compiled(entry, given)
        buffers = [buffer_at(x, a, place) for x, a in zip(leaves, avals, strict=True)]
        donated = [x for x, own, d in zip(leaves, here, given, strict=True) if own and d]
        out = run_donating(ready, buffers, donated, self.__name__)
        return out[0] if entry.single else entry.out_treedef.unflatten(out)

    def _remember(
        self, entry: _Entry, args: tuple[Any, ...], leaves: Sequence[Any], ready: CompiledProgram
    ) -> None:
        """Make calls with arguments of these types quick.

        They become native; what native code leaves to Python, because it is no more than a part of
        a call or another thread is in such a call, is made quick there when it comes here again.
        """
        kinds = tuple([type(x) for x in leaves])
        if kinds in entry.dispatched:
            return
        if kinds not in entry.native:
            entry.native.add(kinds)
            record = make_record(args, ready, entry.out_treedef, self._destination.fixed)
            calls = None if record is None else fast_calls()
            if calls is not None:
                if not self._records:
                    calls.prepare(self)
                self._records = (record, *self._records[: MOST_DISPATCHERS - 1])
                calls.install(self, self._records)
            return
        entry.dispatched.add(kinds)
        dispatch = make_dispatcher(args, ready, entry.out_treedef, self._destination.fixed)
        if dispatch is not None:
            self._fast = (dispatch, *self._fast[: MOST_DISPATCHERS - 1])

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __copy__(self) -> JitFunction:
        return self  # as functions are copied

    def __deepcopy__(self, memo: object) -> JitFunction:
        del memo
        return self

    def __repr__(self) -> str:
        return f"<jit of {getattr(self._fun, '__qualname__', self._fun)!s}>"

    # ---------------------------------------------------------------- signatures

    def _aval(self, x: Any, args: Any, kwargs: Any) -> ShapedArray:
        if isinstance(x, ShapeDtypeStruct):
            return ShapedArray(x.shape, x.dtype)
        try:
            return get_aval(x)
        except DTypeError as error:
            raise DTypeError(
                f"argument {self._path(x, args, kwargs)} of {self.__name__}: "
                f"{str(error).splitlines()[0]}; to pass it as a value known at trace time use "
                "jit(f, static_argnums=...) or static_argnames"
            ) from None

    def _path(self, x: Any, args: Any, kwargs: Any) -> str:
        """Return how an argument is called."""
        tree = (args, kwargs) if self._plain else self._dynamic(args, kwargs)
        return next((keystr(p[1:]) for p, y in tree_flatten_with_path(tree)[0] if y is x), "?")

    def _where(
        self, leaves: Sequence[Any], args: Any, kwargs: Any
    ) -> tuple[str | None, bool]:
        """Return where arguments draw the function, and whether that is settled."""
        allowed: tuple[str | None, ...]
        if self._destination.fixed:
            place, settled = self._destination.place, True
            allowed = (None, place)
        else:
            place, settled, agree = place_for(leaves)
            if agree:
                return place, settled
            allowed = (place,)
        stray = [x for x in leaves if type(x) is Array and x.aval.device not in allowed]
        if not stray:
            return place, settled
        check_kept(stray[0])
        far = device_at(stray[0].aval.device)
        where = f"runs on {device_at(place)}"
        if not self._destination.fixed:
            first = next(x for x in leaves if type(x) is Array and x.aval.device == place)
            where = f"has argument {self._path(first, args, kwargs)} on {device_at(place)}"
        raise DeviceError(
            f"{self.__name__} {where}, but argument {self._path(stray[0], args, kwargs)} is on "
            f'{far}. Move it: x.to_device("{device_at(place)}"), or '
            f'tracejit.device_put(tree, "{device_at(place)}")'
        )

    def _static(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        values = [
            (n, args[n]) for n in self._positions(len(args))
        ] + [(name, kwargs[name]) for name in self._static_argnames if name in kwargs]
        try:
            hash(tuple(values))
        except TypeError:
            bad = next(n for n, v in values if not _hashable(v))
            raise StructureError(
                f"the static argument {bad!r} of {self.__name__} must be hashable"
            ) from None
        return tuple((n, type(v), v) for n, v in values)

    def _positions(self, count: int) -> list[int]:
        return sorted({n % count for n in self._static_argnums if -count <= n < count})

    def _dynamic(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        static = self._positions(len(args))
        return (
            tuple(x for n, x in enumerate(args) if n not in static),
            {name: x for name, x in kwargs.items() if name not in self._static_argnames},
        )

    def _closed(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Callable[..., Any]:
        """Return the function of the dynamic arguments alone."""
        if self._plain:
            return self._fun
        static = {n: args[n] for n in self._positions(len(args))}
        named = {n: kwargs[n] for n in self._static_argnames if n in kwargs}
        count = len(args)

        def closed(*dynamic: Any, **kw: Any) -> Any:
            rest = iter(dynamic)
            full = [static[n] if n in static else next(rest) for n in range(count)]
            return self._fun(*full, **kw, **named)

        closed.__name__ = getattr(self._fun, "__name__", "function")
        return closed

    def _entry(
        self,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        leaves: Sequence[Any],
        treedef: PyTreeDef,
        avals: Sequence[ShapedArray],
    ) -> _Entry:
        """Return the entry of a signature, made on first use."""
        place, settled = self._where(leaves, args, kwargs)
        static = None if self._plain else self._static(args, kwargs)
        key = (treedef, static, place, settled, traced_settings(), *avals)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._enter(key, args, kwargs, tuple(avals), place, settled)
        return entry

    def _enter(
        self,
        key: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        avals: tuple[ShapedArray, ...],
        place: str | None,
        settled: bool,
    ) -> _Entry:
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                return entry
            dynamic_args, dynamic_kwargs = (
                (args, kwargs) if self._plain else self._dynamic(args, kwargs)
            )
            token = default_place.set(place)
            try:
                with collector_paused():  # finalisers of others are not to be traced either
                    program, out_treedef = stage_tree(
                        self._closed(args, kwargs),
                        dynamic_args,
                        dynamic_kwargs,
                        name=self.__name__,
                        aval_of=lambda x: self._aval(x, args, kwargs),
                    )
            finally:
                default_place.reset(token)
            if program.constants:
                program = program.replace(constants=[(v, _follow(c)) for v, c in program.constants])
                drawn, placed, _ = place_for(c for _, c in program.constants)
                if placed and not settled:
                    place = drawn
            donated = self._donations(args, kwargs)
            entry = _Entry(program, out_treedef, avals, donated, self.__name__, place)
            self._entries[key] = entry
            return entry

    def _donations(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[bool, ...]:
        if not (self._donate_argnums or self._donate_argnames):
            return ()
        static = self._positions(len(args))
        donate = {n % len(args) for n in self._donate_argnums if -len(args) <= n < len(args)}
        out: list[bool] = []
        for n, x in enumerate(args):
            if n not in static:
                out += [n in donate for _ in tree_flatten(x)[0]]
        for name in sorted(kwargs):
            if name not in self._static_argnames:
                out += [name in self._donate_argnames for _ in tree_flatten(kwargs[name])[0]]
        return tuple(out) if any(out) else ()

    # ---------------------------------------------------------------- recording

    def _record(
        self,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        leaves: Sequence[Any],
        treedef: PyTreeDef,
        avals: Sequence[ShapedArray],
    ) -> Any:
        place = default_place.get()
        if self._destination.fixed:
            place = self._destination.place
            leaves = [device_put(x, place) if isinstance(x, (Array, Tracer)) else x for x in leaves]
        static = None if self._plain else self._static(args, kwargs)
        key = ("recorded", treedef, static, place, named_axes(), traced_settings(), *avals)
        entry = self._entries.get(key)
        if entry is None or any(isinstance(v, Tracer) for _, v in entry.program.constants):
            # What closes over a tracer of an outer trace is staged anew in each.
            self._entries.pop(key, None)
            entry = self._enter(key, args, kwargs, tuple(avals), place, True)
        token = default_place.set(place)
        try:
            outs = call(entry.program, *leaves, name=self.__name__, inline=self._inline)
        finally:
            default_place.reset(token)
        return entry.out_treedef.unflatten(outs)

    # ------------------------------------------------------------------- stages

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Stage the function on arguments (or ShapeDtypeStructs) without running it."""
        leaves, treedef = tree_flatten(
            (args, kwargs) if self._plain else self._dynamic(args, kwargs)
        )
        leaves = [adopted(x) for x in leaves]
        avals = tuple(self._aval(x, args, kwargs) for x in leaves)
        entry = self._entry(args, kwargs, leaves, treedef, avals)
        return Lowered(
            entry.program,
            treedef,
            entry.out_treedef,
            avals,
            entry.place,
            self._destination.host_backend,
            entry.donated,
        )

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Return the shapes and dtypes of the result, without running."""
        return self.lower(*args, **kwargs).out_info

    def clear_cache(self) -> None:
        """Forget every signature."""
        with self._lock:
            self._entries.clear()
            calls = fast_calls() if self._records else None
            self._fast, self._records = (), ()
            if calls is not None:
                calls.install(self, ())


def _follow(constant: Any) -> Any:
    """Return a captured array of the host so that it goes where the function runs."""
    if type(constant) is Array and constant.aval.device is None:
        return uncommitted(constant.aval, constant.buf)
    return constant


def _hashable(x: Any) -> bool:
    try:
        hash(x)
    except TypeError:
        return False
    return True


def _tuple(x: Any) -> tuple[Any, ...]:
    if x is None:
        return ()
    return (x,) if isinstance(x, (int, str)) else tuple(x)


def jit(
    fun: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Iterable[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Iterable[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
    keep_unused: bool = False,
    inline: bool = False,
    device: Any = None,
    backend: str | None = None,
    in_shardings: Any = None,
    out_shardings: Any = None,
) -> Any:
    """Compile a function of arrays.

    The function is traced once for each signature (structure, shapes and dtypes of its arguments,
    values of its static ones); then calls run natively with the GIL released.

    Parameters
    ----------
    fun : callable
        A pure function of pytrees of arrays.  Left out, ``jit`` returns a decorator.
    static_argnums, static_argnames : int, str or iterables of them
        Arguments that are known while tracing, by position or name; they must be hashable.
    donate_argnums, donate_argnames : int, str or iterables of them
        Arguments whose memory the result may take; the caller must not use them afterwards.
    keep_unused : bool
        Accepted for compatibility; unused arguments cost nothing here.
    inline : bool
        Whether a call inside another trace is recorded as its equations rather than as one call.
    device : Device or str, optional
        Where it runs, e.g. ``"cuda"``; arguments of the host are uploaded.  By default it runs
        where its arguments are, and without placed arrays among them on the default device.
    backend : str, optional
        The backend: ``"cuda"`` is ``device="cuda"``; ``"llvm"`` compiles for the host.
    in_shardings, out_shardings : pytrees of Sharding, PartitionSpec or None, optional
        Other words for `device`: all of one device, for a program runs on one.

    Returns
    -------
    JitFunction
        Callable like `fun`, with ``lower``, ``eval_shape`` and ``clear_cache``.

    Examples
    --------
    >>> import tracejit, tracejit.numpy as tnp
    >>> @tracejit.jit
    ... def f(x):
    ...     return tnp.sum(x * x)
    >>> float(f(tnp.arange(3.0)))
    5.0
    """
    del keep_unused
    if fun is None:
        return functools.partial(
            jit,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
            donate_argnums=donate_argnums,
            donate_argnames=donate_argnames,
            inline=inline,
            device=device,
            backend=backend,
            in_shardings=in_shardings,
            out_shardings=out_shardings,
        )
    if in_shardings is not None or out_shardings is not None:
        device = one_device("jit", (device, in_shardings, out_shardings))
    if not callable(fun):
        raise StructureError(f"jit needs a function; got {type(fun).__name__}")
    numbers, names = _tuple(static_argnums), _tuple(static_argnames)
    numbers, names = _both_ways(fun, numbers, names)
    return JitFunction(
        fun,
        numbers,
        names,
        _tuple(donate_argnums),
        _tuple(donate_argnames),
        inline,
        Destination(device, backend),
    )


def native(fun: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return `fun` compiled for the host, if calls on small arrays then cost no Python."""
    return jit(fun) if fast_calls() is not None else None


def _both_ways(
    fun: Callable[..., Any], numbers: tuple[int, ...], names: tuple[str, ...]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Add the names of static positions and the positions of static names."""
    if not (numbers or names):
        return numbers, names
    try:
        parameters = list(inspect.signature(fun).parameters.values())
    except (TypeError, ValueError):
        return numbers, names
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [p for p in parameters if p.kind in kinds]
    count = len(positional)
    at = {n % count for n in numbers if -count <= n < count}
    at |= {n for n, p in enumerate(positional) if p.name in names}
    beyond = {n for n in numbers if not -count <= n < count}  # of *args
    keyword = {
        positional[n].name
        for n in at
        if positional[n].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    }
    return tuple(sorted(at | beyond)), tuple(sorted(keyword | set(names)))
