"""Probe: is there a GPU that we can use, and if not, what is missing and how to get it.

The package CuPy, the driver, a device and a compiler can each be missing, and the remedies differ.
Asking makes no context on a device, so it costs no device memory and a process may fork after it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import warnings
from typing import Any, NamedTuple

from tracejit_cuda import nvrtc

__all__ = ["Status", "status"]

OLDEST = 13
"""The oldest major version of CuPy that serves."""

DISTRIBUTIONS = ("cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x", "cupy")


class Status(NamedTuple):
    """Whether a GPU can be used.

    Attributes
    ----------
    ok : bool
        Whether it can.
    reason : str
        What is there, or else what is missing and how to get it.
    """

    ok: bool
    reason: str


@functools.cache
def status() -> Status:
    """Return whether a GPU can be used; looks once a process and never raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy warns of installations that we refuse anyway
        try:
            return _look()
        except Exception as error:  # whatever it is, there is no GPU to use
            return Status(False, f"CuPy does not work here: {_line(error)}")


def _look() -> Status:
    try:
        cupy = importlib.import_module("cupy")
    except Exception as error:  # CuPy turns errors of libraries into ImportError, not all of them
        return Status(False, _no_cupy(error))
    if int(cupy.__version__.split(".")[0]) < OLDEST:
        return Status(
            False,
            f"CuPy {cupy.__version__} is too old, {OLDEST} is the oldest that serves: "
            "`pip install --upgrade 'tracejit[cuda]'`",
        )
    runtime = cupy.cuda.runtime
    if runtime.is_hip:
        return Status(False, "this CuPy is built for ROCm; `pip install 'tracejit[cuda]'`")
    if refusal := _no_driver(runtime):
        return Status(False, refusal)
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        if error.status != _NO_DEVICE:
            return Status(False, f"the NVIDIA driver refuses: {_line(error)}")
        count = 0
    if count == 0:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        why = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})"
        return Status(False, f"the NVIDIA driver finds no device{why}")
    if refusal := nvrtc.missing():
        return Status(False, f"there is a device, but {refusal.splitlines()[0]}")
    return Status(True, f"{count} device{'s' if count > 1 else ''}, CuPy {cupy.__version__}")


_NO_DEVICE = 100  # cudaErrorNoDevice


def _no_cupy(error: Exception) -> str:
    """Return why CuPy does not import."""
    for name in DISTRIBUTIONS:
        try:
            found = f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
        return f"CuPy is installed ({found}) but cannot be imported: {_line(error)}"
    if not isinstance(error, ModuleNotFoundError) or error.name != "cupy":
        return f"CuPy cannot be imported: {_line(error)}"
    return (
        "CuPy is not installed: `pip install 'tracejit[cuda]'`, or "
        "`pip install 'tracejit[cuda12]'` where the driver is one of CUDA 12"
    )


def _no_driver(runtime: Any) -> str:
    """Return ``""``, or what is wrong with the driver."""
    driver, wanted = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if driver == 0:
        return "there is no NVIDIA driver on this machine"
    # Within a major version, an older driver runs what a newer CUDA made.
    if driver // 1000 >= wanted // 1000:
        return ""
    remedy = "update the driver"
    if driver // 1000 == 12:
        remedy += ", or replace CuPy: `pip install 'tracejit[cuda12]'`"
    return (
        f"the NVIDIA driver serves CUDA {driver // 1000}.{driver % 1000 // 10} and this CuPy "
        f"needs CUDA {wanted // 1000}: {remedy}"
    )


def _line(error: Exception) -> str:
    """Return an error in one line: the messages of libraries span many."""
    text = str(error).strip()
    return text.splitlines()[0].strip() if text else type(error).__name__
