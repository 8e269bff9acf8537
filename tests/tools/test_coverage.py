"""The page that says which names of NumPy and JAX there are says what is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracejit.tools.coverage import coverage, coverage_page

ROOT = Path(__file__).parents[2]
NAMES = Path(__file__).with_name("names_of_numpy_and_jax.txt").read_text().split()
PAGE = ROOT / "notebooks" / "coverage.md"


def test_the_page_is_what_the_library_has(request: pytest.FixtureRequest) -> None:
    page = coverage_page(NAMES)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(page, encoding="utf-8")
    written = PAGE.read_text(encoding="utf-8")
    changed = set(page.splitlines()) ^ set(written.splitlines())
    assert page == written, (
        f"{PAGE.name} is not what the library has: write it anew with `pytest "
        f"tests/tools/test_coverage.py --update-golden`; {len(changed)} lines differ"
    )


def test_a_name_is_found_or_not() -> None:
    here = ["numpy.sin", "jax.lax.scan", "jax.Array.sum", "jax.Array.at.set", "jax.numpy"]
    gone = ["numpy.memmap", "jax.no_such_name", "jax.no_such_module.name", "jax.ffi.ffi_call"]
    found = {f"{r.module}.{r.name}": r for r in coverage(here + gone)}
    assert [n for n in here + gone if found[n].found] == here
    assert "arrays live in memory" in found["numpy.memmap"].why
    assert "pure_callback" in found["jax.ffi.ffi_call"].why
    assert not found["jax.no_such_name"].why


def test_nothing_of_numpy_is_simply_missing() -> None:
    rows = coverage(n for n in NAMES if n.startswith("numpy.") and n.count(".") == 1)
    assert not [r.name for r in rows if not r.found and not r.why]
