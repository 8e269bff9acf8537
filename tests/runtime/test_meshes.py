"""Meshes and shardings of one device, mapped functions, and what needs more devices."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import NamedSharding, P, lax, make_mesh, pmap, shard_map
from tracejit.core.devices import Device
from tracejit.core.errors import DeviceError, DonatedError, ShapeError, StructureError
from tracejit.runtime.meshes import create_device_mesh
from tracejit.sharding import Mesh, Sharding, SingleDeviceSharding, get_mesh, set_mesh

X = np.arange(12.0).reshape(3, 4)
ONE = make_mesh((1, 1), ("x", "y"))
TWO = Mesh([Device("cuda", 0), Device("cuda", 1)], "x")  # described, whether there are any


def test_specs_and_meshes() -> None:
    spec = P("x", None, ("y", "z"))
    assert spec == P("x", None, ["y", "z"])
    assert (len(spec), spec[0], list(spec)[2]) == (3, "x", ("y", "z"))
    assert hash(spec) == hash(P("x", None, ("y", "z")))
    assert tracejit.tree.leaves({"a": spec}) == [spec]
    assert repr(P("x", None)) == "PartitionSpec('x', None)"
    assert ONE.shape == {"x": 1, "y": 1}
    assert (ONE.size, ONE.axis_names, ONE.devices.shape) == (1, ("x", "y"), (1, 1))
    assert TWO.shape == {"x": 2}
    assert TWO.device_ids.tolist() == [0, 1]
    assert make_mesh((1, 1), ("x", "y")) == ONE != TWO
    with ONE as inside:
        assert get_mesh() is inside is ONE
    assert get_mesh() is None
    with set_mesh(ONE):
        assert get_mesh() is ONE
    assert get_mesh() is None


def test_shardings_of_one_device_are_taken() -> None:
    sharding = NamedSharding(ONE, P("x", "y"))
    assert isinstance(sharding, Sharding)
    x = tracejit.device_put(X, sharding)
    assert x.device == "cpu"
    assert x.sharding == SingleDeviceSharding("cpu")
    assert x.sharding.is_equivalent_to(sharding, 2)
    assert sharding.is_fully_replicated
    assert tnp.zeros(3, device=sharding).device == "cpu"
    twice: Any = tracejit.jit(lambda v: v * 2, in_shardings=(sharding,), out_shardings=sharding)
    np.testing.assert_array_equal(twice(X), X * 2)

    @tracejit.jit
    def constrained(v: Any) -> Any:
        return lax.with_sharding_constraint({"a": v + 1, "b": v}, {"a": sharding, "b": None})

    np.testing.assert_array_equal(constrained(X)["a"], X + 1)
    with ONE:
        np.testing.assert_array_equal(lax.with_sharding_constraint(X, P(None, "x")), X)
    grad = tracejit.grad(lambda v: tnp.sum(lax.with_sharding_constraint(v, sharding) ** 2))(X)
    np.testing.assert_array_equal(grad, 2 * X)


def test_an_array_is_its_own_shard() -> None:
    x = tnp.asarray(X)
    (shard,) = x.addressable_shards
    assert shard.data is x is x.addressable_data(0)
    assert shard.device == "cpu"
    assert x.is_fully_addressable
    assert x.is_fully_replicated
    assert x.is_ready()
    assert x.on_device_size_in_bytes() == X.nbytes
    assert x.format.layout.major_to_minor == (0, 1)
    pointer = x.unsafe_buffer_pointer()
    assert pointer == np.asarray(x).ctypes.data
    x.copy_to_host_async()
    assert not x.is_deleted()
    x.delete()
    assert x.is_deleted()
    with pytest.raises(DonatedError):
        x + 1


def test_described_but_not_placed() -> None:
    sharding = NamedSharding(TWO, P("x"))
    assert sharding.shard_shape((4, 3)) == (2, 3)
    assert not sharding.is_fully_replicated
    assert sharding.num_devices == 2
    for use in (
        lambda: tracejit.device_put(X, sharding),
        lambda: tnp.zeros(4, device=sharding),
        lambda: lax.with_sharding_constraint(tnp.ones(4), sharding),
        lambda: shard_map(lambda v: v, TWO, P("x"), P("x")),
        lambda: tracejit.jit(lambda v: v, in_shardings=sharding),
    ):
        with pytest.raises(DeviceError, match=r"lies on one device as a whole.*missing"):
            use()


def test_errors() -> None:
    with pytest.raises(DeviceError, match="shape \\(5, 999\\) needs 4995 devices; there are"):
        make_mesh((5, 999), ("x", "y"))
    with pytest.raises(ShapeError, match="has 2 places; got 1 devices"):
        create_device_mesh((2,), [Device("cpu")])
    with pytest.raises(DeviceError, match="each device can stand once"):
        Mesh([Device("cpu"), Device("cpu")], "x")
    with pytest.raises(ShapeError, match="needs one name"):
        Mesh([Device("cpu")], ("x", "y"))
    with pytest.raises(ShapeError, match="names 'z'; the mesh has"):
        NamedSharding(ONE, P("z"))
    with pytest.raises(ShapeError, match="twice"):
        NamedSharding(ONE, P("x", "x"))
    with pytest.raises(ShapeError, match="not divisible by 2"):
        NamedSharding(TWO, P("x")).shard_shape((3,))
    with pytest.raises(ShapeError, match="rank 2 or more"):
        lax.with_sharding_constraint(tnp.ones(3), NamedSharding(ONE, P("x", "y")))
    with pytest.raises(StructureError, match="needs a mesh"):
        lax.with_sharding_constraint(X, P("x"))
    with pytest.raises(StructureError, match="got 7"):
        lax.with_sharding_constraint(X, 7)
    with pytest.raises(DeviceError, match="all lanes run on one device; got 2"):
        pmap(lambda v: v, devices=[Device("cuda", 0), Device("cuda", 1)])
    with pytest.raises(DeviceError, match="a program runs on one device; got cpu:0, cuda:1"):
        tracejit.jit(lambda v: v, in_shardings=("cpu", "cuda:1"))


def test_shard_map() -> None:
    def step(v: Any, w: Any) -> Any:
        assert v.shape == X.shape
        total = lax.psum(v * w["a"], "x")
        return {"sum": total, "index": lax.axis_index("y")}

    mapped = shard_map(
        step, mesh=ONE, in_specs=(P("x", "y"), P()), out_specs={"sum": P(None, "y"), "index": P()}
    )
    for run in (mapped, tracejit.jit(mapped)):
        out = run(X, {"a": np.full(4, 2.0)})
        np.testing.assert_array_equal(out["sum"], 2 * X)
        assert int(out["index"]) == 0
    grad = tracejit.grad(lambda v: tnp.sum(mapped(v, {"a": v})["sum"]))(X)
    np.testing.assert_allclose(grad, 2 * X)
    with pytest.raises(ShapeError, match="rank 2 or more"):
        mapped(np.ones(3), {"a": np.ones(3)})


def test_pmap_is_vmap_on_one_device() -> None:
    centred = pmap(lambda v: v - lax.pmean(v, "i"), axis_name="i")
    np.testing.assert_allclose(centred(X), X - X.mean(0))
    power = pmap(
        lambda v, n, w: v**n + w, in_axes=(0, None, None), static_broadcasted_argnums=1, out_axes=1
    )
    np.testing.assert_allclose(power(X, 3, 1.0), (X**3 + 1.0).T)
    np.testing.assert_array_equal(pmap(lambda v: v + 1, devices=tracejit.devices("cpu"))(X), X + 1)


def test_specs_travel() -> None:
    sharding = NamedSharding(ONE, P("x", None))
    found = pickle.loads(pickle.dumps(sharding.spec))
    assert found == sharding.spec


def test_a_picture_of_one_device(capsys: pytest.CaptureFixture[str]) -> None:
    tracejit.debug.visualize_array_sharding(tnp.ones((4, 4)))
    assert capsys.readouterr().out == "┌───────┐\n│ CPU 0 │\n└───────┘\n"
    with pytest.raises(ShapeError, match="rank must be 1 or 2; got 3"):
        tracejit.debug.visualize_array_sharding(tnp.ones((1, 1, 1)))
