"""One seeded training of a tiny model.

Holds the model, the fake-quantization of all its weights, the built-in optimizers with their rates, and the trainer,
which repeats to the last bit and tells a watcher of each station. It knows nothing of formats, recipes or probes.
Imports `corpus` and `records`; the names and rates of optimizers cost no torch import. Read by `subjects`, `probes`,
`gate`, `faults`, `plugin` and `cli`.
"""
