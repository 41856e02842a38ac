"""`quantgate judge --sql`: the same from a table, of SQLite and of a real PostgreSQL, and no address in any output."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.logs import postgres
from tests.logs.samples import FLEET, Samples, falling, name

pytest.importorskip("sqlalchemy", reason="tables are read by SQLAlchemy: pip install 'quantgate[logs]'")

COLUMNS = "canon_name, format, algo, hidden, seed, step, bpb, sha, run_id, ts"
TABLE = (
    "(canon_name text, format text, algo text, hidden int, seed int, step bigint, bpb double precision, sha text, "
    "run_id text, ts {})"
)

#: Fills the table with rows, and says where it is.
Filled = Callable[[list[tuple[Any, ...]]], str]


def rows(format: str, curve: Samples, sha: str = "abc123", day: int = 0) -> list[tuple[Any, ...]]:
    """The rows of a run, `day` days after the first."""
    begun = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
    return [
        (
            name(format),
            format,
            "adamw",
            64,
            47,
            step,
            score,
            sha,
            f"run-{sha}",
            f"{begun + timedelta(seconds=step)}",
        )
        for step, score in curve
    ]


FLEET_ROWS = [row for format, curve in FLEET.items() for row in rows(format, curve)]
#: int8 and its control over four commits, the third of which broke it.
COMMITS = [
    row
    for day, (sha, end) in enumerate((("a1", 2.62), ("b2", 2.62), ("c3" * 20, 6.99), ("d4", 6.98)))
    for row in (*rows("fp32", falling(2.6), sha, day), *rows("int8", falling(end), sha, day))
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("psycopg", reason="PostgreSQL is reached by psycopg: pip install 'quantgate[logs]'")
    with postgres.server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Filled:
    """The table in either database."""
    if request.param == "sqlite":

        def fill(content: list[tuple[Any, ...]]) -> str:
            with sqlite3.connect(tmp_path / "fleet.db") as connection:
                connection.execute(f"CREATE TABLE bpb_samples {TABLE.format('text')}")
                marks = ", ".join("?" * 10)
                connection.executemany(f"INSERT INTO bpb_samples ({COLUMNS}) VALUES ({marks})", content)
            return f"sqlite:///{tmp_path}/fleet.db"

        return fill
    address = request.getfixturevalue("server")

    def fill_server(content: list[tuple[Any, ...]]) -> str:
        import psycopg

        with psycopg.connect(address) as connection, connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA IF EXISTS ssot CASCADE")
            cursor.execute("CREATE SCHEMA ssot")
            cursor.execute(f"CREATE TABLE ssot.bpb_samples {TABLE.format('timestamptz')}".encode())
            with cursor.copy(f"COPY ssot.bpb_samples ({COLUMNS}) FROM STDIN".encode()) as copy:
                for row in content:
                    copy.write_row(row)
        return str(address)

    return fill_server


def test_the_table_says_what_the_files_say(quantgate: Command, filled: Filled) -> None:
    said = quantgate("judge", "--sql", filled(FLEET_ROWS))

    assert (said.status, said.err) == (1, "")
    assert said.out.startswith(
        """\
bits a symbol at the end of 9 runs, 829 samples
  table ssot.bpb_samples
  unit bits (the column says so)
  chance 7.00 bits (128 symbols: the runs start at 7.02)
  horizon 2,000 steps (the middle run's last step, or the control's)
  1 float32 control (IGLA-TIER1-fp32-h64-LR0.001-rng47-adamw)

                   adamw
(float32 control)  2.60 learns
bf16               3.20 unjudged
gf32               2.60 no-op
int4               5.00 partial
int8               2.62 learns
mxfp8              diverged
nf4                7.00 dead
posit8             6.99 dead
uint8              3.40 lags
"""
    )


def test_the_first_bad_commit_is_named(quantgate: Command, filled: Filled) -> None:
    said = quantgate("judge", "--sql", filled(COMMITS))

    assert (
        f"  {name('int8')}: flat from the start: 6.98 after 2,000 steps, 7.02 at first; its control was at 2.60 by "
        "then. The first bad commit is c3c3c3c3c3c3; b2 was good.\n"
    ) in said.out


def test_rows_are_chosen_by_name_and_age(quantgate: Command, filled: Filled) -> None:
    since_new_year = f"{(time.time() - datetime(2026, 1, 2, 12, tzinfo=UTC).timestamp()) / 86400:.3f}d"
    address = filled([*COMMITS, *rows("gf8", falling(7.0), "e5", day=-9)])

    said = quantgate("judge", "--sql", address, "--like", "IGLA-TIER1-%8-%", "--since", since_new_year)

    assert "bits a symbol at the end of 2 runs, 202 samples\n" in said.out  # of int8, from the second noon on
    assert quantgate("judge", "--sql", address, "--like", "x%") == (
        4,
        "",
        "quantgate: no samples: nothing was read that has a step and a score; is it the right column or pattern?\n",
    )


def test_other_tables_and_columns(quantgate: Command, tmp_path: Path) -> None:
    told = [("int4-adamw-s47", step, str(score)) for step, score in falling(6.99)]
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute('CREATE TABLE "my:table" ("cell" text, "it:er" int, "the ""loss""" text)')
        connection.executemany('INSERT INTO "my:table" VALUES (?, ?, ?)', told)
    columns = 'name=cell,step=it:er,bpb=the "loss"'

    said = quantgate(
        "judge",
        "--sql",
        f"sqlite:///{tmp_path}/x.db",
        "--table",
        "my:table",
        "--columns",
        columns,
        "--unit",
        "bits",
    )

    assert "int4  6.99 dead\n" in said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--table", "ssot.samples"),
            "no table 'ssot.samples'; there are bpb_samples. Say --table SCHEMA.TABLE.",
        ),
        (
            ("--columns", "bpb=val"),
            "no column 'val' for 'bpb'; there are algo, bpb, canon_name, format, hidden, run_id, seed, sha, step, ts",
        ),
    ],
)
def test_a_wrong_table_or_column_is_said(
    quantgate: Command, filled: Filled, arguments: tuple[str, ...], message: str
) -> None:
    assert quantgate("judge", "--sql", filled(COMMITS), *arguments) == (4, "", f"quantgate: {message}\n")


def test_nothing_can_be_written_through_it(filled: Filled) -> None:
    from sqlalchemy import exc, text

    from quantgate.databases.address import find_address
    from quantgate.databases.engine import open_engine

    address = find_address(filled(COMMITS), extra="logs")
    with (
        open_engine(address, extra="logs") as engine,
        engine.connect() as connection,
        pytest.raises(exc.DBAPIError, match=r"read-?only"),
    ):
        connection.execute(text("CREATE TABLE mine (a int)"))


SECRET = ("secret-host", "secret-user", "secret-password", "secret_database")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "postgresql://secret-user:secret-password@127.0.0.1:1/secret_database",
            "the database cannot be reached: nothing listens at its port",
        ),
        (
            "postgresql://secret-user:secret-password@secret-host.invalid/secret_database",
            "the database cannot be reached: the name of its machine is not known here",
        ),
        ("sqlite:////nowhere/secret_database.db", "the database cannot be reached: there is no such file"),
        ("oracle://secret-user:secret-password@secret-host/x", "--sql: only postgresql and sqlite are known"),
        (
            "secret-user:secret-password@secret-host",
            "--sql: that is no address of a database; such as postgresql://reader@host/fleet or sqlite:///fleet.db",
        ),
    ],
)  # fmt: skip
def test_an_address_is_never_shown(
    quantgate: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, message: str
) -> None:
    pytest.importorskip("psycopg", reason="PostgreSQL is reached by psycopg: pip install 'quantgate[logs]'")
    monkeypatch.setenv("FLEET_DB", address)
    (tmp_path / "fleet.url").write_text(f"{address}\n")

    for given in ("env:FLEET_DB", f"@{tmp_path}/fleet.url"):
        said = quantgate("judge", "--sql", given)
        assert said == (4, "", f"quantgate: {message}\n")
        assert not [word for word in SECRET if word in said.err]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "postgresql://me:secret-password@secret-host/fleet",
            "--sql: a password on the command line is seen by everybody on this machine, and one in an ini file by "
            "all who read it; put the address into the environment (env:FLEET_DB) or a file (@fleet.url)",
        ),
        ("env:NO_SUCH_VARIABLE", "--sql: the environment variable 'NO_SUCH_VARIABLE' is not set or empty"),
        ("@no-such.url", "--sql: the file 'no-such.url' cannot be read (FileNotFoundError)"),
    ],
)
def test_an_address_that_is_not_there_or_seen_by_all_is_refused(
    quantgate: Command, given: str, message: str
) -> None:
    assert quantgate("judge", "--sql", given) == (4, "", f"quantgate: {message}\n")


def test_a_wrong_password_is_said_without_it(
    quantgate: Command, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEET_DB", server.replace("tests@", "secret-user:secret-password@"))

    said = quantgate("judge", "--sql", "env:FLEET_DB")

    assert said == (4, "", "quantgate: the database cannot be reached: it has no such database or user\n")
