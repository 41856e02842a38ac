"""Trainers in any language: a command is run, its output read, its weights looked at, and its curve judged.

Holds the process of a cell and what ends it with all its children, the scores that it prints, the tensors that it dumps
(`trainers.dump` says how) as evidence for the diagnosis, and what runs a trainer's cells and controls. Imports
`diagnosis`, `records`, `logs` for lines and the shapes of curves, `corpus`, `subjects`, `probes` and `gate`;
torch only where weights were dumped. Read by `plugin`.
"""
