"""Reports: errors of CUDA, said so that a user knows which function failed and what is lost.

A kernel that fails does so after it was launched: the error comes out of some later call.  So the
functions that ran last are remembered until the host has waited for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from tracejit_cuda.runtime import CudaError

__all__ = ["Reports"]

REMEMBERED = 8
"""Functions that an error names."""


class Reports:
    """What ran, and what to say when it fails.

    Parameters
    ----------
    cuda : module
        ``cupy.cuda``.

    Attributes
    ----------
    errors : tuple of type
        The classes of CUDA's errors in CuPy.
    """

    def __init__(self, cuda: Any) -> None:
        self._api = cuda.runtime
        self.errors = (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError)
        self._recent: deque[str] = deque(maxlen=REMEMBERED)
        self._latest = ""

    def remember(self, name: str) -> None:
        """Note that a function was launched."""
        if name != self._latest:
            self._latest = name
            self._recent.append(name)

    def forget(self) -> None:
        """Note that all that was launched is done."""
        self._latest = ""
        self._recent.clear()

    @contextmanager
    def reported(self, device: int, what: str = "") -> Iterator[None]:
        """Raise errors of CUDA in the body as :class:`CudaError`."""
        try:
            yield
        except self.errors as error:
            self.fail(error, device, what)

    def fail(self, error: Exception, device: int, what: str = "") -> NoReturn:
        """Raise an error of CUDA as a :class:`CudaError`.

        Parameters
        ----------
        error : Exception
            One of `errors`.
        device : int
            Where it happened.
        what : str
            What was to be done, if that may be what failed.
        """
        if not self._is_lost():
            refused = f"CUDA device {device} refuses {what or 'a call'}: {error}"
            raise CudaError(refused) from error
        recent = ", ".join(dict.fromkeys(reversed(self._recent))) or "none that is known"
        raise CudaError(
            f"CUDA device {device} failed: {error}.  It ran these functions, the latest first: "
            f"{recent}.  Earlier results that are still on the device are lost, and this process "
            "cannot use the device any more"
        ) from error

    def _is_lost(self) -> bool:
        """Whether the context is broken: then every call fails, and so does this."""
        try:
            self._api.streamSynchronize(0)
        except self.errors:
            return True
        return False
