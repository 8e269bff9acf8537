"""Signatures and conventions of the public transformations: the same calls in JAX and here."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy

X = np.array([0.3, -0.7, 1.2])
M = np.arange(12.0).reshape(3, 4) + 0.5
P = {"w": X, "b": np.float64(2.0)}

Call = Callable[[], Any]


def cases(L: Any, n: Any, float0: Any) -> Iterator[tuple[str, Call]]:
    """Yield calls of a library `L` with its NumPy `n`."""

    def cube(x: Any) -> Any:
        return (x**3).sum()

    def product(a: Any, b: Any, c: Any) -> Any:
        return a * b * c

    def with_aux(x: Any) -> Any:
        return x * x, {"a": [x, 3]}

    class Callable_:
        def __call__(self, x: Any) -> Any:
            return x * x

        def method(self, x: Any) -> Any:
            return x * x

    lax, vmap, grad, jvp, vjp = L.lax, L.vmap, L.grad, L.jvp, L.vjp
    yield "vmap, keywords", lambda: vmap(lambda x, y, *, k: x * k + y, (0, None))(X, 2.0, k=X)
    yield "vmap, negative", lambda: vmap(lambda x: x, 1, -2)(np.ones((2, 3, 4)))
    yield "vmap, prefixes", lambda: vmap(
        lambda p, x: {"a": p["w"] * x, "c": (p["b"]["u"], x)},
        in_axes=({"w": 0, "b": None}, 0),
        out_axes={"a": 0, "c": 0},
    )({"w": X, "b": {"u": 2.0}}, X)
    yield "vmap, out None", lambda: vmap(lambda x, y: (x, y), (0, None), (0, None))(X, X)
    yield "vmap, list", lambda: vmap(lambda x: x[0] * x[1], ([0, None],))([X, 2.0])
    yield "vmap, no argument", lambda: vmap(lambda: n.ones(2), axis_size=3)()
    yield "vmap, none mapped", lambda: vmap(lambda x: x * 2, None, axis_size=3)(X)
    yield "vmap, None", lambda: vmap(lambda x, y: x if y is None else y)(X, None)
    yield "vmap, constant", lambda: vmap(lambda x: (3, np.ones(2), None))(X)
    yield "vmap, name", lambda: vmap(lambda x: x / lax.psum(x, "i"), axis_name="i")(X)
    yield "vmap, names", lambda: vmap(
        vmap(lambda x: lax.psum(x, ("i", "j")), axis_name="j"), axis_name="i"
    )(M)
    for argnums in ((0, 2), -1, (-1, -3), [1], np.int64(1)):
        yield f"argnums {argnums!r}", lambda a=argnums: grad(product, a)(1.0, 2.0, 3.0)
    yield "grad, keywords", lambda: grad(lambda x, *, k: x * k)(2.0, k=3.0)
    yield "grad, None", lambda: grad(lambda p: p[0] ** 2)((2.0, None))
    yield "grad, tree", lambda: grad(lambda p: (p["w"] * p["b"]).sum())(P)
    yield "allow_int", lambda: grad(lambda p: (p["x"] * p["i"]).sum(), allow_int=True)(
        {"x": X, "i": np.arange(3)}
    )
    yield "holomorphic", lambda: grad(lambda z: (n.exp(z), z), 0, True, True)(1.0 + 2j)
    yield "complex", lambda: grad(lambda z: n.real(z * z * 1j))(1.0 + 2j)
    yield "aux, jit", lambda: L.jit(L.value_and_grad(with_aux, has_aux=True))(2.0)
    yield "aux, vmap", lambda: vmap(grad(with_aux, has_aux=True))(X)
    yield "partial", lambda: grad(functools.partial(lambda a, b: a * b, 2.0))(3.0)
    yield "method", lambda: grad(Callable_().method)(3.0)
    yield "object", lambda: grad(Callable_())(3.0)
    for name in ("jacfwd", "jacrev"):
        jac = getattr(L, name)
        yield f"{name}, aux", lambda j=jac: j(lambda x: (x * x, n.sin(x)), has_aux=True)(X)
        yield f"{name}, holomorphic", lambda j=jac: j(lambda z: z**2, holomorphic=True)(X + 1j)
        yield f"{name}, dtypes", lambda j=jac: j(lambda x: (x.astype(n.float32), x))(n.asarray(X))
        yield f"{name}, constant", lambda j=jac: j(lambda x: n.ones(2))(X)
        yield f"{name}, empty in", lambda j=jac: j(lambda x: n.ones(2) + x.sum())(X[:0])
        yield f"{name}, empty out", lambda j=jac: j(lambda x: x[:0])(n.asarray(X))
        yield f"{name}, tree", lambda j=jac: j(lambda p, q: {"o": p["w"] * q}, (1, 0))(P, 2.0)
        yield f"{name}, keywords", lambda j=jac: j(lambda x, *, k: x * k)(X, k=2.0)
    yield "jacfwd, complex out", lambda: L.jacfwd(lambda x: x * 1j)(X)
    yield "jacrev, complex in", lambda: L.jacrev(n.abs)(X + 1j)
    yield "hessian, tree", lambda: L.hessian(lambda p: (p["w"] ** 2 * p["b"] ** 2).sum())(P)
    yield "hessian, argnums", lambda: L.hessian(lambda a, b: (a * b).sum() ** 2, (0, 1))(X, X)
    yield "hessian, aux", lambda: L.hessian(lambda x: (cube(x), n.sin(x)), has_aux=True)(X)
    yield "hessian, holomorphic", lambda: L.hessian(cube, holomorphic=True)(X + 1j)
    yield "hvp, forward over reverse", lambda: jvp(grad(cube), (X,), (X,))[1]
    yield "hvp, reverse over forward", lambda: grad(lambda x: jvp(cube, (x,), (X,))[1])(X)
    yield "hvp, reverse over reverse", lambda: vjp(grad(cube), X)[1](X)
    yield "hvp, forward over forward", lambda: jvp(
        lambda x: jvp(cube, (x,), (X,))[1], (X,), (X,)
    )
    yield "vjp, aux", lambda: vjp(lambda x: (n.sin(x), x), X, has_aux=True)[::2]
    yield "vjp, no argument", lambda: vjp(lambda: 1.0)[1](1.0)
    yield "vjp, tree", lambda: vjp(lambda p, q: {"o": p["w"] * q}, P, 2.0)[1]({"o": X})
    yield "vjp, integer out", lambda: vjp(lambda x: (x, 3), X)[1]((X, np.zeros((), float0)))
    yield "pullback into jit", lambda: L.jit(lambda f, x: f(x))(vjp(n.sin, X)[1], X)
    yield "pullback out of jit", lambda: L.jit(lambda x: vjp(n.sin, x))(X)[1](X)
    yield "pullback through vmap", lambda: vmap(lambda f, x: f(x))(
        vmap(lambda x: vjp(n.sin, x)[1])(X), X
    )
    yield "pullback under vmap", lambda: vmap(vjp(lambda x: x**2, X)[1])(M[:, :3])
    yield "linearize, integers", lambda: L.linearize(lambda i, x: x * i, np.arange(3), X)[1](
        np.zeros(3, float0), X
    )
    yield "linearize, grad", lambda: L.linearize(grad(cube), X)[1](X)
    yield "linearize, aux", lambda: L.linearize(lambda x: (x * x, x), X, has_aux=True)[2]
    yield "linear_transpose", lambda: L.linear_transpose(lambda x, y: x * 2 + y.sum(), X, X)(X)
    yield "linear_transpose, types", lambda: L.linear_transpose(
        lambda p: {"o": p["w"] * 2}, {"w": L.ShapeDtypeStruct((3,), np.float64)}
    )({"o": X})
    yield "linear_transpose, int", lambda: L.linear_transpose(lambda x: x[1:], np.arange(3))(
        np.arange(2)
    )
    yield "jvp, list", lambda: jvp(lambda x, y: x * y, [1.0, 2.0], [1.0, 1.0])
    yield "jvp, None", lambda: jvp(lambda x, y: x, (1.0, None), (1.0, None))
    yield "jvp, integer out", lambda: jvp(lambda x: (x, 3, x > 0), (1.0,), (1.0,))
    yield "jvp, aux", lambda: jvp(lambda x: (x, [x, 2]), (1.0,), (1.0,), has_aux=True)
    yield "eval_shape", lambda: L.eval_shape(
        lambda x, *, k: x @ k, L.ShapeDtypeStruct((2, 3), np.float32), k=np.ones((3, 4), np.float32)
    ).shape
    yield "make_jaxpr", lambda: L.make_jaxpr(
        lambda x, k: x * k, static_argnums=1, return_shape=True
    )(X, 2)[1].shape
    yield "make_jaxpr, axis_env", lambda: L.make_jaxpr(
        lambda x: lax.all_gather(x, "i"), axis_env=[("i", 2)], return_shape=True
    )(X)[1].shape
    yield "donated", lambda: grad(L.jit(cube, donate_argnums=0))(n.array(X))


MINE = dict(cases(tracejit, tracejit.numpy, tracejit.dtypes.float0))


@pytest.mark.parametrize("name", MINE)
def test_the_same_as_jax(name: str) -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        theirs = dict(cases(jax, jax.numpy, jax.dtypes.float0))
        wanted = jax.tree_util.tree_leaves(theirs[name]())
    got = tracejit.tree_util.tree_leaves(MINE[name]())
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        x, y = np.asarray(a), np.asarray(b)
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        if x.dtype != tracejit.dtypes.float0:
            np.testing.assert_allclose(x, y, rtol=1e-5 if x.dtype == np.float32 else 1e-11)
