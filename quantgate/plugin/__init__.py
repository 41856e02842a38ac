"""pytest's door: the plugin.

Holds the options with their three spellings, the hooks, the fixtures, the session of a process, and the reporter of
the controller. Imports `records`, `corpus`, `training`, `subjects`, `plan`, `baselines`, `gate`, `trainers`, `history`
and `reports`, what needs torch only when a cell is asked for. pytest finds it through the entry point `quantgate`. Read
by `cli`, which asks what the tests register.
"""
