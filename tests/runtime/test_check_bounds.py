"""check_bounds: indices that are known only when a program runs, and the line of the user."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import grad, jit, lax, settings, vmap
from tracejit.core.errors import BoundsError

X = tnp.arange(5.0)
Y = np.arange(6.0).reshape(2, 3)


def read(x: Any, i: Any) -> Any:
    return x[i] * 2.0  # the line


def written(x: Any, i: Any) -> Any:
    return x.at[i].set(1.0)  # the line


def added(x: Any, i: Any) -> Any:
    return x.at[i].add(1.0)  # the line


def taken(x: Any, i: Any) -> Any:
    return tnp.take(x, i)  # the line


def along(x: Any, i: Any) -> Any:
    return tnp.take_along_axis(x, tnp.atleast_1d(i), 0)  # the line


def looped(x: Any, i: Any) -> Any:
    return lax.fori_loop(0, 3, lambda n, s: s + x[n + i], 0.0)  # the line


def whiled(x: Any, i: Any) -> Any:
    body = lambda s: (s[0] + 1, x[s[0] + i])  # the line
    return lax.while_loop(lambda s: s[0] < 3, body, (0, 0.0))


def scanned(x: Any, i: Any) -> Any:
    return lax.scan(lambda c, n: (c, x[n]), 0, tnp.arange(3) + i)  # the line


def branched(x: Any, i: Any) -> Any:
    return lax.cond(i > 2, lambda: x[i], lambda: x[0])  # the line


READING = [read, written, added, taken, along, looped, whiled, scanned, branched]
WAYS: dict[str, Callable[[Any], Any]] = {
    "jit": jit,
    "jit of jit": lambda f: jit(jit(f)),
    "vmap": lambda f: lambda x, i: vmap(f, (None, 0))(x, np.array([0, i])),
    "jit of vmap": lambda f: lambda x, i: jit(vmap(f, (None, 0)))(x, np.array([0, i])),
    "jit of grad": lambda f: jit(
        grad(lambda x, i: tnp.sum(tracejit.tree_util.tree_leaves(f(x, i))[-1]))
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("f", READING)
def test_it_raises_with_the_line(f: Callable[..., Any], way: str) -> None:
    around = WAYS[way](f)
    around(X, 7)  # clamped, or left out
    with settings(check_bounds=True):
        usual = around(X, 1)
        with pytest.raises(BoundsError, match=r"(?s)^index [5-9] is out .*axis 0 .*# the line"):
            around(X, 7)
    for a, b in zip(*map(tracejit.tree_util.tree_leaves, (usual, around(X, 1))), strict=True):
        np.testing.assert_array_equal(a, b)
    around(X, 7)


def test_the_message_has_the_index_and_the_axis_of_the_user() -> None:
    f = jit(lambda y, i: y[:, i])
    with settings(check_bounds=True):
        np.testing.assert_array_equal(f(Y, np.array([-3, 2])), Y[:, [-3, 2]])
        for bad, shown in ((np.array([0, -4]), -4), (3, 3)):
            wanted = f"^index {shown} is out of range for axis 1 of length 3\n  on the line .*y\\["
            with pytest.raises(IndexError, match="(?s)" + wanted):
                f(Y, bad)


def test_what_a_mode_says_is_done() -> None:
    with settings(check_bounds=True):
        assert jit(lambda x, i: x.at[i].get(mode="clip"))(X, 9) == 4.0
        assert np.isnan(jit(lambda x, i: x.at[i].get(mode="fill"))(X, 9))
        np.testing.assert_array_equal(jit(lambda x, i: x.at[i].set(7.0, mode="drop"))(X, 9), X)
        assert jit(lambda x, i: tnp.take(x, i, mode="wrap"))(X, 9) == 4.0


def test_a_branch_that_is_not_taken() -> None:
    with settings(check_bounds=True):
        assert jit(branched)(X, -9) == 0.0


def test_scopes_do_not_share_what_was_traced() -> None:
    f = jit(read)
    for _ in range(70):  # calls become native
        f(X, 9)
    for _ in range(2):
        with settings(check_bounds=True):
            with pytest.raises(BoundsError):
                f(X, 9)
            with settings(check_bounds=False):
                assert f(X, 9) == 8.0
        assert f(X, 9) == 8.0


def test_the_environment() -> None:
    code = """
import numpy, tracejit
f = tracejit.jit(lambda x, i: x[i])
for i in range(6):
    try:
        print(float(f(numpy.arange(5.0), i)))
    except IndexError as error:
        print(str(error)[:24])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TRACEJIT_CHECK_BOUNDS": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    *read, last = done.stdout.splitlines()
    assert last == "index 5 is out of range "
    assert read == ["0.0", "1.0", "2.0", "3.0", "4.0"]
