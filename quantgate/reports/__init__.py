"""Readers of results: what people and programs are shown.

Holds the terminal's table, the probes and the causes in words, and the file `results.jsonl`. Imports `diagnosis` and
`records`, and the standard library alone. Read by `merging`, `plugin` and `cli`.
"""
