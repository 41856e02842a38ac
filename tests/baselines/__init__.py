"""Tests of `quantgate.baselines`."""
