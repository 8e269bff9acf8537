"""Library calls: which equations become which, and that their meaning is NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tracejit.compiler.pipeline import compile_program, prepare
from tracejit.control.interpret import interpret
from tracejit.control.loops import fori_loop
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES
from tracejit.ir.plan import Callback, Copy, LibraryCall, Plan, all_steps
from tracejit.ir.scalar import COSTS
from tracejit.ir.target import Target
from tracejit.ir.verify import verify
from tracejit.ops import cumulative, indexing, sorting
from tracejit.ops.arithmetic import mul
from tracejit.ops.constant import iota
from tracejit.testing.plans import run_plan
from tracejit.transforms.api import vmap
from tracejit.transforms.stage import stage

SCANS = ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
SCATTERS = ("scatter", "scatter_add", "scatter_mul", "scatter_min", "scatter_max")
NAMED = Target("cuda", 1 << 25, frozenset(COSTS), frozenset(["matmul", *SCANS, *SCATTERS]))
SORTING = Target("cpu", 1 << 25, frozenset(COSTS), frozenset(["sort"]))
PLAIN = Target("cpu", 1 << 25, frozenset(COSTS), frozenset(["matmul"]))
ALL = [dtype for short, dtype in DTYPES.items() if short != "float0"]
PAIRED = ("cumsum", "scatter", "scatter_add")
rng = np.random.default_rng(5)


def compiled(
    fun: Callable[..., Any], *arrays: Any, donated: Any = (), target: Target = NAMED
) -> Plan:
    """Compile `fun` with every routine named, and compare its plan with its NumPy meaning."""
    program = stage(fun, [ShapedArray(a.shape, a.dtype) for a in arrays], "f")
    verify(prepare(program))
    plan = compile_program(program, target, donated)
    for got, want in zip(
        run_plan(plan, arrays), interpret(np, program, arrays), strict=True
    ):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
    return plan


def calls(plan: Plan) -> list[LibraryCall]:
    assert not any(isinstance(step, Callback) for step in all_steps(plan.steps))
    return [step for step in all_steps(plan.steps) if isinstance(step, LibraryCall)]


def sample(shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    out = rng.integers(-4, 5, shape).astype(np.int8)
    imaginary = 1j * rng.integers(-4, 5, shape) if np.dtype(dtype).kind == "c" else 0
    return (out + imaginary).astype(dtype) if np.any(imaginary) else out.astype(dtype)


def accepts(name: str, dtype: Any) -> bool:
    if name == "cumlogsumexp":
        return dtype.kind in "fV"
    if dtype.kind == "c":
        return name in PAIRED
    return dtype != np.bool_ or name not in ("cumsum", "cumprod")


# --------------------------------------------------------------------------------- scans


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_scans_of_every_dtype(name: str, dtype: Any) -> None:
    if not accepts(name, dtype):
        pytest.skip("the operation does not take the dtype")
    x = sample((3, 5, 4), dtype)
    scan = getattr(cumulative, name)
    plan = compiled(lambda x: [scan(x, 1), scan(x, 2, True)], x)
    parts = 2 if dtype.kind == "c" else 1
    assert [(c.name, c.params) for c in calls(plan)] == [
        (name, (3, 5, 4 * parts, 0)),
        (name, (15, 4, parts, 1)),
    ]
    assert "a library call" in "".join(note.text for note in plan.notes)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(4, 3, 2), (1, 7, 1), (0, 2, 3), (2, 0, 3)])
def test_scans_along_any_axis(axis: int, shape: tuple[int, ...]) -> None:
    x = np.where(rng.random(shape) < 0.1, np.nan, rng.random(shape))
    compiled(lambda x: [cumulative.cummax(x, axis), cumulative.cummin(x, axis, True)], x)


def test_what_is_not_named_is_called_back() -> None:
    x = sample((4, 3), np.float32)
    z = x.astype(np.complex64)
    for target, array in ((PLAIN, x), (PLAIN, z), (NAMED, z)):
        aval = ShapedArray(array.shape, array.dtype)
        program = stage(lambda x: [cumulative.cumprod(x, 0)], [aval], "f")
        plan = compile_program(program, target)
        (step,) = plan.steps
        assert isinstance(step, Callback)
        (got,) = step.function(np, array)
        np.testing.assert_array_equal(got, np.cumprod(array, 0))


# ------------------------------------------------------------------------------- scatters

# x, indices, updates, axes, collapsed, lanes
FORMS = {
    "elements": ((7,), (5, 1), (5,), (0,), (0,), 0),
    "rows": ((6, 3, 2), (4, 1), (4, 3, 2), (0,), (0,), 0),
    "columns": ((3, 6, 2), (4, 1), (4, 3, 2), (1,), (1,), 0),
    "points": ((5, 4, 3), (2, 6, 2), (2, 6, 3), (0, 1), (0, 1), 0),
    "points in any order": ((5, 4, 3), (6, 2), (6, 4), (2, 0), (0, 2), 0),
    "windows that overlap": ((9, 4), (5, 1), (5, 3, 4), (0,), (), 0),
    "boxes": ((8, 7, 6), (4, 3), (4, 3, 2, 6), (0, 1, 2), (), 0),
    "lanes": ((2, 3, 5), (2, 3, 4, 1), (2, 3, 4), (0,), (0,), 2),
    "lanes of windows": ((2, 7, 5), (2, 4, 2), (2, 4, 2, 1), (0, 1), (), 1),
    "one window": ((6, 5), (2,), (3, 2), (0, 1), (), 0),
    "no axes": ((3, 4), (5, 0), (5, 3, 2), (), (), 0),
    "no updates": ((3, 4), (0, 1), (0, 9), (0,), (0,), 0),
    "nothing at all": ((0, 4), (0, 1), (0, 4), (0,), (0,), 0),
}


def scattered(
    name: str, form: str, dtype: Any, kind: Any = np.int32, **how: Any
) -> tuple[Callable[..., Any], list[Any]]:
    """Return a scatter and its operands; some of the indices are out of range."""
    x, indices, updates, axes, collapsed, lanes = FORMS[form]
    at = rng.integers(0 if np.dtype(kind).kind == "u" else -2, 8, indices).astype(kind)
    arrays = [sample(x, dtype), at, sample(updates, dtype)]
    function = getattr(indexing, name)
    return lambda x, i, u: [function(x, i, u, axes, collapsed, lanes, **how)], arrays


@pytest.mark.parametrize("mode", ["drop", "clip", "promise_in_bounds"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SCATTERS)
def test_scatters_of_every_form(name: str, form: str, mode: str) -> None:
    function, arrays = scattered(name, form, np.dtype("float64"), mode=mode)
    (call,) = calls(compiled(function, *arrays))
    assert call.name == name
    lanes, batch, size, drop, unique = call.params[:5]
    assert lanes * size == arrays[0].size
    assert lanes * batch * max(len(FORMS[form][3]), 1) == max(arrays[1].size, lanes * batch)
    assert (drop, unique) == (mode == "drop", batch <= 1)


@pytest.mark.parametrize("name", SCATTERS)
@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_scatters_of_every_dtype(name: str, dtype: Any) -> None:
    if not accepts(name, dtype):
        pytest.skip("the operation does not take the dtype")
    for form in ("elements", "windows that overlap"):
        function, arrays = scattered(name, form, dtype)
        assert len(calls(compiled(function, *arrays))) == 1


@pytest.mark.parametrize("kind", ["i1", "u1", "i8", "u8"])
def test_indices_of_every_width(kind: str) -> None:
    function, arrays = scattered("scatter_add", "points", np.dtype("int64"), kind)
    limits = np.iinfo(kind)
    arrays[1].reshape(-1)[:4] = [limits.min, limits.max, limits.max - 1, 0]
    compiled(function, *arrays)


def test_params_of_a_scatter() -> None:
    function, arrays = scattered("scatter", "points", np.dtype("f4"))
    (call,) = calls(compiled(function, *arrays))
    assert call.params == (1, 12, 60, 1, 0, 2, 12, 4, 3, 3, 1, 3, 1)
    function, arrays = scattered("scatter", "boxes", np.dtype("f4"), mode="clip", unique=True)
    (call,) = calls(compile_only(function, arrays))
    assert call.params == (1, 4, 336, 0, 1, 3, 42, 5, 6, 5, 1, 0, 2, 3, 42, 12, 1)


def compile_only(function: Callable[..., Any], arrays: list[Any]) -> Plan:
    program = stage(function, [ShapedArray(a.shape, a.dtype) for a in arrays], "f")
    return compile_program(program, NAMED)


def test_a_batch_of_scatters_is_one_call() -> None:
    x, i, u = sample((3, 8), np.float32), rng.integers(-1, 9, (3, 6, 1)), sample((3, 6), "f4")
    one = vmap(lambda x, i, u: indexing.scatter_add(x, i, u, (0,), (0,)))
    (call,) = calls(compiled(lambda *args: [one(*args)], x, i, u))
    assert call.params == (3, 6, 8, 1, 0, 1, 1, 7, 0)


def test_a_scan_works_in_place() -> None:
    x = sample((4, 3), np.float64)
    assert shares(compiled(lambda x: [cumulative.cumsum(mul(x, 2.0), 0)], x))
    assert not shares(compiled(lambda x: [cumulative.cumsum(x, 0)], x))


def test_a_scatter_works_in_place() -> None:
    function, arrays = scattered("scatter_add", "rows", np.dtype("f8"))

    def after(x: Any, i: Any, u: Any) -> Any:
        return function(mul(x, 2.0), i, u)

    plan = compiled(after, *arrays)
    assert shares(plan)
    assert not any(isinstance(step, Copy) for step in plan.steps)
    plan = compiled(function, *arrays, donated=(True,))
    assert shares(plan)
    assert plan.aliases == {0: 0}


def shares(plan: Plan) -> bool:
    """Whether the only call writes where its first operand is."""
    (call,) = calls(plan)
    first, last = (plan.slots[n] for n in (call.slots[0], call.slots[-1]))
    return (first.kind, first.number) == (last.kind, last.number)


def test_a_scatter_spares_what_is_read_again() -> None:
    x = sample((6,), np.float64)

    def twice(x: Any, i: Any) -> Any:
        y = mul(x, 2.0)
        return [indexing.scatter_add(y, i, y, (0,), (0,)), mul(x, 3.0)]

    def kept(x: Any, i: Any) -> Any:
        y = mul(x, 2.0)
        return [indexing.scatter(y, i, x, (0,), (0,)), y]

    i = rng.integers(0, 6, (6, 1))
    for function in (twice, kept):
        assert not shares(compiled(function, x, i))


def test_a_loop_that_scatters() -> None:
    x, i = sample((5, 2), np.float64), rng.integers(0, 5, (3, 1))

    def body(_: Any, y: Any) -> Any:
        return indexing.scatter_add(y, i, np.ones((3, 2)), (0,), (0,))

    (call,) = calls(compiled(lambda x: [fori_loop(0, 4, body, x)], x))
    assert call.name == "scatter_add"


# --------------------------------------------------------------------------------- sorts


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_sorts_of_every_dtype(dtype: Any) -> None:
    x = sample((3, 5, 4), dtype)
    place = np.arange(60).reshape(3, 5, 4)
    if dtype.kind in "fc":
        x[1, :, 2] = np.nan

    def several(x: Any, place: Any) -> list[Any]:
        return [*sorting.sort([x, place], 1), sorting.sort(x, 2), *sorting.sort([x, x], 0, 2)]

    plan = compiled(several, x, place, target=SORTING)
    wanted = [(3, 5, 4, 1, 3, 0), (15, 4, 1, 1, 1, 0), (1, 3, 20, 2, 3, 0)]
    assert [c.params for c in calls(plan)] == wanted


def test_a_sort_knows_what_is_wanted_and_what_counts_places() -> None:
    x = sample((3, 5, 4), np.float64)
    plan = compiled(lambda x: [sorting.argsort(x, 1)], x, target=SORTING)
    assert [c.params for c in calls(plan)] == [(3, 5, 4, 1, 2, 2)]

    def other_axis(x: Any) -> list[Any]:
        numbers = [iota(x.shape, 1, DTYPES["i8"]), iota(x.shape, 0, DTYPES["i8"])]
        return sorting.sort([*numbers, iota(x.shape, 0, DTYPES["f32"])], 0, 1)[:2]

    plan = compiled(other_axis, x, target=SORTING)
    assert [c.params for c in calls(plan)] == [(1, 3, 20, 1, 3, 2)]


def test_a_sort_that_is_not_named_is_called_back() -> None:
    program = stage(lambda x: [sorting.sort(x, 0)], [ShapedArray((5,), "float32")], "f")
    (step,) = compile_program(program, NAMED).steps
    assert isinstance(step, Callback)
