"""The namespace of a simulated device: NumPy's names, over its arrays.

It stands for the module ``cupy``: rules get it as ``xp``.  Functions get device arrays and return
device arrays; types and constants are NumPy's.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from tracejit_cuda.simulator.arrays import SORTS, DeviceArray, apply, stably
from tracejit_cuda.simulator.memory import Heap

__all__ = ["Namespace", "Place", "make_namespace"]

NAME = "cudasim"
SPECIAL = f"{NAME}x.scipy.special"
"""Where rules look for special functions: as ``cupyx.scipy.special`` is to ``cupy``."""


class Place(threading.local):
    """The device on which this thread makes arrays out of nothing.

    Parameters
    ----------
    heaps : sequence of Heap
        Of all devices.
    """

    def __init__(self, heaps: Sequence[Heap]) -> None:
        self.heaps = heaps
        self.device = 0

    @property
    def heap(self) -> Heap:
        """Of the current device."""
        return self.heaps[self.device]

    @contextmanager
    def at(self, device: int) -> Iterator[None]:
        """Make a device the current one."""
        before, self.device = self.device, device
        try:
            yield
        finally:
            self.device = before


SCATTERING = frozenset(
    ("add", "subtract", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor")
)
"""The ufuncs of which CuPy has the method ``at``."""


class _Function:
    """A function of NumPy over device arrays; a ufunc with its methods."""

    def __init__(self, function: Any, place: Place) -> None:
        self._function = function
        self._place = place
        self.__name__ = getattr(function, "__name__", "function")

    def __call__(self, *args: Any, **options: Any) -> Any:
        if isinstance(self._function, np.ufunc):
            for x in args:
                if isinstance(x, np.ndarray):  # as CuPy
                    raise TypeError(f"Unsupported type {type(x)}")
        function = self._function
        if self.__name__ in SORTS:
            function = stably(function)
        elif self.__name__ == "lexsort" and (len(args) > 1 or options):
            raise TypeError("CuPy's lexsort has no axis")
        return apply(function, args, options, self._place.heap)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._function, name)
        if name == "at" and self.__name__ not in SCATTERING:
            raise NotImplementedError(f"CuPy has no {self.__name__}.at")
        return _Function(found, self._place) if callable(found) else found

    def __repr__(self) -> str:
        return f"<{self.__name__} over device arrays>"


class Namespace:
    """A module of NumPy or SciPy whose functions take and return device arrays.

    Parameters
    ----------
    module : module
        Which.
    place : Place
        Where arrays are made.
    name : str
        Its name.
    """

    def __init__(self, module: ModuleType, place: Place, name: str = NAME) -> None:
        self._module = module
        self._place = place
        self.__name__ = name

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        value: Any
        if found is np.ndarray:
            value = DeviceArray
        elif isinstance(found, ModuleType):
            value = Namespace(found, self._place, f"{self.__name__}.{name}")
        elif callable(found) and not isinstance(found, type):
            value = _Function(found, self._place)
        else:
            value = found
        setattr(self, name, value)
        return value

    def __repr__(self) -> str:
        return f"<{self.__name__}: {self._module.__name__} over device arrays>"


def make_namespace(place: Place) -> Namespace:
    """Return the namespace of the devices of a place."""
    _offer_special(place)
    return Namespace(np, place)


def _offer_special(place: Place) -> None:
    """Let the special functions be imported by the name that rules form of the namespace's."""
    if SPECIAL not in sys.modules:
        special = importlib.import_module("scipy.special")
        sys.modules[SPECIAL] = Namespace(special, place, SPECIAL)  # type: ignore[assignment]
