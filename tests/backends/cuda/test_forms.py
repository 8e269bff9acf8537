"""Which form a launch takes, and that every form computes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.compiler.pipeline import compile_program
from tracejit.ir.plan import Launch
from tracejit_cuda import forms
from tracejit_cuda.backend import CudaBackend
from tracejit_cuda.forms import Form, MapForm, Queue, RowsForm, TileForm, blocks_for, choose
from tracejit_cuda.simulator import SimulatorRuntime

BACKEND = CudaBackend(SimulatorRuntime(checked=True))
PROCESSORS = 132


def chosen(f: Callable[..., Any], *args: Any, aligned: bool = True) -> list[Form]:
    """Return the forms of the launches of a function."""
    shapes = [tj.ShapeDtypeStruct(a.shape, a.dtype) for a in args]
    plan = compile_program(tj.jit(f).lower(*shapes).program, BACKEND.target())
    out = []
    for step in plan.steps:
        assert isinstance(step, Launch)
        kernel = plan.kernels[step.kernel]
        elements = max(plan.slots[n].aval.size for n in step.slots)
        given = [aligned] * len(kernel.buffers)
        out.append(choose(kernel, step.sizes, given, elements, PROCESSORS))
    return out


def like(*shape: int, dtype: Any = np.float32) -> Any:
    return tj.ShapeDtypeStruct(shape, np.dtype(dtype))


def heat(u: Any) -> Any:
    around = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
    return u.at[1:-1, 1:-1].add(0.1 * (around - 4 * u[1:-1, 1:-1]))


def softmax(x: Any) -> Any:
    e = tnp.exp(x - tnp.max(x, -1, keepdims=True))
    return e / tnp.sum(e, -1, keepdims=True)


@pytest.mark.parametrize(("dtype", "width"), [(np.float32, 4), (np.float64, 2), (np.int8, 16)])
def test_neighbours_fill_sixteen_bytes(dtype: Any, width: int) -> None:
    (form,) = chosen(lambda x: x + x, like(1 << 20, dtype=dtype))
    assert form.offsets == "int"
    assert form.nests == (MapForm(width, 0, (0,)),)


def test_what_is_not_aligned_is_computed_one_by_one() -> None:
    (form,) = chosen(lambda x: x + x, like(1 << 20), aligned=False)
    assert form.nests == (MapForm(),)


def test_rows_of_odd_length_are_not_aligned() -> None:
    # Rows of the result are; what is read is 1,001 elements long.
    (form,) = chosen(lambda x: x[:, 1:] + x[:, :-1], like(1000, 1001))
    assert form.nests == (MapForm(4),)
    (form,) = chosen(lambda x: x[:, 1:] + x[:, :-1], like(1000, 1000))
    assert form.nests == (MapForm(),)


def test_few_elements_are_spread_over_threads() -> None:
    (form,) = chosen(lambda x: x + x, like(1000))
    assert form.nests == (MapForm(),)


def test_a_stencil_marches_with_a_queue() -> None:
    (form,) = chosen(heat, like(4096, 4096))
    interior = max(form.nests, key=lambda n: n.width if isinstance(n, MapForm) else 0)
    assert isinstance(interior, MapForm)
    assert (interior.width, interior.rows, interior.march) == (4, 8, 0)
    (queue,) = interior.queues
    assert queue.depth == 3
    assert sorted(place for _, place in queue.members) == [0, 1, 2]
    # The two points beside come from registers; one lane of each is loaded.
    assert sorted(d for _, _, d in interior.beside) == [-1, 1]


def test_a_small_stencil_does_not_march() -> None:
    (form,) = chosen(heat, like(256, 256))
    assert all(n.rows == 1 for n in form.nests if isinstance(n, MapForm))


def test_transposes_go_through_tiles() -> None:
    (form,) = chosen(lambda x: x.T + 1.0, like(512, 768))
    assert form.nests == (TileForm(0, (0,)),)


@pytest.mark.parametrize(
    ("length", "team", "threads"), [(33, 32, 256), (1024, 32, 256), (4096, 0, 256), (12288, 0, 512)]
)
def test_softmax_keeps_its_row(length: int, team: int, threads: int) -> None:
    (form,) = chosen(softmax, like(2048, length))
    (nest,) = form.nests
    assert isinstance(nest, RowsForm)
    assert nest.team == team
    assert nest.chunks
    assert form.threads == threads
    per_team = 32 if team else threads
    assert nest.chunks * nest.width * per_team >= length


def test_short_rows_are_a_thread_s() -> None:
    (form,) = chosen(softmax, like(2048, 5))
    assert form.nests == (MapForm(),)


def test_columns_are_cut_where_there_are_few() -> None:
    assert len(chosen(lambda x: tnp.sum(x, 0), like(100_000, 64))) == 2
    assert len(chosen(lambda x: tnp.sum(x, 0), like(1000, 100_000))) == 1


def test_blocks_do_not_outnumber_what_there_is() -> None:
    plan = compile_program(tj.jit(lambda x: x + x).lower(like(100)).program, BACKEND.target())
    (kernel,) = plan.kernels
    (step,) = plan.steps
    assert isinstance(step, Launch)
    form = choose(kernel, step.sizes, [True] * 2, 100, PROCESSORS)
    assert blocks_for(kernel, form, step.sizes, PROCESSORS) == 1


def run(f: Callable[..., Any], x: Any) -> Any:
    plan = compile_program(tj.jit(f).lower(x).program, BACKEND.target())
    outputs = [BACKEND.empty(a.shape, a.dtype) for a in plan.outputs]
    BACKEND.compile(plan)([BACKEND.put(x)], outputs)
    return outputs[0].get()


RNG = np.random.default_rng(2)
PROGRAMS = {
    "stencil": (heat, RNG.normal(size=(70, 512)).astype(np.float32)),
    "three dimensions": (
        lambda u: u[2:, 1:-1, 2:-2] + u[:-2, 1:-1, 2:-2] + u[1:-1, 2:, 2:-2] + u[1:-1, 1:-1, 4:],
        RNG.normal(size=(18, 20, 160)),
    ),
    "transpose": (lambda x: x.T * 2 + x.T, RNG.normal(size=(70, 100))),
    "softmax": (softmax, RNG.normal(size=(3, 2000)).astype(np.float32)),
    "columns": (lambda x: tnp.max(x, 0), RNG.normal(size=(3000, 5))),
    "reversed": (lambda x: x[::-1] * 2.0, RNG.normal(size=40_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_long_offsets_compute_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    f, x = PROGRAMS[name]
    narrow = run(f, x)
    monkeypatch.setattr(forms, "MOST_INT", 0)
    np.testing.assert_array_equal(run(f, x), narrow)


@pytest.mark.parametrize("name", ["stencil", "three dimensions"])
def test_marching_computes_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    f, x = PROGRAMS[name]
    still = run(f, x)
    monkeypatch.setattr(forms, "THREADS_TO_FILL", 256)
    (form,) = chosen(f, like(*x.shape, dtype=x.dtype))
    assert any(isinstance(n, MapForm) and n.queues for n in form.nests)
    np.testing.assert_array_equal(run(f, x), still)


def test_a_queue_bridges_rows_that_nobody_reads() -> None:
    (form,) = chosen(lambda u: tnp.roll(u, 1, 0) - tnp.roll(u, -1, 0), like(4096, 4096))
    nest = max(form.nests, key=lambda n: n.width if isinstance(n, MapForm) else 0)
    assert isinstance(nest, MapForm)
    assert [q.depth for q in nest.queues] == [3]
    assert isinstance(nest.queues[0], Queue)
    assert sorted(place for _, place in nest.queues[0].members) == [0, 2]
