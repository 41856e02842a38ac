"""The tables: made, adopted, brought to this version, or refused and left as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import TableClause, inspect

from quantgate.databases.address import Address
from quantgate.databases.engine import open_engine
from quantgate.history import schema
from quantgate.history.deliver import deliver
from tests.history.conftest import Ask
from tests.history.runs import run
from tests.history.test_deliver import COUNTS, kept

FLEET = (
    "CREATE TABLE ssot.bpb_samples (canon_name text, format text, algo text, hidden int, seed int, step int, bpb real, "
    "sha text, run_id text, ts {}, note text DEFAULT 'none')"
)
ROW = (
    "INSERT INTO ssot.bpb_samples VALUES ('IGLA-TIER1-int8-h64-LR0.001-rng47-adamw', 'int8', 'adamw', 64, 47, 100, "
    "6.5, 'abc', 'r1', '2025-01-01', 'mine')"
)
VERSION = "SELECT version_num FROM ssot.quantgate_version"


def make_schema(address: Address, ask: Ask) -> None:
    if not address.is_sqlite:
        ask(address, "CREATE SCHEMA ssot")


@pytest.mark.parametrize(
    "table", [schema.SAMPLES, schema.RUNS, schema.ENVIRONMENTS, schema.VERDICTS], ids=str
)
def test_the_migrations_make_the_tables_that_are_written(database: Address, table: TableClause) -> None:
    deliver(run(), database)
    with open_engine(database, extra="history", schema="ssot") as engine, engine.connect() as connection:
        there = {each["name"] for each in inspect(connection).get_columns(table.name, schema="ssot")}

    assert there == {each.name for each in table.columns}


@pytest.mark.parametrize("kind", ["text", "timestamp"])
def test_a_table_that_the_fleet_keeps_is_taken_with_its_rows(database: Address, ask: Ask, kind: str) -> None:
    make_schema(database, ask)
    ask(database, FLEET.format(kind))
    ask(database, ROW)
    before = ask(database, "SELECT * FROM ssot.bpb_samples")

    assert deliver(run(), database).recorded
    assert ask(database, "SELECT * FROM ssot.bpb_samples WHERE note = 'mine'") == before
    assert ask(database, "SELECT COUNT(*) FROM ssot.bpb_samples WHERE note = 'none'") == [(9,)]


def test_a_table_of_the_same_name_with_other_columns_is_refused(database: Address, ask: Ask) -> None:
    make_schema(database, ask)
    ask(database, "CREATE TABLE ssot.bpb_samples (canon_name text, bpb real)")

    kept(
        deliver(run(), database),
        "its table ssot.bpb_samples is another: it has no format, algo, sha, run_id, hidden, seed, step, ts; name "
        "another database",
    )
    assert ask(database, "SELECT COUNT(*) FROM ssot.bpb_samples") == [(0,)]


def test_a_table_that_lost_a_column_since_is_refused(database: Address, ask: Ask) -> None:
    deliver(run(), database)
    ask(database, "ALTER TABLE ssot.bpb_samples DROP COLUMN sha")

    kept(
        deliver(run(), database),
        "its table ssot.bpb_samples is another: it has no sha; name another database",
    )


def test_a_table_of_another_program_is_refused(database: Address, ask: Ask) -> None:
    make_schema(database, ask)
    ask(database, "CREATE TABLE ssot.quantgate_runs (a int)")

    kept(
        deliver(run(), database),
        "its table ssot.quantgate_runs is not of quantgate: nothing says its version; name another database",
    )


def test_a_later_version_is_refused(database: Address, ask: Ask) -> None:
    deliver(run(), database)
    ask(database, "UPDATE ssot.quantgate_version SET version_num = '99'")

    kept(
        deliver(run(), database),
        "its history has version 99, and this quantgate knows up to 1: upgrade quantgate",
    )
    assert ask(database, COUNTS) == [(1, 5, 9)]


def test_an_earlier_version_is_brought_to_this_one_with_its_rows(
    database: Address, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(run(), database)
    later = tmp_path / "migrations"
    shutil.copytree(schema._MIGRATIONS, later)
    (later / "versions" / "v002.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\nrevision, down_revision = '2', '1'\n"
        "def upgrade():\n    op.add_column('quantgate_runs', sa.Column('host', sa.Text), schema='ssot')\n"
    )
    monkeypatch.setattr(schema, "_MIGRATIONS", later)

    assert deliver(run(day=1), database).recorded
    assert ask(database, VERSION) == [("2",)]
    assert ask(database, "SELECT host FROM ssot.quantgate_runs") == [(None,), (None,)]


def test_a_migration_that_fails_leaves_all_as_it_was(
    database: Address, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(run(), database)
    later = tmp_path / "migrations"
    shutil.copytree(schema._MIGRATIONS, later)
    (later / "versions" / "v002.py").write_text(
        "from alembic import op\nrevision, down_revision = '2', '1'\n"
        "def upgrade():\n    op.drop_table('quantgate_runs', schema='ssot')\n    op.execute('no statement')\n"
    )
    monkeypatch.setattr(schema, "_MIGRATIONS", later)

    assert not deliver(run(day=1), database).recorded
    assert ask(database, VERSION) == [("1",)]
    assert ask(database, COUNTS) == [(1, 5, 9)]
