"""The compiler end to end: what is computed, in how many kernels, and in which loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracejit.compiler import schedule
from tracejit.compiler.lift import SMALL
from tracejit.compiler.simplify import simplify
from tracejit.control.call import call
from tracejit.ir.avals import ShapedArray
from tracejit.ir.plan import Copy, Launch, LibraryCall, all_steps
from tracejit.ops.arithmetic import add, div, mul, sub
from tracejit.ops.complex_numbers import abs_, conj
from tracejit.ops.contraction import dot_general
from tracejit.ops.convolution import sliding_windows
from tracejit.ops.logical import eq, lt, select
from tracejit.ops.shape import broadcast_in_dim, reduce_sum, reshape, transpose
from tracejit.ops.slicing import concatenate, flip, pad, roll_axis, slice_
from tracejit.ops.transcendental import exp, sin
from tracejit.ops.windows import dynamic_slice, dynamic_update_slice
from tracejit.transforms.stage import stage

RNG = np.random.default_rng(3)


def array(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.random(shape)


def inner(x: Any, i: int, j: int) -> Any:
    n, m = x.shape
    return slice_(x, (1 + i, 1 + j), (n - 1 + i, m - 1 + j))


def laplacian(x: Any) -> Any:
    around = add(add(inner(x, -1, 0), inner(x, 1, 0)), add(inner(x, 0, -1), inner(x, 0, 1)))
    return sub(around, mul(inner(x, 0, 0), 4.0))


def heat_roll(x: Any) -> Any:
    around = add(
        add(roll_axis(x, 1, 0), roll_axis(x, -1, 0)), add(roll_axis(x, 1, 1), roll_axis(x, -1, 1))
    )
    return add(x, mul(sub(around, mul(x, 4.0)), 0.1))


def heat_pad(x: Any) -> Any:
    return add(x, mul(pad(laplacian(x), 0.0, [(1, 1, 0), (1, 1, 0)]), 0.1))


def heat_set(x: Any) -> Any:
    return dynamic_update_slice(x, add(inner(x, 0, 0), mul(laplacian(x), 0.1)), (1, 1))


def softmax(x: Any) -> Any:
    e = exp(sub(x, broadcast_in_dim(reduce_sum(x, (1,)), x.shape, (0,))))
    return div(e, broadcast_in_dim(reduce_sum(e, (1,)), x.shape, (0,)))


def launches(compiled: Any) -> list[Launch]:
    return [s for s in all_steps(compiled.plan.steps) if isinstance(s, Launch)]


def test_a_chain_with_two_results_is_one_loop(check: Any, golden: Any) -> None:
    def f(x: Any, y: Any) -> list[Any]:
        z = sin(add(x, y))
        return [mul(z, 2.5), sub(z, x)]

    golden(check(f, array(19, 23), array(19, 23)).loops)


@pytest.mark.parametrize("step", [heat_roll, heat_pad, heat_set])
@pytest.mark.parametrize("shape", [(20, 33), (4, 5), (3, 3)])
def test_a_stencil_is_one_kernel_of_boxes(check: Any, step: Any, shape: Any) -> None:
    compiled = check(lambda x: [step(x)], array(*shape))
    assert len(launches(compiled)) == 1
    assert "select" not in compiled.loops


def test_heat_by_pad(check: Any, golden: Any) -> None:
    golden(check(lambda x: [heat_pad(x)], array(20, 33)).loops)


def test_softmax_is_one_loop_over_rows_and_works_in_the_result(check: Any, golden: Any) -> None:
    compiled = check(lambda x: [softmax(x)], array(30, 40))
    assert len(launches(compiled)) == 1
    assert compiled.plan.arena_bytes == 0
    golden(compiled.loops)


def test_steps_of_a_stencil_are_stored_and_share_a_kernel(check: Any) -> None:
    def f(x: Any) -> list[Any]:
        for _ in range(7):
            x = heat_roll(x)
        return [x]

    compiled = check(f, array(20, 33))
    assert len(compiled.plan.kernels) == 1
    assert len(launches(compiled)) == 7


def test_long_code_is_shared_by_what_has_something_in_common_only(check: Any) -> None:
    def limited(x: Any, y: Any) -> Any:
        out = mul(x, y)
        for axis in (0, 1):
            ahead, behind = roll_axis(x, -1, axis), roll_axis(x, 1, axis)
            slope = select(lt(mul(sub(ahead, x), sub(x, behind)), y), ahead, behind)
            out = add(mul(out, slope), select(lt(ahead, y), mul(ahead, 3.0), sub(y, behind)))
        return out

    def apart(*xs: Any) -> list[Any]:
        return [limited(x, y) for x, y in zip(xs[:4], xs[4:], strict=True)]

    def together(x: Any, *ys: Any) -> list[Any]:
        return [limited(x, y) for y in ys]

    arrays = [array(20, 33) for _ in range(8)]
    assert len(launches(check(apart, *arrays))) > 1
    assert len(launches(check(together, *arrays[:5]))) == 1


def test_cheap_producers_of_a_stencil_are_not_stored(check: Any) -> None:
    compiled = check(lambda x: [heat_pad(mul(x, 3.0))], array(20, 33))
    assert len(launches(compiled)) == 1


@pytest.mark.parametrize("shape", [(7, 9, 11), (1, 9, 1), (3, 1, 2), (0, 4, 3), (2, 0, 3)])
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_sums_over_any_axes(check: Any, shape: Any, axes: Any) -> None:
    x = array(*shape)
    check(lambda x: [reduce_sum(mul(x, 2.0), axes)], x)


def test_a_reduction_of_another_of_the_same_columns(check: Any) -> None:
    def f(x: Any) -> list[Any]:
        total = reduce_sum(x, (0,))
        away = sub(x, broadcast_in_dim(div(total, 50.0), x.shape, (1,)))
        return [total, reduce_sum(mul(away, away), (0,))]

    assert len(launches(check(f, array(50, 30)))) == 1


@pytest.mark.parametrize("n", [32768, 40000, 100001])
def test_a_long_sum_is_cut_into_blocks(check: Any, n: int) -> None:
    compiled = check(lambda x: [reduce_sum(x, (0,))], array(n), rtol=1e-10)
    assert len(launches(compiled)) == 2
    check(lambda x: [reduce_sum(x, (0, 1))], array(n // 100, 100), rtol=1e-10)


@pytest.mark.parametrize("taps", [(2, 5), (9, 9), (7, 10)])
def test_long_sums_side_by_side_share_what_they_read(
    check: Any, monkeypatch: Any, taps: tuple[int, int]
) -> None:
    """A window slides over an array, of which every product with another is summed."""
    monkeypatch.setattr(schedule, "BLOCK", 64)
    monkeypatch.setattr(schedule, "LONG_REDUCTION", 4 * 64)
    x, y = array(18, 50), array(19 - taps[0], 51 - taps[1])

    def sums(x: Any, y: Any) -> Any:
        windows = sliding_windows(x, (0, 1), taps)
        shape = (*y.shape, *taps)
        return [reduce_sum(mul(windows, broadcast_in_dim(y, shape, (0, 1))), (0, 1))]

    loops = check(sums, x, y).loops
    shared = taps[1] <= schedule.MOST_SHARING
    assert (f"s{taps[1] - 1} = add" in loops) is shared
    assert ("s1 = add" in loops) is shared


def test_wide_stars_in_three_dimensions(check: Any) -> None:
    def star(x: Any) -> list[Any]:
        y = x
        for axis in range(3):
            for shift in (-4, -3, -2, -1, 1, 2, 3, 4):
                y = add(y, roll_axis(x, shift, axis))
        return [y]

    compiled = check(star, array(12, 13, 14))
    assert len(launches(compiled)) == 1


def test_shape_operations(check: Any) -> None:
    def f(x: Any) -> list[Any]:
        return [
            flip(x, (0,)),
            transpose(x, (1, 0)),
            slice_(x, (0, 1), (20, 33), (2, 3)),
            reshape(transpose(x, (1, 0)), (660,)),
            reshape(mul(x, 2.0), (10, 2, 33)),
            reshape(add(x, 1.0), (33, 20)),
            concatenate([x, x, mul(x, 2.0)], 1),
            pad(x, 7.0, [(2, -3, 0), (0, 1, 2)]),
        ]

    check(f, array(20, 33))


def test_windows_at_traced_positions(check: Any) -> None:
    for i in (-5, 0, 3, 99):
        check(
            lambda x, i: [
                dynamic_slice(x, (i, i), (2, 3)),
                dynamic_update_slice(x, inner(x, 0, 0), (i, 2)),
            ],
            array(6, 9),
            np.int64(i),
        )


def test_a_reduction_of_something_piecewise(check: Any) -> None:
    check(lambda x: [reduce_sum(mul(roll_axis(x, 1, 1), x), (1,))], array(20, 33))


def test_narrow_floats_are_rounded_where_they_are_stored(check: Any) -> None:
    x = array(9, 7).astype(np.float16)
    check(lambda x: [mul(add(x, x), x)], x, rtol=2e-3)


def test_complex_numbers_are_fused_by_parts(check: Any) -> None:
    x = array(40, 50) + 1j * array(40, 50)

    def f(x: Any) -> list[Any]:
        moved = roll_axis(slice_(mul(x, conj(x)), (0, 1), (40, 41)), 1, 0)
        return [moved, reduce_sum(mul(x, exp(x)), (1,)), eq(x, 0j), abs_(x)]

    compiled = check(f, x)
    assert all(isinstance(step, Launch) for step in compiled.plan.steps)
    assert "in f64 pairs" in compiled.loops


@pytest.mark.parametrize("shapes", [((3, 4), (4, 5)), ((30, 40), (40, 50)), ((60,), (60,))])
def test_complex_products_are_real_ones(check: Any, shapes: Any) -> None:
    x, y = (array(*s) + 1j * array(*s) for s in shapes)
    numbers = (((x.ndim - 1,), (0,)), ((), ()))
    compiled = check(lambda x, y: [dot_general(x, y, numbers)], x, y)
    assert all(isinstance(step, Launch | LibraryCall) for step in compiled.plan.steps)


def test_a_reshape_that_a_library_reads_costs_no_divisions(check: Any) -> None:
    def f(x: Any, w: Any) -> list[Any]:
        windows = sliding_windows(x, (0, 1), (3, 5))
        return [dot_general(windows, w, (((2, 3), (0, 1)), ((), ())))]

    compiled = check(f, array(30, 40), array(3, 5, 9))
    assert any(isinstance(step, LibraryCall) for step in compiled.plan.steps)
    assert "quot" not in compiled.loops
    assert "rem" not in compiled.loops


def test_outputs_that_are_inputs_constants_or_literals(check: Any) -> None:
    c = array(3)
    compiled = check(lambda x: [x, x, np.asarray(c), 2.0, mul(x, 1.0)], array(3))
    assert sum(isinstance(s, Copy) for s in compiled.plan.steps) >= 4


def test_a_donated_input_is_overwritten(check: Any) -> None:
    compiled = check(lambda x: [mul(x, 2.0)], array(50), donated=(True,))
    assert compiled.plan.aliases == {0: 0}
    compiled = check(lambda x: [roll_axis(x, 1, 0)], array(50), donated=(True,))
    assert compiled.plan.aliases == {}


def test_memory_taken_over_twice_is_still_in_use(check: Any) -> None:
    def product(x: Any, y: Any) -> Any:
        return dot_general(x, y, (((1,), (0,)), ((), ())))

    def f(x: Any, m: Any) -> list[Any]:
        a = sin(product(x, m))  # in place of the product
        b = product(a, m)
        c = exp(mul(a, b))  # in place of a
        d = product(c, m)
        return [b, product(d, m), roll_axis(c, 1, 0)]

    check(f, array(20, 20), array(20, 20), rtol=1e-9)


def test_another_size_has_the_same_kernels(check: Any) -> None:
    first = check(lambda x: [heat_roll(x), reduce_sum(x, (0, 1))], array(220, 233))
    second = check(lambda x: [heat_roll(x), reduce_sum(x, (0, 1))], array(330, 190))
    assert first.loops == second.loops


def test_small_products_of_something_piecewise(check: Any) -> None:
    """What is joined or rolled is stored before a reduction runs over it."""
    inner = (((0,), (0,)), ((), ()))

    def f(x: Any, y: Any) -> list[Any]:
        joined = concatenate([x, mul(x, 2.0)], 0)
        return [dot_general(joined, y, inner), dot_general(roll_axis(y, 3, 0), joined, inner)]

    check(f, array(6), array(12))


def test_small_lengths_stay_in_the_text(check: Any) -> None:
    text = check(lambda x: [reduce_sum(x, (1,))], array(100, SMALL)).loops
    assert f"0:{SMALL}" in text
    assert "0:n0" in text


def test_simplify_inlines_calls_and_drops_what_is_repeated_or_dead() -> None:
    aval = ShapedArray((3,), "float64")
    callee = stage(lambda x: [mul(sin(x), 2.0)], [aval], "callee")

    def f(x: Any) -> list[Any]:
        (a,) = call(callee, x)
        (b,) = call(callee, x)
        exp(x)
        return [add(a, b)]

    program = simplify(stage(f, [aval], "f"))
    assert [eq.primitive.name for eq in program.equations] == ["sin", "mul", "add"]


def test_selects_and_comparisons(check: Any) -> None:
    check(lambda x, y: [select(lt(x, y), x, mul(y, 2.0))], array(5, 6), array(5, 6))
