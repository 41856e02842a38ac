"""pytest's door: the plugin.

Holds the options with their three spellings, the hooks, the fixtures, the session of a process, and the reporter of the
controller. Imports `records`, `plan`, `subjects`, `gate`, `corpus` and `reports`, everything that needs torch only when
a cell is asked for. Nothing imports it but pytest, through the entry point `quantgate`, and `suite`.
"""
