"""`quantgate incident`: the incident's table, replayed and mended."""

from __future__ import annotations

import argparse

from quantgate.cli.status import EXIT_OK


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    incident = commands.add_parser("incident", help="the incident's table, replayed and mended")
    incident.add_argument("--jobs", type=int, default=2, help="processes (2)")
    incident.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Replay the incident and print the report's table beside it."""
    from quantgate.faults import incident

    print(incident.to_text(incident.replay(jobs=options.jobs)))
    return EXIT_OK
