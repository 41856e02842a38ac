"""How a database is opened: PostgreSQL by psycopg, a file of SQLite by the standard library."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from quantgate.databases.address import Address

#: Seconds to wait for a connection, and for a lock that another program holds.
PATIENCE = 10
_LOGGERS = ("sqlalchemy", "psycopg", "alembic")


@contextmanager
def open_engine(
    address: Address, *, extra: str, writes: bool = False, schema: str | None = None
) -> Iterator[Engine]:
    """An engine for a database, for a while; nothing is connected yet.

    Args:
        address: Where it is.
        extra: The extra of this package that brings the driver.
        writes: Whether it may be written to; a file of SQLite that is not there is then made.
        schema: The name under which a file of SQLite is attached, so that `schema.table` is what it is elsewhere.

    Raises:
        ValueError: The driver is not installed.
    """
    if address.is_sqlite:
        engine = _sqlite(Path(str(address.url.database)), writes, schema)
    else:
        engine = _postgresql(address, extra, writes)
    with _kept_back(_LOGGERS):
        try:
            yield engine
        finally:
            engine.dispose()


@contextmanager
def _kept_back(names: Iterable[str]) -> Iterator[None]:
    """Keep back what libraries log: they name hosts and users."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.propagate for logger in loggers]
    nowhere = logging.NullHandler()
    for logger in loggers:
        logger.propagate = False
        logger.addHandler(nowhere)
    try:
        yield
    finally:
        for logger, propagates in zip(loggers, before, strict=True):
            logger.removeHandler(nowhere)
            logger.propagate = propagates


def _postgresql(address: Address, extra: str, writes: bool) -> Engine:
    from sqlalchemy import create_engine, exc

    options: dict[str, Any] = {"connect_timeout": PATIENCE}
    if not writes:
        options["options"] = "-c default_transaction_read_only=on"
    try:
        return create_engine(
            address.url,
            connect_args=options if address.url.get_driver_name() == "psycopg" else {},
            execution_options={} if writes else {"postgresql_readonly": True},
            hide_parameters=True,
        )
    except (exc.SQLAlchemyError, ImportError):
        raise ValueError(f"PostgreSQL is reached by psycopg: pip install 'quantgate[{extra}]'") from None


def _sqlite(path: Path, writes: bool, schema: str | None) -> Engine:
    from sqlalchemy import create_engine, event

    # Read-only unless it is to be written, so that a wrong path is an error and not a new file.
    uri = f"file:{quote(str(path))}?mode={'rwc' if writes else 'ro'}"

    def connect() -> sqlite3.Connection:
        if schema is None:
            return sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)
        connection = sqlite3.connect("file::memory:", uri=True, timeout=PATIENCE, isolation_level=None)
        try:
            connection.execute(f"ATTACH ? AS {schema}", (uri,))
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    engine = create_engine("sqlite://", creator=connect, hide_parameters=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # Python's own transactions leave out what changes a schema; this lock keeps a second writer waiting.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
