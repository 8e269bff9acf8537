"""What all tests share: golden files, and hypothesis profiles.

A golden test compares text with a committed file and fails with the difference::

    def test_lowering(golden):
        golden(str(program))

``pytest --update-golden`` writes the files anew; read the difference before committing it.

hypothesis runs few, fixed examples, so that a run says the same each time.
``HYPOTHESIS_PROFILE=search`` looks for new ones.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# No test finds what an earlier run left on disk, unless it says so.
os.environ["TRACEJIT_CACHE_DIR"] = ""

TESTS = Path(__file__).parent
GOLDEN = TESTS / "golden"

hypothesis.settings.register_profile(
    "fixed",
    derandomize=True,
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("search", max_examples=500, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden files anew instead of comparing with them",
    )


def golden_path(test_file: Path, test_name: str, label: str = "") -> Path:
    """Return the golden file of a test: its module's path, then its name with its parameters."""
    folder = GOLDEN / test_file.relative_to(TESTS).with_suffix("")
    name = re.sub(r"[^\w.=+-]+", "_", test_name).strip("_")
    return folder / (f"{name}-{label}.txt" if label else f"{name}.txt")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Compare text with the golden file of the running test.

    Call it with the text, and with a `label` where one test has several.
    """
    update = request.config.getoption("--update-golden")

    def compare(text: str, label: str = "") -> None:
        __tracebackhide__ = True
        path = golden_path(request.path, request.node.name, label)
        shown = path.relative_to(TESTS.parent)
        text = text.rstrip("\n") + "\n"
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        if not path.exists():
            pytest.fail(
                f"{shown} does not exist; write it with `pytest --update-golden`.  "
                f"The text is:\n{text}",
                pytrace=False,
            )
        expected = path.read_text(encoding="utf-8")
        if text != expected:
            difference = "\n".join(
                difflib.unified_diff(
                    expected.splitlines(), text.splitlines(), str(shown), "now", lineterm=""
                )
            )
            pytest.fail(
                f"the text differs from {shown}; if the change is right, run "
                f"`pytest --update-golden` and commit the file\n{difference}",
                pytrace=False,
            )

    return compare
