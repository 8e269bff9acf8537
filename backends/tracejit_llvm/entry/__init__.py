"""Calls of jitted functions that go from CPython to a plan without a line of Python."""
