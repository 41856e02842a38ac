"""What a run is held against: the cells of an earlier one.

Holds the file of a baseline (a run's `results.jsonl` serves as one), the lanes with their tolerances, and the
comparison of a cell with what it was. Imports `records` and the standard library alone. Read by `plugin` and `cli`.
"""
