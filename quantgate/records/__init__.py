"""What a run leaves: plain values that every layer shares.

Holds the cell that was trained and the configuration it was trained with, the verdict on a curve, the result that is a
line of `results.jsonl`, with that file's closing line, the record of a run, how such files are read, the JSON Schema of
all three, and what a processor is called. Imports `diagnosis`, for the causes that a message names, and the standard
library alone. Read by
`training`, `subjects`, `probes`, `plan`, `baselines`, `gate`, `trainers`, `faults`, `logs`, `vectors`, `history`,
`reports`, `merging`, `plugin` and `cli`.
"""
