"""``tracejit.test_util``: what tests of numerical code need, under JAX's name."""

from tracejit.testing.gradients import check_grads

__all__ = ["check_grads"]
