"""The command line's door, a file a command; those about what was made elsewhere, and for a pipeline, have a folder.

Each file declares its command (`add`) and runs it (`run`), and `cli.main` puts them together. Imports `diagnosis`,
`records`, `formats`, `training`, `subjects`, `plan`, `gate`, `faults`, `logs`, `vectors`, `reports`, `merging` and
`plugin`, what needs torch only when a command trains or encodes. Read by the script `quantgate` alone.
"""
