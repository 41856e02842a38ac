"""`quantgate incident`: the incident's table, replayed and mended."""

from __future__ import annotations

import argparse

from quantgate.cli.live.progress import Progress
from quantgate.cli.status import EXIT_OK


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    incident = commands.add_parser("incident", help="the incident's table, replayed and mended")
    incident.add_argument("--jobs", type=int, default=2, help="processes (2)")
    incident.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Replay the incident and print the report's table beside it."""
    from quantgate.faults import incident
    from quantgate.faults.fleet import REPORT

    progress = Progress(2 * len(REPORT), "cells")
    progress(0)
    try:
        rows = incident.replay(jobs=options.jobs, told=progress)
    finally:
        progress.close()
    print(incident.to_text(rows))
    return EXIT_OK
