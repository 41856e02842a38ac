"""Readers of records: what people and programs are shown of a run.

Holds the terminal's table, what the probes say in words, the causes explained, and the file `results.jsonl`. Imports
`records` and `diagnosis`, and the standard library alone. Read by the doors.
"""
