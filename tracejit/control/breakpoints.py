"""``debug.breakpoint``: a prompt on the user's frames while a compiled or transformed program runs.

When the program is traced, the local variables of the frames are noted, and the arrays among them
become operands of a debug callback; when it runs, the callback opens the prompt on their values.
"""

from __future__ import annotations

import bdb
import builtins
import cmd
import linecache
import os
import pprint
import reprlib
import sys
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType, FrameType
from typing import IO, Any

import numpy as np

from tracejit.control.callbacks import bind_debug
from tracejit.core.array import DONATED, Array
from tracejit.core.pytree import tree_flatten, tree_unflatten
from tracejit.core.source import is_ours
from tracejit.core.tracer import Tracer

__all__ = ["Frame", "debug_breakpoint"]


@dataclass(frozen=True)
class Frame:
    """A frame of the user, with values.

    Attributes
    ----------
    filename, function : str
        Where it stands.
    line : int
        The number of the line.
    locals : dict
        The local variables; arrays are NumPy arrays.
    globals : dict
        The global variables of its module.
    """

    filename: str
    function: str
    line: int
    locals: dict[str, Any]
    globals: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.filename}({self.line}){self.function}()"


def debug_breakpoint(
    *,
    backend: str | Callable[[list[Frame]], Any] | None = None,
    filter_frames: bool = True,
    num_frames: int | None = None,
    ordered: bool = False,
    stdin: IO[str] | None = None,
    stdout: IO[str] | None = None,
) -> None:
    """Stop where the program runs, and open a prompt like pdb's on the user's frames.

    Parameters
    ----------
    backend : "cli" or callable, optional
        What is opened: the prompt, or a function that takes the list of frames, the innermost
        first.
    filter_frames : bool
        Whether to leave out frames of installed packages and of the standard library.
    num_frames : int, optional
        How many frames to show; all by default.
    ordered : bool
        Whether it must keep its place among all that is called.  All breakpoints do.
    stdin, stdout : file, optional
        What is read and written to; the terminal by default.

    Raises
    ------
    ValueError
        If `backend` is neither.
    bdb.BdbQuit
        When it runs, if the user quits.

    Notes
    -----
    Where nobody can answer, since the input is no terminal and `stdin` is not given, the frame is
    shown and the program goes on.  It stops once each time that its place in the program is
    reached: under ``grad`` with the values, on the way forward; under ``vmap`` for one lane after
    another.  Values that belong to a transformation that has ended cannot be shown.
    """
    if not (backend in (None, "cli") or callable(backend)):
        raise ValueError(
            f"debug.breakpoint: backend must be None, 'cli' or a function; got {backend!r}"
        )
    if num_frames is not None and num_frames < 1:
        raise ValueError(f"debug.breakpoint: num_frames must be at least 1; got {num_frames}")
    open_ = backend if callable(backend) else _Cli(stdin, stdout)
    caller = sys._getframe(1)
    found = (_frames(caller, filter_frames) or _frames(caller, False))[:num_frames]
    values = [_locals(frame) for frame in found]
    # The frames themselves must not be kept alive, only what they hold.
    places = [(f.f_code.co_filename, f.f_code.co_name, f.f_lineno, f.f_globals) for f in found]
    del caller, found

    def stop(*values: dict[str, Any]) -> None:
        frames = []
        for (filename, function, line, around), own in zip(places, values, strict=True):
            held = {n: x.value if isinstance(x, _Opaque) else x for n, x in own.items()}
            frames.append(Frame(filename, function, line, held, around))
        open_(frames)

    bind_debug("debug.breakpoint", stop, values, {}, ordered, given=_is_array)


def _is_array(x: Any) -> bool:
    return isinstance(x, (Array, Tracer))


@dataclass(frozen=True, eq=False)
class _Opaque:
    """A variable that is no pytree."""

    value: Any


class _Gone:
    """Stands for a value that cannot be shown any more."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __repr__(self) -> str:
        return f"<{self._why}>"


def _locals(frame: FrameType) -> dict[str, Any]:
    """Return the local variables of a frame; none of a module, whose variables are global."""
    if frame.f_locals is frame.f_globals:
        return {}
    return {name: _shown(x) for name, x in frame.f_locals.items()}


def _shown(x: Any) -> Any:
    """Return a variable with what cannot be shown replaced."""
    try:
        leaves, treedef = tree_flatten(x)
    except Exception:  # it holds itself, or keys that cannot be sorted
        return _Opaque(x)
    return tree_unflatten(treedef, [_shown_leaf(leaf) for leaf in leaves])


def _shown_leaf(x: Any) -> Any:
    if isinstance(x, Tracer) and getattr(x.interpreter, "finished", False):
        return _Gone(f"a traced value of {x.aval!r}, whose transformation has ended")
    if isinstance(x, Array) and x.aval.device == DONATED:
        return _Gone("an array that was donated")
    return x


_INSTALLED = (
    "<frozen ",
    *(sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib")),
)


def _frames(frame: FrameType | None, filtered: bool) -> list[FrameType]:
    """Return the frames that are the user's, the innermost first."""
    found = []
    while frame is not None:
        code = frame.f_code
        if not is_ours(code) and not (filtered and code.co_filename.startswith(_INSTALLED)):
            found.append(frame)
        frame = frame.f_back
    return found


# --------------------------------------------------------------------------------- the prompt


@dataclass(frozen=True)
class _Cli:
    """Opens a prompt, if somebody can answer."""

    stdin: IO[str] | None
    stdout: IO[str] | None

    def __call__(self, frames: list[Frame]) -> None:
        prompt = _Prompt(frames, self.stdin, self.stdout)
        if self.stdin is None and not _somebody_there():
            prompt.where()
            prompt.do_locals("")
            prompt.say("no terminal to answer: going on")
            return
        prompt.cmdloop()


def _somebody_there() -> bool:
    # A notebook reads through an `input` of its own.
    if not isinstance(builtins.input, BuiltinFunctionType):
        return True
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:  # it is closed
        return False


class _Prompt(cmd.Cmd):
    """The commands, as pdb has them."""

    prompt = "(tracejit) "

    def __init__(
        self, frames: Sequence[Frame], stdin: IO[str] | None, stdout: IO[str] | None
    ) -> None:
        super().__init__(stdin=stdin, stdout=stdout)
        self.use_rawinput = stdin is None
        self.frames = frames
        self.at = 0

    @property
    def frame(self) -> Frame:
        """Where we are."""
        return self.frames[self.at]

    def say(self, text: str) -> None:
        """Write a line."""
        self.stdout.write(text + "\n")
        self.stdout.flush()

    def where(self) -> None:
        """Show the frame."""
        text = linecache.getline(self.frame.filename, self.frame.line).strip()
        self.say(f"> {self.frame}" + (f"\n-> {text}" if text else ""))

    def preloop(self) -> None:
        self.where()

    def emptyline(self) -> bool:
        return False

    def _names(self) -> dict[str, Any]:
        # Local variables too, for the functions and comprehensions in an expression.
        return {**self.frame.globals, **self.frame.locals}

    def _value(self, text: str) -> tuple[bool, Any]:
        """Evaluate an expression in the frame; return whether it could be, and its value."""
        try:
            return True, eval(text, self._names())
        except Exception as error:
            self.say("*** " + traceback.format_exception_only(error)[-1].strip())
            return False, None

    def default(self, line: str) -> None:
        """Run a line of Python in the frame."""
        text = line.removeprefix("!").strip()
        try:
            code = compile(text, "<debug.breakpoint>", "single")
        except SyntaxError as error:
            self.say("*** " + traceback.format_exception_only(error)[-1].strip())
            return
        shown, sys.displayhook = sys.displayhook, self._display
        try:
            exec(code, self._names(), self.frame.locals)
        except Exception as error:
            self.say("*** " + traceback.format_exception_only(error)[-1].strip())
        finally:
            sys.displayhook = shown

    def _display(self, value: object) -> None:
        if value is not None:
            self.say(repr(value))

    def do_p(self, arg: str) -> None:
        """p expression: print its value."""
        there, value = self._value(arg)
        if there:
            self.say(repr(value))

    def do_pp(self, arg: str) -> None:
        """pp expression: pretty-print its value."""
        there, value = self._value(arg)
        if there:
            self.say(pprint.pformat(value))

    def do_locals(self, arg: str) -> None:
        """locals: print the local variables."""
        for name, value in self.frame.locals.items():
            text = np.array2string(value, threshold=20) if isinstance(value, np.ndarray) \
                else reprlib.repr(value)  # fmt: skip
            self.say(f"{name} = {text}")

    def do_list(self, arg: str) -> None:
        """l(ist): print the lines around."""
        here = self.frame.line
        for number in range(max(here - 5, 1), here + 6):
            text = linecache.getline(self.frame.filename, number)
            if text:
                self.say(f"{number:4d} {'->' if number == here else '  '} {text.rstrip()}")

    do_l = do_list

    def do_where(self, arg: str) -> None:
        """w(here), bt: print all frames, the innermost last."""
        for number in reversed(range(len(self.frames))):
            self.say(f"{'> ' if number == self.at else '  '}{self.frames[number]}")

    do_w = do_bt = do_where

    def do_up(self, arg: str) -> None:
        """u(p): go to the frame that called this one."""
        self._go(self.at + 1, "*** this is the outermost frame")

    do_u = do_up

    def do_down(self, arg: str) -> None:
        """d(own): go to the frame that this one called."""
        self._go(self.at - 1, "*** this is the innermost frame")

    do_d = do_down

    def _go(self, number: int, otherwise: str) -> None:
        if 0 <= number < len(self.frames):
            self.at = number
            self.where()
        else:
            self.say(otherwise)

    def do_continue(self, arg: str) -> bool:
        """c(ontinue): go on."""
        return True

    do_c = do_cont = do_EOF = do_continue

    def do_quit(self, arg: str) -> bool:
        """q(uit), exit: stop the program with bdb.BdbQuit."""
        raise bdb.BdbQuit

    do_q = do_exit = do_quit
