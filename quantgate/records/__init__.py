"""What a run leaves: plain values that every layer shares.

Holds the cell that was trained and the configuration it was trained with, the verdict on a curve, and the result
record that `results.jsonl` keeps. Imports `diagnosis` for the causes, and the standard library alone. Read by every
layer that trains, judges or reports.
"""
