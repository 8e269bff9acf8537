"""The table of rules: every primitive, and how each interpretation treats it.

What has no rule has a sentence saying why; nothing else is possible
(:func:`tracejit.core.primitive.define`), so the table has no silent hole.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from tracejit import control, ops
from tracejit.core.primitive import PRIMITIVES, TABLES, Primitive

__all__ = ["Row", "rows", "show_table"]

FAMILIES = (ops, control)


class Row(NamedTuple):
    """What is known of one primitive.

    Attributes
    ----------
    name : str
        Of the primitive.
    family : str
        The module that defines it.
    rules : dict of str to str
        For each interpretation ``""`` if it has a rule, else why it has none.
    """

    name: str
    family: str
    rules: dict[str, str]


def rows() -> Iterator[Row]:
    """Yield a row for each primitive, by family and name."""
    for package in FAMILIES:
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
    yield from sorted(map(_row, PRIMITIVES.values()), key=lambda r: (r.family, r.name))


def _row(primitive: Primitive) -> Row:
    rules = {
        slot: "" if primitive in table else table.absent[primitive]
        for slot, table in TABLES.items()
    }
    return Row(primitive.name, _family(primitive), rules)


def _family(primitive: Primitive) -> str:
    """Return the module that holds most of its rules; what families share is no family."""
    modules = [
        rule.__module__.removeprefix("tracejit.")
        for table in TABLES.values()
        if (rule := table.get(primitive)) is not None
    ]
    own = [m for m in modules if not m.split(".")[-1].startswith("_")]
    return Counter(own or modules).most_common(1)[0][0]


def show_table(reasons: bool = False) -> str:
    """Return the table as text.

    Parameters
    ----------
    reasons : bool
        Whether the reasons for what is missing follow the table.
    """
    found = list(rows())
    slots = list(TABLES)
    width = max(len(r.name) for r in found)
    lines = [f"{'primitive':{width}}  " + "  ".join(f"{s:9}" for s in slots).rstrip()]
    family = None
    for r in found:
        if r.family != family:
            family = r.family
            lines.append(f"-- {family}")
        marks = "  ".join(f"{'-' if r.rules[s] else 'rule':9}" for s in slots)
        lines.append(f"{r.name:{width}}  {marks}".rstrip())
    given = sum(not why for r in found for why in r.rules.values())
    lines.append(
        f"{len(found)} primitives, {given} rules, {len(found) * len(slots) - given} reasons"
    )
    if reasons:
        lines += [
            f"{r.name}: no {TABLES[slot].name}: {why}"
            for r in found
            for slot, why in r.rules.items()
            if why
        ]
    return "\n".join(lines)
