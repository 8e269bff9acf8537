"""Whole programs: the rows there are, that they agree with NumPy, and the headline."""

from __future__ import annotations

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from bench import __main__ as command
from bench import whole
from bench.harness import Case, Effort, Outcome, measure
from bench.peers import Peer
from bench.ways import library
from bench.whole import flows, inference, particles, spectra

NAMES = {
    "shallow water", "Burgers", "Kuramoto-Sivashin.", "inverse problem", "Lennard-Jones", "Ising",
    "Mandelbrot", "Gaussian process", "Hamiltonian MC", "Navier-Stokes 3-D", "Schrodinger-Poisson",
}  # fmt: skip
OURS = Peer("tracejit", "", tnp.asarray, tracejit.block_until_ready, np.asarray)
TINY = (
    flows._shallow_water(16, 4),
    flows._burgers(16, 4),
    flows._kuramoto_sivashinsky(64, 20),
    particles._lennard_jones(4, 2),
    particles._mandelbrot(16, 20),
    inference._gaussian_process(20, 2),
    inference._hamiltonian(50, 4, 3, 4),
    spectra._navier_stokes(8, 2),
    spectra._schrodinger_poisson(16, 2),
)


@pytest.mark.parametrize("quick", [False, True])
def test_the_rows(quick: bool) -> None:
    rows = whole.cases(quick)
    assert {row.name for row in rows} == {whole.PREFIX + name for name in NAMES}
    assert len(rows) == len(NAMES) == 11
    for row in rows:
        assert {"tracejit", "jax"} <= set(row.functions)
        assert ("numpy" in row.functions) == (row.expected is None)


def test_the_filter(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--filter", "whole", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(NAMES)


@pytest.mark.parametrize("case", TINY, ids=[case.name for case in TINY])
def test_results_are_those_of_numpy(case: Case) -> None:
    found = measure(case, [OURS], Effort(0.0, 3, 0.0))
    assert found.errors == {}
    assert set(found.seconds) == {"tracejit"}


@pytest.mark.parametrize("name", ["tracejit", "numpy"])
def test_ising_has_the_energy_of_onsager(name: str) -> None:
    """At this inverse temperature, 0.35, his solution is -0.8798 a site; all spins equal, -2."""
    energy = particles.ising_energy(library(name), 60)
    assert float(np.asarray(energy(np.ones((64, 64), np.float32), 3))) == pytest.approx(
        -0.8798, abs=0.1
    )


def test_the_inverse_problem_descends() -> None:
    case = flows._inverse(12, 6, 3)
    (parameters, losses) = case.functions["tracejit"]()(*case.arguments())
    assert losses.shape == (3,)
    assert float(losses[0]) > float(losses[1]) > float(losses[2])
    assert parameters["start"].shape == (12, 12)


def test_the_headline() -> None:
    outcomes = [
        Outcome("whole: a", "1", "f", {"tracejit": 1.0, "jax": 2.0}),
        Outcome("whole: b", "1", "f", {"tracejit": 1.0, "jax": 8.0, "numpy": 3.0}),
        Outcome("whole: c", "1", "f", {"jax": 8.0}, {"tracejit": "AttributeError"}),
        Outcome("another", "1", "f", {"tracejit": 1.0, "jax": 100.0}),
    ]
    assert whole.geometric_mean(outcomes, "jax") == (pytest.approx(4.0), 2)
    assert whole.geometric_mean(outcomes, "numba")[1] == 0
    line = command._headline(outcomes, ["numpy", "jax", "numba"])
    assert line.split() == [
        "whole:", "geometric", "mean", "3.00", "(", "1", "rows)", "4.00", "(", "2", "rows)", "-",
    ]  # fmt: skip
