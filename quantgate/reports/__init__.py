"""Readers of results: what people and programs are shown.

Holds the terminal's table, the probes and the causes in words, the history of a cell, and the file `results.jsonl`.
Imports `diagnosis`, `records` and `history`, for its steps, and the standard library alone. Read by `plugin` and `cli`.
"""
