"""What a run leaves: plain values that every layer shares.

Holds the cell that was trained and the configuration it was trained with, the verdict on a curve, the result that is a
line of `results.jsonl`, the record of a run, and the JSON Schema of both. Imports `diagnosis`, for the causes that a
message names, and the standard library alone.
Read by `training`, `subjects`, `probes`, `plan`, `gate`, `faults`, `logs`, `reports`, `plugin` and `cli`.
"""
