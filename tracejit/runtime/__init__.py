"""Where and when programs run: eager evaluation, jit, devices, backends, caches.

Importing this package installs the eager interpreter at the bottom of the interpreter stack.
"""

from tracejit.runtime.control import run_control
from tracejit.runtime.eager import install
from tracejit.runtime.jit import jit, native

install(run_control, native)

__all__ = ["jit"]
