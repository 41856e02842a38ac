"""Subjects: what the gate can be asked to judge, by name or path.

Holds the registry of formats, recipes and optimizers, the codecs that users bring, what a name may be, and how a name is
told from a path. Imports `formats` and the built-in optimizers of `training`; no torch until something is trained.
Read by `gate`, `faults` and the doors.
"""
