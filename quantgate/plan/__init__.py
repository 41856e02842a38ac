"""What a run will train, planned the same way in every process before anything is trained.

Holds the settings of a run, the matrices as data and the cells that both choose, what cells cost, the order and the
shards in which they are dealt, the place that a CI engine gives a job, what a run that was cut need not train again,
and the file of known failures. Imports `diagnosis`, `records`, `formats` and `subjects`; no torch, no pytest. Read by
`gate`, `merging`, `plugin` and `cli`.
"""
