"""Errors in the user's words.

::

    TracejitError
    |-- ShapeError (ValueError)         shapes, axes, or permutations that do not fit
    |-- DTypeError (TypeError)          dtypes that do not fit
    |-- StructureError (TypeError)      pytrees that do not match
    |-- ConcretizationError (TypeError) Python needs a value that is only traced
    |-- FormatError (ValueError)        a format string that does not fit what it shall show
    |-- LeakedTracerError (ValueError)  a traced value outlived its trace
    |-- DonatedError (RuntimeError)     an array whose memory was given away
    |-- DeviceError (ValueError)        arrays on several devices; no such device
    |-- MissingRuleError (NotImplementedError)
    |-- SparsityError (ValueError)      a pattern of zeros that is wrong, or that has hardly any
    |-- NanError (FloatingPointError)   an operation made a NaN, under ``debug_nans``
    `-- BoundsError (IndexError)        an index that is out of range at trace time

Each names what must hold, what was got and the remedy, and appends the line of the user's code
during which it was raised.
"""

from __future__ import annotations

import numpy as np

from tracejit.core.source import current_source, describe

__all__ = [
    "AxisError",
    "BoundsError",
    "ConcretizationError",
    "DTypeError",
    "DeviceError",
    "DonatedError",
    "FormatError",
    "LeakedTracerError",
    "MissingRuleError",
    "NanError",
    "ShapeError",
    "SparsityError",
    "StructureError",
    "TracejitError",
]


class TracejitError(Exception):
    """The root of the library's errors; appends the user's line to the message."""

    def __init__(self, message: str) -> None:
        where = describe(current_source())
        super().__init__(f"{message}\n  at {where}" if where else message)


class ShapeError(TracejitError, ValueError):
    """Shapes, axes or permutations that do not fit."""


class AxisError(ShapeError, np.exceptions.AxisError):
    """An axis that an array does not have: ValueError and IndexError, as NumPy's."""


class DTypeError(TracejitError, TypeError):
    """Dtypes that do not fit."""


class StructureError(TracejitError, TypeError):
    """Pytrees that do not match."""


class ConcretizationError(TracejitError, TypeError):
    """Python asked for the value of an array that is only traced."""


class FormatError(TracejitError, ValueError):
    """A format string that does not fit what it shall show."""


class LeakedTracerError(TracejitError, ValueError):
    """A traced value was used after its trace had ended."""


class DonatedError(TracejitError, RuntimeError):
    """An array was used after its memory had been given to a jitted function."""


class DeviceError(TracejitError, ValueError):
    """Arrays on several devices, or a device that there is not."""


class MissingRuleError(TracejitError, NotImplementedError):
    """A primitive has no rule for what was asked; the message says why."""


class SparsityError(TracejitError, ValueError):
    """A pattern of zeros that is wrong, or a derivative that has hardly any."""


class NanError(TracejitError, FloatingPointError):
    """An operation made a NaN, and :class:`tracejit.settings` says that this is an error."""


class BoundsError(TracejitError, IndexError):
    """An index is out of range: one known at trace time, or any under ``check_bounds``."""
