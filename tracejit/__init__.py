"""tracejit: NumPy functions traced, transformed and compiled."""

__version__ = "0.1.0"
