"""Curves from elsewhere: the logs of trainers in any language, judged as the gate judges its own cells.

Files are read by DuckDB and tables through SQLAlchemy, both of the extra `logs`, loaded when they are needed; either
aggregates millions of samples into some stretches a run. What is judged of them is pure, and needs no library: units,
controls, the shape of a curve. It never sees torch. Imports `records`, `databases`, and `formats` for names and bits.
Read by `subjects`, `trainers` and `cli`.
"""
