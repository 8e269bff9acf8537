"""Which names of NumPy and JAX there are here: a page of Markdown, name by name.

A name is looked up where a changed import would find it: ``numpy.linalg.norm`` as
``tracejit.numpy.linalg.norm``, ``jax.lax.scan`` as ``tracejit.lax.scan``, ``jax.Array.sum`` as an
attribute of our class.  What is not found has a reason, or is simply missing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tracejit.core.array import Array
from tracejit.numpy.absent import ABSENT
from tracejit.numpy.updates import IndexedUpdate

__all__ = ["Name", "coverage", "coverage_page"]

_CLASSES: dict[str, type] = {"jax.Array": Array, "jax.Array.at": IndexedUpdate}
_NOT_HERE = {
    "jax.example_libraries": "examples, not a library; tracejit.nn has layers and optimizers",
    "jax.experimental.pallas": "kernels are written by the compiler",
    "jax.extend": "the internals of JAX; ours are tracejit.ir and tracejit.core",
    "jax.ffi": "code of XLA; pure_callback calls foreign functions",
    "jax.interpreters": "the internals of JAX; ours are tracejit.transforms and tracejit.compiler",
    "jax.distributed": "one process",
}


class Name(NamedTuple):
    """One name.

    Attributes
    ----------
    module, name : str
        Of NumPy or JAX.
    found : bool
        Whether it is here.
    why : str
        Why not, if there is a reason.
    """

    module: str
    name: str
    found: bool
    why: str


def _home(module: str) -> Any:
    """Return our module or class for one of NumPy's or JAX's, or None."""
    if module in _CLASSES:
        return _CLASSES[module]
    package, _, rest = module.partition(".")
    own = {"numpy": "tracejit.numpy", "jax": "tracejit"}[package]
    path = f"{own}.{rest}" if rest else own
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        parent, _, last = path.rpartition(".")  # a namespace that is no module, such as stats.norm
        try:
            return getattr(importlib.import_module(parent), last, None)
        except ModuleNotFoundError:
            return None


def _reason(full: str) -> str:
    module, _, name = full.rpartition(".")
    if module in ("numpy", "jax.numpy") and name in ABSENT:
        return ABSENT[name]
    while full:
        if full in _NOT_HERE:
            return _NOT_HERE[full]
        full = full.rpartition(".")[0]
    return ""


def coverage(names: Iterable[str]) -> Iterator[Name]:
    """Yield what is known of each name.

    Parameters
    ----------
    names : iterable of str
        Such as ``"numpy.linalg.norm"`` and ``"jax.lax.scan"``.
    """
    for full in names:
        module, _, name = full.rpartition(".")
        home = _home(module)
        found = home is not None and (
            hasattr(home, name) or _home(full) is not None  # a module that nothing imported yet
        )
        yield Name(module, name, found, "" if found else _reason(full))


_HEAD = """# What there is of NumPy and JAX

Name by name: NumPy's public functions, and those of JAX that public code uses. A test compares
this page with the library; `pytest tests/tools/test_coverage.py --update-golden` writes it anew.

A name is here where a changed import finds it: `numpy` is `tracejit.numpy`, `jax` is `tracejit`.
What is not here for a reason says so when it is used, too.
"""


def coverage_page(names: Iterable[str]) -> str:
    """Return the page as Markdown.

    Parameters
    ----------
    names : iterable of str
        See :func:`coverage`.
    """
    modules: dict[str, list[Name]] = {}
    for row in coverage(names):
        modules.setdefault(row.module, []).append(row)
    lines = [_HEAD, "| module | here | not here, for a reason | missing |"]
    lines.append("| --- | --- | --- | --- |")
    totals = {"numpy": [0, 0, 0], "jax": [0, 0, 0]}
    for module, rows in modules.items():
        counts = [
            sum(r.found for r in rows),
            sum(bool(r.why) for r in rows),
            sum(not r.found and not r.why for r in rows),
        ]
        total = totals[module.partition(".")[0]]
        for i, n in enumerate(counts):
            total[i] += n
        lines.append(f"| `{module}` | {counts[0]} | {counts[1]} | {counts[2]} |")
    for package, total in totals.items():
        lines.append(f"| **{package}, all** | {total[0]} | {total[1]} | {total[2]} |")
    for module, rows in modules.items():
        lines += ["", f"## {module}", ""]
        here = ", ".join(f"`{r.name}`" for r in rows if r.found)
        if here:
            lines += [here, ""]
        missing = ", ".join(f"`{r.name}`" for r in rows if not r.found and not r.why)
        if missing:
            lines += [f"Missing: {missing}", ""]
        reasons: dict[str, list[str]] = {}
        for r in rows:
            if r.why:
                reasons.setdefault(r.why, []).append(f"`{r.name}`")
        lines += [f"* not {', '.join(found)}: {why}" for why, found in reasons.items()]
    return "\n".join(lines).rstrip() + "\n"
