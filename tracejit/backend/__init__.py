"""What backends are to the rest: the protocols they answer, and what they share."""

from __future__ import annotations

from tracejit.backend.calls import FastCalls, Node, Result
from tracejit.backend.protocol import Backend, DeviceBuffer, Executable

__all__ = ["Backend", "DeviceBuffer", "Executable", "FastCalls", "Node", "Result"]
