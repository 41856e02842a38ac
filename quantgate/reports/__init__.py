"""Readers of results: what people and programs are shown.

Holds the terminal's table, the probes and the causes in words, the history of a cell, the report folder and its records
read back, the story that a run's records tell, and what is drawn of it: the page (`reports.html`) and what GitHub shows
(`reports.github`). Imports `diagnosis`, `records` and `history`, for its steps, and the standard library alone; the
page is made by Jinja2, loaded where one is made. Read by `merging`, `plugin`
and `cli`.
"""
