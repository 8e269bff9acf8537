"""Benchmarks on a CUDA device: ``python -m bench --device cuda``."""
