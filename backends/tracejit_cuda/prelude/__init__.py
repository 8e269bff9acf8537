"""Prelude: the device functions and types that every source starts with.

The text stands in files beside this one, for editors know CUDA C++ by its suffix:

===================  ==========================================================================
``types.cuh``        16-bit floats, wide vectors, bit casts, shared memory
``arithmetic.cuh``   integers that wrap, division, shifts, extremes
``conversions.cuh``  floats to integers, 16-bit floats
``math.cuh``         mathematical functions that CUDA has not
``teams.cuh``        accumulators, reductions over a warp or a block, the barrier of a grid
``moves.cuh``        copies of bytes
===================  ==========================================================================

It compiles under NVRTC without a header, and under the simulator, which defines ``__CUDASIM__``.
"""

from __future__ import annotations

from importlib.resources import files

__all__ = ["OPTIONS", "PRELUDE"]

_PARTS = ("types", "arithmetic", "conversions", "math", "teams", "moves")

PRELUDE: str = "\n".join(
    files(__name__).joinpath(f"{part}.cuh").read_text(encoding="utf-8") for part in _PARTS
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
