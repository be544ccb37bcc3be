"""Benchmarks: the cost of the tap against a lower bound. See README.md."""
