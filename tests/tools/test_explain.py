"""explain: steps, memory, notes with lines, counters, a timed run; as text and as HTML."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.errors import StructureError
from tracejit.tools import roofline
from tracejit.tools.explain import explain

X = np.linspace(0.1, 1.0, 60_000).reshape(200, 300)


def stages(x: Any) -> Any:
    total = tnp.sum(x, axis=0)
    return tnp.sort(tnp.sin(x) / total, axis=1) + 1.0


def looped(x: Any) -> Any:
    around = lambda i, u: u + 0.1 * (tnp.roll(u, 1, 0) + tnp.roll(u, -1, 0) - 2.0 * u)
    return lax.fori_loop(0, 9, around, x)


def test_what_it_says() -> None:
    found = explain(stages)(X)
    assert [s.kind for s in found.steps].count("library") == 1
    assert found.callbacks == 0
    assert found.bounded
    assert found.argument_bytes == found.output_bytes == X.nbytes
    assert found.least_bytes == 2 * X.nbytes
    assert found.peak_bytes == found.least_bytes + found.arena_bytes
    assert found.bytes == sum(s.bytes * s.runs for s in found.steps)
    assert found.bytes >= 3 * found.least_bytes
    text = str(found)
    assert "sort: not fused: a library call | " in text
    assert "stored in memory: sort reads it" in text
    assert "sort f64[200,300]: stored in memory: no kernel computes it" in text
    assert "stored in memory: reductions are not computed again" in text
    assert "return tnp.sort(tnp.sin(x) / total, axis=1) + 1.0" in text
    assert re.search(r"moves [\d.]+ MB a call, at least 960.0 kB", text)


def test_loops_run_their_steps_often() -> None:
    found = explain(looped)(X)
    assert {(s.depth, s.runs) for s in found.steps} == {(1, 9)}
    assert "9 times" in str(found)
    assert 9 * 2 * X.nbytes <= found.bytes <= (9 * 2 + 4) * X.nbytes


def test_loops_of_unknown_length() -> None:
    until = lambda x: lax.while_loop(lambda x: x[0, 0] < 9.0, lambda x: x + 1.0, x)
    found = explain(until, timed=True)(X)
    assert not found.bounded
    assert found.seconds is not None
    assert found.share is None
    assert "counted with one trip" in str(found)


def test_what_was_compiled() -> None:
    factor = float(np.random.default_rng().uniform())
    make = lambda: lambda x: tnp.cos(x * 2.0 + tnp.exp(x)) / (x + factor) - tnp.tanh(x) ** 3
    first, second = explain(make())(X), explain(make())(X)
    assert sum(first.compiling[k] for k in ("compiled", "memory", "disk")) == 1
    assert second.compiling["compiled"] == 0
    assert first.counters["compiled"] <= second.counters["compiled"]


def test_callbacks_are_counted() -> None:
    shape = tracejit.ShapeDtypeStruct(X.shape, X.dtype)
    found = explain(lambda x: tracejit.pure_callback(np.sin, shape, x) + 1.0)(shape)
    assert found.callbacks == 1
    assert "1 callbacks to NumPy" in str(found)


def test_a_timed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_measured", lambda nbytes, threads: 1e9)
    found = explain(looped, timed=True)(X)
    assert found.seconds is not None
    assert found.seconds > 0.0
    assert found.share == pytest.approx(found.bytes / found.seconds / 1e9)
    assert f"{found.share:.0%} of a triad's bandwidth" in str(found)
    assert explain(looped)(X).seconds is None


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        del attrs
        if tag != "br":
            self.open.append(tag)
        self.rows += tag == "tr"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html() -> None:
    found = explain(lambda x: looped(x) * (x < 1.0))(X)
    text = found._repr_html_()
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.rows == 1 + len(found.steps)
    assert "<lambda>" not in text
    assert "&lt;lambda&gt;" in text
    assert "x &lt; 1.0" in text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: explain(3), "explain needs a function; got int"),  # type: ignore[arg-type]
        (
            lambda: explain(tracejit.jit(looped, donate_argnums=0), timed=True)(tnp.asarray(X)),
            "looped gives arguments away",
        ),
    ],
)
def test_errors(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(StructureError, match=message):
        make()
