"""SciPy's functions with support of the array API on our arrays: those listed run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPT = HERE / "functions_on_arrays.py"
LISTED = HERE / "functions_on_arrays.txt"


def test_the_listed_functions_run(request: pytest.FixtureRequest) -> None:
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    run = sorted(name for name, why in found.items() if not why)
    if request.config.getoption("--update-golden"):
        LISTED.write_text("\n".join(run) + "\n", encoding="utf-8")
    listed = LISTED.read_text(encoding="utf-8").split()
    assert len(listed) > 100
    # Another SciPy may lack a function, or support it less.
    there = {name for name in listed if not found[name].startswith("not with NumPy")}
    assert not {name: found[name] for name in there - set(run)}
