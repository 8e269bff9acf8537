"""JAX's questions about devices and processes, answered for one process."""

from __future__ import annotations

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp


def test_devices_of_one_process() -> None:
    assert tj.default_backend() == "cpu"
    assert tj.device_count() == tj.local_device_count() == 1
    assert tj.local_devices() == tj.devices("cpu")
    assert (tj.process_count(), tj.process_index()) == (1, 0)
    with pytest.raises(ValueError, match="one process"):
        tj.local_devices(process_index=1)
    x = tnp.ones(2)
    assert x.devices() == {x.device}
    assert x.platform() == "cpu"
    tj.effects_barrier()


def test_arrays_become_numpys() -> None:
    found = tj.device_get({"a": tnp.ones(2), "b": 3})
    assert isinstance(found["a"], np.ndarray)
    assert not found["a"].flags.writeable
    assert found["b"] == 3
    np.testing.assert_array_equal(tj.dlpack.from_dlpack(np.ones(2)), np.ones(2))


def test_evaluation_while_tracing() -> None:
    @tj.jit
    def f(x: tj.Array) -> tj.Array:
        with tj.ensure_compile_time_eval():
            n = int(tnp.sqrt(tnp.array(9.0)))
        return x * n

    assert float(f(2.0)) == 6.0
