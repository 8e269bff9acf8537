"""Names of NumPy and of JAX that this namespace does not have: why, and what to use.

Every public name of NumPy is either here or in ``tracejit.numpy``; a test holds that.
"""

from __future__ import annotations

import importlib

__all__ = ["ABSENT", "missing"]

_PLACE = "arrays are immutable and have no memory of their own to look at; "
_NO_DATES = "dates are no numbers that can be differentiated or compiled; convert them by NumPy"
_NO_WARNINGS = (
    "floating-point operations never warn; tracejit.settings(debug_nans=True) finds what makes a "
    "NaN"
)
_NUMPY_ITSELF = "it is about NumPy itself; use numpy."
_NARROW = "no such dtype can be computed with; use float16, bfloat16, or ml_dtypes and NumPy"

ABSENT: dict[str, str] = {
    "asfortranarray": "arrays are always in row-major order; leave it out",
    "asmatrix": "there is no matrix class; use array, and @ for products",
    "bmat": "there is no matrix class; use block",
    "broadcast": "use broadcast_shapes for the shape, broadcast_arrays for the arrays",
    "busday_count": _NO_DATES,
    "busday_offset": _NO_DATES,
    "busdaycalendar": _NO_DATES,
    "bytes_": "strings are no numbers; use numpy.bytes_",
    "char": "strings are no numbers; use numpy.strings",
    "clongdouble": "there is no wider dtype than complex128",
    "complex256": "there is no wider dtype than complex128",
    "copyto": _PLACE + "write x = where(mask, values, x)",
    "core": _NUMPY_ITSELF + "core",
    "ctypeslib": _PLACE + "use numpy.ctypeslib on numpy.asarray(x)",
    "datetime64": _NO_DATES,
    "datetime_as_string": _NO_DATES,
    "datetime_data": _NO_DATES,
    "errstate": _NO_WARNINGS,
    "exceptions": "errors are those of tracejit.core.errors; numpy.exceptions has NumPy's",
    "f2py": _NUMPY_ITSELF + "f2py",
    "flatiter": _PLACE + "use x.flat, or ravel(x)",
    "float128": "there is no wider dtype than float64",
    "get_include": _NUMPY_ITSELF + "get_include",
    "getbufsize": _NUMPY_ITSELF + "getbufsize",
    "geterr": _NO_WARNINGS,
    "geterrcall": _NO_WARNINGS,
    "info": "use help(name)",
    "is_busday": _NO_DATES,
    "isfortran": "arrays are always in row-major order",
    "isnat": _NO_DATES,
    "lib": _NUMPY_ITSELF + "lib",
    "little_endian": "use sys.byteorder",
    "longdouble": "there is no wider dtype than float64",
    "ma": "masked arrays are not supported; keep a mask beside the array, and use where",
    "matrix": "there is no matrix class; use array, and @ for products",
    "may_share_memory": _PLACE + "no array can be seen to change",
    "memmap": "arrays live in memory; read a part with numpy.memmap, then asarray",
    "nditer": "a loop over elements is not compiled; use whole arrays, or vmap",
    "nested_iters": "a loop over elements is not compiled; use whole arrays, or vmap",
    "poly1d": "use the coefficients themselves, with polyval, polymul, polyder, ...",
    "polynomial": "use polyval, polyfit and their kin, or numpy.polynomial for known coefficients",
    "random": "random numbers need a key: tracejit.random",
    "rec": "records are not supported; use a dict of arrays, which every transformation takes",
    "recarray": "records are not supported; use a dict of arrays",
    "record": "records are not supported; use a dict of arrays",
    "row_stack": "it was renamed; use vstack",
    "sctypeDict": _NUMPY_ITSELF + "sctypeDict",
    "setbufsize": _NUMPY_ITSELF + "setbufsize",
    "seterr": _NO_WARNINGS,
    "seterrcall": _NO_WARNINGS,
    "shares_memory": _PLACE + "no array can be seen to change",
    "show_config": _NUMPY_ITSELF + "show_config",
    "show_runtime": _NUMPY_ITSELF + "show_runtime",
    "str_": "strings are no numbers; use numpy.str_",
    "strings": "strings are no numbers; use numpy.strings",
    "test": _NUMPY_ITSELF + "test",
    "testing": "use numpy.testing, whose functions take our arrays",
    "timedelta64": _NO_DATES,
    "typing": "use tracejit.Array, or numpy.typing for what can become an array",
    "void": "records are not supported; use a dict of arrays",
    # Names of JAX.
    "float4_e2m1fn": _NARROW,
    "float6_e2m3fn": _NARROW,
    "float6_e3m2fn": _NARROW,
    "float8_e3m4": _NARROW,
    "float8_e4m3": _NARROW,
    "float8_e4m3b11fnuz": _NARROW,
    "float8_e4m3fn": _NARROW,
    "float8_e4m3fnuz": _NARROW,
    "float8_e5m2": _NARROW,
    "float8_e5m2fnuz": _NARROW,
    "float8_e8m0fnu": _NARROW,
    "int1": _NARROW,
    "int2": _NARROW,
    "int4": _NARROW,
    "uint1": _NARROW,
    "uint2": _NARROW,
    "uint4": _NARROW,
}


def missing(name: str, known: list[str]) -> AttributeError:
    """Return the error for a name that the namespace does not have.

    Parameters
    ----------
    name : str
        The name.
    known : list of str
        Those that it has.
    """
    if name in ABSENT:
        return AttributeError(f"tracejit.numpy has no {name}: {ABSENT[name]}")
    close: list[str] = []
    if not name.startswith("_"):  # difflib is not imported for nothing
        close = importlib.import_module("difflib").get_close_matches(name, known, 3)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return AttributeError(f"module 'tracejit.numpy' has no attribute {name!r}{hint}")
