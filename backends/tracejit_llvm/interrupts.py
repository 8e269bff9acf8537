"""SIGINT during a long native run.

Python's own handler of a signal only notes that it came; the Python code that raises
KeyboardInterrupt runs in the main thread when that next executes bytecode, which during a native
run is never.  So while the main thread is in a long run a native handler stands before Python's: it
calls it, and sets the flag that the driver looks at.

The structure of ``sigaction`` differs between systems, but the handler is its first word on those
where this is used, which is checked each time; all else is copied as the system gave it.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from typing import Any

__all__ = ["Interrupts"]

_DEFAULT, _IGNORED = 0, 1
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
        self._act: Any = None
        self._handler_of = ctypes.pythonapi.PyOS_getsig
        self._handler_of.restype, self._handler_of.argtypes = ctypes.c_void_p, [ctypes.c_int]
        if sys.platform in ("linux", "darwin"):
            self._act = ctypes.CDLL(None).sigaction
            self._act.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]

    def usable(self) -> bool:
        """Whether this is the main thread of a system where it works."""
        return self._act is not None and threading.current_thread() is threading.main_thread()

    def __enter__(self) -> None:
        """Put the native handler first; enter only if `usable`, and nest at will."""
        self._depth += 1
        if self._depth == 1:
            action = self._current()
            before = int.from_bytes(action[:8], sys.byteorder)
            known = before == (self._handler_of(signal.SIGINT) or _DEFAULT)
            if known and before not in (_DEFAULT, _IGNORED, self._handler):
                self._previous.value = before
                self._set(action, self._handler)

    def __exit__(self, *error: object) -> None:
        """Put back the handler that was there, unless it has been changed meanwhile."""
        self._depth -= 1
        if self._depth == 0:
            action = self._current()
            if int.from_bytes(action[:8], sys.byteorder) == self._handler:
                self._set(action, self._previous.value)

    def _current(self) -> Any:
        action = (ctypes.c_char * _BYTES)()
        self._act(signal.SIGINT, None, action)
        return action

    def _set(self, action: Any, handler: int) -> None:
        action[:8] = handler.to_bytes(8, sys.byteorder)
        self._act(signal.SIGINT, action, None)
