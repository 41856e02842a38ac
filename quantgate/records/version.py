"""The version, which each result record names."""

__version__ = "0.1.0"
