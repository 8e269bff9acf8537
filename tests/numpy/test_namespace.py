# ruff: noqa: E501  (names are listed in lines)
"""The namespace: what it has, what it has not and why, and what fits no table."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit.core.array import Array
from tracejit.core.interpreter import bottom
from tracejit.numpy.absent import ABSENT
from tracejit.transforms.abstract import ShapeDtypeStruct
from tracejit.transforms.derivatives import grad
from tracejit.transforms.stage import evaluate, stage
from tracejit.transforms.vectorize import vmap

RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 4))
N = RNG.integers(-20, 20, size=(3, 4))


# ------------------------------------------------------------------------------- completeness


def test_every_name_of_numpy_is_here_or_says_why_not() -> None:
    own = set(dir(tnp))
    unknown = set(np.__all__) - own - set(ABSENT) - {"__version__"}
    assert not unknown
    assert not own & set(ABSENT)
    assert all(len(why.split()) > 1 for why in ABSENT.values())


def test_every_public_name_is_tested() -> None:
    """A function stands in a table or, if it fits none, in some test of this folder."""
    folder = Path(__file__).parent
    text = "".join(p.read_text(encoding="utf-8") for p in sorted(folder.glob("*.py")))
    words = set(re.findall(r"\btnp\.(\w+)", text)) | set(re.findall(r'"(\w+)"', text))
    listed = re.findall(r'= """(.*?)""".split\(\)', text, flags=re.DOTALL)
    words |= {word for names in listed for word in names.split()}
    assert not sorted(set(tnp.__all__) - words)


def test_what_is_missing_says_why() -> None:
    with pytest.raises(AttributeError, match=r"no memmap: arrays live in memory"):
        tnp.memmap
    with pytest.raises(AttributeError, match=r"'sine'; did you mean sin"):
        tnp.sine
    assert not hasattr(tnp, "datetime64")


# ----------------------------------------------------------------------------------- inspection


def test_inspection() -> None:
    info = tnp.__array_namespace_info__()
    assert tnp.__array_api_version__ == "2025.12"
    assert info.capabilities()["boolean indexing"] is True
    assert info.default_device() in info.devices()
    assert info.default_dtypes()["real floating"] == np.float64
    assert set(info.dtypes(kind="integral")) == {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)}
    assert info.dtypes(kind=("bool", "complex floating"))["complex64"] == tnp.complex64
    assert set(info.dtypes()) >= {"bool", "float32"}
    with pytest.raises(ValueError, match="kind must be one of"):
        info.dtypes(kind="real")


def test_names_of_dtypes() -> None:
    for name in (
        "bool_", "byte", "cdouble", "complex64", "complex128", "csingle", "double", "float16", "half",
        "int8", "int16", "int32", "int64", "int_", "intc", "intp", "long", "longlong", "short", "single", "ubyte",
        "uint", "uint8", "uint16", "uint32", "uint64", "uintc", "uintp", "ulong", "ulonglong", "ushort",
    ):  # fmt: skip
        ours = getattr(tnp, name)
        assert isinstance(ours(1), Array)
        assert ours == np.dtype(getattr(np, name)), name
        assert issubclass(ours, tnp.ScalarType)
    assert tnp.float_ == np.float64
    assert tnp.complex_ == np.complex128
    for name in (
        "character", "complexfloating", "flexible", "floating", "generic", "inexact", "integer", "number",
        "object_", "signedinteger", "unsignedinteger", "False_", "True_", "typecodes", "dtype",
        "pi", "e", "euler_gamma", "inf", "newaxis", "s_", "index_exp",
    ):  # fmt: skip
        assert getattr(tnp, name) is getattr(np, name)
    assert np.isnan(tnp.nan)
    assert tnp.isdtype(tnp.int8, "integral")
    assert tnp.can_cast(tnp.int8, np.int16)
    assert not tnp.can_cast("f8", "f4")
    assert tnp.common_type(X, np.ones(1, "f")) is np.float64
    assert tnp.min_scalar_type(200) == np.uint8
    assert tnp.mintypecode("if") == np.mintypecode("if")
    assert tnp.typename("d") == np.typename("d")
    assert tnp.ndarray is Array


def test_made_without_values() -> None:
    assert tnp.empty((2, 3), int).shape == (2, 3)
    assert tnp.empty_like(X, np.float32).dtype == np.float32


# ------------------------------------------------------------------------------- text and files


def test_text() -> None:
    x = tnp.asarray(X)
    assert tnp.array_repr(x, precision=2) == "A" + np.array_repr(X, precision=2)[1:]
    assert tnp.array_str(x) == np.array_str(X)
    assert tnp.array2string(x, precision=3) == np.array2string(X, precision=3)
    assert tnp.base_repr(11, 3) == "102"
    assert tnp.binary_repr(-3, 5) == "11101"
    assert tnp.format_float_positional(x[0, 0], 3) == np.format_float_positional(X[0, 0], 3)
    assert tnp.format_float_scientific(x[0, 0]) == np.format_float_scientific(X[0, 0])
    before = tnp.get_printoptions()["precision"]
    with tnp.printoptions(precision=2):
        assert tnp.get_printoptions()["precision"] == 2
    tnp.set_printoptions(precision=before)


def test_files(tmp_path: Path) -> None:
    x = tnp.asarray(X)
    path = tmp_path / "x.npy"
    tnp.save(path, x)
    assert isinstance(tnp.load(path), Array)
    np.testing.assert_array_equal(tnp.load(path), X)
    tnp.save(path, x.astype(tnp.bfloat16))
    assert tnp.load(path).dtype == tnp.bfloat16
    for write in (tnp.savez, tnp.savez_compressed):
        write(tmp_path / "x.npz", x, y=2 * x)
        with tnp.load(tmp_path / "x.npz") as found:
            np.testing.assert_array_equal(found["y"], 2 * X)
            np.testing.assert_array_equal(found["arr_0"], X)
    tnp.savetxt(tmp_path / "x.txt", x)
    for read in (tnp.loadtxt, tnp.genfromtxt):
        found = read(tmp_path / "x.txt")
        assert isinstance(found, Array)
        np.testing.assert_allclose(found, X)
    X.tofile(tmp_path / "raw")
    np.testing.assert_array_equal(tnp.fromfile(tmp_path / "raw"), X.ravel())
    matched = tnp.fromregex(io.StringIO("a1 b22"), r"(\d+)", np.int64)
    np.testing.assert_array_equal(matched, [1, 22])
    with pytest.raises(TypeError, match=r"save\(\)"):
        stage(lambda v: tnp.save(path, v), [x.aval])


# ------------------------------------------------------------------------ indices and updates


@pytest.mark.parametrize(
    "key",
    [
        (X[0], 0, 0, X[1]), (slice(1, 5),), (slice(0, 1, 5j), X[0]), ("0,2", X[0], X[1]),
        ("1,2,0", X[0], X[1]), (X, X), (1, 2, 3), ("-1", X, X), (slice(3), 1.5),
    ],
)  # fmt: skip
def test_joined_by_indexing(key: Any) -> None:
    for ours, theirs in ((tnp.r_, np.r_), (tnp.c_, np.c_)):
        try:
            expected = theirs[key]
        except ValueError:
            with pytest.raises(ValueError, match="concatenate"):
                ours[key]
            continue
        found = ours[key]
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(NotImplementedError, match="no matrix class"):
        tnp.r_["c", X[0]]


def test_grids() -> None:
    np.testing.assert_array_equal(tnp.mgrid[0:2, 0:3], np.mgrid[0:2, 0:3])
    for ours, theirs in zip(tnp.ogrid[0:2, 0:1:3j], np.ogrid[0:2, 0:1:3j], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert list(tnp.ndindex(2, 1)) == [(0, 0), (1, 0)]
    assert [i for i, _ in tnp.ndenumerate(tnp.asarray(X[:1, :2]))] == [(0, 0), (0, 1)]


IN_PLACE: list[tuple[str, Any, tuple[Any, ...], dict[str, Any]]] = [
    ("fill_diagonal", X, (9.0,), {}),
    ("fill_diagonal", np.zeros((7, 3)), ([1.0, 2.0],), {"wrap": True}),
    ("fill_diagonal", np.zeros((7, 3)), (4,), {}),
    ("fill_diagonal", np.zeros((3, 3, 3)), (4,), {}),
    ("place", X, (X > 0, [1.0, 2.0, 3.0]), {}),
    ("putmask", X, (X > 0, [1.0, 2.0, 3.0]), {}),
    ("put", X, ([0, 5, -1], [1.0, 2.0]), {}),
    ("put", X, ([0, 105, -100], [1.0, 2.0]), {"mode": "wrap"}),
    ("put", X, ([0, 105], [1.0, 2.0]), {"mode": "clip"}),
    ("put_along_axis", X, (np.argmax(X, 1, keepdims=True), 9.0, 1), {}),
    ("put_along_axis", X[0], (np.array([1, 2]), 9.0, None), {}),
]


@pytest.mark.parametrize("row", IN_PLACE, ids=[f"{r[0]}-{i}" for i, r in enumerate(IN_PLACE)])
def test_in_place_functions_return_a_new_array(row: Any) -> None:
    name, x, args, how = row
    expected = x.copy()
    getattr(np, name)(expected, *args, **how)
    found = getattr(tnp, name)(x, *args, inplace=False, **how)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    program = stage(lambda v: [getattr(tnp, name)(v, *args, inplace=False, **how)], [found.aval])
    np.testing.assert_array_equal(evaluate(program, [tnp.asarray(x)])[0], expected)
    with pytest.raises(NotImplementedError, match=r"inplace=False"):
        getattr(tnp, name)(x, *args, **how)


# ------------------------------------------------------------------------- functions of functions


def test_vectorize() -> None:
    np.testing.assert_array_equal(tnp.vectorize(lambda a, b: a + 2 * b)(X, X[0]), X + 2 * X[0])
    stack = RNG.normal(size=(2, 5, 4))
    times = tnp.vectorize(lambda a, b: a @ b, signature="(m,n),(n)->(m)")
    np.testing.assert_allclose(times(stack, X[:, None]), np.einsum("ijk,lk->lij", stack, X))
    np.testing.assert_allclose(tnp.vectorize(lambda a, n: a**n, excluded={1})(X, 3), X**3)
    two = tnp.vectorize(lambda a, b: (a + b, a - b), otypes=["f", "d"])(X, 1.0)
    assert [v.dtype for v in two] == [np.float32, np.float64]
    slope = vmap(grad(lambda a: tnp.sum(tnp.vectorize(tnp.sin)(a))))(X)
    np.testing.assert_allclose(slope, np.cos(X))
    with pytest.raises(ValueError, match="axis n has one length; got 4 and 3"):
        times(X, X[:, 0])
    with pytest.raises(ValueError, match="a signature is such as"):
        tnp.vectorize(lambda a: a, signature="(m")
    branching = tnp.vectorize(lambda a, b: a - b if a > b else a + b)
    np.testing.assert_array_equal(branching(X, 0.1), np.where(X > 0.1, X - 0.1, X + 0.1))
    with pytest.raises(TypeError, match="needs the value"):
        traced(lambda v: branching(v, 0.1), X)
    picked = tnp.apply_along_axis(lambda v: v[::-1][:2] if v[0] > 0 else v[:2], 0, X)
    np.testing.assert_array_equal(picked, np.where(X[0] > 0, X[::-1][:2], X[:2]))
    both = tnp.frompyfunc(lambda a, b: (a * b, a), 2, 2)
    np.testing.assert_array_equal(both(X, 2.0)[0], X * 2)
    assert (both.nin, both.nout) == (2, 2)
    with pytest.raises(ValueError, match="2 arguments"):
        both(X)


# --------------------------------------------------------------------------------- ufunc methods

POSITIVE = np.abs(X) + 0.5
WHOLE = np.abs(N) + 1


@pytest.mark.parametrize(
    "name",
    ["add", "multiply", "maximum", "minimum", "subtract", "true_divide", "logaddexp", "fmax",
     "bitwise_and", "bitwise_xor", "gcd", "fmod", "hypot"],
)  # fmt: skip
def test_methods_of_ufuncs(name: str) -> None:
    ours, theirs = getattr(tnp, name), getattr(np, name)
    x = WHOLE if name in ("bitwise_and", "bitwise_xor", "gcd") else POSITIVE
    assert isinstance(ours, tnp.ufunc)
    assert (ours.nin, ours.nout, ours.nargs) == (theirs.nin, theirs.nout, theirs.nargs)
    for axis in (0, 1):
        np.testing.assert_allclose(ours.reduce(x, axis), theirs.reduce(x, axis), rtol=1e-12)
        np.testing.assert_allclose(ours.accumulate(x, axis), theirs.accumulate(x, axis), rtol=1e-12)
    kept = ours.reduce(x, 1, keepdims=True)
    np.testing.assert_allclose(kept, theirs.reduce(x, 1, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(ours.outer(x, x[0]), theirs.outer(x, x[0]), rtol=1e-12)
    found = ours.reduceat(x, [0, 2, 1], 1)
    parts = [theirs.reduce(x[:, 0:2], 1), x[:, 2], theirs.reduce(x[:, 1:], 1)]
    np.testing.assert_allclose(found, np.stack(parts, 1), rtol=1e-12)


def test_updates_by_ufuncs() -> None:
    x, index = X[0].copy(), [0, 1, 0]
    expected = x.copy()
    np.add.at(expected, index, 2.0)
    np.testing.assert_array_equal(tnp.add.at(x, index, 2.0, inplace=False), expected)
    np.testing.assert_array_equal(tnp.negative.at(x, [1], inplace=False)[1], -x[1])
    with pytest.raises(NotImplementedError, match=r"x.at\[...\].add"):
        tnp.add.at(x, index, 2.0)
    with pytest.raises(ValueError, match="two operands"):
        tnp.sin.reduce(x)
    with pytest.raises(ValueError, match="no identity"):
        tnp.fmax.reduce(np.zeros((0, 3)))


# ---------------------------------------------------------------------------- sets while traced


def traced(function: Callable[..., Any], *args: Any) -> Any:
    xs = [tnp.asarray(a) for a in args]
    return evaluate(stage(lambda *v: [function(*v)], [x.aval for x in xs]), xs)[0]


def test_sets_of_traced_arrays_have_a_given_size() -> None:
    a, b = np.array([3, 1, 3, 2, 7]), np.array([2, 9, 3])
    for size in (3, 4, 6):
        found = traced(lambda v, size=size: tnp.unique(v, size=size), a)
        np.testing.assert_array_equal(found, ([1, 2, 3, 7] + [1] * 4)[:size])
    rows = [
        (tnp.union1d, [1, 2, 3, 7, 9, 1]), (tnp.setdiff1d, [1, 7, 0, 0, 0, 0]),
        (tnp.setxor1d, [1, 7, 9, 0, 0, 0]), (tnp.intersect1d, [2, 3, 2, 2, 2, 2]),
    ]  # fmt: skip
    for function, expected in rows:
        found = traced(lambda x, y, function=function: function(x, y, size=6), a, b)
        np.testing.assert_array_equal(found, expected)
        eager = function(a, b)
        np.testing.assert_array_equal(eager, expected[: eager.size])
    for place, name in enumerate(("values", "indices", "inverse_indices", "counts")):
        whole = getattr(np.unique_all(a), name)
        found = traced(lambda v, place=place: tnp.unique_all(v, size=4)[place], a)
        np.testing.assert_array_equal(found, whole)
    np.testing.assert_array_equal(traced(lambda v: tnp.unique_values(v, size=4), a), [1, 2, 3, 7])
    with pytest.raises(TypeError, match=r"unique\(..., size=n\)"):
        traced(tnp.unique, a)


def test_places_of_traced_arrays_have_a_given_size() -> None:
    x = np.array([0, 3, 0, 5])
    np.testing.assert_array_equal(
        traced(lambda v: tnp.flatnonzero(v, size=3, fill_value=9), x), [1, 3, 9]
    )
    np.testing.assert_array_equal(
        traced(lambda v: tnp.argwhere(v, size=3, fill_value=9), x), [[1], [3], [9]]
    )
    np.testing.assert_array_equal(
        traced(lambda v: tnp.where(v, size=3, fill_value=9)[0], x), [1, 3, 9]
    )
    found = traced(lambda v: tnp.extract(v > 0, v, size=3, fill_value=-1), x)
    np.testing.assert_array_equal(found, [3, 5, -1])
    rows = traced(lambda v: tnp.compress(v > 0, X.T, 0, size=3, fill_value=7.0), x)
    np.testing.assert_array_equal(rows, np.concatenate([X.T[[1, 3]], np.full((1, 3), 7.0)]))
    with pytest.raises(IndexError, match="out of range for an axis of length 3"):
        tnp.ravel_multi_index(([3],), (3,))


def test_histograms_of_traced_arrays() -> None:
    counts = traced(lambda v: tnp.histogram(v, 4)[0], X)
    np.testing.assert_array_equal(counts, np.histogram(X, 4)[0])

    def heavy(w: Any) -> Any:
        return tnp.histogram(X, 4, weights=w)[0][1]

    inside = np.digitize(X, np.histogram_bin_edges(X, 4)) == 2
    np.testing.assert_array_equal(grad(heavy)(np.ones_like(X)), inside)


def test_divisors_of_traced_integers() -> None:
    np.testing.assert_array_equal(traced(tnp.gcd, N, np.int64(12)), np.gcd(N, 12))
    np.testing.assert_array_equal(traced(tnp.lcm, N, np.int64(12)), np.lcm(N, 12))


def test_derivatives_of_what_came_later() -> None:
    def central(f: Callable[..., Any], x: Any) -> Any:
        h = 1e-6
        return (np.asarray(f(x + h)) - np.asarray(f(x - h))) / (2 * h)

    y = X[0]
    rows: list[tuple[Callable[..., Any], Any]] = [
        (lambda a: tnp.polyfit(tnp.arange(4.0) * a, y, 2)[0], 1.3),
        (lambda a: tnp.nanquantile(tnp.asarray(X) * a, 0.3), 1.3),
        (lambda a: tnp.cov(tnp.asarray(X) * a)[0, 1], 1.3),
        (lambda a: tnp.i0(a), 2.0),
        (lambda a: tnp.frexp(a)[0], 3.0),
        (lambda a: tnp.kaiser(5, a)[1], 2.0),
        (lambda a: tnp.quantile(tnp.asarray(X), a), 0.37),
        (lambda a: tnp.unique(tnp.asarray(X) * a)[2], 1.3),
        (lambda a: tnp.setdiff1d(tnp.asarray(X) * a, [0.0])[2], 1.3),
        (lambda a: tnp.setxor1d(tnp.asarray(X) * a, [9.0])[2], 1.3),
        (lambda a: tnp.intersect1d(tnp.asarray(X[:2]) * a, tnp.asarray(X) * a)[2], 1.3),
        (lambda a: tnp.polydiv(tnp.asarray(y) * a, [1.0, 2.0])[0][1], 1.3),
        (lambda a: tnp.matvec(tnp.asarray(X) * a, y)[0], 1.3),
        (lambda a: tnp.real(tnp.roots(tnp.stack([1.0, a, -2.0]), strip_zeros=False))[0], 1.3),
    ]
    for function, at in rows:
        np.testing.assert_allclose(grad(function)(at), central(function, at), rtol=1e-6)


def test_complex_where_the_reals_end() -> None:
    for name in tnp.emath.__all__:
        args = {"power": ([-1.0, 2.0], 0.5), "logn": (2, [-4.0, 8.0])}.get(name, (X * 2,))
        positive = {"power": ([1.0, 2.0], 3), "logn": (2, [4.0, 8.0])}.get(name, (np.full(2, 0.5),))
        for given in (args, positive):
            ours, theirs = getattr(tnp.emath, name)(*given), getattr(np.emath, name)(*given)
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert traced(tnp.emath.sqrt, np.ones(2)).dtype == np.complex128


def test_einsum_takes_its_path() -> None:
    path, text = tnp.einsum_path("ij,jk,kl", X, X.T, X)
    assert path[0] == "einsum_path"
    assert "contraction" in text.lower()
    found = tnp.einsum("ij,jk,kl", X, X.T, X, optimize=path)
    np.testing.assert_allclose(found, X @ X.T @ X, rtol=1e-12)


def test_devices_are_those_of_the_runtime() -> None:
    assert tuple(bottom().devices()) == tnp.__array_namespace_info__().devices()


def test_what_jax_takes_beyond_numpy() -> None:
    x = X.astype(np.float32)
    for f in (tnp.matmul, tnp.dot, tnp.inner, tnp.tensordot, tnp.vecdot):
        args = (x, x.T) if f in (tnp.matmul, tnp.dot) else (x[0], x[0])
        more = {"axes": 1} if f is tnp.tensordot else {}
        found = f(*args, precision="highest", preferred_element_type=tnp.float64, **more)
        assert found.dtype == np.float64
        wide = [v.astype(np.float64) for v in args]
        np.testing.assert_allclose(found, np.dot(*wide), rtol=1e-12)
    assert tnp.vdot(X, X, precision=None) == pytest.approx(np.vdot(X, X))
    described = ShapeDtypeStruct((2, 3), np.dtype("float32"))
    assert tnp.zeros_like(described).aval == tnp.zeros((2, 3), "float32").aval
    assert tnp.full_like(described, 2, shape=(4,)).tolist() == [2.0] * 4
    assert tnp.iscomplexobj(tnp.complex64)
    assert not tnp.iscomplexobj(tnp.float32)


def test_errors_of_axes_are_numpys() -> None:
    """An axis out of range is ValueError, IndexError and numpy.exceptions.AxisError alike."""
    for call in (
        lambda: tnp.sum(X, 2), lambda: tnp.sort(X, 5), lambda: tnp.flip(X, -3),
        lambda: tnp.transpose(X, (0, 2)), lambda: tnp.expand_dims(X, 4), lambda: tnp.argmax(X, 9),
    ):  # fmt: skip
        with pytest.raises(np.exceptions.AxisError, match="within rank"):
            call()
    for call in (lambda: tnp.sum(X, 1.5), lambda: tnp.argmax(X, (0, 1)), lambda: tnp.sort(X, "a")):
        with pytest.raises(TypeError, match="an axis is an integer"):
            call()


OUT = ["absolute", "add", "divmod", "float_power", "ldexp", "matmul", "dot", "matvec", "vecmat", "vecdot", "outer", "einsum", "sum", "prod", "max", "min", "mean", "std", "var", "any", "all", "argmax", "argmin", "cumsum", "cumprod", "cumulative_sum", "cumulative_prod", "clip", "round", "median", "quantile", "percentile", "nanquantile", "nansum", "nanmean", "nanstd", "nanmax", "nanargmax", "ptp", "trace", "take", "choose", "compress", "concatenate", "stack", "frexp", "modf", "gcd", "lcm", "spacing", "isneginf", "isposinf"]


@pytest.mark.parametrize("name", OUT)
def test_out_is_refused_with_a_reason(name: str) -> None:
    args: tuple[Any, ...] = {
        "divmod": (X, X), "float_power": (X, 2), "ldexp": (X, N), "add": (X, X), "gcd": (N, N),
        "lcm": (N, N), "matmul": (X, X.T), "dot": (X, X.T), "outer": (X, X), "matvec": (X, X[0]),
        "vecmat": (X[:, 0], X), "vecdot": (X, X), "einsum": ("ij->i", X), "quantile": (X, 0.5),
        "percentile": (X, 50), "nanquantile": (X, 0.5), "take": (X, [0]), "choose": ([0], [X]),
        "compress": ([True], X), "concatenate": ([X, X],), "stack": ([X, X],), "clip": (X, 0, 1),
    }.get(name, (X,))  # fmt: skip
    with pytest.raises(NotImplementedError, match="immutable"):
        getattr(tnp, name)(*args, out=np.zeros(3))


def test_what_jax_takes_beyond_numpy_elsewhere() -> None:
    small = np.array([100, 100], np.int8)
    assert tnp.sum(small, promote_integers=False).dtype == np.int8
    assert tnp.prod(small).dtype == np.int64
    assert tnp.argsort(X, 0, dtype=np.int32).dtype == np.int32
    np.testing.assert_array_equal(tnp.argsort(X, 0, dtype=np.int32), np.argsort(X, 0))
    single = np.array([1, 2, 3], np.float32)
    wide = tnp.convolve(single, single, preferred_element_type=np.float64, precision="highest")
    assert wide.dtype == np.float64
    np.testing.assert_array_equal(tnp.stack([X, X], 1, None, "f4"), np.stack([X, X], 1, dtype="f4"))
    np.testing.assert_array_equal(tnp.hstack([X, X], "f4"), np.hstack([X, X], dtype="f4"))
    with pytest.raises(BufferError, match="a copy is needed"):
        tnp.from_dlpack(np.arange(3.0), copy=False)
    with pytest.raises(ValueError, match="method must be 'lu'"):
        tnp.linalg.slogdet(np.eye(2), method="qr")
