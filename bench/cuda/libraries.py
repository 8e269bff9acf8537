"""The libraries compared on a device: how each is found, set up, compiled with and waited for.

CuPy computes what results are checked against, where they lie; NumPy does in a simulated run,
where the other libraries, if they are asked for by name, run on the host.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.peers import Peer

__all__ = [
    "NAMES", "Absent", "array_library", "jax_jit", "jax_names", "load", "reference", "release",
    "simulated", "to_numpy", "torch_compiled", "torch_names", "tracejit_jit", "tracejit_names",
]  # fmt: skip

NAMES = ("tracejit", "jax", "torch", "torch.compile", "cupy")
Function = Callable[..., Any]


class Absent(Exception):
    """A library is not installed, or has no device."""


def simulated() -> bool:
    """Return whether kernels are run by the simulator of the CUDA backend."""
    return os.environ.get("TRACEJIT_CUDA_RUNTIME") == "cudasim"


def array_library() -> Any:
    """Return the library of the reference."""
    return np if simulated() else importlib.import_module("cupy")


def reference() -> Peer:
    """Return the library whose results are right, by the name it has in rows."""
    xp = array_library()
    return Peer("reference", xp.__version__, xp.asarray, _same, xp.asarray)


def to_numpy(x: Any) -> Any:
    """Return an array of the reference's library as one of NumPy."""
    return x if isinstance(x, np.ndarray) else x.get()


def load(name: str) -> Peer:
    """Import a library and set it up to compute in full precision.

    Raises
    ------
    Absent
        If it cannot be used; says why.
    """
    package = name.split(".")[0]
    if importlib.util.find_spec(package) is None:
        raise Absent("not installed")
    return _LOADERS[name]()


def release() -> None:
    """Give the memory of rows that are done back to the device."""
    if simulated():
        return
    importlib.import_module("cupy").get_default_memory_pool().free_all_blocks()
    if "torch" in _loaded:
        importlib.import_module("torch").cuda.empty_cache()


_loaded: set[str] = set()


def _tracejit() -> Peer:
    import tracejit

    return Peer(
        "tracejit",
        tracejit.__version__,
        lambda x: tracejit.device_put(x, "cuda"),
        tracejit.block_until_ready,
        _bringer(np.asarray),
    )


def _jax() -> Peer:
    # The others need memory too.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")  # no TF32
    try:
        device = jax.devices("cpu" if simulated() else "gpu")[0]
    except RuntimeError as error:
        raise Absent(f"version {jax.__version__} has no GPU: {_line(error)}") from None
    return Peer(
        "jax",
        jax.__version__,
        lambda x: jax.device_put(x, device),
        jax.block_until_ready,
        _bringer(np.asarray),
    )


def _torch() -> Peer:
    import torch

    if simulated():
        return Peer("torch", torch.__version__, torch.from_numpy, _same, lambda x: x.numpy())
    if not torch.cuda.is_available():
        raise Absent(f"version {torch.__version__} has no GPU")
    torch.backends.cuda.matmul.allow_tf32 = False
    _loaded.add("torch")

    def ready(x: Any) -> Any:
        torch.cuda.synchronize()
        return x

    return Peer(
        "torch",
        torch.__version__,
        lambda x: torch.from_numpy(x).cuda(),
        ready,
        _bringer(lambda x: x.cpu().numpy()),
    )


def _torch_compile() -> Peer:
    eager = _torch()
    if not simulated() and importlib.util.find_spec("triton") is None:
        raise Absent("Triton is not installed")
    return Peer("torch.compile", eager.version, eager.array, eager.ready, eager.host)


def _cupy() -> Peer:
    if simulated():
        raise Absent("it has no simulator")
    import cupy

    def ready(x: Any) -> Any:
        cupy.cuda.get_current_stream().synchronize()
        return x

    return Peer("cupy", cupy.__version__, cupy.asarray, ready, cupy.asarray)


_LOADERS: dict[str, Callable[[], Peer]] = {
    "tracejit": _tracejit,
    "jax": _jax,
    "torch": _torch,
    "torch.compile": _torch_compile,
    "cupy": _cupy,
}


def tracejit_names() -> Any:
    """Return tracejit's functions under NumPy's names."""
    return importlib.import_module("tracejit.numpy")


def tracejit_jit(function: Function) -> Function:
    """Return a function compiled by tracejit for the device."""
    import tracejit

    return tracejit.jit(function, device="cuda")


def jax_names() -> Any:
    """Return JAX's functions under NumPy's names."""
    return importlib.import_module("jax.numpy")


def jax_jit(function: Function) -> Function:
    """Return a function compiled by JAX."""
    import jax

    return jax.jit(function)


def torch_names() -> Any:
    """Return those of torch's functions that the rows use, under NumPy's names."""
    import torch

    return SimpleNamespace(
        abs=torch.abs,
        argmax=torch.argmax,
        ascontiguousarray=lambda x: x.contiguous(),
        concatenate=lambda arrays, axis: torch.cat(arrays, axis),
        cumsum=lambda x, axis: torch.cumsum(x, axis),
        exp=torch.exp,
        matmul=torch.matmul,
        max=lambda x, axis, keepdims: torch.amax(x, axis, keepdims),
        maximum=lambda x, y: torch.clamp(x, y) if isinstance(y, float) else torch.maximum(x, y),
        mean=lambda x, axis, keepdims: torch.mean(x, axis, keepdims),
        minimum=lambda x, y: torch.minimum(x, y),
        roll=lambda x, shift, axis: torch.roll(x, shift, axis),
        sin=torch.sin,
        sqrt=torch.sqrt,
        sum=lambda x, axis=None, keepdims=False: torch.sum(x, axis, keepdims),
        tanh=torch.tanh,
        transpose=lambda x: x.t().contiguous(),
    )


def torch_compiled(function: Function) -> Function:
    """Return a function compiled by torch, for the shapes of its first call."""
    import torch

    torch._dynamo.reset()
    return torch.compile(function, dynamic=False)


def _bringer(download: Function) -> Function:
    """Return what makes a library's arrays ones of the reference's, on the device if it can be."""
    if simulated():
        return download
    xp = array_library()

    def bring(x: Any) -> Any:
        try:
            return xp.from_dlpack(x)
        except Exception:  # whatever an exchange refuses, the host takes
            return xp.asarray(download(x))

    return bring


def _same(value: Any) -> Any:
    return value


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
