"""Primitives whose operands are Programs; their rules use the transformations."""
