"""``tracejit.scipy.ndimage``: images of any rank, filtered, moved and measured."""

from tracejit.scipy.ndimage.labelled import (
    center_of_mass,
    maximum,
    mean,
    minimum,
    standard_deviation,
    sum_labels,
    variance,
)
from tracejit.scipy.ndimage.linear import (
    convolve,
    convolve1d,
    correlate,
    correlate1d,
    gaussian_filter,
    gaussian_filter1d,
    gaussian_gradient_magnitude,
    gaussian_laplace,
    generic_gradient_magnitude,
    generic_laplace,
    laplace,
    prewitt,
    sobel,
    uniform_filter,
    uniform_filter1d,
)
from tracejit.scipy.ndimage.ranks import (
    grey_closing,
    grey_dilation,
    grey_erosion,
    grey_opening,
    maximum_filter,
    maximum_filter1d,
    median_filter,
    minimum_filter,
    minimum_filter1d,
    percentile_filter,
    rank_filter,
)
from tracejit.scipy.ndimage.splines import map_coordinates, spline_filter, spline_filter1d
from tracejit.scipy.ndimage.transformations import (
    affine_transform,
    geometric_transform,
    rotate,
    shift,
    zoom,
)

__all__ = [
    "affine_transform", "center_of_mass", "convolve", "convolve1d", "correlate", "correlate1d",
    "gaussian_filter", "gaussian_filter1d", "gaussian_gradient_magnitude", "gaussian_laplace",
    "generic_gradient_magnitude", "generic_laplace", "geometric_transform", "grey_closing",
    "grey_dilation", "grey_erosion", "grey_opening", "laplace", "map_coordinates", "maximum",
    "maximum_filter", "maximum_filter1d", "mean", "median_filter", "minimum", "minimum_filter",
    "minimum_filter1d", "percentile_filter", "prewitt", "rank_filter", "rotate", "shift", "sobel",
    "spline_filter", "spline_filter1d", "standard_deviation", "sum_labels", "uniform_filter",
    "uniform_filter1d", "variance", "zoom",
]  # fmt: skip
