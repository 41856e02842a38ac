"""Tests of quantgate, and in `benchmarks` its measurements."""
