"""The probe names what is missing, for each thing that can be.

CuPy is a fake here that answers as CuPy 14 does (its answers without a driver were looked up in a
real one); that real drivers answer so is not shown.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tracejit_cuda import nvrtc, probe


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def fake_cupy(
    version: str = "14.2.0",
    driver: int = 13000,
    built: int = 13020,
    count: int | Exception = 1,
    hip: bool = False,
) -> Any:
    """Return a module with what the probe asks CuPy."""

    def device_count() -> int:
        if isinstance(count, Exception):
            raise count
        return count

    cupy: Any = ModuleType("cupy")
    cupy.__version__ = version
    cupy.cuda = SimpleNamespace(
        runtime=SimpleNamespace(
            is_hip=hip,
            driverGetVersion=lambda: driver,
            runtimeGetVersion=lambda: built,
            getDeviceCount=device_count,
            CUDARuntimeError=CUDARuntimeError,
        )
    )
    return cupy


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is installed, nothing is remembered, and NVRTC is there."""

    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(nvrtc, "missing", lambda: "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    probe.status.cache_clear()
    yield
    probe.status.cache_clear()


def reason(monkeypatch: pytest.MonkeyPatch, cupy: Any) -> str:
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    ok, text = probe.status()
    assert not ok
    assert "\n" not in text
    return text


def test_all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(count=2))
    assert probe.status() == (True, "2 devices, CuPy 14.2.0")


def test_cupy_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "pip install 'tracejit[cuda]'" in reason(monkeypatch, None)


def test_cupy_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "14.2.0")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)

    def broken(name: str) -> ModuleType:
        raise ImportError("libcudart.so.13: no such file\nand thirty lines more")

    monkeypatch.setattr(importlib, "import_module", broken)
    ok, text = probe.status()
    assert not ok
    assert text == (
        "CuPy is installed (cupy-cuda13x 14.2.0) but cannot be imported: "
        "libcudart.so.13: no such file"
    )


def test_a_cupy_that_no_package_owns_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'numpy.core'", name="numpy.core")

    monkeypatch.setattr(importlib, "import_module", broken)
    assert probe.status() == (False, "CuPy cannot be imported: No module named 'numpy.core'")


def test_cupy_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    text = reason(monkeypatch, fake_cupy(version="12.3.0"))
    assert "CuPy 12.3.0 is too old" in text


def test_cupy_is_for_another_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ROCm" in reason(monkeypatch, fake_cupy(hip=True))


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = CUDARuntimeError(35, "cudaErrorInsufficientDriver: ...")
    text = reason(monkeypatch, fake_cupy(driver=0, count=refusal))
    assert text == "there is no NVIDIA driver on this machine"


def test_an_old_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = CUDARuntimeError(35, "cudaErrorInsufficientDriver: ...")
    text = reason(monkeypatch, fake_cupy(driver=12040, count=refusal))
    assert "the NVIDIA driver serves CUDA 12.4" in text
    assert "needs CUDA 13" in text
    assert "tracejit[cuda12]" in text


def test_a_very_old_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    text = reason(monkeypatch, fake_cupy(driver=11080, built=12090))
    assert "serves CUDA 11.8" in text
    assert "tracejit[cuda12]" not in text


def test_a_driver_of_the_same_major_version_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(driver=13000, built=13020))
    assert probe.status().ok


@pytest.mark.parametrize("count", [0, CUDARuntimeError(100, "cudaErrorNoDevice: no device")])
def test_no_device(monkeypatch: pytest.MonkeyPatch, count: int | Exception) -> None:
    assert reason(monkeypatch, fake_cupy(count=count)) == "the NVIDIA driver finds no device"


def test_all_devices_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    text = reason(monkeypatch, fake_cupy(count=0))
    assert "CUDA_VISIBLE_DEVICES is ''" in text


def test_the_driver_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = CUDARuntimeError(803, "cudaErrorSystemDriverMismatch: mismatch")
    assert "refuses: cudaErrorSystemDriverMismatch" in reason(monkeypatch, fake_cupy(count=refusal))


def test_a_device_but_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "missing", lambda: "NVRTC is not found; install it\nTried:\n  here")
    text = reason(monkeypatch, fake_cupy())
    assert text == "there is a device, but NVRTC is not found; install it"


def test_what_nobody_thought_of_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = fake_cupy()
    del cupy.cuda
    assert "CuPy does not work here" in reason(monkeypatch, cupy)


def test_it_looks_once_and_does_not_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = fake_cupy()
    looks = []

    def device_count() -> int:
        warnings.warn("CuPy found two installations", UserWarning, stacklevel=1)
        looks.append(1)
        return 1

    cupy.cuda.runtime.getDeviceCount = device_count
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probe.status() is probe.status()
    assert len(looks) == 1


LAZY = """
import sys
import tracejit_cuda, tracejit_cuda.probe, tracejit_cuda.nvrtc, tracejit_cuda.cupy_runtime
print("cupy" in sys.modules)
"""


def test_modules_import_no_cupy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LAZY], capture_output=True, text=True, timeout=60, check=True,
        env=dict(os.environ),
    )  # fmt: skip
    assert done.stdout.strip() == "False"
