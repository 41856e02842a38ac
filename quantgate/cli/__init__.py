"""The command line's door, a file a command.

Each file declares its command (`add`) and runs it (`run`); `main` puts them together. Imports the layers that a command
shows: `records`, `diagnosis`, `subjects`, `training` for names, `gate`, `faults` and `reports`, with torch only when a
command trains. Nothing imports it but the script `quantgate`.
"""
