"""Whole runs of pytest: what they leave, and how they exit."""
