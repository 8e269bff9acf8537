"""``debug.breakpoint``: what the prompt sees, and that nobody waits where nobody answers."""

from __future__ import annotations

import bdb
import builtins
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import debug, lax

FACTOR = 3


def session(text: str, f: Callable[..., Any], *args: Any) -> str:
    """Run a function whose breakpoint is answered; return what was written."""
    out = io.StringIO()
    f(io.StringIO(text), out, *args)
    return out.getvalue()


def stopped(stdin: Any, stdout: Any, x: Any) -> Any:
    y = {"twice": x * 2}
    debug.breakpoint(stdin=stdin, stdout=stdout)
    return tnp.sin(y["twice"])


def test_the_prompt_sees_values() -> None:
    def outer(stdin: Any, stdout: Any, x: Any) -> Any:
        label = "outside"
        result = tracejit.jit(lambda x: stopped(stdin, stdout, x))(x)
        assert label
        return result

    text = session("p y\ny['twice'] + FACTOR\nu\nu\np label\nd\nd\nd\nu 1\nc\n", outer, 2.0)
    lines = text.replace("(tracejit) ", "").splitlines()
    assert lines[0].startswith("> ")
    assert lines[0].endswith("stopped()")
    assert lines[1] == "-> debug.breakpoint(stdin=stdin, stdout=stdout)"
    assert lines[2] == "{'twice': array(4.)}"
    assert "7.0" in lines[3]
    assert "'outside'" in lines
    assert "*** this is the innermost frame" in lines


def test_commands() -> None:
    text = session(
        "locals\nl\nw\npp y\nz = x + 1\nz\n[x for _ in range(2)]\np nothing\np 1 +\n1 +\n1/0\n"
        "\nhelp pp\nNone\n!c = 5\np c\ncont\n",
        stopped,
        1.5,
    )
    for expected in (
        "y = {'twice': 3.0}",
        "-> ",
        "    debug.breakpoint(stdin=stdin, stdout=stdout)",
        "stopped()",
        "{'twice': 3.0}",
        "2.5",
        "[1.5, 1.5]",
        "*** NameError: name 'nothing' is not defined",
        "*** SyntaxError",
        "*** ZeroDivisionError: division by zero",
        "pretty-print",
        "(tracejit) 5\n",
    ):
        assert expected in text, text


def test_quitting_and_the_end_of_the_input() -> None:
    f = tracejit.jit(stopped, static_argnums=(0, 1))
    with pytest.raises(bdb.BdbQuit):
        f(io.StringIO("q\n"), io.StringIO(), 1.0)
    np.testing.assert_allclose(f(io.StringIO(""), io.StringIO(), 1.0), np.sin(2))


def test_nobody_waits_where_nobody_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endless(io.StringIO):
        def readline(self, *args: Any) -> str:
            raise AssertionError("it waits")

    monkeypatch.setattr("sys.stdin", Endless())
    tracejit.jit(lambda x: stopped(None, None, x))(1.0)
    out = capsys.readouterr().out
    assert "stopped()" in out
    assert "y = {'twice': array(2.)}" in out
    assert "going on" in out
    monkeypatch.setattr("sys.stdin", None)
    stopped(None, None, 1.0)
    # In a notebook there is somebody, behind another `input`.
    answers = iter(["p FACTOR", "c"])
    monkeypatch.setattr(builtins, "input", lambda prompt: next(answers))
    capsys.readouterr()
    stopped(None, None, 1.0)
    assert capsys.readouterr().out.splitlines()[-1] == "3"


def test_an_injected_debugger_under_transformations() -> None:
    seen = []

    def f(x: Any) -> Any:
        y = x * x
        debug.breakpoint(backend=lambda frames: seen.append(frames[0].locals["y"].tolist()))
        return y

    def loop(x: Any) -> Any:
        return lax.scan(lambda x, _: (f(x), None), x, None, 2)[0]

    for g in (f, tracejit.jit(f), tracejit.grad(f), tracejit.jit(tracejit.grad(f))):
        g(tnp.asarray(3.0))
        assert seen.pop() == 9
        assert not seen
    for h in (tracejit.vmap(f), tracejit.jit(tracejit.vmap(tracejit.grad(f)))):
        h(tnp.arange(3.0))
        assert seen == [0, 1, 4]
        seen.clear()
    tracejit.grad(loop)(2.0)
    assert seen == [4, 16]


def test_frames() -> None:
    seen: list[Any] = []

    def inner(x: Any) -> Any:
        itself: list[Any] = [x]
        itself.append(itself)
        mixed = {1: "a", "b": 2}
        debug.breakpoint(backend=seen.extend)
        assert mixed
        return x

    def outer(x: Any) -> Any:
        return tracejit.vmap(lambda x: inner(x))(x)

    outer(tnp.arange(1.0))
    assert [f.function for f in seen[:3]] == ["inner", "<lambda>", "outer"]
    assert not any("pytest" in f.filename for f in seen)
    assert str(seen[0]).endswith(f"test_breakpoints.py({seen[0].line})inner()")
    own = seen[0].locals
    assert own["itself"][1] is own["itself"]
    assert own["mixed"] == {1: "a", "b": 2}
    assert seen[0].globals["FACTOR"] == 3

    def counted(**options: Any) -> int:
        frames: list[Any] = []
        debug.breakpoint(backend=frames.extend, **options)
        return len(frames)

    assert counted(num_frames=1) == 1
    assert counted(filter_frames=False) > counted()
    with pytest.raises(ValueError, match="num_frames must be at least 1; got 0"):
        counted(num_frames=0)
    with pytest.raises(ValueError, match="backend must be None, 'cli' or a function; got 'web'"):
        debug.breakpoint(backend="web")


def test_values_that_are_gone() -> None:
    leaked: list[Any] = []
    tracejit.grad(lambda x: (leaked.append(x), x)[1])(1.0)
    seen: list[Any] = []

    def f(x: Any, y: Any) -> Any:
        debug.breakpoint(backend=lambda frames: seen.append(repr(frames[0].locals)))
        return y

    f(leaked[0], 1.0)
    donated = tnp.ones(3)
    tracejit.jit(lambda x: x + 1, donate_argnums=0)(donated)
    if donated.aval.device == "donated":
        f([donated], 1.0)
        assert "[<an array that was donated>]" in seen[1]
    assert "<a traced value of ~f64[], whose transformation has ended>" in seen[0]
