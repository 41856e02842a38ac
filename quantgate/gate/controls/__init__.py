"""The controls of a run: float32 cells that must learn and broken formats that must not.

Holds the negative ones, the store in which each is trained once and read by all, and the second process that helps a
run which has but one. Imports what `gate` does. Read by `gate`, `trainers`, `faults` and `plugin`.
"""
