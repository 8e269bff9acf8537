"""``tracejit.numpy``: NumPy's functions, recorded while tracing.

Names, signatures, defaults and dtypes are NumPy's; what differs stands in the docstrings.
Importing the package installs operators and methods on Array and Tracer
(:mod:`tracejit.numpy.methods`), a sanctioned upward hook.
"""

# Several names a line, so that the list can be read.
# isort: skip_file

from __future__ import annotations

import sys
from typing import Any

from tracejit.core.array import Array as ndarray
from tracejit.numpy import absent, emath, fft, linalg, methods, protocol, ufunc_methods
from tracejit.numpy.conversion import (
    asanyarray, asarray_chkfinite, broadcast_shapes, common_type, min_scalar_type, mintypecode,
    ndenumerate, ndindex, real_if_close, require, sort_complex, trim_zeros, typecodes, typename,
)
from tracejit.numpy.creation import (
    arange, array, asarray, ascontiguousarray, astype, copy, diag_indices, empty, empty_like, eye,
    from_dlpack, frombuffer, fromfunction, full, full_like, geomspace, identity, indices, linspace,
    logspace, meshgrid, mgrid, ogrid, ones, ones_like, tri, tril, tril_indices, triu, triu_indices,
    vander, zeros, zeros_like,
)
from tracejit.numpy.division import (
    divmod, float_power, floor_divide, fmod, mod, pow, power, remainder,
)
from tracejit.numpy.dtypes import (
    False_, ScalarType, True_, bfloat16, bool_, byte, can_cast, cdouble, character, complex64,
    complex128, complex_, complexfloating, csingle, double, dtype, e, euler_gamma, finfo, flexible,
    float16, float32, float64, float_, floating, generic, half, iinfo, inexact, inf, int8, int16,
    int32, int64, int_, intc, integer, intp, isdtype, issubdtype, long, longlong, nan, ndim,
    newaxis, number, object_, pi, promote_types, result_type, shape, short, signedinteger, single,
    size, ubyte, uint, uint8, uint16, uint32, uint64, uintc, uintp, ulong, ulonglong,
    unsignedinteger, ushort,
)
from tracejit.numpy.files import (
    fromfile, fromiter, fromregex, fromstring, genfromtxt, load, loadtxt, save, savetxt, savez,
    savez_compressed,
)
from tracejit.numpy.number_parts import frexp, gcd, lcm, modf, packbits, spacing, unpackbits
from tracejit.numpy.functional import (
    apply_along_axis, apply_over_axes, frompyfunc, iterable, vectorize,
)
from tracejit.numpy.index_tricks import (
    c_, diag_indices_from, fill_diagonal, index_exp, ix_, mask_indices, place, put, put_along_axis,
    putmask, r_, s_, tril_indices_from, triu_indices_from,
)
from tracejit.numpy.inspection import API_VERSION as __array_api_version__
from tracejit.numpy.inspection import namespace_info as __array_namespace_info__
from tracejit.numpy.logic import (
    allclose, array_equal, array_equiv, equal, greater, greater_equal, isclose, iscomplex,
    iscomplexobj, isfinite, isinf, isnan, isneginf, isposinf, isreal, isrealobj, isscalar, less,
    less_equal, logical_and, logical_not, logical_or, logical_xor, not_equal, signbit,
)
from tracejit.numpy.manipulation import (
    append, array_split, atleast_1d, atleast_2d, atleast_3d, block, broadcast_arrays, broadcast_to,
    column_stack, concat, concatenate, delete, dsplit, dstack, expand_dims, flip, fliplr, flipud,
    hsplit, hstack, insert, matrix_transpose, moveaxis, permute_dims, ravel, repeat, reshape,
    resize, roll, rollaxis, rot90, split, squeeze, stack, swapaxes, tile, transpose, unstack,
    vsplit, vstack,
)
from tracejit.numpy.numeric import (
    angle, around, clip, convolve, correlate, diff, ediff1d, gradient, imag, interp, nan_to_num,
    real, round, sinc, trapezoid, unwrap,
)
from tracejit.numpy.padding import pad
from tracejit.numpy.polynomials import (
    poly, polyadd, polyder, polydiv, polyfit, polyint, polymul, polysub, polyval, roots,
)
from tracejit.numpy.printing import (
    array2string, array_repr, array_str, base_repr, binary_repr, format_float_positional,
    format_float_scientific, get_printoptions, printoptions, set_printoptions,
)
from tracejit.numpy.products import (
    cross, diag, diagflat, diagonal, dot, einsum, einsum_path, inner, kron, matmul, matvec, outer,
    tensordot, trace, vdot, vecdot, vecmat,
)
from tracejit.numpy.quantiles import (
    median, nanmedian, nanpercentile, nanquantile, percentile, quantile,
)
from tracejit.numpy.reductions import (
    all, amax, amin, any, argmax, argmin, average, count_nonzero, cumprod, cumsum, cumulative_prod,
    cumulative_sum, max, mean, min, nanargmax, nanargmin, nancumprod, nancumsum, nanmax, nanmean,
    nanmin, nanprod, nanstd, nansum, nanvar, prod, ptp, std, sum, var,
)
from tracejit.numpy.searching import (
    argpartition, argsort, argwhere, bincount, choose, compress, digitize, extract, flatnonzero,
    lexsort, nonzero, partition, piecewise, ravel_multi_index, searchsorted, sort, take,
    take_along_axis, unravel_index, where,
)
from tracejit.numpy.searching import select_ as select
from tracejit.numpy.sets import (
    intersect1d, isin, setdiff1d, setxor1d, union1d, unique, unique_all, unique_counts,
    unique_inverse, unique_values,
)
from tracejit.numpy.statistics import (
    corrcoef, cov, histogram, histogram2d, histogram_bin_edges, histogramdd,
)
from tracejit.numpy.ufunc_methods import ufunc
from tracejit.numpy.ufuncs import (
    abs, absolute, acos, acosh, add, arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh,
    asin, asinh, atan, atan2, atanh, bitwise_and, bitwise_count, bitwise_invert,
    bitwise_left_shift, bitwise_not, bitwise_or, bitwise_right_shift, bitwise_xor, cbrt, ceil,
    conj, conjugate, copysign, cos, cosh, deg2rad, degrees, divide, exp, exp2, expm1, fabs, fix,
    floor, fmax, fmin, heaviside, hypot, invert, ldexp, left_shift, log, log1p, log2, log10,
    logaddexp, logaddexp2, maximum, minimum, multiply, negative, nextafter, positive, rad2deg,
    radians, reciprocal, right_shift, rint, sign, sin, sinh, sqrt, square, subtract, tan, tanh,
    true_divide, trunc,
)
from tracejit.numpy.windows import bartlett, blackman, hamming, hanning, i0, kaiser

__all__ = [
    "False_", "ScalarType", "True_", "__array_api_version__", "__array_namespace_info__", "abs",
    "absolute", "acos", "acosh", "add", "all", "allclose", "amax", "amin", "angle", "any",
    "append", "apply_along_axis", "apply_over_axes", "arange", "arccos", "arccosh", "arcsin",
    "arcsinh", "arctan", "arctan2", "arctanh", "argmax", "argmin", "argpartition", "argsort",
    "argwhere", "around", "array", "array2string", "array_equal", "array_equiv", "array_repr",
    "array_split", "array_str", "asanyarray", "asarray", "asarray_chkfinite", "ascontiguousarray",
    "asin", "asinh", "astype", "atan", "atan2", "atanh", "atleast_1d", "atleast_2d", "atleast_3d",
    "average", "bartlett", "base_repr", "bfloat16", "binary_repr", "bincount", "bitwise_and",
    "bitwise_count", "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "blackman", "block", "bool_", "broadcast_arrays",
    "broadcast_shapes", "broadcast_to", "byte", "c_", "can_cast", "cbrt", "cdouble", "ceil",
    "character", "choose", "clip", "column_stack", "common_type", "complex64", "complex128",
    "complex_", "complexfloating", "compress", "concat", "concatenate", "conj", "conjugate",
    "convolve", "copy", "copysign", "corrcoef", "correlate", "cos", "cosh", "count_nonzero", "cov",
    "cross", "csingle", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "deg2rad",
    "degrees", "delete", "diag", "diag_indices", "diag_indices_from", "diagflat", "diagonal",
    "diff", "digitize", "divide", "divmod", "dot", "double", "dsplit", "dstack", "dtype", "e",
    "ediff1d", "einsum", "einsum_path", "emath", "empty", "empty_like", "equal", "euler_gamma",
    "exp", "exp2", "expand_dims", "expm1", "extract", "eye", "fabs", "fft", "fill_diagonal",
    "finfo", "fix", "flatnonzero", "flexible", "flip", "fliplr", "flipud", "float16", "float32",
    "float64", "float_", "float_power", "floating", "floor", "floor_divide", "fmax", "fmin",
    "fmod", "format_float_positional", "format_float_scientific", "frexp", "from_dlpack",
    "frombuffer", "fromfile", "fromfunction", "fromiter", "frompyfunc", "fromregex", "fromstring",
    "full", "full_like", "gcd", "generic", "genfromtxt", "geomspace", "get_printoptions",
    "gradient", "greater", "greater_equal", "half", "hamming", "hanning", "heaviside", "histogram",
    "histogram2d", "histogram_bin_edges", "histogramdd", "hsplit", "hstack", "hypot", "i0",
    "identity", "iinfo", "imag", "index_exp", "indices", "inexact", "inf", "inner", "insert",
    "int8", "int16", "int32", "int64", "int_", "intc", "integer", "interp", "intersect1d", "intp",
    "invert", "isclose", "iscomplex", "iscomplexobj", "isdtype", "isfinite", "isin", "isinf",
    "isnan", "isneginf", "isposinf", "isreal", "isrealobj", "isscalar", "issubdtype", "iterable",
    "ix_", "kaiser", "kron", "lcm", "ldexp", "left_shift", "less", "less_equal", "lexsort",
    "linalg", "linspace", "load", "loadtxt", "log", "log1p", "log2", "log10", "logaddexp",
    "logaddexp2", "logical_and", "logical_not", "logical_or", "logical_xor", "logspace", "long",
    "longlong", "mask_indices", "matmul", "matrix_transpose", "matvec", "max", "maximum", "mean",
    "median", "meshgrid", "mgrid", "min", "min_scalar_type", "minimum", "mintypecode", "mod",
    "modf", "moveaxis", "multiply", "nan", "nan_to_num", "nanargmax", "nanargmin", "nancumprod",
    "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin", "nanpercentile", "nanprod",
    "nanquantile", "nanstd", "nansum", "nanvar", "ndarray", "ndenumerate", "ndim", "ndindex",
    "negative", "newaxis", "nextafter", "nonzero", "not_equal", "number", "object_", "ogrid",
    "ones", "ones_like", "outer", "packbits", "pad", "partition", "percentile", "permute_dims",
    "pi", "piecewise", "place", "poly", "polyadd", "polyder", "polydiv", "polyfit", "polyint",
    "polymul", "polysub", "polyval", "positive", "pow", "power", "printoptions", "prod",
    "promote_types", "ptp", "put", "put_along_axis", "putmask", "quantile", "r_", "rad2deg",
    "radians", "ravel", "ravel_multi_index", "real", "real_if_close", "reciprocal", "remainder",
    "repeat", "require", "reshape", "resize", "result_type", "right_shift", "rint", "roll",
    "rollaxis", "roots", "rot90", "round", "s_", "save", "savetxt", "savez", "savez_compressed",
    "searchsorted", "select", "set_printoptions", "setdiff1d", "setxor1d", "shape", "short",
    "sign", "signbit", "signedinteger", "sin", "sinc", "single", "sinh", "size", "sort",
    "sort_complex", "spacing", "split", "sqrt", "square", "squeeze", "stack", "std", "subtract",
    "sum", "swapaxes", "take", "take_along_axis", "tan", "tanh", "tensordot", "tile", "trace",
    "transpose", "trapezoid", "tri", "tril", "tril_indices", "tril_indices_from", "trim_zeros",
    "triu", "triu_indices", "triu_indices_from", "true_divide", "trunc", "typecodes", "typename",
    "ubyte", "ufunc", "uint", "uint8", "uint16", "uint32", "uint64", "uintc", "uintp", "ulong",
    "ulonglong", "union1d", "unique", "unique_all", "unique_counts", "unique_inverse",
    "unique_values", "unpackbits", "unravel_index", "unsignedinteger", "unstack", "unwrap",
    "ushort", "vander", "var", "vdot", "vecdot", "vecmat", "vectorize", "vsplit", "vstack",
    "where", "zeros", "zeros_like",
]  # fmt: skip

bool = bool_
methods.install()
protocol.install(globals(), vars(linalg), vars(fft), vars(emath), sys.modules[__name__])
ufunc_methods.install(globals())


def __getattr__(name: str) -> Any:
    raise absent.missing(name, __all__)
