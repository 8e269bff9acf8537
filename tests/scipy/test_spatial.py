"""Distances and rotations against SciPy; derivatives and lanes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.spatial import distance as oracle
from scipy.spatial import transform as turning

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.scipy.spatial import distance, transform
from tracejit.test_util import check_grads

RNG = np.random.default_rng(0)
P, Q = RNG.uniform(0.5, 2, (6, 3)), RNG.uniform(0.5, 2, (4, 3))
METRICS = ("braycurtis", "canberra", "chebyshev", "cityblock", "correlation", "cosine",
           "euclidean", "hamming", "mahalanobis", "minkowski", "seuclidean",
           "sqeuclidean")  # fmt: skip
QUATS = RNG.normal(size=(5, 4))
ANGLES = RNG.uniform(-1.2, 1.2, (5, 3))


def same(found: Any, wanted: Any, tolerance: float = 1e-10) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("metric", METRICS)
def test_distances(metric: str) -> None:
    how = {"p": 3} if metric == "minkowski" else {}
    same(tj.jit(lambda x, y: distance.cdist(x, y, metric, **how))(P, Q),
         oracle.cdist(P, Q, metric, **how))  # fmt: skip
    pairs = distance.pdist(P, metric, **how)
    same(pairs, oracle.pdist(P, metric, **how))
    same(distance.squareform(distance.squareform(pairs)), pairs)
    same(distance.squareform(pairs), oracle.squareform(np.asarray(pairs)))
    if metric != "hamming":
        check_grads(lambda x, y: distance.cdist(x, y, metric, **how), (P, Q), order=1)
    if metric in ("euclidean", "minkowski", "seuclidean"):
        assert np.all(np.isfinite(tj.grad(lambda x: distance.cdist(x, x, metric, **how).sum())(P)))


def test_a_function_is_a_metric() -> None:
    same(distance.cdist(P, Q, lambda x, y: tnp.sum(x * y)), P @ Q.T)


def test_rotations() -> None:
    ours, theirs = transform.Rotation.from_quat(QUATS), turning.Rotation.from_quat(QUATS)
    assert len(ours) == 5
    same(ours.as_quat(canonical=True), theirs.as_quat(canonical=True))
    same(ours.as_quat(scalar_first=True), theirs.as_quat(scalar_first=True))
    same(ours.as_matrix(), theirs.as_matrix())
    same(ours.as_rotvec(degrees=True), theirs.as_rotvec(degrees=True))
    same(ours.magnitude(), theirs.magnitude())
    same(ours.inv().as_matrix(), theirs.inv().as_matrix())
    same((ours * ours[2]).as_matrix(), (theirs * theirs[2]).as_matrix())
    same(ours.mean([1, 2, 3, 4, 5]).as_matrix(), theirs.mean([1, 2, 3, 4, 5]).as_matrix())
    for back in (False, True):
        same(tj.jit(lambda r, v, b=back: r.apply(v, b))(ours, P[:5]), theirs.apply(P[:5], back))
    same(transform.Rotation.identity(2).apply(P[:2]), P[:2])
    drawn = transform.Rotation.random(tj.random.key(0), 7)
    same(tnp.linalg.det(drawn.as_matrix()), np.ones(7))
    both = transform.Rotation.concatenate([ours, ours[0]])
    same(both.as_quat()[-1], ours.as_quat()[0])


def test_rotations_are_made_of_anything() -> None:
    theirs = turning.Rotation.from_quat(QUATS)
    half_turns = turning.Rotation.from_rotvec(np.pi * np.eye(3))
    for r in (theirs, half_turns):
        same(transform.Rotation.from_matrix(r.as_matrix()).as_matrix(), r.as_matrix())
        same(transform.Rotation.from_rotvec(r.as_rotvec()).as_matrix(), r.as_matrix())
    tiny = np.array([[0.0, 0, 0], [1e-9, 0, 0], [0.9e-3, 0, 0], [1.1e-3, 0, 2e-3]])
    same(transform.Rotation.from_rotvec(tiny).as_rotvec(), tiny, 1e-15)
    same(transform.Rotation.from_rotvec(tiny).as_quat(),
         turning.Rotation.from_rotvec(tiny).as_quat(), 1e-15)  # fmt: skip


SEQUENCES = ["".join(s) for s in itertools.product("xyz", repeat=3)
             if s[0] != s[1] and s[1] != s[2]]  # fmt: skip


@pytest.mark.parametrize("seq", SEQUENCES)
def test_angles_in_turn(seq: str) -> None:
    for s in (seq, seq.upper()):
        ours = transform.Rotation.from_euler(s, ANGLES)
        theirs = turning.Rotation.from_euler(s, ANGLES)
        same(ours.as_matrix(), theirs.as_matrix())
        same(ours.as_euler(s, degrees=True), theirs.as_euler(s, degrees=True), 1e-9)
        locked = ANGLES[0].copy()
        locked[1] = 0 if s[0] == s[2] else np.pi / 2
        again = transform.Rotation.from_euler(s, locked)
        back = transform.Rotation.from_euler(s, again.as_euler(s))
        same(back.as_matrix(), again.as_matrix(), 1e-7)
    same(transform.Rotation.from_euler("z", 90, degrees=True).as_matrix(),
         turning.Rotation.from_euler("z", 90, degrees=True).as_matrix())  # fmt: skip


def test_rotations_between() -> None:
    times, between = np.arange(5) * 0.5, np.array([0.0, 0.2, 0.9, 2.0])
    theirs = turning.Slerp(times, turning.Rotation.from_quat(QUATS))(between)
    ours = transform.Slerp(times, transform.Rotation.from_quat(QUATS))
    same(tj.jit(lambda s, t: s(t))(ours, between).as_matrix(), theirs.as_matrix())
    check_grads(lambda t: ours(t).as_matrix(), (np.array([0.2, 0.9]),), order=1)


def test_rotations_have_derivatives() -> None:
    def turned(v: Any) -> Any:
        return transform.Rotation.from_rotvec(v).apply(P[0])

    for v in (ANGLES[0], np.zeros(3)):
        check_grads(turned, (v,), order=2)
        check_grads(lambda v: transform.Rotation.from_rotvec(v).as_rotvec(), (v,), order=1)
    m = turning.Rotation.from_quat(QUATS).as_matrix()
    check_grads(lambda m: transform.Rotation.from_matrix(m).as_quat(), (m,), order=1)
    same(tj.vmap(turned)(ANGLES), [np.asarray(turned(v)) for v in ANGLES])


def test_errors() -> None:
    r = transform.Rotation.from_quat(QUATS)
    for call, kind, match in [
        (lambda: distance.cdist(P, Q[:, :2]), ShapeError, "points"),
        (lambda: distance.cdist(P, Q, "no"), ValueError, "metric"),
        (lambda: distance.squareform(np.ones(4)), ShapeError, "distances"),
        (lambda: transform.Rotation(P), ShapeError, "quaternions"),
        (lambda: transform.Rotation.from_euler("xx", P), ValueError, "axes"),
        (lambda: transform.Rotation.from_euler("xy", P), ShapeError, "angles"),
        (lambda: len(r[0]), TypeError, "one rotation"),
        (lambda: transform.Slerp(np.ones(3), r), ShapeError, "times"),
    ]:
        with pytest.raises(kind, match=match):
            call()
