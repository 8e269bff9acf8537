"""CSR and COO matrices against those of SciPy, alone and under transformations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.experimental import sparse as jax_sparse
from tracejit.experimental.sparse import BCOO
from tracejit.sparse import COO, CSR
from tracejit.test_util import check_grads
from tracejit.tools.explain import explain

FORMATS = [CSR, COO, BCOO]
DTYPES = ["f4", "f8", "c16", "i4", "?"]
rng = np.random.default_rng(3)


def numbers(shape: Any, dtype: str) -> Any:
    x = rng.integers(-4, 5, shape) / 2
    if dtype == "?":
        return x > 0
    if dtype.startswith("c"):
        x = x + 1j * rng.integers(-4, 5, shape)
    return x.astype(dtype)


PLACES: dict[str, tuple[tuple[int, int], list[tuple[int, int]]]] = {
    "square": ((4, 4), [(0, 1), (1, 0), (1, 3), (2, 2), (3, 0), (3, 3)]),
    "wide": ((3, 5), [(2, 4), (0, 0), (0, 3), (2, 1)]),
    "tall": ((5, 2), [(4, 1), (1, 1), (1, 0)]),
    "empty rows": ((6, 3), [(1, 2), (4, 0)]),
    "duplicates": ((3, 3), [(1, 2), (0, 0), (1, 2), (2, 1), (1, 2), (0, 0)]),
    "no entries": ((3, 2), []),
    "no rows": ((0, 3), []),
    "no columns": ((3, 0), []),
    "one": ((1, 1), [(0, 0)]),
    "full": ((2, 3), [(i, j) for i in range(2) for j in range(3)]),
}
cases = pytest.mark.parametrize("name", PLACES)
formats = pytest.mark.parametrize("form", FORMATS)


def pair(form: Any, name: str, dtype: str = "f8", index: Any = np.int32) -> tuple[Any, Any]:
    """Return our matrix, duplicates and all, and the dense one."""
    shape, places = PLACES[name]
    row, col = np.array(places, index).reshape(-1, 2).T
    data, dense = numbers(len(places), dtype), np.zeros(shape, dtype)
    np.add.at(dense, (row, col), data)
    ours = form.from_coordinates(row, col, data, shape)
    return ours, dense


def close(got: Any, want: Any, tolerance: float = 1e-6) -> None:
    want = np.asarray(want)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(np.asarray(got), want, rtol=tolerance, atol=tolerance)


@formats
@cases
@pytest.mark.parametrize("dtype", DTYPES)
def test_products(form: Any, name: str, dtype: str) -> None:
    a, dense = pair(form, name, dtype, np.int64 if dtype in ("f4", "c16") else np.int32)
    rows, columns = dense.shape
    right = [numbers(s, dtype) for s in ((columns,), (columns, 3), (2, columns, 2), (columns, 11))]
    left = [numbers(s, dtype) for s in ((rows,), (3, rows), (2, 2, rows), (11, rows))]
    for x in right:
        close(a @ x, dense @ x)
    for x in left:
        close(x @ a, x @ dense)
    compiled = tj.jit(lambda a, xs, ys: ([a @ x for x in xs], [y @ a for y in ys]))
    found, others = compiled(a, right, left)
    for got, x in zip(found, right, strict=True):
        close(got, dense @ x)
    for got, x in zip(others, left, strict=True):
        close(got, x @ dense)


@formats
@pytest.mark.parametrize(
    ("dtype", "other"),
    [("f4", "f8"), ("c8", "c8"), ("i4", "f4"), ("?", "f8"), ("f2", "f2"), ("i8", "c8")],
)
def test_products_promote(form: Any, dtype: str, other: str) -> None:
    a, dense = pair(form, "square", dtype)
    x = numbers(4, other)
    close(a @ x, dense @ x)
    close(x @ a, x @ dense)
    assert (a @ [1, 2, 3, 4]).dtype == (dense @ [1, 2, 3, 4]).dtype


@formats
@cases
def test_forms(form: Any, name: str) -> None:
    a, dense = pair(form, name)
    want = sp.csr_array(dense)
    close(a.todense(), dense)
    close(a.T.todense(), dense.T)
    assert type(a.T) is form
    assert type(a.to_scipy()) is (sp.csr_array if form is CSR else sp.coo_array)
    close(a.to_scipy().toarray(), dense)
    for other in (
        want,
        want.tocsc(),
        want.tocoo(),
        want.todok(),
        want.tolil(),
        sp.csr_matrix(dense),
    ):
        close(form.from_scipy(other).todense(), dense)
    summed = a.sum_duplicates()
    assert summed.nse == len(set(PLACES[name][1]))
    close(summed.todense(), dense)
    close(form.fromdense(dense).todense(), dense)
    assert form.fromdense(dense).nse == want.nnz
    close(form.fromdense(dense, nse=want.nnz + 2).todense(), dense)
    close(a.sort_indices().todense(), dense)
    close(a.tocsr().todense(), dense)
    close(a.tocoo().todense(), dense)
    close(a.astype("c8").todense(), dense.astype("c8"))
    close(a.conj().todense(), dense.conj())
    close(a.transpose().todense(), dense.T)
    assert a.transpose((0, 1)) is a


@formats
@cases
def test_forms_that_are_traced(form: Any, name: str) -> None:
    a, dense = pair(form, name)
    count = len(PLACES[name][1])
    funs = (
        lambda a: a.T.T.todense(),
        lambda a: a.sum_duplicates().todense(),
        lambda a: a.sum_duplicates(nse=count + 2).todense(),
        lambda a: a.sort_indices().todense(),
        lambda a: a.tocsr().todense(),
        lambda a: a.tocoo().todense(),
        lambda a: form.fromdense(a.todense(), nse=count + 1).todense(),
        lambda a: (a + a.T.T).todense() / 2,
    )
    for got in tj.jit(lambda a: [fun(a) for fun in funs])(a):
        close(got, dense)
    close(tj.jit(lambda a: a.T @ tnp.ones(dense.shape[0]))(a), dense.T @ np.ones(dense.shape[0]))


@formats
@cases
def test_arithmetic(form: Any, name: str) -> None:
    a, dense = pair(form, name)
    b = form.fromdense(np.arange(dense.size).reshape(dense.shape) % 3 * 1.5)
    other = np.asarray(b.todense())
    rows, columns = dense.shape
    row, column = numbers(columns, "f8"), numbers((rows, 1), "f8")
    close((2 * a).todense(), 2 * dense)
    close((a * np.float64(3)).todense(), 3 * dense)
    close((a / 2).todense(), dense / 2)
    close((-a).todense(), -dense)
    close((a * row).todense(), dense * row)
    close((column * a).todense(), dense * column)
    close((a * other).todense(), dense * other)
    close((a / (1 + column**2)).todense(), dense / (1 + column**2))
    close((a + b).todense(), dense + other)
    close((a - b).todense(), dense - other)
    close((a + 2 * a).todense(), 3 * dense)
    assert (a + 2 * a).nse == a.nse
    close(a + other, dense + other)
    close(other - a, other - dense)
    close(a - other, dense - other)
    close((a @ b.T).todense(), dense @ other.T)
    assert type(a @ b.T) is form
    close(a.sum(), dense.sum())
    for axis in (0, 1, -1, -2):
        close(a.sum(axis=axis), dense.sum(axis=axis))
    for k in (-2, -1, 0, 1, 3):
        if dense.size and -dense.shape[0] <= k <= dense.shape[1]:
            close(a.diagonal(k), np.diagonal(dense, k))
    close(a.trace(), np.trace(dense))
    assert a.dot(2).nse == a.nse
    close(a.dot(row), dense.dot(row))


def test_sums_of_integers() -> None:
    a, dense = pair(CSR, "square", "i4")
    close(a.sum(), dense.sum())
    close(a.sum(axis=0), dense.sum(axis=0))


@formats
@pytest.mark.parametrize(
    ("name", "dtype"), [("wide", "f8"), ("empty rows", "c16"), ("duplicates", "f8")]
)
def test_derivatives(form: Any, name: str, dtype: str) -> None:
    a, dense = pair(form, name, dtype)
    data = np.asarray(a.data)
    rows, columns = dense.shape
    for fun, shape in (
        (lambda d, x: a.with_data(d) @ x, (columns,)),
        (lambda d, x: a.with_data(d) @ x, (columns, 2)),
        (lambda d, x: x @ a.with_data(d), (2, rows)),
        (lambda d, x: (a.with_data(d) * x + a).sum(axis=0), (columns,)),
        (lambda d, x: a.with_data(d).T.sum_duplicates().todense() @ x, (rows,)),
        (lambda d, x: (a.with_data(d) @ a.T).diagonal() * x, (rows,)),
    ):
        check_grads(fun, (data, numbers(shape, dtype)), order=2)


@formats
def test_a_matrix_is_a_pytree(form: Any) -> None:
    a, dense = pair(form, "square")
    leaves, treedef = tj.tree_util.tree_flatten(a)
    assert len(leaves) == (2 if form is BCOO else 3)
    assert "data" in tj.tree_util.keystr(tj.tree_util.tree_flatten_with_path(a)[0][0][0])
    again = tj.tree_util.tree_unflatten(treedef, leaves)
    close(again.todense(), dense)
    grads = tj.grad(lambda a: tnp.sum((a @ tnp.ones(4)) ** 2), allow_int=True)(a)
    assert type(grads) is form
    row, _ = (np.asarray(i) for i in a.coordinates())
    close(grads.data, 2 * dense.sum(axis=1)[row])


@formats
@pytest.mark.parametrize("name", ["square", "wide", "duplicates", "empty rows"])
def test_lanes(form: Any, name: str) -> None:
    a, dense = pair(form, name)
    rows, columns = dense.shape
    data = np.stack([np.asarray(a.data) * s for s in (1.0, 2.0, -1.0)])
    xs, ys = numbers((3, columns), "f8"), numbers((3, rows), "f8")
    each = np.stack([dense * s for s in (1.0, 2.0, -1.0)])
    close(tj.vmap(lambda x: a @ x)(xs), xs @ dense.T)
    close(tj.jit(tj.vmap(lambda y: y @ a))(ys), ys @ dense)
    many = tj.vmap(lambda d, x: a.with_data(d) @ x)
    close(many(data, xs), np.einsum("bij,bj->bi", each, xs))
    close(tj.jit(many)(data, xs), np.einsum("bij,bj->bi", each, xs))
    close(tj.vmap(lambda d: a.with_data(d) @ xs.T)(data), each @ xs.T)
    # Matrices whose patterns differ too.
    stacked = tj.tree_util.tree_map(lambda *i: tnp.stack(i), a, a.with_data(2 * a.data))
    got = tj.vmap(lambda a: a @ xs[0])(stacked)
    close(got, np.stack([dense @ xs[0], 2 * dense @ xs[0]]))


def test_what_is_beyond_counts_for_nothing() -> None:
    coo = COO((np.array([1.0, 2.0, 9.0, 9.0]), [0, 1, 2, 2], [1, 0, 2, 2]), shape=(2, 2))
    dense = np.array([[0.0, 1], [2, 0]])
    for a in (coo, coo.tocsr(), coo.tocsr().tocoo()):
        close(a.todense(), dense)
        close(a @ np.ones(2), dense @ np.ones(2))
        close(np.ones(2) @ a, np.ones(2) @ dense)
        close(a.sum(), 3.0)
        close(a.diagonal(), np.zeros(2))
        close(a.to_scipy().toarray(), dense)
        close(tj.jit(lambda a, x: a @ x)(a, np.full(2, np.inf)), [np.inf, np.inf])
        many = tj.vmap(lambda d, a=a: a.with_data(d) @ tnp.ones(2))
        close(many(np.stack([a.data, a.data])), [[1.0, 2.0]] * 2)
        assert a.sum_duplicates().nse == 2


@formats
def test_in_loops(form: Any) -> None:
    a, dense = pair(form, "square")

    def power(a: Any, x: Any) -> Any:
        return tj.lax.fori_loop(0, 5, lambda _, x: a @ x / 2, x)

    def carried(a: Any, x: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            a, x = carry
            return (a * 0.5, a @ x), x.sum()

        return tj.lax.scan(step, (a, x), None, length=3)[0][1]

    x = numbers(4, "f8")
    close(tj.jit(power)(a, x), np.linalg.matrix_power(dense / 2, 5) @ x)
    close(carried(a, x), np.linalg.matrix_power(dense, 3) @ x / 8)
    check_grads(lambda d, x: power(a.with_data(d), x), (np.asarray(a.data), x), order=1)


def test_a_product_is_native() -> None:
    a, _ = pair(CSR, "square")
    text = str(explain(tj.jit(lambda a, x: a @ x))(a, np.ones(4)))
    assert "csr_matmul" in text
    assert "callback csr_matmul" not in text


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_large_products(threads: int) -> None:
    a = sp.random_array((3000, 2000), density=0.004, format="csr", rng=rng)
    ours = CSR.from_scipy(a)
    x = rng.normal(size=(2000, 3))
    with tj.settings(num_threads=threads):
        np.testing.assert_allclose(ours @ x[:, 0], a @ x[:, 0], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(tj.jit(lambda x: ours @ x)(x), a @ x, rtol=1e-12, atol=1e-12)


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda a: a @ np.ones(5), ValueError, r"\(3, 4\) @ \(5,\)"),
    (lambda a: np.ones(5) @ a, ValueError, r"\(5,\) @ \(3, 4\)"),
    (lambda a: a @ a, ValueError, r"\(3, 4\) @ \(3, 4\)"),
    (lambda a: a @ 2.0, ValueError, r"use \*"),
    (lambda a: a + a.T, ValueError, "one shape"),
    (lambda a: a + 1.0, NotImplementedError, "dense"),
    (lambda a: a * a, TypeError, "entry by entry"),
    (lambda a: a * np.ones(3), ValueError, "broadcast|stretch"),
    (lambda a: a.sum(axis=2), ValueError, "axis"),
    (lambda a: a.transpose((0, 0)), ValueError, "permutation"),
    (lambda a: type(a).fromdense(np.ones(3)), ValueError, "matrix"),
    (lambda a: type(a).from_scipy(np.ones((2, 2))), TypeError, "scipy.sparse"),
    (lambda a: tj.jit(lambda d: a.with_data(d).to_scipy())(a.data), TypeError, "traced"),
    (lambda a: tj.jit(lambda x: type(a).fromdense(x).data)(np.eye(3)), TypeError, "nse"),
    (lambda a: tj.jit(lambda a: (a @ a.T).data)(a), TypeError, "product of sparse"),
    (lambda a: COO((np.ones(2), [0, 1], [0]), shape=(2, 2)), ValueError, "one length"),
    (lambda a: COO((np.ones(1), [0.5], [0]), shape=(2, 2)), TypeError, "row must be integers"),
    (lambda a: COO((np.ones(1), [3], [0]), shape=(2, 2)), IndexError, "row must be within"),
    (lambda a: COO((np.ones(1), [0], [-1]), shape=(2, 2)), IndexError, "col must be within"),
    (lambda a: CSR((np.ones(1), [0], [0, 1]), shape=(2, 2)), ValueError, "indptr one of 3"),
    (lambda a: CSR((np.ones(2), [0, 1], [0, 2, 1]), shape=(2, 2)), IndexError, "decrease"),
    (lambda a: CSR((np.ones(1), [0], [0, 1, 1]), shape=(2,)), ValueError, "shape must be"),
    (lambda a: CSR((np.ones(1), [0], [0, 1, 1]), shape=(2, -1)), ValueError, "not negative"),
]  # fmt: skip


@formats
@pytest.mark.parametrize("case", ERRORS, ids=lambda c: c[2])
def test_errors(form: Any, case: Any) -> None:
    run, kind, message = case
    with pytest.raises(kind, match=message):
        run(form.fromdense(np.eye(3, 4)))


def test_names_of_jax() -> None:
    a = BCOO((np.array([1.0, 2.0, 3.0]), np.array([[0, 1], [1, 0], [0, 1]])), shape=(2, 3))
    dense = np.array([[0.0, 4, 0], [2, 0, 0]])
    assert (a.nse, a.shape, a.ndim, a.n_sparse, a.n_batch, a.n_dense) == (3, (2, 3), 2, 2, 0, 0)
    close(jax_sparse.todense(a), dense)
    close(jax_sparse.todense(dense), dense)
    close(jax_sparse.bcoo_todense(jax_sparse.bcoo_fromdense(dense)), dense)
    close(BCOO.from_scipy_sparse(sp.csr_array(dense)).todense(), dense)
    assert a.sum_duplicates(nse=2).indices.tolist() == [[0, 1], [1, 0]]
    for form in ("bcoo", "coo", "csr"):
        for k in (-1, 0, 2):
            found = jax_sparse.eye(3, 4, k, "f4", sparse_format=form)
            close(found.todense(), np.eye(3, 4, k, "f4"))
        close(jax_sparse.empty((2, 3), sparse_format=form).todense(), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="bcoo, coo, csr"):
        jax_sparse.eye(3, sparse_format="bsr")
    for indices, kind, message in (
        (np.zeros((3, 1), int), ValueError, r"\(nse, 2\)"),
        (np.zeros((3, 2)), TypeError, "integers"),
        (np.full((3, 2), 7), IndexError, "within"),
    ):
        with pytest.raises(kind, match=message):
            BCOO((np.ones(3), indices), shape=(2, 3))
