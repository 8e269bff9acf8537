"""Prelude: the device functions and types that every source starts with.

The text stands in files beside this one, for editors know CUDA C++ by its suffix:

===================  ==========================================================================
``types.cuh``        16-bit floats, wide vectors, bit casts, shared memory
``arithmetic.cuh``   integers that wrap, division, shifts, extremes
``conversions.cuh``  floats to integers, 16-bit floats
``math.cuh``         mathematical functions that CUDA has not
``quantile.cuh``     the inverse error function of random numbers
``teams.cuh``        accumulators, reductions over a warp or a block, the barrier of a grid
``moves.cuh``        copies of bytes
===================  ==========================================================================

It compiles under NVRTC without a header, and under the simulator, which defines ``__CUDASIM__``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files

from tracejit.ir import quantile

__all__ = ["OPTIONS", "PRELUDE"]

_PARTS = ("types", "arithmetic", "conversions", "math", "quantile", "teams", "moves")


def _numbers(values: Sequence[float]) -> str:
    return f"{{{', '.join(map(repr, values))}}}"


def _macros() -> Iterator[tuple[str, str]]:
    """Yield the numbers of ``quantile.cuh`` as macros, which arrays of floats and doubles share."""
    for name in ("LOG1P_P", "LOG1P_Q", "LN2_32", "LN2_64", "LOG64"):
        yield name, _numbers(getattr(quantile, name))
    for letter, coefficients in zip("ABC", quantile.LOG32, strict=True):
        yield f"LOG32_{letter}", _numbers(coefficients)
    for kind, pieces, end in (
        ("SINGLE", quantile.QUANTILE32, "f"), ("DOUBLE", quantile.QUANTILE64, "")
    ):  # fmt: skip
        for number, piece in enumerate(pieces):
            yield f"{kind}_{number}", _numbers(piece.coefficients)
            if piece is not pieces[-1]:
                yield f"{kind}_{number}_BELOW", f"{piece.below!r}{end}"
            yield f"{kind}_{number}_CENTRE", f"{piece.centre!r}{end}"
    yield "NEAR", repr(quantile.NEAR)
    yield "TABLE_FROM", f"0x{quantile.TABLE_FROM:x}LL"
    table = zip(quantile.INVERSES, quantile.LOGARITHMS, strict=True)
    yield "LOGARITHMS", f"{{{', '.join(map(_numbers, table))}}}"


PRELUDE: str = "\n".join(
    (
        *(f"#define TJ_Q_{name} {value}" for name, value in _macros()),
        *(files(__name__).joinpath(f"{part}.cuh").read_text(encoding="utf-8") for part in _PARTS),
    )
)
"""What a source starts with."""

OPTIONS: tuple[str, ...] = ("--std=c++17", "--fmad=false")
"""How sources are compiled.

NVRTC fuses ``x * y + z`` into one rounding unless it is told not to, and then plain arithmetic
would not have the CPU's bits; kernels that move memory lose nothing by two instructions.  CUDA's
own functions do not suffer: their polynomials are written with ``fma``, and in the PTX of NVRTC
13.0 they have as many fused instructions either way, but for one of 17 in double ``log`` and three
of 140 in double ``lgamma``.  Division and square roots are IEEE's and subnormals are kept by
default.
"""
