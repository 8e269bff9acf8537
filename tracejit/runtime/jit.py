"""``jit``: a function compiled once a signature, and called natively from then on.

A call flattens its arguments, looks its signature up (structure and interned avals), and runs the
compiled Program.  Under another transformation the call is recorded, as one equation of the
primitive ``call``, so ``grad`` and ``vmap`` see through it.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tracejit.control.call import call
from tracejit.core.array import Array, Donated, set_buf
from tracejit.core.errors import DTypeError, StructureError
from tracejit.core.interpreter import active
from tracejit.core.pytree import PyTreeDef, keystr, tree_flatten, tree_flatten_with_path
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program
from tracejit.runtime.dispatch import MISS, make_dispatcher
from tracejit.runtime.executor import CompiledProgram, compiled, to_buffer
from tracejit.runtime.stages import Lowered
from tracejit.transforms.abstract import ShapeDtypeStruct
from tracejit.transforms.stage import stage_tree

__all__ = ["JitFunction", "jit"]


class _Entry:
    """One signature of a jitted function."""

    __slots__ = (
        "avals", "compiled", "dispatched", "donated", "name", "out_treedef", "program", "single",
    )  # fmt: skip

    def __init__(
        self,
        program: Program,
        out_treedef: PyTreeDef,
        avals: tuple[ShapedArray, ...],
        donated: tuple[bool, ...],
        name: str,
    ) -> None:
        self.program = program
        self.out_treedef = out_treedef
        self.avals = avals
        self.donated = donated
        self.name = name
        self.single = out_treedef is _LEAF
        self.compiled: CompiledProgram | None = None
        self.dispatched: set[tuple[type, ...]] = set()


_LEAF = tree_flatten(0)[1]
MOST_DISPATCHERS = 8
"""Signatures of one function that have a fast path; the latest ones."""


class JitFunction:
    """A compiled function; made by :func:`jit`."""

    __name__: str

    def __init__(
        self,
        fun: Callable[..., Any],
        static_argnums: tuple[int, ...],
        static_argnames: tuple[str, ...],
        donate_argnums: tuple[int, ...],
        donate_argnames: tuple[str, ...],
        inline: bool,
        backend: str,
    ) -> None:
        functools.update_wrapper(self, fun)
        self._fun = fun
        self._static_argnums = static_argnums
        self._static_argnames = static_argnames
        self._donate_argnums = donate_argnums
        self._donate_argnames = donate_argnames
        self._inline = inline
        self._backend = backend
        self._entries: dict[Any, _Entry] = {}
        self._lock = threading.RLock()
        self._fast: tuple[Callable[[tuple[Any, ...]], Any], ...] = ()
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
        if active() is not None or any(isinstance(x, Tracer) for x in leaves):
            return self._record(args, kwargs, leaves, treedef)
        avals = []
        for x in leaves:
            if type(x) is Array:
                avals.append(x.aval)
            else:
                avals.append(self._aval(x, args, kwargs))
        key = (treedef, *avals) if self._plain else (treedef, self._static(args, kwargs), *avals)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._enter(key, args, kwargs, tuple(avals))
        if entry.donated:
            return self._call_donating(entry, leaves, avals)
        ready = entry.compiled
        if ready is None:
            ready = entry.compiled = compiled(entry.program, self._backend, entry.donated)
        if self._plain and not kwargs:
            self._remember(entry, args, leaves, ready)
        out = ready([x.buf if type(x) is Array else to_buffer(x, a)
                     for x, a in zip(leaves, avals, strict=True)])  # fmt: skip
        return out[0] if entry.single else entry.out_treedef.unflatten(out)

    def _call_donating(
        self, entry: _Entry, leaves: Sequence[Any], avals: Sequence[ShapedArray]
    ) -> Any:
        """Call with arguments whose memory is given away.

        Only that of an Array may be, and only if nothing else reads it: an eager ``x[1:]`` or
        ``numpy.asarray(x)`` shares the memory of ``x``, which then stays as it is.
        """
        given = [
            d and type(x) is Array and _alone(x)
            for d, x in zip(entry.donated, leaves, strict=True)
        ]
        ready = compiled(entry.program, self._backend, given)
        buffers = [to_buffer(x, a) for x, a in zip(leaves, avals, strict=True)]
        donated = [x for x, d in zip(leaves, given, strict=True) if d]
        if len({id(b) for b in buffers}) < len(buffers) and donated:
            raise StructureError(
                f"an argument that is donated to {self.__name__} is passed twice; donate a copy"
            )
        out = ready(buffers)
        for x in donated:
            set_buf(x, Donated(self.__name__))
        return out[0] if entry.single else entry.out_treedef.unflatten(out)

    def _remember(
        self, entry: _Entry, args: tuple[Any, ...], leaves: Sequence[Any], ready: CompiledProgram
    ) -> None:
        """Write a dispatcher for arguments of these types, once an entry and types."""
        kinds = tuple([type(x) for x in leaves])
        if kinds in entry.dispatched:
            return
        entry.dispatched.add(kinds)
        dispatch = make_dispatcher(args, ready, entry.out_treedef)
        if dispatch is not None:
            self._fast = (dispatch, *self._fast[: MOST_DISPATCHERS - 1])

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<jit of {getattr(self._fun, '__qualname__', self._fun)!s}>"

    # ---------------------------------------------------------------- signatures

    def _aval(self, x: Any, args: Any, kwargs: Any) -> ShapedArray:
        if isinstance(x, ShapeDtypeStruct):
            return ShapedArray(x.shape, x.dtype)
        try:
            return get_aval(x)
        except DTypeError as error:
            tree = (args, kwargs) if self._plain else self._dynamic(args, kwargs)
            path = next(
                (keystr(p[1:]) for p, y in tree_flatten_with_path(tree)[0] if y is x), "?"
            )
            raise DTypeError(
                f"argument {path} of {self.__name__}: {str(error).splitlines()[0]}; to pass it as "
                "a value known at trace time use jit(f, static_argnums=...) or static_argnames"
            ) from None

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

    def _enter(
        self, key: Any, args: Sequence[Any], kwargs: dict[str, Any], avals: tuple[ShapedArray, ...]
    ) -> _Entry:
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                return entry
            dynamic_args, dynamic_kwargs = (
                (args, kwargs) if self._plain else self._dynamic(args, kwargs)
            )
            program, out_treedef = stage_tree(
                self._closed(args, kwargs),
                dynamic_args,
                dynamic_kwargs,
                name=self.__name__,
                aval_of=lambda x: self._aval(x, args, kwargs),
            )
            donated = self._donations(args, kwargs)
            entry = _Entry(program, out_treedef, avals, donated, self.__name__)
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
                out += [n in donate and type(y) is Array for y in tree_flatten(x)[0]]
        for name in sorted(kwargs):
            if name not in self._static_argnames:
                out += [name in self._donate_argnames and type(y) is Array
                        for y in tree_flatten(kwargs[name])[0]]  # fmt: skip
        return tuple(out)

    # ---------------------------------------------------------------- recording

    def _record(
        self, args: Sequence[Any], kwargs: dict[str, Any], leaves: Sequence[Any], treedef: PyTreeDef
    ) -> Any:
        avals = tuple(self._aval(x, args, kwargs) for x in leaves)
        static = None if self._plain else self._static(args, kwargs)
        key = ("recorded", treedef, static, *avals)
        entry = self._entries.get(key)
        if entry is None or any(isinstance(v, Tracer) for _, v in entry.program.constants):
            # What closes over a tracer of an outer trace is staged anew in each.
            self._entries.pop(key, None)
            entry = self._enter(key, args, kwargs, avals)
        outs = call(entry.program, *leaves, name=self.__name__, inline=self._inline)
        return entry.out_treedef.unflatten(outs)

    # ------------------------------------------------------------------- stages

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Stage the function on arguments (or ShapeDtypeStructs) without running it."""
        leaves, treedef = tree_flatten(
            (args, kwargs) if self._plain else self._dynamic(args, kwargs)
        )
        avals = tuple(self._aval(x, args, kwargs) for x in leaves)
        key: Any = (treedef, *avals) if self._plain else (
            treedef, self._static(args, kwargs), *avals
        )  # fmt: skip
        entry = self._entries.get(key) or self._enter(key, args, kwargs, avals)
        return Lowered(
            entry.program, treedef, entry.out_treedef, avals, self._backend, entry.donated
        )

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Return the shapes and dtypes of the result, without running."""
        return self.lower(*args, **kwargs).out_info

    def clear_cache(self) -> None:
        """Forget every signature."""
        with self._lock:
            self._entries.clear()
            self._fast = ()


def _alone(x: Array) -> bool:
    """Whether no other array, and no view, has the memory of `x`."""
    buf = x.buf
    if isinstance(buf.base, np.ndarray):
        return False
    # The references are the slot of `x`, the name `buf`, and the argument of getrefcount.
    return sys.getrefcount(buf) <= 3


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
    backend: str | None = None,
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
    backend : str, optional
        The backend, ``"llvm"`` by default.

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
            backend=backend,
        )
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
        backend or "llvm",
    )


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
