"""Logs in a table: one read-only statement through SQLAlchemy; the database aggregates, and its rows are streamed.

An address may hold a password, and names machines that are nobody's business: it is taken from the environment or a
file, and no message quotes it, nor what a driver says of it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from quantgate.logs.aggregate import runs, statement
from quantgate.logs.names import KEY, find_columns, says_bits
from quantgate.logs.reading.sources import Reading, Wanted

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

DEFAULT_TABLE = "ssot.bpb_samples"
_DIALECTS = ("postgresql", "sqlite")
#: What a driver's words mean, said without them.
_REFUSALS = (
    ("password authentication failed", "it refused the user or the password"),
    ("no password supplied", "it asks for a password, and the address has none"),
    ("does not exist", "it has no such database or user"),
    ("translate host name", "the name of its machine is not known here"),
    ("name or service not known", "the name of its machine is not known here"),
    ("connection refused", "nothing listens at its port"),
    ("timeout", "it did not answer in time"),
    ("unable to open", "there is no such file"),
)


def find_address(given: str) -> str:
    """The address that `env:NAME`, `@FILE` or an address without a password stands for.

    Raises:
        ValueError: There is none, or it is written on the command line with its password.
    """
    if given.startswith("env:"):
        name = given.removeprefix("env:")
        if not (address := os.environ.get(name, "").strip()):
            raise ValueError(f"--sql: the environment variable {name!r} is not set or empty")
        return address
    if given.startswith("@"):
        try:
            address = Path(given[1:]).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"--sql: the file {given[1:]!r} cannot be read ({type(error).__name__})"
            ) from None
        if not address:
            raise ValueError(f"--sql: the file {given[1:]!r} is empty")
        return address
    if _url(given).password is not None:
        raise ValueError(
            "--sql: a password on the command line is seen by everybody on this machine; put the address into the "
            "environment (--sql env:FLEET_DB) or a file (--sql @fleet.url)"
        )
    return given


@contextmanager
def read_sql(address: str, wanted: Wanted, table: str = DEFAULT_TABLE) -> Iterator[Reading]:
    """What is logged in a table.

    Args:
        address: An SQLAlchemy URL of PostgreSQL or SQLite.
        wanted: The columns and the rows that are wanted.
        table: The table, after its schema and a dot; SQLite has no schemas, and the schema is left out there.

    Raises:
        ValueError: It cannot be reached, has no such table or columns, or SQLAlchemy is not installed.
    """
    url = _url(address)
    from sqlalchemy import exc

    engine = _engine(url)
    try:
        try:
            connection = engine.connect()
        except (exc.SQLAlchemyError, sqlite3.Error) as error:
            raise ValueError(f"the database cannot be reached: {_reason(error)}") from None
        with connection:
            try:
                yield _reading(connection, url, wanted, table)
            except exc.SQLAlchemyError as error:
                raise ValueError(f"the database failed while it was read: {_reason(error)}") from None
    finally:
        engine.dispose()


def _url(address: str) -> URL:
    try:
        from sqlalchemy import exc, make_url
    except ImportError:
        raise ValueError("databases are read by SQLAlchemy: pip install 'quantgate[logs]'") from None
    if address.startswith("postgres://"):  # as hosts of databases write it
        address = address.replace("postgres://", "postgresql://", 1)
    try:
        url = make_url(address)
    except (exc.ArgumentError, ValueError):
        raise ValueError(
            "--sql: that is no address of a database; such as postgresql://reader@host/fleet or sqlite:///fleet.db"
        ) from None
    if url.get_backend_name() not in _DIALECTS:
        raise ValueError(f"--sql: only {' and '.join(_DIALECTS)} are read")
    if url.drivername == "postgresql":  # psycopg 3 is the driver of the extra
        url = url.set(drivername="postgresql+psycopg")
    return url


def _engine(url: URL) -> Engine:
    from sqlalchemy import create_engine, exc

    if url.get_backend_name() == "sqlite":
        # Opened read-only, so that a wrong path is an error and not a new file.
        path = f"file:{quote(str(Path(url.database or '').absolute()))}?mode=ro"
        return create_engine("sqlite://", creator=lambda: sqlite3.connect(path, uri=True))
    try:
        return create_engine(
            url,
            connect_args={"options": "-c default_transaction_read_only=on", "connect_timeout": 10}
            if url.get_driver_name() == "psycopg"
            else {},
            execution_options={"postgresql_readonly": True},
        )
    except (exc.SQLAlchemyError, ImportError):
        raise ValueError("PostgreSQL is reached by psycopg: pip install 'quantgate[logs]'") from None


def _reason(error: BaseException) -> str:
    """Why a database failed, in words of our own: a driver's hold hosts and users."""
    words = str(error).lower()
    for word, meaning in _REFUSALS:
        if word in words:
            return meaning
    kind = type(getattr(error, "orig", None) or error).__name__
    return f"{kind}; what its driver says is not shown, as it may hold the address"


def _reading(connection: Connection, url: URL, wanted: Wanted, table: str) -> Reading:
    from sqlalchemy import inspect, text

    sqlite = url.get_backend_name() == "sqlite"
    schema, _, name = table.rpartition(".")
    inspector = inspect(connection)
    if sqlite and inspector.has_table(table):
        name = table
    where = None if sqlite or not schema else schema
    if not (inspector.has_table(name, schema=where)):
        near = ", ".join(sorted(inspector.get_table_names(schema=where))[:8])
        raise ValueError(f"no table {table!r}; there are {near or 'none'}. Say --table SCHEMA.TABLE.")
    kinds = {column["name"]: column["type"] for column in inspector.get_columns(name, schema=where)}
    columns = find_columns(list(kinds), wanted.columns)
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
        f"CAST(NULL AS BIGINT) AS ord, {stamp} AS ts, '' AS source FROM {place}"
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
