"""Every primitive has, for each interpretation, a rule or a sentence saying why it has none."""

from __future__ import annotations

import importlib
import pkgutil

from tracejit.core.primitive import PRIMITIVES, TABLES


def _load(package: str) -> None:
    module = importlib.import_module(package)
    for found in pkgutil.walk_packages(module.__path__, f"{package}."):
        importlib.import_module(found.name)


def test_rules_are_complete() -> None:
    _load("tracejit.ops")
    _load("tracejit.control")
    assert PRIMITIVES
    assert set(TABLES) == {"impl", "shape", "jvp", "transpose", "batch", "lower"}
    missing = [
        f"{name}: {slot}"
        for name, primitive in PRIMITIVES.items()
        for slot, table in TABLES.items()
        if primitive not in table and primitive not in table.absent
    ]
    assert not missing, f"neither a rule nor a reason: {missing}"


def test_a_rule_and_a_reason_exclude_each_other() -> None:
    both = [
        f"{primitive.name}: {slot}"
        for slot, table in TABLES.items()
        for primitive in table.absent
        if primitive in table
    ]
    assert not both


def test_reasons_are_sentences() -> None:
    short = [
        f"{primitive.name}: {slot}: {reason!r}"
        for slot, table in TABLES.items()
        for primitive, reason in table.absent.items()
        if PRIMITIVES.get(primitive.name) is primitive and len(reason.split()) < 2
    ]
    assert not short
