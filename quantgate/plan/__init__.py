"""What a run will train, planned the same way in every process before anything is trained.

Holds the settings of a run, the matrix of cells that they choose, the order and the shards in which cells are dealt,
and the file of known failures. Imports `diagnosis`, `records`, `formats` and `subjects`; no torch, no pytest. Read by
`gate`, `plugin` and `cli`.
"""
