"""`quantgate calibrate`: the limits of the diagnosis beside the measurements that set them, made again."""

from __future__ import annotations

import argparse

from quantgate.cli.live.progress import counted
from quantgate.cli.status import EXIT_OK


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    calibrate = commands.add_parser(
        "calibrate",
        help="each limit of the diagnosis, the healthy subject nearest to it, the faults beyond it",
    )
    calibrate.add_argument(
        "--libraries", metavar="PATHS", help="module:attribute of mappings of faults or setups"
    )
    calibrate.add_argument("--only", metavar="NAMES", help="only these faults or formats")
    calibrate.add_argument("--jobs", type=int, default=2, help="processes (2)")
    calibrate.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Examine the libraries and print a row for each limit."""
    from quantgate.faults import calibration, power

    if options.jobs < 1:
        raise ValueError(f"{options.jobs} jobs; at least one process is needed")
    chosen = power.trials(
        libraries=options.libraries.split(",") if options.libraries else power.LIBRARIES,
        only=options.only.split(",") if options.only else (),
        optimizers=["adamw"],
    )
    found = list(counted(calibration.run(chosen, options.jobs), len(chosen), "subjects"))
    print(calibration.to_markdown(found))
    return EXIT_OK
