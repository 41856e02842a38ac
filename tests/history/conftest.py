from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("alembic", reason="a history is kept by Alembic: pip install 'quantgate[history]'")

from quantgate.databases.address import Address
from quantgate.history.address import find_history
from tests.logs import postgres

#: Asks a database with a statement that works on both.
Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs wait."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "quantgate" / "history"


@pytest.fixture(scope="package")
def server() -> Iterator[postgres.Server]:
    pytest.importorskip(
        "psycopg", reason="PostgreSQL is reached by psycopg: pip install 'quantgate[history]'"
    )
    with postgres.cluster() as running:
        yield running


@pytest.fixture
def fleet(server: postgres.Server) -> Address:
    """A PostgreSQL in which nothing is kept yet."""
    import psycopg

    with psycopg.connect(server.address) as connection:
        connection.execute("DROP SCHEMA IF EXISTS ssot CASCADE")
    return find_history(server.address)


@pytest.fixture
def file(tmp_path: Path) -> Address:
    """A file of SQLite that is not there yet."""
    return find_history(f"sqlite:///{tmp_path}/history.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Address:
    """Either of them."""
    found: Address = request.getfixturevalue("file" if request.param == "sqlite" else "fleet")
    return found


@pytest.fixture
def ask() -> Ask:
    """Asks a database as a person would: by its own tools, not by the package's."""

    def asked(address: Address, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        import sqlite3

        import psycopg

        if address.is_sqlite:
            with sqlite3.connect(":memory:") as connection:
                connection.execute("ATTACH ? AS ssot", (str(address.url.database),))
                done = connection.execute(statement, parameters)
                return done.fetchall()
        plain = address.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain) as fleet:
            found = fleet.execute(statement.replace("?", "%s").encode(), parameters or None)
            return found.fetchall() if found.description else []

    return asked
