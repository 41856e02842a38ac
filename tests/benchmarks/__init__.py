"""Measurements: `python -m tests.benchmarks.NAME` from the root of the repository; none of them is a test."""
