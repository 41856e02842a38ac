"""Logs of other trainers: names, patterns, curves, files and tables."""
