"""``tracejit ops``: the table of rules."""

from __future__ import annotations

from typing import Any

from tracejit.core.primitive import PRIMITIVES
from tracejit.tools.cli import main
from tracejit.tools.ops_table import rows


def test_every_primitive_has_a_row_without_holes() -> None:
    found = {r.name: r for r in rows()}
    # Tests define primitives of their own.
    ours = {name for name, r in found.items() if not r.family.startswith("tests")}
    assert {"add", "scan", "gather", "sort", "psum"} <= ours <= set(PRIMITIVES)
    assert all(len(r.rules) == 6 for r in found.values())
    assert all(not why or len(why.split()) > 1 for r in found.values() for why in r.rules.values())


def test_the_command_prints_it(capsys: Any) -> None:
    assert main(["ops", "--reasons"]) == 0
    text = capsys.readouterr().out
    assert "-- ops.arithmetic" in text
    assert "sort: no transposition:" in text
    assert f"{len(PRIMITIVES)} primitives" in text
