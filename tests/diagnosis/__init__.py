"""Tests of the way from numbers to a cause."""
