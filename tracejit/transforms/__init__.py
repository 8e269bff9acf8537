"""Transformations of functions and Programs: interpreters over primitives; none knows another."""
