"""Logs in a table: one read-only statement through SQLAlchemy; the database aggregates, and its rows are streamed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from quantgate.databases.address import Address
from quantgate.databases.engine import open_reader
from quantgate.databases.failure import why_failed
from quantgate.logs.aggregate import SCORED, runs, statement
from quantgate.logs.names import KEY, find_run_columns, says_bits
from quantgate.logs.reading.sources import Reading, Wanted

if TYPE_CHECKING:
    from sqlalchemy import Connection

DEFAULT_TABLE = "ssot.bpb_samples"
#: The extra that brings what reads tables.
EXTRA = "logs"


@contextmanager
def read_sql(address: Address, wanted: Wanted, table: str = DEFAULT_TABLE) -> Iterator[Reading]:
    """What is logged in a table.

    Args:
        address: A PostgreSQL or SQLite.
        wanted: The columns and the rows that are wanted.
        table: The table, after its schema and a dot; SQLite has no schemas, and the schema is left out there.

    Raises:
        ValueError: It cannot be reached, or has no such table or columns.
    """
    from sqlalchemy import exc

    with open_reader(address, extra=EXTRA) as connection:
        try:
            yield _reading(connection, address.is_sqlite, wanted, table)
        except exc.SQLAlchemyError as error:
            raise ValueError(f"the database failed while it was read: {why_failed(error)}") from None


def _reading(connection: Connection, sqlite: bool, wanted: Wanted, table: str) -> Reading:
    from sqlalchemy import inspect, text

    schema, _, name = table.rpartition(".")
    inspector = inspect(connection)
    if sqlite and inspector.has_table(table):
        name = table
    where = None if sqlite or not schema else schema
    if not (inspector.has_table(name, schema=where)):
        near = ", ".join(sorted(inspector.get_table_names(schema=where))[:8])
        raise ValueError(f"no table {table!r}; there are {near or 'none'}. Say --table SCHEMA.TABLE.")
    kinds = {column["name"]: column["type"] for column in inspector.get_columns(name, schema=where)}
    columns = find_run_columns(list(kinds), wanted.columns)
    for role, word in (("step", "steps"), ("bpb", "scores")):
        if role not in columns:
            raise ValueError(
                f"table {table!r} has no column of {word}; there are {', '.join(kinds)}. Say --columns {role}=COLUMN."
            )
    quoted = connection.dialect.identifier_preparer.quote_identifier

    def column(role: str) -> str:
        return quoted(columns[role]).replace(":", "\\:")

    keys = ", ".join(
        f"COALESCE(CAST({column(role)} AS VARCHAR), '') AS {role}" if role in columns else f"'' AS {role}"
        for role in KEY
    )
    parameters: dict[str, object] = {}
    stamp, conditions = "CAST(NULL AS DOUBLE PRECISION)", []
    if "ts" in columns:
        stamp = _seconds(column("ts"), sqlite, str(kinds[columns["ts"]]))
    if wanted.like is not None:
        if "name" not in columns:
            raise ValueError(f"table {table!r} has no column of names for --like; say --columns name=COLUMN.")
        conditions.append(f"{column('name')} LIKE :quantgate_like")
        parameters["quantgate_like"] = wanted.like
    if wanted.since is not None:
        if "ts" not in columns:
            raise ValueError(f"table {table!r} has no column of times for --since; say --columns ts=COLUMN.")
        conditions.append(f"{stamp} >= :quantgate_since")
        parameters["quantgate_since"] = time.time() - wanted.since
    score = f"CAST({column('bpb')} AS DOUBLE PRECISION)"
    place = ".".join(quoted(part).replace(":", "\\:") for part in ([schema] if where else []) + [name])
    source = (
        f"(SELECT {keys}, CAST({column('step')} AS BIGINT) AS step, "
        # NaN is above every number in PostgreSQL, and NULL in SQLite: neither is between these.
        f"CASE WHEN {score} > -1e300 AND {score} < 1e300 THEN {score} END AS score, "
        f"CAST(NULL AS BIGINT) AS ord, {stamp} AS ts, '' AS source, {SCORED} AS blank FROM {place}"
        f"{' WHERE ' + ' AND '.join(conditions) if conditions else ''})"
    )
    result = connection.execution_options(stream_results=True, yield_per=5000).execute(
        text(statement(source, columns)), parameters
    )
    rows = (tuple(row) for row in result)
    said = [f"table {table}", *([] if columns["bpb"] == "bpb" else [f"scores of {columns['bpb']}"])]
    return Reading(runs(rows), says_bits(columns["bpb"]), tuple(said))


def _seconds(column: str, sqlite: bool, kind: str) -> str:
    """Seconds since 1970 of a column of times, whatever its type."""
    if sqlite:
        return f"CASE WHEN typeof({column}) = 'text' THEN CAST(strftime('%s', {column}) AS REAL) ELSE {column} END"
    if any(word in kind.upper() for word in ("TIMESTAMP", "DATE", "TIME")):
        return f"CAST(EXTRACT(EPOCH FROM {column}) AS DOUBLE PRECISION)"
    if any(word in kind.upper() for word in ("CHAR", "TEXT")):
        return f"CAST(EXTRACT(EPOCH FROM CAST({column} AS TIMESTAMPTZ)) AS DOUBLE PRECISION)"
    return f"CAST({column} AS DOUBLE PRECISION)"
