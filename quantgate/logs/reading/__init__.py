"""Files by DuckDB and tables by SQLAlchemy: how each kind is read, down to stretches of samples."""
