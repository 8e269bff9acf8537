"""Simulator: runs CUDA C++ sources on the CPU, so that the backend is tested without a GPU.

:class:`SimulatorRuntime` is a runtime like the one over CuPy.  A source is compiled by the host's
C++ compiler; the threads of a block are fibers, blocks run one after another or, in a cooperative
launch, side by side.  What a GPU forbids but may not notice is an error here: threads of a block
that do not meet at a barrier, an address outside every buffer; when checked also races, reads of
shared memory that was not written, misaligned vectors and indices that overflow.

It tells whether kernels are right, not whether they are fast.
"""

from __future__ import annotations

from tracejit_cuda.simulator.arrays import DeviceArray
from tracejit_cuda.simulator.engine import SimulatorError
from tracejit_cuda.simulator.runtime import SimulatorRuntime

__all__ = ["DeviceArray", "SimulatorError", "SimulatorRuntime"]
