"""What a run will train, planned the same way in every process before anything is trained.

Holds the settings of a run, the matrices as data and the cells that both choose, the order and the shards in which
cells are dealt, what a run that was cut need not train again, and the file of known failures. Imports `diagnosis`,
`records`, `formats` and `subjects`; no torch, no pytest. Read by `gate` and `plugin`.
"""
