"""``tracejit.scipy.interpolate``: values between samples.

The interpolators are pytrees: arguments and results of transformed functions.
"""

from tracejit.scipy.interpolate.cubic import (
    Akima1DInterpolator,
    CubicHermiteSpline,
    CubicSpline,
    PchipInterpolator,
    pchip_interpolate,
)
from tracejit.scipy.interpolate.grids import RegularGridInterpolator, interpn
from tracejit.scipy.interpolate.lines import (
    BarycentricInterpolator,
    barycentric_interpolate,
    interp1d,
)
from tracejit.scipy.interpolate.piecewise import PPoly
from tracejit.scipy.interpolate.radial import RBFInterpolator

__all__ = [
    "Akima1DInterpolator", "BarycentricInterpolator", "CubicHermiteSpline", "CubicSpline",
    "PPoly", "PchipInterpolator", "RBFInterpolator", "RegularGridInterpolator",
    "barycentric_interpolate", "interp1d", "interpn", "pchip_interpolate",
]  # fmt: skip
