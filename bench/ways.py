"""One function written once, for every library whose words are NumPy's."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = [
    "Library",
    "compiled",
    "library",
    "numpy_loop",
    "repeated",
    "torch_compiled",
    "written",
]

Function = Callable[..., Any]


class Library(NamedTuple):
    """What a workload may use of a library.

    Attributes
    ----------
    name : str
        Its import name.
    xp : module
        Its ``numpy``; NumPy's own for ``numpy``.
    lax : module or None
        Its control flow.
    top : module or None
        Its transformations.
    """

    name: str
    xp: Any
    lax: Any
    top: Any


def library(name: str) -> Library:
    """Import a library."""
    if name == "numpy":
        return Library(name, importlib.import_module("numpy"), None, None)
    modules = (importlib.import_module(f"{name}.{part}") for part in ("numpy", "lax"))
    return Library(name, *modules, importlib.import_module(name))


def compiled(
    make: Callable[[Library], Function], *peers: str, **others: Callable[[], Function]
) -> dict[str, Callable[[], Function]]:
    """Return the functions of a case.

    Parameters
    ----------
    make : callable
        Given a library, returns the function; it is jitted by tracejit and by JAX.
    *peers : str
        Besides these two, ``numpy`` if `make` knows how.
    **others : callable
        Makers of the functions of other peers, or of NumPy in its own words.
    """

    def builder(name: str) -> Callable[[], Function]:
        def build() -> Function:
            own = library(name)
            function = make(own)
            return function if own.top is None else own.top.jit(function)

        return build

    return {**{name: builder(name) for name in ("tracejit", "jax", *peers)}, **others}


def torch_compiled(make: Callable[[Any], Function]) -> Callable[[], Function]:
    """Return the maker of a function that torch compiles; `make` is given torch."""

    def build() -> Function:
        import torch

        torch._dynamo.reset()
        function = torch.compile(make(torch), dynamic=False)

        def run(*args: Any) -> Any:
            with torch.no_grad():
                return function(*args)

        return run

    return build


def numpy_loop(step: Function, steps: int) -> Function:
    """Return `steps` applications of a step, in Python."""

    def run(u: Any) -> Any:
        for _ in range(steps):
            u = step(u)
        return u

    return run


def repeated(lib: Library, steps: int, step: Function, state: Any) -> Any:
    """Return the state after so many steps: a `fori_loop`, or a loop of Python."""
    if lib.lax is None:
        return numpy_loop(step, steps)(state)
    return lib.lax.fori_loop(0, steps, lambda i, s: step(s), state)


def written(lib: Library, u: Any, where: Any, values: Any) -> Any:
    """Return an array with some elements replaced; NumPy's is overwritten in a copy."""
    if lib.top is not None:
        return u.at[where].set(values)
    u = u.copy()
    u[where] = values
    return u
