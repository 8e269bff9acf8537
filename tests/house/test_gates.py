"""The tools of the gate, each run once over the whole tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"


def _run(*arguments: str) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr}"


@pytest.mark.gate
def test_ruff() -> None:
    _run("-m", "ruff", "check", "--no-cache", ".")


@pytest.mark.gate
def test_import_layers() -> None:
    _run("-c", LINT_IMPORTS)


@pytest.mark.gate
def test_mypy() -> None:
    _run("-m", "mypy")


def test_every_layer_above_backend_is_closed_to_backends() -> None:
    """The two contracts that list the layers list the same ones."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {c["id"]: c for c in config["tool"]["importlinter"]["contracts"]}
    layers = re.findall(r"\w+", " ".join(contracts["layers"]["layers"]))
    closed = re.findall(r"tracejit\.(\w+)", contracts["backend-sees"]["layers"][0])
    assert sorted(closed) == sorted(set(layers) - {"backend", "ir"})


def test_every_backend_is_packed_declared_and_checked() -> None:
    """A folder of `backends` is in the wheel, the entry points and the import contracts."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = sorted(path.parent.name for path in (ROOT / "backends").glob("*/__init__.py"))
    packed = config["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(packed) == sorted(["tracejit", *(f"backends/{name}" for name in found)])
    entries = config["project"]["entry-points"]["tracejit.backends"]
    assert sorted(e.partition(":")[0] for e in entries.values()) == found
    assert sorted(config["tool"]["importlinter"]["root_packages"]) == sorted(["tracejit", *found])
