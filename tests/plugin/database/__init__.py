"""Tests of `--quantgate-db`."""
