"""The gate: how a planned cell is run and judged.

Holds the experiment in which a subject trains with the probes watching, the assessment of its curve and evidence, the
escalation of close calls, the controls, and the folder that a run's processes share. Imports `diagnosis`, `records`,
`formats`, `corpus`, `training`, `subjects`, `probes` and `plan`; no pytest, and no torch in what a controller reads
(`gate.folder`, `gate.validity`) nor where trainers from elsewhere are run (`gate.controls`). Read by `trainers`,
`faults`, `merging`, `plugin` and `cli`.
"""
