"""The command line's door, a file a command; what was made elsewhere, is expected, or serves a pipeline has a folder.

Each file declares its command (`add`) and runs it (`run`), and `cli.main` puts them together. Imports `diagnosis`,
`records`, `formats`, `training`, `subjects`, `plan`, `baselines`, `gate`, `faults`, `databases`, `logs`, `vectors`,
`history`, `reports`, `merging` and `plugin`, what needs torch only when a command trains or encodes. Read by the script
`quantgate` alone.
"""
