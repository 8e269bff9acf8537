"""Where and when programs run: eager evaluation, jit, devices, backends, caches.

Importing this package installs the eager interpreter at the bottom of the interpreter stack.
"""

from tracejit.runtime.control import run_control
from tracejit.runtime.eager import install
from tracejit.runtime.jit import jit, native
from tracejit.runtime.settings import follow_environment

install(run_control, native)
follow_environment()

__all__ = ["jit"]
