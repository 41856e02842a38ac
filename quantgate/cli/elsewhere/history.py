"""`quantgate history`: the cells of a history, one from commit to commit, and what regressed."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from quantgate.cli.status import EXIT_FAILED, EXIT_OK
from quantgate.history.address import find_history
from quantgate.history.series import Point, by_series, find_steps
from quantgate.logs.reading.sources import parse_since
from quantgate.reports.history import (
    regressions_text,
    series_record,
    series_text,
    standing_record,
    standings_text,
    step_record,
    worst_first,
)

if TYPE_CHECKING:
    from quantgate.databases.address import Address

_VARIABLE = "QUANTGATE_DB"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    history = commands.add_parser(
        "history",
        help="a cell from commit to commit, the list of all, and what regressed",
        description="Reads what `pytest --quantgate-db` recorded. Without a cell, lists those that there are.",
    )
    history.add_argument(
        "cell",
        metavar="CELL",
        nargs="?",
        help="such as int8-adamw-s47, or a canonical name (`quantgate explain canonical name`)",
    )
    history.add_argument(
        "--regressions", action="store_true", help="of every cell; exit status 1 while one is not mended"
    )
    history.add_argument(
        "--since", default="30d", metavar="SPAN", help="how far back --regressions looks (30d)"
    )
    history.add_argument("--branch", metavar="NAME", help="only runs of this branch")
    history.add_argument(
        "--db",
        metavar="ADDRESS",
        help=f"env:NAME or @FILE holds its SQLAlchemy URL; without a password, the URL itself ({_VARIABLE})",
    )
    history.add_argument(
        "--json", action="store_true", help="a JSON object a cell, a series or a regression, a line"
    )
    history.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Draw a cell, or list what there is or what regressed."""
    if options.cell is not None and options.regressions:
        raise ValueError("--regressions is of every cell; leave it out, or the name of the cell")
    address = _address(options.db)
    if options.regressions:
        return _regressions(options, address)
    return _cells(options, address) if options.cell is None else _cell(options, address)


def _cells(options: argparse.Namespace, address: Address) -> int:
    from quantgate.history.reading import open_history, standings

    with open_history(address) as connection:
        found = worst_first(standings(connection))
    chosen = [each for each in found if options.branch in {None, each.last.branch}]
    if options.json:
        for each in chosen:
            print(json.dumps(standing_record(each)))
    elif chosen:
        print(standings_text(chosen))
    else:
        raise ValueError(_no_run("the history", options.branch, [each.last for each in found]))
    return EXIT_OK


def _no_run(of: str, branch: str | None, points: Sequence[Point]) -> str:
    if not points:
        return f"{of} holds no run that says anything of a cell; pytest --quantgate-db records one"
    branches = sorted({point.branch or "none" for point in points})
    return f"no run of {of} is of branch {branch!r}; there are {', '.join(branches)}"


def _cell(options: argparse.Namespace, address: Address) -> int:
    from quantgate.history.reading import open_history, points_of

    with open_history(address) as connection:
        found = points_of(connection, options.cell)
    points = [point for point in found if options.branch in {None, point.branch}]
    if not points:
        raise ValueError(_no_run(repr(options.cell), options.branch, found))
    for place, series in enumerate(by_series(points)):
        steps = find_steps(series)
        if options.json:
            print(json.dumps(series_record(series, steps)))
        else:
            print(("\n\n" if place else "") + series_text(series, steps))
    return EXIT_OK


def _regressions(options: argparse.Namespace, address: Address) -> int:
    from quantgate.history.reading import open_history, points_since

    since = _time(options.since)
    with open_history(address) as connection:
        steps = [
            step
            for series in by_series(points_since(connection, since))
            if options.branch in {None, series[0].branch}
            for step in find_steps(series)
            if step.kind == "regressed" and step.after.ended >= since
        ]
    steps.sort(key=lambda step: (step.after.ended, step.after.series))
    if options.json:
        for step in steps:
            print(json.dumps(step_record(step)))
    else:
        print(regressions_text(steps, since))
    return EXIT_FAILED if any(step.mended is None for step in steps) else EXIT_OK


def _address(given: str | None) -> Address:
    text = os.environ.get(_VARIABLE, "").strip() if given is None else given
    if not text:
        raise ValueError(f"no database is named; say --db, or set {_VARIABLE}")
    try:
        return find_history(text, is_private=given is None)
    except ValueError as error:
        raise ValueError(f"{_VARIABLE if given is None else '--db'}: {error}") from None


def _time(span: str) -> datetime:
    try:
        return datetime.now(UTC) - timedelta(seconds=parse_since(span))
    except OverflowError:
        raise ValueError(f"--since {span!r}: that is before the calendar begins") from None
