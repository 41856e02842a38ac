"""The command line: `quantgate doctor | explain | run | judge | ... `, a file a command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from quantgate.cli import calibrate, doctor, explain, incident, power, run
from quantgate.cli.elsewhere import history, judge, report, vectors
from quantgate.cli.expected import baseline, known
from quantgate.cli.pipeline import init, merge, plan
from quantgate.cli.status import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from quantgate.plugin.process.exits import no_exit
from quantgate.records.version import __version__
from quantgate.reports.text import printable

#: In the order of `quantgate --help`: at the desk, elsewhere, what is expected, in a pipeline, the gate itself.
COMMANDS = (
    *(doctor, run, explain, init),
    *(report, judge, history, vectors),
    *(baseline, known),
    *(plan, merge),
    *(power, calibrate, incident),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status is 0, 1 where a subject fails, or 4 for a usage error."""
    parser = _Parser(prog="quantgate", description="The gate for low-precision training.")
    parser.add_argument("--version", action="version", version=f"quantgate {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    options, more = parser.parse_known_args(arguments, argparse.Namespace(takes_more=False))
    if more and not options.takes_more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    options.more = more
    sys.path.insert(0, str(Path.cwd()))  # module:attribute is looked up from here, as pytest does
    try:
        with no_exit(2):  # of a subject: silence would pass for health
            status: int = options.command(options)
        sys.stdout.flush()  # a full disk is told here, or not at all
    except ValueError as error:
        print(f"quantgate: {printable(str(error))}", file=sys.stderr)
        return EXIT_USAGE
    except SystemExit as error:  # a subject's own
        print(f"quantgate: the subject's code ended the process: SystemExit({error.code!r})", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        _say_no_more()
        return EXIT_INTERRUPTED
    except OSError as error:  # a full disk, say
        place = f": {error.filename!r}" if error.filename else ""
        print(f"quantgate: {printable(f'{error.strerror or error}{place}')}", file=sys.stderr)
        _say_no_more()
        return EXIT_USAGE
    return status


def _say_no_more() -> None:
    """Drop what is still to be printed, which could not be."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"quantgate: {message}\n")
