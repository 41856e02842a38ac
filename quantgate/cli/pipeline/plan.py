"""`quantgate plan`: the cells that a run of the tests would train, what they cost, and in which shard."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from quantgate.cli.status import EXIT_OK
from quantgate.plan.costs import NEGATIVE_CONTROLS, cost
from quantgate.plan.engines import MOST_SHARDS
from quantgate.plan.matrix import shared_settings
from quantgate.plan.shards import duration, split
from quantgate.records.cell import Cell
from quantgate.records.closing import Plan
from quantgate.records.version import __version__
from quantgate.reports.text import counted, printable


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "plan",
        help="the cells of a run, their cost and their shards, as JSON",
        usage="quantgate plan [--shards N] [--json] [OPTIONS AND PATHS OF pytest]",
        description="Collects the tests as `pytest -m lowbit` with these options would, and trains nothing.",
    )
    command.add_argument("--shards", type=int, default=1, metavar="N", help="parts of about equal time (1)")
    command.add_argument(
        "--json", action="store_true", help="JSON on a terminal too, where people get a table"
    )
    command.set_defaults(command=run, takes_more=True)


def run(options: argparse.Namespace) -> int:
    """Print the plan."""
    from quantgate.plugin.collected.registrations import collect_as_tests_do

    if not 1 <= options.shards <= MOST_SHARDS:
        raise ValueError(f"--shards {options.shards}: from 1 to {MOST_SHARDS}")
    session = collect_as_tests_do([each for each in options.more if each != "--"])
    collected = bool(session.offering.whole)
    cells = tuple(session.offering.whole) if collected else session.offering.cells
    plan = Plan(tuple(cell.id for cell in cells), shared_settings(session.settings))
    selected = set(session.planned) if collected else set(cells)
    broken = frozenset(name for name, each in session.registry.trainers().items() if each.negative)
    said = described(cells, selected, plan, options.shards, session.config.steps, broken)
    if options.json or not sys.stdout.isatty():
        print(json.dumps(said, indent=1))
    else:
        print(_for_people(said))
    return EXIT_OK


def described(
    cells: Sequence[Cell],
    selected: set[Cell],
    plan: Plan,
    shards: int,
    steps: int,
    broken: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The plan in JSON's own types; seconds are those of one core. `broken`: the trainers with a negative control."""
    parts = split(cells, shards, steps)
    shard = {cell: f"{k}/{shards}" for k, part in enumerate(parts, 1) for cell in part}
    runs = [[cell for cell in part if cell in selected and not cell.not_applicable] for part in parts]
    return {
        "quantgate": __version__,
        "count": len(cells),
        "selected": len(selected),
        "digest": plan.digest,
        "settings": dict(plan.settings),
        "seconds": _seconds(sum(duration(part, steps) for part in runs)),
        "shards": [
            {
                "shard": f"{k}/{shards}",
                "cells": len(part),
                "seconds": _seconds(duration(part, steps)),
                "controls": [cell.control.id for cell in _first_of_each_control(part)],
                "negative_controls": _negative_controls(part, broken),
            }
            for k, part in enumerate(runs, 1)
        ],
        "cells": [
            {
                "id": cell.id,
                "subject": cell.subject,
                "kind": cell.kind,
                "optimizer": cell.optimizer,
                "seed": cell.seed,
                "width": cell.width,
                "storage": cell.storage,
                "scope": cell.scope,
                "lane": cell.lane,
                "seconds": _seconds(cost(cell, steps)),
                "control": cell.control.id,
                "shard": shard[cell],
                "selected": cell in selected,
            }
            for cell in cells
        ],
    }


def _first_of_each_control(cells: Sequence[Cell]) -> list[Cell]:
    return list({cell.control: cell for cell in cells}.values())


def _negative_controls(part: Sequence[Cell], broken: frozenset[str]) -> int:
    trainers = {cell.trainer for cell in part}
    return NEGATIVE_CONTROLS * (None in trainers) + len(trainers & broken)


def _seconds(milliseconds: int) -> float:
    return round(milliseconds / 1000, 1)


def _for_people(said: dict[str, Any]) -> str:
    lines = [f"{counted(said['selected'], 'cell')}, about {said['seconds']:.0f} s on one core"]
    lines += [
        f"  {part['shard']:>7}  {part['cells']:>5} cells  {part['seconds']:>7.0f} s  "
        f"{counted(len(part['controls']), 'control')}, {counted(part['negative_controls'], 'negative control')}"
        for part in said["shards"]
    ]
    if said["count"] > said["selected"]:
        lines.append(f"{said['count'] - said['selected']} more cells of the matrix are not selected")
    return "\n".join(map(printable, lines))
