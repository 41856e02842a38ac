"""The history of cells in a database: SQLite for one machine, PostgreSQL for a fleet; both hold the same tables.

Holds the tables and their migrations by Alembic, the recording of a run by its controller (once, whatever happens in
between: what cannot be delivered waits in a folder), and the steps of a cell from commit to commit. It never sees
torch; SQLAlchemy and Alembic, of the extra `history`, are loaded when a database is asked for. Imports `records` and
`databases`. Read by `reports`, `plugin` and `cli`.
"""
