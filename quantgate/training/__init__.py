"""One seeded training of a tiny model.

Holds the model, the fake-quantization of all its weights, the built-in optimizers with their rates, and the trainer,
which repeats to the last bit and tells a watcher of each station. Imports `records` and `corpus`, and torch; the names
and rates of optimizers cost no torch import. Knows nothing of formats, recipes or probes. Read by `subjects`, `probes`
and `gate`.
"""
