"""``debug.print``: what it prints, and what it refuses before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import debug
from tracejit.core.errors import FormatError, StructureError

Capture = pytest.CaptureFixture[str]


def lines(capsys: Capture) -> list[str]:
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("fmt", "args", "kwargs", "text"),
    [
        ("{} and {}", (1.5, 2), {}, "1.5 and 2"),
        ("{1} {0}", (1, 2), {}, "2 1"),
        ("{x:.3f}|{n:>4d}|{c:.1f}", (), {"x": 0.12345, "n": 7, "c": 1j}, "0.123|   7|0.0+1.0j"),
        ("{x:{width}.1f}", (), {"x": 0.25, "width": "6"}, "   0.2"),
        ("{x.shape} {x[1]}", (), {"x": tnp.arange(3)}, "(3,) 1"),
        ("{x:.2f}", (), {"x": tnp.asarray([0.5, 1.0])}, "[0.50 1.00]"),
        ("{x}", (), {"x": {"a": [tnp.asarray(True), None]}}, "{'a': [array(True), None]}"),
        ("{s!r:>6} {{}}", (), {"s": "a"}, "   'a' {}"),
        ("{:.1e}", (tnp.asarray(1234.0, dtype="bfloat16"),), {}, "1.2e+03"),
        ("nothing", (), {}, "nothing"),
        ("", (), {}, ""),
    ],
)
def test_formats(capsys: Capture, fmt: str, args: Any, kwargs: Any, text: str) -> None:
    assert debug.print(fmt, *args, **kwargs) is None
    tracejit.jit(lambda: debug.print(fmt, *args, **kwargs))()
    assert lines(capsys) == [text, text]


def test_under_transformations(capsys: Capture) -> None:
    def f(x: Any) -> Any:
        debug.print("x = {x:.1f}", x=x)
        return tnp.sin(x)

    for g in (f, tracejit.jit(f), tracejit.grad(f), tracejit.jit(tracejit.grad(f))):
        g(2.0)
        assert lines(capsys) == ["x = 2.0"]
    for g in (tracejit.vmap(f), tracejit.jit(tracejit.vmap(tracejit.grad(f)))):
        g(tnp.arange(3.0))
        assert lines(capsys) == ["x = 0.0", "x = 1.0", "x = 2.0"]


def test_options_apart_from_arguments(capsys: Capture) -> None:
    debug.print(ordered=True, partitioned=True)("{ordered}", ordered=3)
    assert lines(capsys) == ["3"]
    with pytest.raises(StructureError, match="must be a format string; got none"):
        debug.print(None, 3)
    with pytest.raises(StructureError, match=r"debug.print\('\{\}', x\); got float"):
        debug.print(3.0)


@pytest.mark.parametrize(
    ("fmt", "args", "kwargs", "says"),
    [
        ("{} {}", (1,), {}, "must fit its arguments, {0}: "),
        ("{x}", (), {"y": 1}, "{y}: there is no argument 'x'"),
        ("{x}", (), {}, "none: there is no argument 'x'"),
        ("{}", (1, 2), {}, "prints argument 1"),
        ("{x}", (), {"x": 1, "y": 2}, "prints argument 'y'"),
        ("{:d}", (1.5,), {}, "Unknown format code 'd'"),
        ("{x.colour}", (), {"x": 1}, "colour"),
        ("{x[5]}", (), {"x": tnp.arange(3)}, "5"),
        ("{", (), {}, "Single '{'"),
        ("{} {0}", (1,), {}, "automatic"),
    ],
)
def test_a_format_that_does_not_fit(fmt: str, args: Any, kwargs: Any, says: str) -> None:
    with pytest.raises(FormatError) as caught:
        tracejit.eval_shape(lambda: debug.print(fmt, *args, **kwargs))
    assert says in str(caught.value)
    assert "test_printing.py" in str(caught.value)


def test_the_check_can_be_skipped(capsys: Capture) -> None:
    debug.print("{}", 1, 2, skip_format_check=True)
    assert lines(capsys) == ["1"]
