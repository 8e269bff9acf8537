"""Eigenvalues and singular values: values as NumPy's, derivatives by the equations they solve.

With distinct values the tangents of vectors must solve the differentiated equations; with
repeated ones what does not depend on the choice of vectors is compared with closed forms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit.core.errors import DTypeError, MissingRuleError, ShapeError, TracejitError
from tracejit.transforms.api import grad, hessian, jvp, linear_transpose, vjp, vmap
from tracejit.transforms.stop_gradient import stop_gradient

DTYPES = ["f4", "f8", "c8", "c16"]
SHAPES = [(2, 5, 3), (2, 3, 5), (2, 4, 4), (1, 4), (3, 1), (1, 1)]


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    x = rng.normal(size=shape)
    kind = np.dtype(dtype)
    return (x + 1j * rng.normal(size=shape) if kind.kind == "c" else x).astype(kind)


def adjoint(x: Any) -> Any:
    return np.conj(np.swapaxes(x, -1, -2))


def hermitian(x: Any) -> Any:
    return (x + adjoint(x)) / 2


def unitary(rng: np.random.Generator, n: int, dtype: Any) -> Any:
    return np.linalg.qr(normal(rng, (n, n), dtype))[0]


def close(got: Any, want: Any, factor: float = 1) -> None:
    got = np.asarray(got)
    few = 100 * factor * np.finfo(got.dtype).eps
    np.testing.assert_allclose(got, want, rtol=few, atol=few)


def arrays(results: Any) -> list[Any]:
    return [np.asarray(x) for x in results]


def along(function: Any, x: Any, t: Any) -> Any:
    return np.asarray(jvp(function, (x,), (t,))[1])


def difference(function: Any, x: Any, t: Any, h: float = 1e-6) -> Any:
    return (np.asarray(function(x + h * t)) - np.asarray(function(x - h * t))) / (2 * h)


# ------------------------------------------------------------------------------------ values


@pytest.mark.parametrize("dtype", DTYPES)
def test_eigh_is_numpys(dtype: str) -> None:
    a = normal(np.random.default_rng(0), (2, 3, 4, 4), dtype)
    for uplo in ("L", "U", "l"):
        w, v = tnp.linalg.eigh(a, UPLO=uplo)
        want = np.linalg.eigh(a, uplo)
        assert (w.dtype, v.dtype) == (want[0].dtype, want[1].dtype)
        close(w, want[0])
        whole = np.asarray(v) * np.asarray(w)[..., None, :] @ adjoint(np.asarray(v))
        close(whole, want[1] * want[0][..., None, :] @ adjoint(want[1]))
        close(tnp.linalg.eigvalsh(a, uplo), want[0])
    close(tnp.linalg.eigvalsh(a), np.linalg.eigvalsh(hermitian(a)))
    close(tnp.linalg.eigvalsh(a, symmetrize_input=False), np.linalg.eigvalsh(a))
    result = tnp.linalg.eigh(tnp.asarray(a))
    close(result.eigenvalues, np.linalg.eigvalsh(hermitian(a)))
    assert result.eigenvectors.shape == a.shape


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_svd_is_numpys(shape: tuple[int, ...], dtype: str) -> None:
    a = normal(np.random.default_rng(1), shape, dtype)
    for full in (True, False):
        ours, theirs = tnp.linalg.svd(a, full), np.linalg.svd(a, full)
        for x, y in zip(ours, theirs, strict=True):
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
        u, s, vh = arrays(ours)
        k = s.shape[-1]
        close(s, theirs.S)
        close(u[..., :k] * s[..., None, :] @ vh[..., :k, :], a)
        close(adjoint(u) @ u - np.eye(u.shape[-1], dtype=dtype), 0)
    close(tnp.linalg.svdvals(a), np.linalg.svdvals(a))
    close(tnp.linalg.svd(a, compute_uv=False), np.linalg.svdvals(a))
    assert ours.S.shape == s.shape


@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_hermitian_svd(dtype: str) -> None:
    a = hermitian(normal(np.random.default_rng(2), (3, 4, 4), dtype))
    u, s, vh = arrays(tnp.linalg.svd(a, hermitian=True))
    close(s, np.linalg.svdvals(a))
    close(u * s[:, None, :] @ vh, a)
    close(tnp.linalg.svd(a, compute_uv=False, hermitian=True), s)


def test_numpys_functions_integers_and_narrow_floats() -> None:
    x = np.array([[2, 1], [1, 3]])
    close(np.linalg.eigvalsh(tnp.asarray(x)), np.linalg.eigvalsh(x))
    close(np.linalg.svd(tnp.asarray(x)).S, np.linalg.svdvals(x))
    half = tnp.linalg.eigvalsh(x.astype(np.float16))
    assert half.dtype == np.float16
    close(half, np.linalg.eigvalsh(x))
    moved = grad(lambda x: tnp.sum(tnp.linalg.svdvals(x) ** 2))(x.astype(np.float16))
    close(moved, 2 * x)


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 3), (3, 0), (0, 3, 2)])
def test_empty(shape: tuple[int, ...]) -> None:
    a = np.zeros(shape)
    for full in (True, False):
        for x, y in zip(tnp.linalg.svd(a, full), np.linalg.svd(a, full), strict=True):
            np.testing.assert_array_equal(np.asarray(x), y)
    assert grad(lambda a: tnp.sum(tnp.linalg.svd(a)[0]))(a).shape == shape
    if shape[-1] == shape[-2]:
        for x, y in zip(tnp.linalg.eigh(a), np.linalg.eigh(a), strict=True):
            np.testing.assert_array_equal(np.asarray(x), y)
        assert grad(lambda a: tnp.sum(tnp.linalg.eigh(a)[1]))(a).shape == shape


def test_nan_stays_in_its_matrix() -> None:
    a = np.stack([np.eye(3), np.full((3, 3), np.nan)])
    for values in (tnp.linalg.eigvalsh(a), tnp.linalg.eigh(a)[0], tnp.linalg.svd(a)[1]):
        np.testing.assert_array_equal(np.isnan(np.asarray(values)).all(-1), [False, True])
        close(np.asarray(values)[0], np.ones(3))


def test_errors() -> None:
    with pytest.raises(ShapeError, match=r"eigh: square matrices .*\(2, 3\)"):
        tnp.linalg.eigh(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"svd: matrices .*\(3,\)"):
        tnp.linalg.svd(np.ones(3))
    with pytest.raises(TracejitError, match="UPLO must be 'L' or 'U'; got 'X'"):
        tnp.linalg.eigvalsh(np.eye(2), "X")
    with pytest.raises(DTypeError):
        tnp.linalg.svdvals(None)
    with pytest.raises(MissingRuleError, match=r"svd.*not linear"):
        linear_transpose(tnp.linalg.svdvals, np.eye(2))(np.ones(2))


# ------------------------------------------------------------------------- distinct values


@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_tangents_of_eigh_solve_its_equations(dtype: str) -> None:
    rng = np.random.default_rng(3)
    a, t = normal(rng, (2, 3, 5, 5), dtype), normal(rng, (2, 3, 5, 5), dtype)
    for uplo in (None, "L", "U"):
        (w, v), (dw, dv) = (
            arrays(r) for r in jvp(lambda x, u=uplo: tuple(tnp.linalg.eigh(x, u)), (a,), (t,))
        )
        h, dh = (_read(x, uplo) for x in (a, t))
        close(dh @ v + h @ dv, dv * w[..., None, :] + v * dw[..., None, :], 10)
        close(np.einsum("...ij,...ij->...j", v.conj(), dv), np.zeros(w.shape), 10)
        close(along(lambda x, u=uplo: tnp.linalg.eigvalsh(x, u), a, t), dw)


def _read(x: Any, uplo: Any) -> Any:
    if uplo is None:
        return hermitian(x)
    lower = np.tril(x, -1) if uplo == "L" else adjoint(np.triu(x, 1))
    return lower + adjoint(lower) + np.real(x) * np.eye(x.shape[-1])


@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_tangents_of_svd_solve_its_equations(
    shape: tuple[int, ...], full: bool, dtype: str
) -> None:
    rng = np.random.default_rng(4)
    a, t = normal(rng, shape, dtype), normal(rng, shape, dtype)
    (u, s, vh), (du, ds, dvh) = (
        arrays(r) for r in jvp(lambda x: tuple(tnp.linalg.svd(x, full)), (a,), (t,))
    )
    k = s.shape[-1]
    left, right, s = u[..., :k], vh[..., :k, :], s[..., None, :]
    dleft, dright, ds = du[..., :k], dvh[..., :k, :], ds[..., None, :]
    close(dleft * s @ right + left * ds @ right + left * s @ dright, t, 20)
    close(adjoint(u) @ du + adjoint(du) @ u, 0, 20)
    close(vh @ adjoint(dvh) + dvh @ adjoint(vh), 0, 20)
    close(along(tnp.linalg.svdvals, a, t), ds[..., 0, :])
    if full:
        # What completes moves with the vectors of the other side, to stay in the null space.
        close(adjoint(du[..., k:]) @ a + adjoint(u[..., k:]) @ t, 0, 20)
        close(dvh[..., k:, :] @ adjoint(a) + vh[..., k:, :] @ adjoint(t), 0, 20)


def _fixed(v: Any) -> Any:
    """Turn columns so that the sum of each is positive: what is left does not hang on LAPACK."""
    total = tnp.sum(v, -2, keepdims=True)
    return v * tnp.conj(total) / tnp.abs(total)


FUNCTIONS: dict[str, Any] = {
    "eigh": lambda a: _fixed(tnp.linalg.eigh(a)[1]) * tnp.linalg.eigh(a)[0][..., None],
    "eigvalsh": lambda a: tnp.linalg.eigvalsh(a, "U") ** 3,
    "left": lambda a: _fixed(tnp.linalg.svd(a[..., :2], False)[0]),
    "right": lambda a: _fixed(tnp.matrix_transpose(tnp.linalg.svd(a[..., 1:], False)[2])),
    "projector": lambda a: _projector(tnp.linalg.svd(a[..., :2])[0][..., 2:]),
    "svdvals": lambda a: tnp.log(tnp.linalg.svdvals(a[..., :2, :])),
    "hermitian": lambda a: tnp.linalg.svd(a + _swapped(a), hermitian=True)[1],
    "nuc": lambda a: tnp.linalg.norm(a, "nuc", axis=(-1, -2)),
    "2": lambda a: tnp.linalg.matrix_norm(a, ord=2) * tnp.linalg.matrix_norm(a, ord=-2),
}


def _swapped(a: Any) -> Any:
    return tnp.conj(tnp.matrix_transpose(a))


def _projector(v: Any) -> Any:
    return v @ _swapped(v)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_to_second_order(name: str, dtype: str) -> None:
    """jvp against differences, vjp against jvp, jvp of vjp against differences of vjp."""
    function = FUNCTIONS[name]
    rng = np.random.default_rng(5)
    a, t = normal(rng, (2, 3, 3), dtype), normal(rng, (2, 3, 3), dtype)
    slope = along(function, a, t)
    np.testing.assert_allclose(slope, difference(function, a, t), rtol=1e-6, atol=1e-7)
    out, pullback = vjp(function, a)
    ct = normal(rng, out.shape, out.dtype)
    (back,) = arrays(pullback(ct))
    # The pairing of a complex number with its cotangent is the real part of their product.
    np.testing.assert_allclose(np.sum(ct * slope).real, np.sum(back * t).real, rtol=1e-9)

    def gradient(a: Any) -> Any:
        return vjp(function, a)[1](ct)[0]

    second = along(gradient, a, t)
    np.testing.assert_allclose(second, difference(gradient, a, t), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_vmap_is_a_loop(name: str) -> None:
    function = FUNCTIONS[name]
    lanes = normal(np.random.default_rng(6), (4, 2, 3, 3), "c16")
    loop = np.stack([np.asarray(function(x)) for x in lanes])
    for axis in (0, 2):
        close(vmap(function, in_axes=axis)(np.moveaxis(lanes, 0, axis)), loop, 10)


# ------------------------------------------------------------------------- repeated values

SPECTRA = [[1, 1, 2, 2, 2, 3], [1] * 6, [0, 0, 0, 0, 1, 1], [0] * 6, [-1, -1, 1, 1, 1, 5]]


def with_spectrum(w: Any, dtype: str, seed: int = 7) -> tuple[Any, Any, Any]:
    """Return a Hermitian matrix, its vectors and a direction that is Hermitian too."""
    rng = np.random.default_rng(seed)
    n = len(w)
    v = unitary(rng, n, dtype)
    return v * np.asarray(w, float) @ adjoint(v), v, hermitian(normal(rng, (n, n), dtype))


@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize("spectrum", SPECTRA, ids=str)
def test_traces_of_functions_with_repeated_eigenvalues(spectrum: list[int], dtype: str) -> None:
    """The gradient of ``sum(f(w))`` is ``f'(a)``, conjugated as all gradients are."""
    a, v, _ = with_spectrum(spectrum, dtype)
    slope = grad(lambda a: tnp.sum(tnp.sin(tnp.linalg.eigvalsh(a))))(a)
    close(slope, np.conj(v * np.cos(spectrum) @ adjoint(v)), 10)
    weighted = grad(lambda a: tnp.sum(tnp.sin(tnp.linalg.eigh(a)[0])))(a)
    close(weighted, slope, 10)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_projector_onto_a_cluster(dtype: str) -> None:
    """The cluster's own rotations drop out; with the rest it is coupled by 1 / differences."""
    w = np.array([1.0, 1, 2, 2, 2, 3])
    a, v, t = with_spectrum(w, dtype)

    def projector(a: Any) -> Any:
        return _projector(tnp.linalg.eigh(a)[1][:, 2:5])

    inside = np.array([0, 0, 1, 1, 1, 0])
    gaps = w[:, None] - w
    rates = (inside[:, None] - inside) / np.where(gaps, gaps, 1)
    want = v @ (rates * (adjoint(v) @ t @ v)) @ adjoint(v)
    close(along(projector, a, t), want, 100)
    np.testing.assert_allclose(along(projector, a, t), difference(projector, a, t), atol=1e-7)
    ct = hermitian(normal(np.random.default_rng(8), a.shape, dtype))
    back = np.asarray(vjp(projector, a)[1](ct)[0])
    np.testing.assert_allclose(np.sum(back * t).real, np.sum(ct * want).real, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_function_of_a_matrix_along_what_does_not_split(dtype: str) -> None:
    """``v f(w) v^H`` along changes whose blocks within the clusters are diagonal."""
    w = np.array([1.0, 1, 2, 2, 2, 3])
    rng = np.random.default_rng(9)
    a = np.diag(w).astype(dtype)
    t = hermitian(normal(rng, a.shape, dtype))
    same = w[:, None] == w
    t = np.where(same & ~np.eye(6, dtype=bool), 0, t)

    def function(a: Any) -> Any:
        w, v = tnp.linalg.eigh(a)
        return v * tnp.exp(w) @ _swapped(v)

    gaps = np.where(same, 1, w[:, None] - w)
    rates = np.where(same, np.exp(w), (np.exp(w)[:, None] - np.exp(w)) / gaps)
    close(along(function, a, t), rates * t, 10)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize("spectrum", SPECTRA, ids=str)
def test_the_documented_function_of_a_matrix(spectrum: list[int], dtype: str) -> None:
    """As :mod:`tracejit.ops.spectral` writes it: right along every change, in both modes."""
    a, v, t = with_spectrum(spectrum, dtype)

    def exponential(a: Any) -> Any:
        w, v = tnp.linalg.eigh(stop_gradient(a))
        gaps = w[:, None] - w
        near = tnp.abs(gaps) <= 1e-5 * tnp.max(tnp.abs(w))
        rates = (tnp.exp(w)[:, None] - tnp.exp(w)) / tnp.where(near, 1, gaps)
        rates = tnp.where(near, tnp.exp((w[:, None] + w) / 2), rates)
        inner = _swapped(v) @ a @ v - tnp.diag(w)
        return v @ (tnp.diag(tnp.exp(w)) + rates * inner) @ _swapped(v)

    f = np.exp(spectrum)
    close(exponential(a), v * f @ adjoint(v), 100)
    w = np.array(spectrum, float)
    same = w[:, None] == w
    rates = np.where(same, f, (f[:, None] - f) / np.where(same, 1, w[:, None] - w))
    want = v @ (rates * (adjoint(v) @ t @ v)) @ adjoint(v)
    close(along(exponential, a, t), want, 1000)
    ct = normal(np.random.default_rng(13), a.shape, dtype)
    back = np.asarray(vjp(exponential, a)[1](ct)[0])
    np.testing.assert_allclose(np.sum(back * t).real, np.sum(ct * want).real, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
@pytest.mark.parametrize("spectrum", SPECTRA, ids=str)
def test_every_derivative_is_finite(spectrum: list[int], dtype: str) -> None:
    """Of vectors too, in both modes, to second order; of unit and zero matrices exactly."""
    rotated, _, t = with_spectrum(spectrum, dtype)
    t = t.astype(dtype)
    weights = normal(np.random.default_rng(10), t.shape, dtype)

    def of_eigh(a: Any) -> Any:
        w, v = tnp.linalg.eigh(a)
        return tnp.sum(tnp.real(v * weights)) + tnp.sum(w * weights[0].real)

    def of_svd(a: Any) -> Any:
        u, s, vh = tnp.linalg.svd(a[:, :4], True)
        turned = tnp.sum(tnp.real(u * weights)) + tnp.sum(tnp.real(vh * weights[:4, :4]))
        return turned + tnp.sum(s * weights[0, :4].real)

    for a in (rotated.astype(dtype), np.diag(spectrum).astype(dtype)):
        for function in (of_eigh, of_svd):
            slope, second = jvp(grad(function), (a,), (t,))
            assert np.isfinite(np.asarray(slope)).all()
            assert np.isfinite(np.asarray(second)).all()
            assert np.isfinite(along(function, a, t)).all()
            backward = vjp(grad(function), a)[1](weights)[0]
            assert np.isfinite(np.asarray(backward)).all()


def with_values(s: Any, shape: tuple[int, int], dtype: str) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(11)
    u, v = (unitary(rng, d, dtype)[:, : len(s)] for d in shape)
    return u * np.asarray(s, float) @ adjoint(v), u, adjoint(v), normal(rng, shape, dtype)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize("shape", [(4, 4), (6, 4), (4, 5)])
@pytest.mark.parametrize("s", [[3, 2, 2, 1], [2, 2, 2, 2]], ids=str)
def test_repeated_singular_values(s: list[int], shape: tuple[int, int], dtype: str) -> None:
    a, u, vh, t = with_values(s, shape, dtype)
    slope = grad(lambda a: tnp.linalg.norm(a, "nuc"))(a)
    close(slope, np.conj(u @ vh), 10)
    slope = grad(lambda a: tnp.sum(tnp.linalg.svd(a, full_matrices=False)[1] ** 4))(a)
    close(slope, np.conj(4 * (u * np.array(s) ** 3.0) @ vh), 100)

    def polar(a: Any) -> Any:
        u, _, vh = tnp.linalg.svd(a, full_matrices=False)
        return u @ vh

    np.testing.assert_allclose(along(polar, a, t), difference(polar, a, t), atol=1e-7)
    ct = normal(np.random.default_rng(12), shape, dtype)
    back = np.asarray(vjp(polar, a)[1](ct)[0])
    np.testing.assert_allclose(
        np.sum(back * t).real, np.sum(ct * along(polar, a, t)).real, rtol=1e-9
    )


@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize("shape", [(6, 4), (4, 5)])
def test_null_spaces_move(shape: tuple[int, int], dtype: str) -> None:
    a, *_, t = with_values([2, 2, 1, 1], shape, dtype)

    def onto(a: Any) -> Any:
        u, _, vh = tnp.linalg.svd(a)
        return _projector(u[:, 4:]) if shape[0] > 4 else _projector(_swapped(vh)[:, 4:])

    np.testing.assert_allclose(along(onto, a, t), difference(onto, a, t), atol=1e-7)


@pytest.mark.parametrize("shape", [(4, 4), (6, 4), (4, 5)])
def test_singular_values_of_zero(shape: tuple[int, int]) -> None:
    """What belongs to the others is right; what belongs to zeros is finite."""
    a, u, vh, t = with_values([3, 3, 0, 0], shape, "f8")
    close(grad(lambda a: tnp.sum(tnp.linalg.svdvals(a)[:2]))(a), u[:, :2] @ vh[:2], 10)

    def space(a: Any) -> Any:
        return _projector(tnp.linalg.svd(a)[0][:, :2])

    rest = np.eye(shape[0]) - u[:, :2] @ u[:, :2].T
    for i in (0, 2):  # nothing is divided by the rounding errors that zeros are computed as
        for full in (True, False):
            moved = along(lambda a, i=i, f=full: tnp.linalg.svd(a, f)[i], a, t)
            assert np.abs(moved).max() < 10
    turn = rest @ t @ vh[:2].T / 3 @ u[:, :2].T
    close(along(space, a, t), turn + turn.T, 100)
    np.testing.assert_array_equal(grad(lambda a: tnp.linalg.norm(a, "nuc"))(np.zeros(shape)), 0)
    np.testing.assert_array_equal(grad(lambda a: tnp.linalg.norm(a, 2))(np.zeros(shape)), 0)


def test_large_clusters() -> None:
    """Eigenvalues that rounding has spread are still one; nearby ones that it has not are not."""
    rng = np.random.default_rng(14)
    n = 120
    q = unitary(rng, n, "f8")
    w = np.repeat([1.0, 2, 3, 5], n // 4)
    a, t = hermitian(q * w @ q.T), hermitian(normal(rng, (n, n), "f8"))

    def projector(a: Any) -> Any:
        return _projector(tnp.linalg.eigh(a)[1][:, n // 4 : n // 2])

    inside = (w == 2).astype(float)
    gaps = w[:, None] - w
    rates = (inside[:, None] - inside) / np.where(gaps, gaps, 1)
    want = q @ (rates * (q.T @ t @ q)) @ q.T
    np.testing.assert_allclose(along(projector, a, t), want, atol=1e-11)
    near = np.diag([1.0, 1 + 1e-13])
    turn = along(lambda a: tnp.linalg.eigh(a)[1], near, np.array([[0, 1.0], [1, 0]]))
    np.testing.assert_allclose(np.abs(turn[0, 1]), 1e13, rtol=1e-2)


def test_second_derivative_of_what_stays_apart() -> None:
    """The sum of a cluster's eigenvalues: 2 sum |t_ij|^2 / (w_i - w_j) over pairs with others."""
    w = np.array([1.0, 1, 2, 4])
    a, v, t = with_spectrum(w, "f8")

    def lowest(x: Any) -> Any:
        return tnp.sum(tnp.linalg.eigvalsh(a + x * t)[:2])

    inner = v.T @ t @ v
    want = 2 * np.sum(inner[:2, 2:] ** 2 / (w[:2, None] - w[2:]))
    np.testing.assert_allclose(np.asarray(hessian(lowest)(0.0)), want, rtol=1e-9)
