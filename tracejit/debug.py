"""``tracejit.debug``: look at values of a program as it runs, wherever it runs.

They work under every transformation, each time that their place in the program is reached.
"""

from tracejit.control.breakpoints import debug_breakpoint as breakpoint
from tracejit.control.callbacks import debug_callback as callback
from tracejit.control.printing import debug_print as print
from tracejit.runtime.meshes import visualize_array_sharding

__all__ = ["breakpoint", "callback", "print", "visualize_array_sharding"]
