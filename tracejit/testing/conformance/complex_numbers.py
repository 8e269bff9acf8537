"""Programs of complex numbers: functions, elements in every place, reductions, products, loops."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit
import tracejit.numpy as tnp
from tracejit import lax
from tracejit.testing.conformance.case import Case, Generator, Maker, given

__all__ = ["CASES"]


def numbers(*shape: int, dtype: Any = np.complex128) -> Maker:
    """Return a maker of complex numbers of magnitudes about 1."""

    def make(rng: Generator) -> Any:
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)

    return make


def arithmetic(z: Any, w: Any) -> Any:
    return z * w + 2j, z / w, (z - w) * tnp.conj(z), -z, tnp.abs(z), z.real * w.imag, z == w


def exponentials(z: Any) -> Any:
    return tnp.exp(z), tnp.log(z + 3), z**3


def angles(z: Any) -> Any:
    return tnp.sin(z * 0.3), tnp.angle(z), tnp.sign(z)


def hyperbolics(z: Any) -> Any:
    return tnp.tanh(z * 0.3), tnp.sqrt(z)


def arcs(z: Any) -> Any:
    return tnp.arcsin(z)


def areas(z: Any) -> Any:
    return tnp.arctanh(z * 0.5)


def places(z: Any) -> Any:
    moved = tnp.roll(z, 3, 1) + tnp.flip(z, 1)
    padded = tnp.pad(z, ((0, 1), (2, 0)))
    return moved, padded * 1j, z.T * 2, z[1:-1, ::2], z[:, 20:] - z[:, :-20], z.imag[:, ::-1]


def sums(z: Any) -> Any:
    unit = z / tnp.abs(z)
    return tnp.sum(z * z), tnp.mean(z, 0), tnp.sum(z, 1), tnp.prod(unit, 1), tnp.vdot(z, z)


def normalised(z: Any) -> Any:
    return z / tnp.sqrt(tnp.sum(tnp.abs(z) ** 2, axis=1, keepdims=True))


def products(z: Any, w: Any) -> Any:
    return z @ w, z[:3, :4] @ w[:4, :2], z @ w[:, 0], tnp.einsum("ij,jk->ki", z, tnp.conj(w))


def gathered(z: Any, n: Any) -> Any:
    return z[n], z.at[n].add(1j), tnp.where(z.real > 0, z, tnp.conj(z)), tnp.cumsum(z, 0)


def kicks(z: Any) -> Any:
    def step(z: Any, phase: Any) -> Any:
        z = z * tnp.exp(1j * phase) + 0.1 * tnp.roll(z, 1)
        return z, tnp.sum(tnp.abs(z))

    return lax.scan(step, z, tnp.arange(6.0))


def escapes(c: Any) -> Any:
    def one(c: Any) -> Any:
        return lax.while_loop(
            lambda s: (s[1] < 20) & (tnp.abs(s[0]) < 2.0),
            lambda s: (s[0] * s[0] + c, s[1] + 1),
            (0 * c, 0),
        )

    return tracejit.vmap(one)(c)


def slopes(z: Any) -> Any:
    return tracejit.grad(lambda z: tnp.sum(tnp.abs(tnp.exp(1j * z) * z - z[::-1]) ** 2))(z)


CASES = [
    *(
        case
        for dtype, name in ((np.complex64, "complex64"), (np.complex128, "complex128"))
        for case in (
            Case(f"arithmetic/{name}", arithmetic,
                 given(numbers(301, dtype=dtype), numbers(301, dtype=dtype)), 10.0),
            *(
                Case(f"{f.__name__}/{name}", f, given(numbers(157, dtype=dtype)), 10.0)
                for f in (exponentials, angles, hyperbolics, arcs, areas)
            ),
            Case(f"places/{name}", places, given(numbers(13, 45, dtype=dtype))),
            Case(f"sums/{name}", sums, given(numbers(19, 37, dtype=dtype)), 100.0),
        )
    ),
    Case("places/wide", places, given(numbers(160, 257))),
    Case("sums/long", lambda z: (tnp.sum(z), tnp.mean(z * 1j)), given(numbers(70001)), 100.0),
    Case("rows", normalised, given(numbers(21, 67))),
    Case("products", products, given(numbers(9, 15), numbers(15, 12)), 10.0),
    Case(
        "gathered", gathered,
        given(numbers(20, 7), lambda rng: rng.permutation(20)[:9]), 10.0,
    ),
    Case("scan", kicks, given(numbers(45)), 10.0),
    Case("while", escapes, given(numbers(50)), 1e4, notes="lanes leave at different trips"),
    Case("gradient", slopes, given(numbers(33)), 10.0),
]  # fmt: skip
