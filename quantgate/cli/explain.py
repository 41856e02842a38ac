"""`quantgate explain`: what a cause is, how it looks and how it is mended."""

from __future__ import annotations

import argparse
import difflib

from quantgate.cli.status import EXIT_OK
from quantgate.diagnosis.causes import CAUSES
from quantgate.reports.causes import cause_text


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    explain = commands.add_parser("explain", help="what a cause is, how it looks and how it is mended")
    explain.add_argument("cause", metavar="CAUSE", nargs="?", help="without it, every cause in a line")
    explain.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print one cause at length, or all in a line each."""
    if options.cause is None:
        for cause in CAUSES.values():
            print(f"{cause.name:<22}  {cause.summary}")
        return EXIT_OK
    if options.cause not in CAUSES:
        near = difflib.get_close_matches(options.cause, CAUSES, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(CAUSES)}."
        raise ValueError(f"unknown cause {options.cause!r}; {hint}")
    print(cause_text(options.cause))
    return EXIT_OK
