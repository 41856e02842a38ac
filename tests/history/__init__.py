"""Tests of the history of cells."""
