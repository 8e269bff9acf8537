"""The golden fixture: it compares, says how to update, and updates."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TEST = """
import pytest

@pytest.mark.parametrize("shape", [(2, 3)])
def test_text(golden, shape):
    golden("one\\nTWO")
    golden("other", "second")
"""


def test_golden(tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    (tests / "ir").mkdir(parents=True)
    shutil.copy(CONFTEST, tests)
    (tests / "ir" / "test_print.py").write_text(TEST)

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        return subprocess.run(
            [*command, "--import-mode=importlib", "tests"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    missing = run()
    assert missing.returncode == 1
    assert "does not exist; write it with `pytest --update-golden`" in missing.stdout

    assert run("--update-golden").returncode == 0
    folder = tests / "golden" / "ir" / "test_print"
    assert sorted(path.name for path in folder.iterdir()) == [
        "test_text_shape0-second.txt",
        "test_text_shape0.txt",
    ]
    file = folder / "test_text_shape0.txt"
    assert file.read_text() == "one\nTWO\n"
    assert run().returncode == 0

    file.write_text("one\ntwo\n")
    differing = run()
    assert differing.returncode == 1
    assert "-two\n+TWO" in differing.stdout
    assert "run `pytest --update-golden` and commit the file" in differing.stdout
