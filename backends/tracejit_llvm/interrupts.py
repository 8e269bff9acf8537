"""SIGINT during a long native run.

Python's own handler of a signal only notes that it came; the Python code that raises
KeyboardInterrupt runs in the main thread when that next executes bytecode, which during a native
run is never.  So while the main thread is in a long run a native handler stands before Python's: it
calls it, and sets the flag that the driver looks at.

The structure of ``sigaction`` differs between systems, but the handler is its first word on those
where this is used, which is checked; all else is copied as the system gave it.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from typing import Any

__all__ = ["Interrupts"]

_SIGINT = int(signal.SIGINT)
_DEFAULT, _IGNORED = 0, 1
_WORD = ctypes.sizeof(ctypes.c_void_p)
_BYTES = 512
"""More than any system's ``struct sigaction``."""


class Interrupts:
    """The native handler of SIGINT; for the main thread.

    Parameters
    ----------
    handler : int
        Address of the native function ``on_signal``.
    flag, previous : int
        Addresses of the words ``interrupted`` and ``previous_handler``.
    """

    def __init__(self, handler: int, flag: int, previous: int) -> None:
        self.flag = flag
        self._handler = handler
        self._previous = ctypes.c_size_t.from_address(previous)
        self._depth = 0
        self._ours = bytes(_BYTES)
        self._before = bytes(_BYTES)
        self._seen = (ctypes.c_char * _BYTES)()
        self._seen_address = ctypes.addressof(self._seen)
        self._act: Any = None
        if sys.platform in ("linux", "darwin"):
            self._act = ctypes.CDLL(None).sigaction
            self._act.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p]
            self._act(_SIGINT, None, self._seen_address)
            if _handler_in(self._seen.raw) != _handler_python_sees():
                self._act = None  # it is not the first word here

    def usable(self) -> bool:
        """Whether this is the main thread of a system where it works."""
        return self._act is not None and threading.current_thread() is threading.main_thread()

    def __enter__(self) -> None:
        """Put the native handler first; enter only if `usable`, and nest at will."""
        self._depth += 1
        if self._depth > 1:
            return
        act = self._act
        # Mostly the action is that of the last time, and one exchange will do.
        act(_SIGINT, self._ours if self._previous.value else None, self._seen_address)
        seen = self._seen.raw
        if seen == self._before and self._previous.value:
            return
        handler = _handler_in(seen)
        if handler == self._handler:
            return
        if handler in (_DEFAULT, _IGNORED):
            act(_SIGINT, seen, None)
            return
        self._before = seen
        self._ours = self._handler.to_bytes(_WORD, sys.byteorder) + seen[_WORD:]
        self._previous.value = handler
        act(_SIGINT, self._ours, None)

    def __exit__(self, *error: object) -> None:
        """Put back the handler that was there, unless it has been changed meanwhile."""
        self._depth -= 1
        if self._depth or not self._previous.value:
            return
        self._act(_SIGINT, self._before, self._seen_address)
        seen = self._seen.raw
        if _handler_in(seen) != self._handler:
            self._act(_SIGINT, seen, None)


def _handler_in(action: bytes) -> int:
    return int.from_bytes(action[:_WORD], sys.byteorder)


def _handler_python_sees() -> int:
    get = ctypes.pythonapi.PyOS_getsig
    get.restype, get.argtypes = ctypes.c_size_t, [ctypes.c_int]
    return int(get(_SIGINT))
