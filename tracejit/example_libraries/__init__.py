"""``tracejit.example_libraries``: small optimizers and layers, enough to train with."""

from tracejit.example_libraries import optimizers, stax

__all__ = ["optimizers", "stax"]
