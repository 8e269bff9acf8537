"""device_put: the same elements on another device.

An array is moved at once.  A traced one is moved by a primitive, so that derivatives flow back to
where they came from; within a compiled program all is on one device, and nothing is moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.core.array import Array, from_numpy
from tracejit.core.devices import default_place, device_at
from tracejit.core.errors import DeviceError
from tracejit.core.interpreter import bottom
from tracejit.core.primitive import define
from tracejit.core.scalars import PYTHON_SCALARS
from tracejit.core.tracer import Tracer
from tracejit.ir.avals import ShapedArray

__all__ = ["device_put", "device_put_p", "place_behind"]


def device_put(x: Any, device: str | None) -> Any:
    """Return `x` committed to a device.

    Parameters
    ----------
    x : Array, Tracer, numpy.ndarray or scalar
        What to move; Python scalars stay weak.
    device : str or None
        The device as types have it, ``None`` for the host.

    Raises
    ------
    DeviceError
        If `x` is traced for another device.
    """
    if isinstance(x, Array):
        return bottom().place(x, device)
    if not isinstance(x, Tracer):
        return bottom().place(from_numpy(x, weak=type(x) in PYTHON_SCALARS), device)
    value = _behind(x)
    source = place_behind(value)
    if source == device:
        return x
    if isinstance(value, Tracer):
        raise DeviceError(
            f"device_put: what is traced runs on one device, here {device_at(source)}; got "
            f"{device_at(device)}. Move arrays before or after the jitted function."
        )
    return device_put_p.bind(x, device=device, source=source)


def _behind(x: Any) -> Any:
    """Return the innermost value of a tracer."""
    while isinstance(x, Tracer):
        inner = getattr(x, "primal", getattr(x, "value", None))
        if inner is None:
            return x
        x = inner
    return x


def place_behind(x: Any) -> str | None:
    """Return where an array is: for a traced one, where it will be."""
    value = _behind(x)
    return value.aval.device if isinstance(value, Array) else default_place.get()


def _shape(x: ShapedArray, *, device: str | None, source: str | None) -> ShapedArray:
    del device, source
    return x


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, device: str | None, source: str | None
) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    return (
        device_put_p.bind(x, device=device, source=source),
        device_put_p.bind(t, device=device, source=source),
    )


def _transpose(ct: Any, x: Any, *, device: str | None, source: str | None) -> tuple[Any]:
    del x
    return (device_put_p.bind(ct, device=source, source=device),)


def _batch(
    operands: Sequence[Any], axes: Sequence[int], *, device: str | None, source: str | None
) -> tuple[Any, int]:
    return device_put_p.bind(*operands, device=device, source=source), axes[0]


device_put_p = define(
    "device_put",
    impl=lambda xp, x, *, device, source: x,
    shape=_shape,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    lower=lambda k, x, *, device, source: x,
)
