"""``tracejit.scipy.spatial``: distances, and rotations in space."""

from tracejit.scipy.spatial import distance, transform

__all__ = ["distance", "transform"]
