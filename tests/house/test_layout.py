"""House rules that no linter knows: what a module looks like, and where it is written."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES = 600
VAGUE = {"common", "helper", "helpers", "misc", "util", "utils"}
SOURCES = sorted(
    path for folder in ("tracejit", "backends") for path in (ROOT / folder).rglob("*.py")
)
WRITTEN = ("tracejit", "backends", "tests", "bench", "notebooks", ".ci")
TEXT = {".py", ".md", ".toml", ".txt", ".ipynb", ".cfg", ".ll", ".csv", ""}
# A folder of one machine.  The names stand in one group, so that the pattern is not its own match.
MACHINE = re.compile(r"(?<![\w.:/~-])/(?:home|root|Users|mnt|srv|opt|tmp|work|workspace)(?:/|\b)")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "backends" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _functions(tree: ast.AST) -> Iterator[ast.AST]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def _hidden_imports(tree: ast.AST) -> Iterator[int]:
    for function in _functions(tree):
        for inner in ast.walk(function):
            if isinstance(inner, ast.ImportFrom):
                names = [inner.module or ""]
            elif isinstance(inner, ast.Import):
                names = [alias.name for alias in inner.names]
            else:
                continue
            if any(name.split(".")[0] == "tracejit" for name in names):
                yield inner.lineno


def _assigned(tree: ast.Module) -> Iterator[str]:
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            yield from (t.id for t in statement.targets if isinstance(t, ast.Name))
        elif isinstance(statement, ast.AnnAssign | ast.AugAssign) and isinstance(
            statement.target, ast.Name
        ):
            yield statement.target.id


def _public(tree: ast.Module) -> list[str]:
    defined = (
        s.name
        for s in tree.body
        if isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    )
    return [name for name in (*defined, *_assigned(tree)) if not name.startswith("_")]


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_module_says_what_it_is_and_is_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{_name(path)} has no module docstring"
    lines = len(text.splitlines())
    assert lines <= MOST_LINES, f"{_name(path)} has {lines} lines; split it (cap {MOST_LINES})"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_no_import_of_tracejit_hides_in_a_function(path: Path) -> None:
    lines = list(_hidden_imports(ast.parse(path.read_text(encoding="utf-8"))))
    assert not lines, (
        f"{_name(path)} imports tracejit inside a function at {lines}: the thing imported, "
        "or the function, is in the wrong layer"
    )


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_name_says_something(path: Path) -> None:
    vague = {part.strip("_") for part in path.relative_to(ROOT).with_suffix("").parts} & VAGUE
    assert not vague, f"{_name(path)}: name it for its subject, not {sorted(vague)}"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_public_names_are_listed_and_exist(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    private = any(part.startswith("_") for part in _module(path).split("."))
    if "__all__" not in _assigned(tree):
        public = _public(tree)
        assert private or not public, f"{_name(path)} has no __all__ but defines {public}"
        return
    module = importlib.import_module(_module(path))
    listed = list(module.__all__)
    missing = [name for name in listed if not hasattr(module, name)]
    assert not missing, f"{_name(path)}: __all__ lists {missing}, which do not exist"
    twice = sorted({name for name in listed if listed.count(name) > 1})
    assert not twice, f"{_name(path)}: __all__ lists {twice} more than once"


def test_tests_are_no_packages() -> None:
    found = [_name(path) for path in (ROOT / "tests").rglob("__init__.py")]
    assert not found, f"importlib mode needs no __init__.py in tests: {found}"


def test_no_machine_paths() -> None:
    files = [ROOT / "README.md", ROOT / "pyproject.toml"]
    for folder in WRITTEN:
        files += [p for p in (ROOT / folder).rglob("*") if p.is_file() and p.suffix in TEXT]
    found = [
        f"{_name(path)}:{number}: {line.strip()[:80]}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE.search(line)
    ]
    assert not found, "paths of one machine:\n" + "\n".join(found)
