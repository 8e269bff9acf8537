"""Rotations in space by unit quaternions, the scalar last."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit import random
from tracejit.core.errors import ShapeError
from tracejit.core.pytree import register_pytree_node_class

__all__ = ["Rotation", "Slerp"]


def _inexact(x: Any) -> Any:
    x = tnp.asarray(x)
    return x if tnp.issubdtype(x.dtype, np.floating) else x.astype(np.float64)


def _length(x: Any) -> Any:
    """Return lengths of vectors, with an axis for them; the derivative at 0 is 0."""
    square = tnp.sum(x * x, -1, keepdims=True)
    apart = square > 0
    return tnp.where(apart, tnp.sqrt(tnp.where(apart, square, 1)), 0)


@register_pytree_node_class
class Rotation:
    """One rotation or an array of them, as :class:`scipy.spatial.transform.Rotation`.

    Parameters
    ----------
    quat : array_like, shape (..., 4)
        Quaternions (x, y, z, w), normalized here.

    Notes
    -----
    A pytree of one array.  Derivatives are those of the formulae on quaternions; also at the
    identity, where rotation vectors are 0.
    """

    def __init__(self, quat: Any) -> None:
        quat = _inexact(quat)
        if quat.ndim < 1 or quat.shape[-1] != 4:
            raise ShapeError(f"Rotation: quaternions of shape (..., 4); got {quat.shape}")
        self.quat = quat / tnp.sqrt(tnp.sum(quat * quat, -1, keepdims=True))

    def tree_flatten(self) -> tuple[Any, None]:
        """Return the quaternions."""
        return (self.quat,), None

    @classmethod
    def tree_unflatten(cls, aux: None, children: Any) -> Rotation:
        """Return the object made of arrays."""
        del aux
        return _made(children[0])

    # ------------------------------------------------------------------- from

    @classmethod
    def from_quat(cls, quat: Any, *, scalar_first: bool = False) -> Rotation:
        """Return rotations of quaternions, shape (..., 4)."""
        return cls(tnp.roll(_inexact(quat), -1, -1) if scalar_first else quat)

    @classmethod
    def from_matrix(cls, matrix: Any) -> Rotation:
        """Return rotations of orthogonal matrices, shape (..., 3, 3)."""
        m = _inexact(matrix)
        if m.ndim < 2 or m.shape[-2:] != (3, 3):
            raise ShapeError(f"Rotation.from_matrix: shape (..., 3, 3); got {m.shape}")
        xx, yy, zz = (m[..., i, i] for i in range(3))
        t = xx + yy + zz
        sums = [m[..., i, j] + m[..., j, i] for i, j in ((0, 1), (0, 2), (1, 2))]
        gaps = [m[..., i, j] - m[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0))]
        # Four ways; the one that divides by the largest number.
        ways = [
            (1 - t + 2 * xx, sums[0], sums[1], gaps[0]),
            (sums[0], 1 - t + 2 * yy, sums[2], gaps[1]),
            (sums[1], sums[2], 1 - t + 2 * zz, gaps[2]),
            (gaps[0], gaps[1], gaps[2], 1 + t),
        ]
        best = tnp.argmax(tnp.stack([xx, yy, zz, t]), 0)[..., None]
        quat = tnp.stack(ways[3], -1)
        for way in range(3):
            quat = tnp.where(best == way, tnp.stack(ways[way], -1), quat)
        return cls(quat)

    @classmethod
    def from_rotvec(cls, rotvec: Any, degrees: bool = False) -> Rotation:
        """Return rotations of vectors along the axes, of the length of the angles."""
        v = _inexact(rotvec)
        if v.ndim < 1 or v.shape[-1] != 3:
            raise ShapeError(f"Rotation.from_rotvec: shape (..., 3); got {v.shape}")
        v = tnp.deg2rad(v) if degrees else v
        square = tnp.sum(v * v, -1, keepdims=True)
        small = square <= 1e-6
        angle = tnp.sqrt(tnp.where(small, 1, square))
        series = 0.5 - square / 48 + square * square / 3840
        scale = tnp.where(small, series, tnp.sin(angle / 2) / angle)
        real = tnp.where(small, 1 - square / 8 + square * square / 384, tnp.cos(angle / 2))
        return _made(tnp.concatenate([scale * v, real], -1))

    @classmethod
    def from_euler(cls, seq: str, angles: Any, degrees: bool = False) -> Rotation:
        """Return rotations about axes in turn: ``xyz`` fixed ones, ``XYZ`` those that turn."""
        _check_sequence(seq)
        angles = _inexact(angles)
        angles = tnp.deg2rad(angles) if degrees else angles
        if len(seq) == 1 and (angles.ndim == 0 or angles.shape[-1] != 1):
            angles = angles[..., None]
        if angles.ndim < 1 or angles.shape[-1] != len(seq):
            raise ShapeError(
                f"Rotation.from_euler: {len(seq)} angles for {seq!r}; got shape {angles.shape}"
            )
        out: Rotation | None = None
        for place, axis in enumerate(seq):
            half = angles[..., place] / 2
            parts = [tnp.zeros_like(half)] * 3 + [tnp.cos(half)]
            parts["xyz".index(axis.lower())] = tnp.sin(half)
            turn = _made(tnp.stack(parts, -1))
            if out is None:
                out = turn
            else:
                out = turn * out if seq.islower() else out * turn
        assert out is not None
        return out

    @classmethod
    def identity(cls, num: int | None = None, *, dtype: Any = None) -> Rotation:
        """Return the rotation that does nothing, or `num` of them."""
        one = tnp.asarray([0.0, 0.0, 0.0, 1.0], dtype)
        return _made(one if num is None else tnp.broadcast_to(one, (num, 4)))

    @classmethod
    def random(cls, key: Any, num: int | None = None) -> Rotation:
        """Return one rotation by chance, or `num`, by a key."""
        return cls(random.normal(key, (4,) if num is None else (num, 4)))

    @classmethod
    def concatenate(cls, rotations: Any) -> Rotation:
        """Return an array of the rotations of several objects."""
        return _made(tnp.concatenate([tnp.atleast_2d(r.quat) for r in rotations]))

    # --------------------------------------------------------------------- as

    def as_quat(self, canonical: bool = False, *, scalar_first: bool = False) -> Any:
        """Return quaternions, those of w >= 0 if canonical, of shape (..., 4)."""
        quat = tnp.where(self.quat[..., 3:] < 0, -self.quat, self.quat) if canonical else self.quat
        return tnp.roll(quat, 1, -1) if scalar_first else quat

    def as_matrix(self) -> Any:
        """Return matrices, of shape (..., 3, 3)."""
        x, y, z, w = (self.quat[..., i] for i in range(4))
        rows = [
            [x * x - y * y - z * z + w * w, 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), -x * x + y * y - z * z + w * w, 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), -x * x - y * y + z * z + w * w],
        ]
        return tnp.stack([tnp.stack(row, -1) for row in rows], -2)

    def as_rotvec(self, degrees: bool = False) -> Any:
        """Return vectors along the axes, of the length of the angles, up to half a turn."""
        quat = self.as_quat(canonical=True)
        v, w = quat[..., :3], quat[..., 3:]
        square = tnp.sum(v * v, -1, keepdims=True)
        small = square <= 1e-6
        size = tnp.sqrt(tnp.where(small, 1, square))
        # angle / sin(angle / 2), with sin(angle / 2) the size
        series = 2 + square / 3 + 3 * square * square / 20
        scale = tnp.where(small, series, 2 * tnp.arctan2(size, w) / size)
        out = scale * v
        return tnp.rad2deg(out) if degrees else out

    def as_euler(self, seq: str, degrees: bool = False) -> Any:
        """Return three angles about axes in turn (Bernardes and Viollet, 2022).

        Of rotations whose first and last angle are not unique, the last is 0.
        """
        _check_sequence(seq)
        if len(seq) != 3:
            raise ValueError(f"Rotation.as_euler: three axes; got {seq!r}")
        fixed = seq.islower()
        i, j, k = ("xyz".index(a) for a in (seq if fixed else seq[::-1]).lower())
        symmetric = i == k
        k = 3 - i - j if symmetric else k
        sign = (i - j) * (j - k) * (k - i) // 2
        q = [self.quat[..., n] for n in range(4)]
        if symmetric:
            a, b, c, d = q[3], q[i], q[j], q[k] * sign
        else:
            a, b, c, d = q[3] - q[j], q[i] + q[k] * sign, q[j] + q[3], q[k] * sign - q[i]
        middle = 2 * tnp.arctan2(tnp.hypot(c, d), tnp.hypot(a, b))
        low, high = tnp.abs(middle) <= 1e-7, tnp.abs(middle - np.pi) <= 1e-7
        half_sum, half_gap = tnp.arctan2(b, a), tnp.arctan2(d, c)
        one, other = half_sum - half_gap, half_sum + half_gap
        first, last = (one, other) if fixed else (other, one)
        single = tnp.where(low, 2 * half_sum, 2 * half_gap * (-1 if fixed else 1))
        first = tnp.where(low | high, single, first)
        last = tnp.where(low | high, 0, last)
        if not symmetric:
            first, last = (first, last * sign) if fixed else (first * sign, last)
            middle = middle - np.pi / 2
        angles = tnp.stack([_wrapped(first), _wrapped(middle), _wrapped(last)], -1)
        return tnp.rad2deg(angles) if degrees else angles

    # -------------------------------------------------------------- operations

    @property
    def single(self) -> bool:
        """Whether it is one rotation, and not an array."""
        return bool(self.quat.ndim == 1)

    def __len__(self) -> int:
        """Return how many there are."""
        if self.single:
            raise TypeError("Rotation: one rotation has no length")
        return int(self.quat.shape[0])

    def __getitem__(self, index: Any) -> Rotation:
        """Return some of the rotations."""
        if self.single:
            raise TypeError("Rotation: one rotation has no items")
        return _made(self.quat[index])

    def __mul__(self, other: Rotation) -> Rotation:
        """Return the rotations by `other`, then by this one."""
        p, q = tnp.broadcast_arrays(self.quat, other.quat)
        v = p[..., 3:] * q[..., :3] + q[..., 3:] * p[..., :3] + tnp.cross(p[..., :3], q[..., :3])
        w = p[..., 3:] * q[..., 3:] - tnp.sum(p[..., :3] * q[..., :3], -1, keepdims=True)
        return _made(tnp.concatenate([v, w], -1))

    def inv(self) -> Rotation:
        """Return the rotations back."""
        return _made(self.quat * tnp.asarray([-1, -1, -1, 1], self.quat.dtype))

    def apply(self, vectors: Any, inverse: bool = False) -> Any:
        """Return vectors, shape (..., 3), turned."""
        m = self.as_matrix()
        m = tnp.swapaxes(m, -1, -2) if inverse else m
        return tnp.sum(m * _inexact(vectors)[..., None, :], -1)

    def magnitude(self) -> Any:
        """Return the angles, up to half a turn."""
        return 2 * tnp.arctan2(_length(self.quat[..., :3])[..., 0], tnp.abs(self.quat[..., 3]))

    def mean(self, weights: Any = None) -> Rotation:
        """Return the rotation of least square distance (of matrices), by weights, shape (n,)."""
        quat = tnp.atleast_2d(self.quat)
        w = tnp.ones(quat.shape[0], quat.dtype) if weights is None else tnp.asarray(weights)
        return _made(tnp.linalg.eigh((w * quat.T) @ quat)[1][:, -1])


def _made(quat: Any) -> Rotation:
    new = Rotation.__new__(Rotation)
    new.quat = quat
    return new


def _check_sequence(seq: str) -> None:
    letters = seq.lower()
    fits = 1 <= len(seq) <= 3 and set(letters) <= set("xyz") and (seq.islower() or seq.isupper())
    if not fits or any(a == b for a, b in itertools.pairwise(letters)):
        raise ValueError(
            "Rotation: one to three axes of xyz or of XYZ, neighbours not equal; "
            f"got {seq!r}"
        )


def _wrapped(angle: Any) -> Any:
    turn = 2 * np.pi
    return tnp.where(angle < -np.pi, angle + turn, tnp.where(angle > np.pi, angle - turn, angle))


@register_pytree_node_class
class Slerp:
    """Rotations between rotations, at constant speed, as :class:`scipy.spatial.transform.Slerp`.

    Parameters
    ----------
    times : array_like, shape (n,)
        Increasing times.
    rotations : Rotation, of n
        The rotations then.

    Notes
    -----
    Before the first and after the last time the motion goes on (SciPy raises).
    """

    def __init__(self, times: Any, rotations: Rotation) -> None:
        self.times, self.rotations = _inexact(times), rotations
        if rotations.single or self.times.shape != (len(rotations),) or len(rotations) < 2:
            raise ShapeError("Slerp: as many times as rotations, at least two")

    @classmethod
    def init(cls, times: Any, rotations: Rotation) -> Slerp:
        """Return the same: JAX's name of it."""
        return cls(times, rotations)

    def tree_flatten(self) -> tuple[Any, None]:
        """Return times and rotations."""
        return (self.times, self.rotations), None

    @classmethod
    def tree_unflatten(cls, aux: None, children: Any) -> Slerp:
        """Return the object made of arrays."""
        del aux
        new = cls.__new__(cls)
        new.times, new.rotations = children
        return new

    def __call__(self, times: Any) -> Rotation:
        """Return the rotations at times, of any shape."""
        t = _inexact(times)
        last = self.times.shape[0] - 2
        place = tnp.clip(tnp.searchsorted(self.times, t) - 1, 0, last)
        begin, end = self.rotations[place], self.rotations[place + 1]
        share = (t - self.times[place]) / (self.times[place + 1] - self.times[place])
        turn = (begin.inv() * end).as_rotvec()
        return begin * Rotation.from_rotvec(share[..., None] * turn)
