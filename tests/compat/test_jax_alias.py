"""The alias: in processes of their own, since it changes what an import means."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(program: str) -> str:
    """Return what a program prints in a process of its own."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_mean_ours_and_back() -> None:
    run(
        """
        import importlib.util, sys
        import tracejit, tracejit.numpy as tnp
        import tracejit.compat.jax as alias

        before = importlib.util.find_spec("jax")
        alias.install()
        alias.install()
        assert alias.installed()

        import jax, jax.numpy as jnp, jax.scipy.special, jax.experimental.mesh_utils
        import jax.scipy.stats.norm
        from jax import Array, jit, lax, nn, random, tree_util
        from jax.core import ShapedArray, Tracer
        from jax.experimental.shard_map import shard_map
        from jax.sharding import Mesh, PartitionSpec as P
        from jax.typing import ArrayLike
        from jax.experimental import checkify

        assert jax.jit is tracejit.jit and jax.lax.scan is tracejit.lax.scan
        assert jnp.sin is tnp.sin and jnp.linalg.norm is tnp.linalg.norm
        assert jax.numpy is jnp is sys.modules["jax.numpy"]
        assert jax.scipy.special.logsumexp is tracejit.scipy.special.logsumexp
        assert jax.scipy.stats.norm.logpdf is tracejit.scipy.stats.norm.logpdf
        assert "scan" in dir(jax.lax) and jax.__version_info__ >= (0, 5)

        x = jnp.arange(3.0)
        assert isinstance(x, jax.Array) and isinstance(x, jnp.ndarray)
        assert isinstance(random.key(0), jax.Array)
        assert not isinstance(1.0, jax.Array)
        seen = []
        jit(lambda v: seen.append((isinstance(v, Array), isinstance(v, Tracer))))(x)
        assert seen == [(True, True)]
        kind = jax.typeof(x)
        assert (kind.shape, kind.dtype, kind.sharding.mesh.empty) == ((3,), x.dtype, True)
        assert jnp.zeros_like(kind).shape == (3,)
        assert float(jax.grad(lambda v: jnp.sum(v**2))(x)[2]) == 4.0
        assert random.normal(random.key(0), (2,)).shape == (2,)

        for missing in ("jax.interpreters.mlir", "jax._src.core", "jax.no_such"):
            try:
                importlib.import_module(missing)
            except ModuleNotFoundError:
                continue
            raise AssertionError(missing)
        try:
            jax.no_such_name
        except AttributeError as error:
            assert "tracejit has no 'no_such_name'" in str(error)

        alias.uninstall()
        alias.uninstall()
        assert not [n for n in sys.modules if n == "jax" or n.startswith("jax.")]
        after = importlib.util.find_spec("jax")
        assert (after is None) == (before is None)
        """
    )


def test_settings_of_jax() -> None:
    run(
        """
        import tracejit.compat.jax as alias
        alias.install()
        import jax, jax.numpy as jnp

        assert jax.config.jax_enable_x64
        assert jnp.zeros(2).dtype == "float64"
        jax.config.update("jax_enable_x64", False)
        assert jnp.zeros(2).dtype == "float32" and not jax.config.jax_enable_x64
        with jax.enable_x64(True):
            assert jnp.zeros(2).dtype == "float64"
        jax.config.update("jax_numpy_rank_promotion", "raise")
        try:
            jnp.ones((2, 2)) + jnp.ones(2)
        except ValueError as error:
            assert "different ranks" in str(error)
        else:
            raise AssertionError
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_debug_nans", True)
        try:
            jnp.log(-jnp.ones(2))
        except FloatingPointError:
            pass
        else:
            raise AssertionError
        try:
            jax.config.update("jax_no_such_option", 1)
        except AttributeError as error:
            assert "no such setting" in str(error)
        else:
            raise AssertionError
        alias.uninstall()
        import tracejit.numpy as tnp
        assert tnp.zeros(2).dtype == "float64"
        assert (tnp.ones((2, 2)) + tnp.ones(2)).shape == (2, 2)
        """
    )


def test_not_beside_jax_itself() -> None:
    run(
        """
        import sys, types
        sys.modules["jax"] = types.ModuleType("jax")
        import tracejit.compat.jax as alias
        try:
            alias.install()
        except RuntimeError as error:
            assert "imported already" in str(error)
        else:
            raise AssertionError
        assert not alias.installed()
        """
    )


@pytest.mark.skipif(importlib.util.find_spec("optax") is None, reason="optax is not installed")
@pytest.mark.parametrize("name", ["adam", "sgd", "lion", "lbfgs"])
def test_optax_fits_a_line(name: str) -> None:
    """The loop of optax's own introduction, with its optimizers."""
    run(
        f"""
        import tracejit.compat.jax as alias
        alias.install()
        import jax, jax.numpy as jnp, numpy as np, optax

        rng = np.random.default_rng(0)
        wanted = np.array([1.0, -2.0, 0.5])
        xs = rng.normal(size=(64, 3))
        ys = xs @ wanted + 0.25

        @jax.jit
        def loss(params):
            return jnp.mean(optax.l2_loss(xs @ params["w"] + params["b"], ys))

        name = {name!r}
        schedule = optax.exponential_decay(0.1, 100, 0.3)
        solver = {{
            "adam": lambda: optax.adam(0.1),
            "sgd": lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.3, 0.9)),
            "lion": lambda: optax.lion(schedule),
            "lbfgs": lambda: optax.lbfgs(),
        }}[name]()
        params = {{"w": jnp.zeros(3), "b": jnp.zeros(())}}
        state = solver.init(params)
        if name == "lbfgs":
            both = optax.value_and_grad_from_state(loss)
        else:
            both = lambda params, state: jax.value_and_grad(loss)(params)

        @jax.jit
        def step(params, state):
            value, grad = both(params, state=state)
            more = {{"value": value, "grad": grad, "value_fn": loss}} if name == "lbfgs" else {{}}
            updates, state = solver.update(grad, state, params, **more)
            return optax.apply_updates(params, updates), state

        for _ in range(400):
            params, state = step(params, state)
        np.testing.assert_allclose(params["w"], wanted, atol=0.02)
        np.testing.assert_allclose(params["b"], 0.25, atol=0.02)
        """
    )


@pytest.mark.skipif(importlib.util.find_spec("jaxopt") is None, reason="jaxopt is not installed")
def test_jaxopt_solves_and_differentiates() -> None:
    """Solvers of another public library, and the derivative of a solution."""
    run(
        """
        import warnings
        import tracejit.compat.jax as alias
        alias.install()
        import jax, jax.numpy as jnp, numpy as np
        warnings.simplefilter("ignore")
        import jaxopt

        rng = np.random.default_rng(0)
        xs, wanted = rng.normal(size=(50, 4)), np.array([1.0, -2.0, 3.0, 0.5])
        ys = xs @ wanted

        def loss(w, ridge=0.0):
            return jnp.mean((xs @ w - ys) ** 2) + ridge * jnp.sum(w**2)

        def residual(w):
            return xs @ w - ys

        for solver in (jaxopt.LBFGS(loss), jaxopt.GaussNewton(residual)):
            np.testing.assert_allclose(solver.run(jnp.zeros(4)).params, wanted, atol=1e-3)

        def solved(ridge):
            return jaxopt.GradientDescent(loss, maxiter=500, tol=1e-10).run(jnp.zeros(4), ridge)

        found = jax.grad(lambda r: jnp.sum(solved(r).params))(0.1)
        gram, right = xs.T @ xs / 50, xs.T @ ys / 50
        matrix = gram + 0.1 * np.eye(4)
        expected = -np.sum(np.linalg.solve(matrix, np.linalg.solve(matrix, right)))
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        """
    )
