"""`quantgate history`: what it cannot answer, and what it must not show."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command

pytest.importorskip("alembic", reason="a history is kept by Alembic: pip install 'quantgate[history]'")

CELL = "int8-adamw-s47"
SECRET = ("secret-host", "secret-user", "secret-password", "secret_database")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no database is named; say --db, or set QUANTGATE_DB"),
        ((CELL, "--regressions"), "--regressions is of every cell; leave it out, or the name of the cell"),
        ((CELL,), "no database is named; say --db, or set QUANTGATE_DB"),
        ((CELL, "--db", "env:NOT_THERE"), "--db: the environment variable 'NOT_THERE' is not set or empty"),
        ((CELL, "--db", "x.db"), "--db: that is no address of a database; such as postgresql://reader@host/fleet or "
         "sqlite:///fleet.db"),
        ((CELL, "--db", "sqlite:///nowhere.db"), "the database cannot be reached: there is no such file"),
        ((CELL, "--db", "sqlite:///empty.db"), "the database holds no history; pytest --quantgate-db records one"),
        (("--regressions", "--since", "x", "--db", "sqlite:///x.db"), "--since 'x': write a number and s, m, h, d or "
         "w, such as 24h"),
        (("--regressions", "--since", "9999999d", "--db", "sqlite:///x.db"), "--since '9999999d': that is before the "
         "calendar begins"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_exits_4_and_says_why(
    quantgate: Command,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.delenv("QUANTGATE_DB", raising=False)
    (folder / "empty.db").touch()

    assert quantgate("history", *arguments) == (4, "", f"quantgate: {message}\n")
    assert not (folder / "nowhere.db").exists()


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://secret-user:secret-password@127.0.0.1:1/secret_database",
        "postgresql://secret-user:secret-password@secret-host.invalid/secret_database",
        "sqlite:////secret-host/secret_database.db",
    ],
)
def test_an_address_is_never_shown(quantgate: Command, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("QUANTGATE_DB", address)

    said = quantgate("history", CELL)
    assert (said.status, said.out) == (4, "")
    assert said.err.startswith("quantgate: the database cannot be reached: ")
    assert not [word for word in SECRET if word in said.err]


@pytest.mark.parametrize(
    ("package", "address", "message"),
    [
        (
            "sqlalchemy",
            "sqlite:///x.db",
            "databases are reached through SQLAlchemy: pip install 'quantgate[history]'",
        ),
        ("psycopg", "postgresql://h/x", "PostgreSQL is reached by psycopg: pip install 'quantgate[history]'"),
        (
            "alembic",
            "sqlite:///x.db",
            "Alembic keeps the tables of a history: pip install 'quantgate[history]'",
        ),
    ],
)
def test_without_the_extra_what_to_install_is_said(
    quantgate: Command, monkeypatch: pytest.MonkeyPatch, package: str, address: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    assert quantgate("history", CELL, "--db", address) == (4, "", f"quantgate: --db: {message}\n")
