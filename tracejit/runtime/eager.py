"""The bottom interpreter: evaluates a primitive at once by its NumPy meaning.

No compilation happens on the first use of a shape, so small eager steps are as quick as NumPy's.
On a device the same meaning is evaluated by the device's array library; what that lacks is
compiled.  Control operations (loops, branches, nested jit) are handed to ``run_control``, which
compiles them, and so are a few operations that NumPy has no quick arithmetic for, where arrays are
large.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.core.array import Array, Deferred, check_kept, deferred, host_array, uncommitted, wrap
from tracejit.core.devices import Device, default_place, tally
from tracejit.core.errors import LeakedTracerError, TracejitError
from tracejit.core.interpreter import install_bottom
from tracejit.core.primitive import Primitive, impl
from tracejit.core.scalars import PYTHON_SCALARS
from tracejit.core.tracer import Tracer, get_aval, leak_message
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES
from tracejit.ops.devices import device_put_p
from tracejit.runtime.devices import devices
from tracejit.runtime.placement import (
    HOST_OPERANDS,
    adopt,
    adopted,
    backend_at,
    buffer_at,
    commit,
    conflict,
    in_use,
    place_for,
    put,
)

__all__ = ["Eager"]

Wrap = Callable[[ShapedArray, Any], Array]
NativeMaker = Callable[[Callable[..., Any]], Callable[..., Any] | None]
ControlRunner = Callable[[Primitive, tuple[Any, ...], dict[str, Any], str | None, Wrap], Any]

_HOST_TYPES = frozenset((np.ndarray, *PYTHON_SCALARS, *(d.type for d in DTYPES.values())))
_MOST_COMPILED = 4096
_DEEPEST = 16
"""Operations that are put off in a row; so the masks of the library are, and loops are not."""


class Eager:
    """Evaluates primitives on arrays.

    Parameters
    ----------
    run_control : callable
        ``run_control(primitive, operands, params, place, wrap)`` runs a primitive compiled, on
        concrete operands, on a device.
    native : callable
        Returns a function compiled such that calls on small arrays cost no Python, or None.
    """

    def __init__(self, run_control: ControlRunner, native: NativeMaker) -> None:
        self.run_control = run_control
        self.native = native
        # Operations that the array library of a device was found to lack.
        self._lacking: set[Any] = set()

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Return the evaluated output or outputs, as Arrays."""
        placed = away = False
        avals = []
        for x in operands:
            if type(x) is Array:
                aval = x.aval
                placed = True
                if aval.device is not None:
                    away = True
                    aval = aval.placeless
                avals.append(aval)
                continue
            if isinstance(x, Tracer):
                raise LeakedTracerError(f"{primitive}: {leak_message(x)}")
            if isinstance(x, Array):
                away = away or x.aval.device is not None
            elif type(x) not in _HOST_TYPES and not isinstance(x, HOST_OPERANDS):
                get_aval(x)  # raises for what is no foreign array either
                return self.process(primitive, tuple([adopted(y) for y in operands]), params)
            avals.append(get_aval(x))
        if away or not (placed or default_place.get() is None) or primitive is device_put_p:
            return self._placed(primitive, operands, tuple(avals), params)
        own = wrap if placed else uncommitted
        if primitive.control:
            return self.run_control(primitive, operands, params, None, own)
        if not placed and in_use() and not primitive.multiple:
            depth = _depth(operands)
            if 0 < depth <= _DEEPEST:
                return self._defer(primitive, operands, tuple(avals), params, depth)
        return self._on_host(primitive, operands, tuple(avals), params, own)

    def _on_host(
        self,
        primitive: Primitive,
        operands: tuple[Any, ...],
        avals: tuple[ShapedArray, ...],
        params: dict[str, Any],
        own: Wrap,
    ) -> Any:
        outs = primitive.result_avals(avals, params)
        if primitive.compiled_from is not None and outs[0].size >= primitive.compiled_from:
            return self.run_control(primitive, operands, params, None, own)
        arrays = [
            x.buf if type(x) is Array else _host(x, a) for x, a in zip(operands, avals, strict=True)
        ]
        if primitive.host:  # with the user's treatment of floating-point errors
            result = impl[primitive](np, *arrays, **params)
        else:
            with np.errstate(all="ignore"):
                result = impl[primitive](np, *arrays, **params)
        foreign = [x for x in operands if isinstance(x, np.ndarray)]
        if primitive.multiple:
            return [own(a, _own(r, a, foreign)) for r, a in zip(result, outs, strict=True)]
        return own(outs[0], _own(result, outs[0], foreign))

    def _defer(
        self,
        primitive: Primitive,
        operands: tuple[Any, ...],
        avals: tuple[ShapedArray, ...],
        params: dict[str, Any],
        depth: int,
    ) -> Array:
        """Return the result of an operation that depends on no array, to be computed later."""

        def compute(place: str | None) -> Any:
            if place is None:
                return self._on_host(primitive, operands, avals, params, uncommitted).buf
            return self._on_device(primitive, operands, avals, params, place, uncommitted).buf

        return deferred(primitive.result_avals(avals, params)[0], compute, depth)

    # ------------------------------------------------------------------- devices

    def _placed(
        self,
        primitive: Primitive,
        operands: tuple[Any, ...],
        avals: tuple[ShapedArray, ...],
        params: dict[str, Any],
    ) -> Any:
        """Evaluate where the operands draw the operation."""
        if primitive is device_put_p:
            return self.place(_array(operands[0], avals[0]), params["device"])
        place, placed, agree = place_for(operands)
        if not agree:
            raise conflict(primitive.name, operands)
        own = wrap if placed else uncommitted
        if primitive.control:
            return self.run_control(primitive, operands, params, place, own)
        if place is None or primitive.host:
            here = tuple([host_array(x) if isinstance(x, Array) else x for x in operands])
            if place is None:
                return self._on_host(primitive, here, avals, params, own)
            found = self._on_host(primitive, here, avals, params, uncommitted)
            outs = [own(x.aval.at(place), put(x.buf, place)) for x in _listed(found)]
            return outs if primitive.multiple else outs[0]
        return self._on_device(primitive, operands, avals, params, place, own)

    def _on_device(
        self,
        primitive: Primitive,
        operands: tuple[Any, ...],
        avals: tuple[ShapedArray, ...],
        params: dict[str, Any],
        place: str,
        own: Wrap,
    ) -> Any:
        outs = primitive.result_avals(avals, params)
        rule = impl[primitive]
        key: Any = (primitive, place, avals, *params.items())
        try:
            lacking = key in self._lacking
        except TypeError:  # a param that does not hash
            key, lacking = None, False
        if not lacking:
            backend, number = backend_at(place)
            buffers = [buffer_at(x, a, place) for x, a in zip(operands, avals, strict=True)]

            def evaluated(xp: Any, *arrays: Any) -> list[Any]:
                result = rule(xp, *arrays, **params)
                results = result if primitive.multiple else [result]
                return [
                    xp.asarray(r, dtype=a.dtype) for r, a in zip(results, outs, strict=True)
                ]

            try:
                found = backend.evaluate(evaluated, buffers, number)
            except (TypeError, NotImplementedError, AttributeError, ValueError) as error:
                if isinstance(error, TracejitError):
                    raise
            else:
                arrays = [own(a.at(place), buf) for a, buf in zip(outs, found, strict=True)]
                return arrays if primitive.multiple else arrays[0]
            if key is not None:
                if len(self._lacking) >= _MOST_COMPILED:
                    self._lacking.clear()
                self._lacking.add(key)
        tally.eager_compiled += 1
        return self.run_control(primitive, operands, params, place, own)

    def place(self, x: Array, device: str | None) -> Array:
        """Return `x` committed to a device, itself if it is already."""
        return commit(x, device)

    def adopt(self, x: Any) -> Array | None:
        """Return a foreign array on a device as an Array, without a copy if it can be, or None."""
        return adopt(x)

    def copy(self, x: Array) -> Array:
        """Return a copy of `x` on its device, in memory of its own."""
        check_kept(x)
        if x.aval.device is None:
            return wrap(x.aval, x.buf.copy())
        backend, number = backend_at(x.aval.device)
        (buf,) = backend.evaluate(lambda xp, a: [xp.array(a)], [x.buf], number)
        return wrap(x.aval, buf)

    def share(self, x: Array, **how: Any) -> Any:
        """Return a DLPack capsule over the memory of an array on a device."""
        check_kept(x)
        assert x.aval.device is not None
        return backend_at(x.aval.device)[0].share(x.buf, **how)

    def dlpack_device(self, x: Array) -> tuple[int, int]:
        """Return what DLPack calls the device of an array."""
        check_kept(x)
        assert x.aval.device is not None
        backend, number = backend_at(x.aval.device)
        return backend.dlpack_device(number)

    def devices(self) -> list[Device]:
        """Return the devices that can be used, the host first."""
        return devices()

    def wait(self, x: Array) -> None:
        """Return when `x` is computed."""
        check_kept(x)
        if x.aval.device is not None:  # on the host a call returns when it is done
            backend, number = backend_at(x.aval.device)
            backend.wait(number)


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]


def _depth(operands: tuple[Any, ...]) -> int:
    """Return one more than the depth of operands that depend on no array, or 0 if one does."""
    depth = 1
    for x in operands:
        if type(x) is Deferred:
            depth = max(depth, x.depth + 1)
        elif isinstance(x, (Array, np.ndarray)):
            return 0
    return depth


def _array(x: Any, aval: ShapedArray) -> Array:
    """Return an operand as an array; a scalar as one on the host."""
    return x if isinstance(x, Array) else uncommitted(aval, np.array(x, aval.dtype))


def _host(x: Any, aval: ShapedArray) -> np.ndarray[Any, Any]:
    if isinstance(x, Array):
        return x.buf  # type: ignore[no-any-return]
    return np.asarray(x, aval.dtype)


def _own(result: Any, aval: ShapedArray, foreign: list[Any]) -> np.ndarray[Any, Any]:
    """Return a NumPy result, copied if it may share memory with a user's ndarray."""
    array = np.asarray(result, dtype=aval.dtype, order="C")
    if array.shape != aval.shape:
        raise AssertionError(f"impl returned shape {array.shape}, the rule says {aval.shape}")
    if foreign and (array.base is not None or any(array is x for x in foreign)):
        array = array.copy()
    return array


def install(run_control: ControlRunner, native: NativeMaker) -> None:
    """Make an Eager interpreter the bottom one."""
    install_bottom(Eager(run_control, native))
