"""``tracejit.scipy.cluster``: the assignment of points to centres."""

from tracejit.scipy.cluster import vq

__all__ = ["vq"]
