"""Runs into a database: each whole or not at all, and once however often it is brought."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Timer
from typing import Any

from sqlalchemy import Connection, Engine, TableClause, exc, insert, text
from sqlalchemy.dialects import postgresql, sqlite

from quantgate.databases.address import Address
from quantgate.databases.engine import PATIENCE, open_engine
from quantgate.databases.failure import why_failed
from quantgate.history.address import EXTRA
from quantgate.history.run import Row, Run, environment_rows, run_row, sample_rows, verdict_rows
from quantgate.history.schema import ENVIRONMENTS, RUNS, SAMPLES, SCHEMA, VERDICTS, migrate

#: Seconds after which a database that does not answer is given up.
MOST_SECONDS = 60.0


class UnreachableError(ValueError):
    """The database cannot be reached or written to at all."""


class RefusedError(ValueError):
    """The database is well, and refuses this run."""


class Store:
    """A database that is open for writing.

    Raises:
        SchemaError: Its tables are of a later version, or another's.
        UnreachableError: It cannot be reached, or may not be written to.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with self._writing() as connection:
            migrate(connection)

    def write(self, run: Run) -> bool:
        """Write a run, unless it is there.

        Returns:
            Whether it was not there.

        Raises:
            UnreachableError: The database is gone; nothing of the run was written, or all of it.
            RefusedError: It does not take the rows.
        """
        with self._writing() as connection:
            return _write(connection, run)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with (
                self._engine.connect() as connection,
                _given_up_after(MOST_SECONDS, connection),
                connection.begin(),
            ):
                if connection.dialect.name == "postgresql":
                    connection.execute(text(f"SET LOCAL lock_timeout = '{PATIENCE}s'"))
                yield connection
        except (exc.IntegrityError, exc.DataError) as error:
            raise RefusedError(f"the database refuses it: {why_failed(error)}") from None
        except (exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise UnreachableError(f"the database cannot be written to: {why_failed(error)}") from None


@contextmanager
def open_store(address: Address) -> Iterator[Store]:
    """The database, its tables brought to this version.

    Raises:
        SchemaError: Its tables are of a later version, or another's.
        UnreachableError: It cannot be reached, or may not be written to.
    """
    engine = open_engine(address, extra=EXTRA, writes=True, schema=SCHEMA)
    try:
        yield Store(engine)
    finally:
        engine.dispose()


def _write(connection: Connection, run: Run) -> bool:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    is_text = dialect is sqlite

    def fresh(place: TableClause, rows: Iterable[Row]) -> int:
        statement = dialect.insert(place).on_conflict_do_nothing()
        return sum(connection.execute(statement, _timed(row, is_text)).rowcount for row in rows)

    def add(place: TableClause, rows: Iterable[Row]) -> None:
        if made := [_timed(row, is_text) for row in rows]:
            connection.execute(insert(place), made)

    if not fresh(RUNS, [run_row(run)]):  # its row comes with all the others, or none
        return False
    fresh(ENVIRONMENTS, environment_rows(run))
    add(VERDICTS, verdict_rows(run))
    add(SAMPLES, sample_rows(run))
    return True


def _timed(row: Row, is_text: bool) -> Row:
    """The row with its time as SQLite keeps it."""
    if not is_text:
        return row
    return {
        name: value.isoformat(sep=" ") if isinstance(value, datetime) else value for name, value in row.items()
    }


@contextmanager
def _given_up_after(seconds: float, connection: Connection) -> Iterator[None]:
    """Close the socket of a connection whose server neither answers nor goes away."""
    driver: Any = connection.connection.dbapi_connection
    if not hasattr(driver, "fileno"):  # a file
        yield
        return
    timer = Timer(seconds, _shut, [driver.fileno()])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut(number: int) -> None:
    with socket.socket(fileno=os.dup(number)) as mine:
        mine.shutdown(socket.SHUT_RDWR)
