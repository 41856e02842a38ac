"""The versions of the tables, a file a version, which Alembic runs in their order."""
