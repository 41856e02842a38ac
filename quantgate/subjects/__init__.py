"""Subjects: what the gate can be asked to judge, by name or path.

Holds the registry of formats, recipes and optimizers, the codecs that users bring, what a name may be, what stands
behind `module:attribute`, and how a subject becomes a model that trains. Imports `diagnosis` for the names of causes,
`records`, `formats` and `training`; only `subjects.quantizers` needs torch. Read by `plan`, `gate`, `faults`, `plugin`
and `cli`.
"""
