"""Subjects: what the gate can be asked to judge, by name or path.

Holds the registry of formats, recipes, optimizers and foreign trainers, the codecs that users bring, what a name may
be, what stands behind `module:attribute` or in TOML, and how a subject becomes a model that trains. Imports `diagnosis`
for the names of causes, `records`, `formats`, `logs` for the patterns of lines, and `training`; only
`subjects.quantizers` needs torch. Read by `plan`, `gate`, `trainers`, `faults`, `plugin` and `cli`.
"""
