"""Runs into a database: each whole or not at all, and once however often it is brought."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Event, Timer
from typing import Any

from sqlalchemy import Connection, Engine, Insert, exc, insert, text
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
    with open_engine(address, extra=EXTRA, writes=True, schema=SCHEMA) as engine:
        yield Store(engine)


def _write(connection: Connection, run: Run) -> bool:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    is_text = dialect is sqlite

    def add(statement: Insert, rows: Iterable[Row]) -> None:
        if made := [_timed(row, is_text) for row in rows]:
            connection.execute(statement, made)

    new = dialect.insert(RUNS).on_conflict_do_nothing().returning(RUNS.c.run)
    if connection.execute(new, _timed(run_row(run), is_text)).first() is None:
        return False  # with this row came all the others
    add(dialect.insert(ENVIRONMENTS).on_conflict_do_nothing(), environment_rows(run))
    add(insert(VERDICTS), verdict_rows(run))
    add(insert(SAMPLES), sample_rows(run))
    return True


def _timed(row: Row, is_text: bool) -> Row:
    """The row with its time as SQLite keeps it."""
    if not is_text:
        return row
    return {
        name: value.isoformat(sep=" ") if isinstance(value, datetime) else value
        for name, value in row.items()
    }


@contextmanager
def _given_up_after(seconds: float, connection: Connection) -> Iterator[None]:
    """Close the socket of a connection whose server neither answers nor goes away.

    Raises:
        TimeoutError: It was closed.
    """
    driver: Any = connection.connection.dbapi_connection
    if not hasattr(driver, "fileno"):  # a file
        yield
        return
    is_over = Event()

    def shut() -> None:
        is_over.set()
        with socket.socket(fileno=os.dup(driver.fileno())) as mine:
            mine.shutdown(socket.SHUT_RDWR)

    timer = Timer(seconds, shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except exc.SQLAlchemyError:
        if is_over.is_set():
            raise TimeoutError("timed out") from None
        raise
    finally:
        timer.cancel()
