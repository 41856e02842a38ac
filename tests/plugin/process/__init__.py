"""Tests of what keeps a subject's code in hand."""
