"""A pause of the cyclic garbage collector while a program is traced or compiled.

These make tens of thousands of objects that stay alive and no garbage, and each collection that
they set off looks at everything the process has imported: without the pause it takes a third of a
compilation, more in a young process.
"""

from __future__ import annotations

import gc

__all__ = ["collector_paused"]


class collector_paused:
    """Context manager: no collection inside the block, if the collector was on.

    Of two threads inside, the one that switched the collector off switches it on.
    """

    __slots__ = ("_on",)

    def __enter__(self) -> None:
        self._on = gc.isenabled()
        if self._on:
            gc.disable()

    def __exit__(self, *exc: object) -> None:
        if self._on:
            gc.enable()
