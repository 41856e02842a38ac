"""Points out of the database: of one cell, or of all since some time."""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    distinct,
    exc,
    func,
    or_,
    select,
    union_all,
)

from quantgate.databases.address import Address
from quantgate.databases.engine import open_reader
from quantgate.databases.failure import why_failed
from quantgate.history.address import EXTRA
from quantgate.history.run import storable
from quantgate.history.schema import ENVIRONMENTS, RUNS, SCHEMA, VERDICTS, check
from quantgate.history.series import Point, Standing
from quantgate.records.verdict import Verdict

#: Cells that are named where the one that was asked for is not there.
_NEAR = 3
#: Exit statuses of runs that say nothing of their cells: the options were wrong, or the machine was.
_VOID = (4, 70)
_SETTING = ("torch", "python", "cpu", "isa", "device")


@contextmanager
def open_history(address: Address) -> Iterator[Connection]:
    """A connection that only reads.

    Raises:
        ValueError: It cannot be reached, or holds no history of this version.
    """
    with open_reader(address, extra=EXTRA, schema=SCHEMA) as connection:
        try:
            check(connection)
            yield connection
        except (exc.SQLAlchemyError, sqlite3.Error) as error:
            raise ValueError(f"the database failed while it was read: {why_failed(error)}") from None


def points_of(connection: Connection, cell: str) -> list[Point]:
    """The points of a cell, named by its id or its canonical name, series by series.

    Raises:
        ValueError: There is no such cell; the nearest are named.
    """
    name = storable(cell)
    cells = select(VERDICTS.c.cell).where(VERDICTS.c.canon_name == name)
    named = or_(
        VERDICTS.c.cell == name,
        VERDICTS.c.canon_name == name,
        and_(VERDICTS.c.cell.in_(cells), VERDICTS.c.lr.is_(None)),  # lost, so that its name lacks the rate
    )
    found = [_point(row) for row in connection.execute(_points().where(named))]
    if not found:
        cells = select(VERDICTS.c.cell).where(VERDICTS.c.kind != "negative-control").distinct()
        known = [str(each) for each in connection.scalars(cells)]
        raise ValueError(f"the history has no cell {cell!r}; {_instead(cell, known)}")
    return sorted(found, key=lambda point: point.series)


def _instead(cell: str, known: Sequence[str]) -> str:
    """What to ask for instead of a cell that is not there."""
    holding = sorted(each for each in known if cell.lower() in each.lower())
    near = [*dict.fromkeys([*holding[:_NEAR], *difflib.get_close_matches(cell, known, n=_NEAR)])][:_NEAR]
    if near:
        return f"the nearest are {', '.join(near)}"
    return (
        f"none has a name like it: without a name, `quantgate history` lists the {len(known):,} that it has"
    )


def standings(connection: Connection) -> list[Standing]:
    """Where each series stands but those of negative controls, which fail on purpose; in no order."""
    series = (*(VERDICTS.c[name] for name in ("cell", "kind", "steps")), func.coalesce(RUNS.c.branch, ""))
    is_subject = VERDICTS.c.kind != "negative-control"
    rank = func.row_number().over(partition_by=series, order_by=(RUNS.c.ts.desc(), RUNS.c.run.desc()))
    ranked = _points(rank.label("place")).where(is_subject).subquery()
    last = [_point(row) for row in connection.execute(select(ranked).where(ranked.c.place == 1))]
    counted = (
        select(*series, func.count(), func.count(distinct(RUNS.c.sha)))
        .join_from(VERDICTS, RUNS, VERDICTS.c.run == RUNS.c.run)
        .where(RUNS.c.exit_status.not_in(_VOID), is_subject)
        .group_by(*series)
    )
    counts = {tuple(row[:4]): tuple(row[4:]) for row in connection.execute(counted)}
    return [Standing(point, *counts[point.series]) for point in last]


def points_since(connection: Connection, since: datetime) -> Iterator[Point]:
    """The judged points since some time, with the last before it of each series; series by series."""
    when: Any = since if connection.dialect.name == "postgresql" else since.isoformat(sep=" ")
    wanted = and_(VERDICTS.c.kind != "negative-control", VERDICTS.c.verdict != str(Verdict.UNJUDGED))
    series = (
        VERDICTS.c.cell,
        VERDICTS.c.kind,
        VERDICTS.c.steps,
        func.coalesce(RUNS.c.branch, ""),
    )
    rank = func.row_number().over(partition_by=series, order_by=(RUNS.c.ts.desc(), RUNS.c.run.desc()))
    earlier = _points(rank.label("place")).where(wanted, RUNS.c.ts < when).subquery()
    columns = [each for each in earlier.c if each.name != "place"]
    both = union_all(
        _points().where(wanted, RUNS.c.ts >= when), select(*columns).where(earlier.c.place == 1)
    ).subquery()
    order = (both.c.cell, both.c.kind, both.c.steps, func.coalesce(both.c.branch, ""))
    rows = connection.execution_options(yield_per=5000).execute(select(both).order_by(*order))
    return map(_point, rows)


def _points(*more: ColumnElement[Any]) -> Select[Any]:
    chosen = (
        "cell",
        "kind",
        "canon_name",
        "steps",
        "bpb",
        "verdict",
        "cause",
        "because",
        "lr",
        "corpus_sha256",
    )
    return (
        select(
            *(VERDICTS.c[name] for name in chosen),
            *(RUNS.c[name] for name in ("branch", "sha", "ts", "run", "quantgate")),
            *(ENVIRONMENTS.c[name] for name in _SETTING),
            *more,
        )
        .join_from(VERDICTS, RUNS, VERDICTS.c.run == RUNS.c.run)
        .outerjoin(ENVIRONMENTS, VERDICTS.c.environment == ENVIRONMENTS.c.environment)
        .where(RUNS.c.exit_status.not_in(_VOID))
    )


def _point(row: Row[Any]) -> Point:
    ended = row.ts if isinstance(row.ts, datetime) else datetime.fromisoformat(row.ts)
    corpus = row.corpus_sha256 and f"{row.corpus_sha256[:12]}"
    return Point(
        cell=row.cell,
        kind=row.kind,
        canon_name=row.canon_name,
        branch=row.branch,
        steps=row.steps,
        sha=row.sha,
        ended=ended.astimezone(UTC),
        run=row.run,
        bpb=row.bpb,
        verdict=Verdict(row.verdict),
        cause=row.cause,
        because=row.because,
        setting=(
            ("quantgate", row.quantgate),
            ("lr", None if row.lr is None else f"{row.lr:g}"),
            ("corpus", corpus),
            *((name, getattr(row, name)) for name in _SETTING),
        ),
    )
