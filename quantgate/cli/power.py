"""`quantgate power`: faults caught and false alarms, beside the plain BPB gate."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path

from quantgate.cli.live.progress import counted
from quantgate.cli.status import EXIT_FAILED, EXIT_OK
from quantgate.records.cell import DEFAULT_WIDTH, SEEDS


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    power = commands.add_parser("power", help="faults caught and false alarms, beside the plain BPB gate")
    power.add_argument("--optimizers", default="adamw,muon,sgd,lion", metavar="NAMES")
    power.add_argument("--seeds", default=str(SEEDS[0]))
    power.add_argument("--widths", default=str(DEFAULT_WIDTH))
    power.add_argument("--corpora", default="builtin", metavar="TEXTS")
    power.add_argument("--only", metavar="NAMES", help="only these faults or formats")
    power.add_argument(
        "--libraries", metavar="PATHS", help="module:attribute of mappings of faults or setups"
    )
    power.add_argument(
        "--half",
        choices=("open", "counted"),
        help="only the half of the names, by their hash, that may be looked at, or the one that is only counted",
    )
    power.add_argument("--jobs", type=int, default=2, help="processes (2)")
    power.add_argument("--json", type=Path, metavar="FILE", help="write the counts there too")
    power.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the libraries and print the tables; fails where a fault is missed or something healthy is blamed."""
    from quantgate.faults import power, tally

    libraries = options.libraries.split(",") if options.libraries else power.LIBRARIES
    only = options.only.split(",") if options.only else ()
    known = [name for library in libraries for name in power.load_library(library)]
    if unknown := sorted(set(only) - set(known)):
        near = difflib.get_close_matches(unknown[0], known, n=3)
        raise ValueError(f"unknown fault {unknown[0]!r}; the nearest are {', '.join(near) or 'none'}")
    chosen = power.trials(
        libraries=libraries,
        only=only,
        optimizers=options.optimizers.split(","),
        seeds=[int(seed) for seed in options.seeds.split(",")],
        widths=[int(width) for width in options.widths.split(",")],
        corpora=options.corpora.split(","),
    )
    if options.half is not None:
        chosen = tuple(trial for trial in chosen if trial.half == options.half)
    outcomes = list(counted(power.run(chosen, options.jobs), len(chosen), "cells"))
    table = tally.tabulate(outcomes)
    print(table.to_markdown())
    if options.json is not None:
        options.json.write_text(table.to_json() + "\n", encoding="utf-8")
    return EXIT_FAILED if any(row.wrong for row in (*table.faults, *table.healthy)) else EXIT_OK
