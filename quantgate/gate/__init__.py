"""The gate: how a planned cell is run and judged.

Holds the experiment in which a subject trains with the probes watching, the assessment of its curve and evidence, the
escalation of close calls, the controls and the folder that a run's processes share. Imports every layer below it:
`diagnosis`, `records`, `formats`, `corpus`, `training`, `subjects`, `probes` and `plan`. No pytest; `gate.folder` and
`gate.validity`, which the controller reads, cost no torch import. Read by `faults` and the doors.
"""
