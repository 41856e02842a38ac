"""The tables as this version of the package reads and writes them, and the way there from any earlier one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Double,
    TableClause,
    Text,
    column,
    inspect,
    table,
    text,
)
from sqlalchemy.schema import CreateSchema
from sqlalchemy.types import TypeEngine

SCHEMA = "ssot"
_VERSION_TABLE = "quantgate_version"
_MIGRATIONS = Path(__file__).parent / "migrations"
#: Whoever migrates holds it: any number that nobody else takes for a lock of PostgreSQL.
_LOCK = 827_0047


def _table(name: str, texts: str, numbers: str = "", whole: str = "", times: str = "") -> TableClause:
    time = DateTime(timezone=True).with_variant(
        Text(), "sqlite"
    )  # which has no times, and keeps them as text
    kinds: tuple[tuple[str, TypeEngine[Any]], ...] = (
        (texts, Text()),
        (numbers, Double()),
        (whole, BigInteger()),
        (times, time),
    )
    return table(
        name, *(column(each, kind) for names, kind in kinds for each in names.split()), schema=SCHEMA
    )


SAMPLES = _table("bpb_samples", "canon_name format algo sha run_id", "bpb", "hidden seed step", "ts")
RUNS = _table("quantgate_runs", "run sha branch quantgate", whole="exit_status", times="ts")
ENVIRONMENTS = _table(
    "quantgate_environments", "environment torch numpy python cpu isa threads device everything"
)
VERDICTS = _table(
    "quantgate_verdicts",
    "run_id run cell canon_name subject kind format optimizer storage scope verdict cause because corpus corpus_sha256 "
    "environment shard",
    "lr bpb_initial bpb bpb_control gap seconds",
    "seed width steps",
)


class SchemaError(ValueError):
    """Tables that this version cannot read or write; they are left as they are."""


def migrate(connection: Connection) -> None:
    """Bring the tables to this version, in the transaction that is open.

    Raises:
        SchemaError: They are of a later version, or another's.
    """
    if _is_current(connection):
        return
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        if _is_current(connection):  # another writer was first
            return
        if SCHEMA not in inspect(connection).get_schema_names():
            connection.execute(CreateSchema(SCHEMA))
    context, scripts = _context(connection), ScriptDirectory(_MIGRATIONS)
    current = context.get_current_revision()
    if current is None:
        _refuse_foreign(connection)
    for script in reversed(list(scripts.iterate_revisions("head", current or "base"))):
        with Operations.context(context):
            script.module.upgrade()
        context.stamp(scripts, script.revision)
    _is_current(connection)


def check(connection: Connection) -> None:
    """See that the tables are there and of this version, without a change.

    Raises:
        SchemaError: They are not.
    """
    if not _is_current(connection):
        current = _context(connection).get_current_revision()
        if current is None:
            raise SchemaError("the database holds no history; pytest --quantgate-db records one")
        raise SchemaError(
            f"the history has version {current}, and this quantgate reads {_head()}; the next run with --quantgate-db "
            "brings it there"
        )


def _is_current(connection: Connection) -> bool:
    current = _context(connection).get_current_revision()
    if current is None:
        return False
    known = [script.revision for script in ScriptDirectory(_MIGRATIONS).walk_revisions()]
    if current not in known:
        raise SchemaError(
            f"its history has version {current}, and this quantgate knows up to {_head()}: upgrade quantgate"
        )
    if current == _head():
        _refuse_misfits(connection)
        return True
    return False


def _refuse_misfits(connection: Connection) -> None:
    """The table of samples may be the fleet's own: it is taken as it is where it has the columns."""
    there = {each["name"] for each in inspect(connection).get_columns(SAMPLES.name, schema=SCHEMA)}
    if missing := [each.name for each in SAMPLES.columns if each.name not in there]:
        raise SchemaError(
            f"its table {SCHEMA}.{SAMPLES.name} is another: it has no {', '.join(missing)}; name another database"
        )


def _refuse_foreign(connection: Connection) -> None:
    inspector = inspect(connection)
    for each in (RUNS, ENVIRONMENTS, VERDICTS):
        if inspector.has_table(each.name, schema=SCHEMA):
            raise SchemaError(
                f"its table {SCHEMA}.{each.name} is not of quantgate: nothing says its version; name another database"
            )
    if inspector.has_table(SAMPLES.name, schema=SCHEMA):
        _refuse_misfits(connection)


def _context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(
        connection, opts={"version_table": _VERSION_TABLE, "version_table_schema": SCHEMA}
    )


def _head() -> str:
    return str(ScriptDirectory(_MIGRATIONS).get_current_head())
