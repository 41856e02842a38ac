"""`quantgate baseline compare | accept`: two runs beside each other, and what is accepted of the later one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from quantgate.baselines.compare import Comparison, compare
from quantgate.baselines.document import BaselineError, is_kept, write
from quantgate.cli.expected.chosen import MAKES_BASELINE, baseline_of, matching, reason_of, results_of, today
from quantgate.cli.status import EXIT_FAILED, EXIT_OK
from quantgate.records.result import CellResult
from quantgate.reports.baseline import section
from quantgate.reports.text import printable
from quantgate.reports.words.commands import Files, accept_known


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    baseline = commands.add_parser("baseline", help="what cells were: compare two runs, accept what changed")
    actions = baseline.add_subparsers(required=True, metavar="compare | accept")
    both = actions.add_parser(
        "compare", help="two runs beside each other; 1 where a cell regressed, or none could be compared"
    )
    both.add_argument("before", metavar="A", type=Path, help="a baseline, or results.jsonl")
    both.add_argument("now", metavar="B", type=Path, help="the later one")
    both.add_argument("--json", action="store_true", help="print a JSON object instead")
    both.set_defaults(command=run_compare)
    accept = actions.add_parser("accept", help="write what a run gave into a baseline")
    accept.add_argument("baseline", metavar="FILE", type=Path, help="the baseline that is changed")
    accept.add_argument("results", metavar="results.jsonl", type=Path, help="what the run gave")
    accept.add_argument(
        "--only",
        action="append",
        metavar="GLOB",
        help="only cells with such an id: 'int4-*'; may be repeated",
    )
    accept.add_argument("--reason", required=True, metavar="TEXT", help="why; it is kept beside each cell")
    accept.set_defaults(command=run_accept)


def run_compare(options: argparse.Namespace) -> int:
    """Hold the cells of one file against those of another."""
    found = compare(baseline_of(options.before), results_of(options.now))
    if options.json:
        print(json.dumps(_document(found), allow_nan=False))
    else:
        files = Files(str(options.now), str(options.before))
        for line in section(found.results, found.gone, found.not_comparable, files):
            print("".join(text for text, _ in line))
        if found.nothing_compared is not None:
            print(printable(found.nothing_compared))
    regressed = any(each.regressed for each in found.results)
    return EXIT_FAILED if regressed or found.nothing_compared is not None else EXIT_OK


def _document(found: Comparison) -> dict[str, object]:
    cells = [each.to_record() for each in found.results]
    kept = ("bpb", "verdict", "cause", "curve", "baseline", "known")
    return {
        "cells": {
            each.cell.id: {name: record[name] for name in kept}
            for each, record in zip(found.results, cells, strict=True)
        },
        "gone": list(found.gone),
        "not_comparable": found.not_comparable,
    }


def run_accept(options: argparse.Namespace) -> int:
    """Write the chosen cells of a run into a baseline, with the reason."""
    reason = reason_of(options.reason)
    baseline = baseline_of(options.baseline)
    if baseline.is_report:
        raise BaselineError(
            f"baseline {str(options.baseline)!r} holds the results of a run, which are not changed; {MAKES_BASELINE}"
        )
    chosen = matching(results_of(options.results), options.only)
    accepted = [each for each in chosen if is_kept(each)]
    for each in chosen:
        if each not in accepted:
            print(printable(f"left as it was: {each.cell.id} ({each.verdict}): it was not judged"))
    compared = compare(baseline, accepted)
    write(options.baseline, baseline.updated(accepted, {"reason": reason, "on": today()}))
    counts = ", ".join(
        f"{len(compared.changed(change))} {change}" for change in ("same", "regressed", "improved", "new")
    )
    cells = f"{len(accepted)} cell{'s' * (len(accepted) != 1)}"
    print(printable(f"accepted in {options.baseline}: {cells} ({counts}): {reason}"))
    if failing := [each for each in accepted if not each.verdict.passes]:
        print(printable(_still_red(failing, options)))
    return EXIT_OK


def _still_red(failing: Sequence[CellResult], options: argparse.Namespace) -> str:
    """What to do of cells that no baseline makes green."""
    first, more = failing[0], len(failing) - 1
    only = options.only or ([first.cell.id] if not more else [])
    named = f"{first.cell.id} ({first.verdict}){f' and {more} more' if more else ''}"
    return (
        f"still red: {named}: what does not pass fails with any baseline. Where that is meant, make it known: "
        f"{accept_known(only, Files(str(options.results)))}"
    )
