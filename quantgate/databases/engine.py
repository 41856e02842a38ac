"""How a database is opened: PostgreSQL by psycopg, a file of SQLite by the standard library."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from quantgate.databases.failure import why_failed

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

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
    with _KEPT_BACK:
        try:
            yield engine
        finally:
            engine.dispose()


@contextmanager
def open_reader(address: Address, *, extra: str, schema: str | None = None) -> Iterator[Connection]:
    """A connection that only reads; the arguments are those of `open_engine`.

    Raises:
        ValueError: The driver is not installed, or the database cannot be reached.
    """
    with open_engine(address, extra=extra, schema=schema) as engine:
        from sqlalchemy import exc

        try:
            connection = engine.connect()
        except (exc.SQLAlchemyError, sqlite3.Error) as error:
            raise ValueError(f"the database cannot be reached: {why_failed(error)}") from None
        with connection:
            yield connection


class _KeptBack:
    """Keeps back what libraries log, which names hosts and users, while any thread has a database open."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._many = 0
        self._before: dict[logging.Logger, bool] = {}
        self._nowhere = logging.NullHandler()

    def __enter__(self) -> None:
        with self._lock:
            self._many += 1
            if self._many == 1:
                for logger in map(logging.getLogger, _LOGGERS):
                    self._before[logger] = logger.propagate
                    logger.propagate = False
                    logger.addHandler(self._nowhere)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._many -= 1
            if self._many == 0:
                for logger, propagates in self._before.items():
                    logger.removeHandler(self._nowhere)
                    logger.propagate = propagates


_KEPT_BACK = _KeptBack()


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
