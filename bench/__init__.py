"""Benchmarks against the peers that are installed: ``python -m bench`` prints one table."""
