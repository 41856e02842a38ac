"""Tests of what a run will train."""
