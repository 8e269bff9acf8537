"""``tracejit.errors``: the errors, and JAX's names for those of the same meaning.

``ConcretizationTypeError`` and the ``Tracer...ConversionError`` are one class here: it says which
question Python asked of a traced value.
"""

from __future__ import annotations

from tracejit.core.errors import (
    AxisError,
    BoundsError,
    ConcretizationError,
    DeviceError,
    DonatedError,
    DTypeError,
    FormatError,
    LeakedTracerError,
    MissingRuleError,
    NanError,
    ShapeError,
    SparsityError,
    StructureError,
    TracejitError,
)
from tracejit.core.errors import BoundsError as JAXIndexError
from tracejit.core.errors import ConcretizationError as ConcretizationTypeError
from tracejit.core.errors import ConcretizationError as NonConcreteBooleanIndexError
from tracejit.core.errors import ConcretizationError as TracerArrayConversionError
from tracejit.core.errors import ConcretizationError as TracerBoolConversionError
from tracejit.core.errors import ConcretizationError as TracerIntegerConversionError
from tracejit.core.errors import DTypeError as JAXTypeError
from tracejit.core.errors import LeakedTracerError as UnexpectedTracerError
from tracejit.core.errors import TracejitError as JaxRuntimeError

__all__ = [
    "AxisError",
    "BoundsError",
    "ConcretizationError",
    "ConcretizationTypeError",
    "DTypeError",
    "DeviceError",
    "DonatedError",
    "FormatError",
    "JAXIndexError",
    "JAXTypeError",
    "JaxRuntimeError",
    "LeakedTracerError",
    "MissingRuleError",
    "NanError",
    "NonConcreteBooleanIndexError",
    "ShapeError",
    "SparsityError",
    "StructureError",
    "TracejitError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "UnexpectedTracerError",
]
