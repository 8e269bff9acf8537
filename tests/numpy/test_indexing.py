"""Indexing and updates against NumPy, by random indices; out of range; staged; masks."""

from __future__ import annotations

from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import tracejit.numpy as tnp
from tracejit.core.errors import BoundsError, ConcretizationError
from tracejit.transforms.stage import evaluate, stage

SHAPE = (3, 4, 5)
X = np.arange(60.0).reshape(SHAPE)


def slices() -> st.SearchStrategy[Any]:
    bound = st.none() | st.integers(-7, 7)
    return st.builds(slice, bound, bound, st.sampled_from([None, 1, 2, 3, -1, -2]))


@st.composite
def indices(draw: Any, static: bool = False) -> tuple[Any, ...]:
    items: list[Any] = []
    axis = 0
    lanes = draw(st.sampled_from([(2,), (2, 3), (1,), (0,)]))
    while axis < 3:
        kinds = ["int", "slice", "slice", "none", "stop"]
        if not static:
            kinds += ["array", "array", "mask", "bool"]
        kind = draw(st.sampled_from(kinds))
        if kind == "stop":
            break
        n = SHAPE[axis]
        if kind == "int":
            items.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            items.append(draw(slices()))
        elif kind == "none":
            items.append(None)
            axis -= 1
        elif kind == "bool":
            if any(isinstance(i, np.ndarray) for i in items):
                continue
            items.append(draw(st.booleans()))
            axis -= 1
        elif kind == "mask":
            if any(isinstance(i, (np.ndarray, bool)) for i in items):
                continue
            items.append(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))))
            lanes = (int(items[-1].sum()),)
        else:
            shape = draw(st.sampled_from([lanes, lanes[-1:], lanes]))
            size = int(np.prod(shape))
            flat = draw(st.lists(st.integers(-n, n - 1), min_size=size, max_size=size))
            items.append(np.array(flat, int).reshape(shape))
        axis += 1
    if draw(st.booleans()) and not any(i is Ellipsis for i in items):
        items.insert(draw(st.integers(0, len(items))), Ellipsis)
    return tuple(items)


def fits(index: tuple[Any, ...]) -> np.ndarray[Any, Any] | None:
    try:
        return X[index]
    except IndexError:
        return None


@hypothesis.given(indices())
@hypothesis.settings(max_examples=400)
def test_reading(index: tuple[Any, ...]) -> None:
    theirs = fits(index)
    hypothesis.assume(theirs is not None)
    ours = tnp.asarray(X)[index]
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(np.asarray(ours), theirs)


def repeats(index: tuple[Any, ...]) -> bool:
    places = np.arange(60).reshape(SHAPE)[index]
    return np.unique(places).size != places.size


@hypothesis.given(indices(), st.sampled_from(["set", "add", "multiply", "max", "min", "subtract"]))
@hypothesis.settings(max_examples=400)
def test_writing(index: tuple[Any, ...], name: str) -> None:
    part = fits(index)
    hypothesis.assume(part is not None)
    hypothesis.assume(name != "set" or not repeats(index))
    value = np.random.default_rng(0).integers(1, 50, size=part.shape).astype(float)
    theirs = X.copy()
    if name == "set":
        theirs[index] = value
    else:
        ufunc = {
            "add": np.add,
            "subtract": np.subtract,
            "multiply": np.multiply,
            "max": np.maximum,
            "min": np.minimum,
        }[name]
        flat = theirs.reshape(-1)
        ufunc.at(flat, np.arange(60).reshape(SHAPE)[index], value)
    ours = getattr(tnp.asarray(X).at[index], name)(value)
    np.testing.assert_array_equal(np.asarray(ours), theirs)


@hypothesis.given(indices(static=True))
@hypothesis.settings(max_examples=60)
def test_windows_use_no_gather(index: tuple[Any, ...]) -> None:
    theirs = fits(index)
    hypothesis.assume(theirs is not None)
    program = stage(lambda x: [x[index], x.at[index].add(1.0)], [tnp.asarray(X).aval])
    names = {e.primitive.name for e in program.equations}
    assert not names & {"gather", "scatter", "scatter_add", "dynamic_slice"}
    read, written = evaluate(program, [tnp.asarray(X)])
    np.testing.assert_array_equal(np.asarray(read), theirs)
    expected = X.copy()
    expected[index] += 1.0
    np.testing.assert_array_equal(np.asarray(written), expected)


def traced(function: Any, *args: Any) -> Any:
    args = tuple(tnp.asarray(a) for a in args)
    program = stage(lambda *xs: [function(*xs)], [a.aval for a in args])
    return np.asarray(evaluate(program, args)[0])


@pytest.mark.parametrize("i", [0, 2, -1, -3])
def test_traced_scalars(i: int) -> None:
    np.testing.assert_array_equal(traced(lambda x, i: x[i], X, i), X[i])
    np.testing.assert_array_equal(traced(lambda x, i: x[:, i, ::2], X, i), X[:, i, ::2])
    np.testing.assert_array_equal(traced(lambda x, i: x[i, None, 1:], X, i), X[i, None, 1:])
    y = X.copy()
    y[i] = 7.0
    np.testing.assert_array_equal(traced(lambda x, i: x.at[i].set(7.0), X, i), y)
    y = X.copy()
    y[1, i, 1:3] += 2
    np.testing.assert_array_equal(traced(lambda x, i: x.at[1, i, 1:3].add(2), X, i), y)
    y = X.copy()
    y[:, i, ::2] *= 3
    np.testing.assert_array_equal(traced(lambda x, i: x.at[:, i, ::2].multiply(3), X, i), y)


def test_traced_arrays() -> None:
    i = np.array([[0, -1], [2, 1]])
    np.testing.assert_array_equal(traced(lambda x, i: x[i], X, i), X[i])
    np.testing.assert_array_equal(traced(lambda x, i: x[i, :, i], X, i), X[i, :, i])
    np.testing.assert_array_equal(traced(lambda x, i: x[:, i, 1:], X, i), X[:, i, 1:])


def test_traced_out_of_range_clamps_and_drops() -> None:
    for i, near in ((9, -1), (-9, 0)):
        np.testing.assert_array_equal(traced(lambda x, i: x[i], X, i), X[near])
        np.testing.assert_array_equal(traced(lambda x, i: x[i], X, [i]), X[[near]])
        for value in (i, [i]):
            np.testing.assert_array_equal(traced(lambda x, i: x.at[i].set(0), X, value), X)
            np.testing.assert_array_equal(traced(lambda x, i: x.at[i].add(1), X, value), X)


@pytest.mark.parametrize("index", [3, -4, (0, 4), (slice(None), slice(None), [0, 5])])
def test_known_out_of_range_raises(index: Any) -> None:
    x = tnp.asarray(X)
    with pytest.raises(
        BoundsError, match=r"out of range for axis \d of length \d[\s\S]*test_indexing"
    ):
        x[index]
    with pytest.raises(IndexError):
        x.at[index].set(0)


def test_too_many_and_wrong() -> None:
    x = tnp.asarray(X)
    with pytest.raises(IndexError, match="too many indices"):
        x[0, 0, 0, 0]
    with pytest.raises(TypeError, match="an index must be"):
        x["a"]
    with pytest.raises(TypeError, match="ints or bools"):
        x[np.array([0.5])]
    with pytest.raises(IndexError, match="mask must have the shape"):
        x[np.ones(7, bool)]
    with pytest.raises(TypeError, match="immutable"):
        x[0] = 1


def test_masks() -> None:
    mask = X % 3 == 0
    y = X.copy()
    y[mask] = -1
    np.testing.assert_array_equal(traced(lambda x, m: x.at[m].set(-1), X, mask), y)
    y = X.copy()
    y[mask[:, :, 0]] += np.arange(5.0)
    np.testing.assert_array_equal(
        traced(lambda x, m: x.at[m].add(tnp.arange(5.0)), X, mask[:, :, 0]), y
    )
    y = X.copy()
    y[mask] = np.arange(mask.sum())
    np.testing.assert_array_equal(np.asarray(tnp.asarray(X).at[mask].set(np.arange(mask.sum()))), y)
    with pytest.raises(ConcretizationError, match="where"):
        traced(lambda x, m: x[m], X, mask)


def test_other_updates() -> None:
    x = tnp.asarray(X + 1)
    part = (slice(None), 1)
    for name, function in (("divide", np.divide), ("power", np.power)):
        y = X + 1
        y[part] = function(y[part], 2.0)
        np.testing.assert_allclose(np.asarray(getattr(x.at[part], name)(2.0)), y)
    y = X + 1
    y[part] = np.sqrt(y[part])
    np.testing.assert_allclose(np.asarray(x.at[part].apply(tnp.sqrt)), y)
    np.testing.assert_array_equal(np.asarray(x.at[part].get()), (X + 1)[part])
    filled = np.asarray(x.at[np.array([0, 9])].get(mode="fill", fill_value=-1.0))
    assert (filled[1] == -1).all()
    np.testing.assert_array_equal(np.asarray(x.at[np.array([9])].set(0.0, mode="drop")), X + 1)
    np.testing.assert_array_equal(
        np.asarray(x.at[9].get(mode="fill", fill_value=0.0)), np.zeros((4, 5))
    )


def test_repeated_indices_add_up() -> None:
    x = tnp.zeros(3).at[np.array([0, 0, 2])].add(1.0)
    np.testing.assert_array_equal(np.asarray(x), [2, 0, 1])
