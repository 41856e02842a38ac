"""`quantgate known accept`: the failures of a run become known ones."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from quantgate.cli.expected.chosen import matching, reason_of, results_of
from quantgate.cli.status import EXIT_OK
from quantgate.plan.known_failures import KnownFailuresError
from quantgate.plan.known_file import Acceptance, accept, read_text
from quantgate.records.result import CellResult
from quantgate.reports.text import printable

DEFAULT_FILE = Path("known-failures.toml")
#: What is said of the cells of each fate.
_SAID = (
    ("added", "added"),
    ("changed", "changed"),
    ("removed", "taken out, since it learns now"),
    ("covered", "known already by a pattern"),
    ("healed", "learns now, though a pattern says it fails; narrow the pattern"),
    ("left_out", "left out: it has no cause, as where it crashed or was not judged"),
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    known = commands.add_parser("known", help="accept failures as known ones")
    actions = known.add_subparsers(required=True, metavar="accept")
    parser = actions.add_parser(
        "accept", help="write the failures of a run into the file of known failures, and take out what learns"
    )
    parser.add_argument("results", metavar="results.jsonl", type=Path, help="what the run gave")
    parser.add_argument(
        "--reason",
        metavar="TEXT",
        help="why they fail; without it what learns is taken out, and nothing is accepted",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="GLOB",
        help="only cells with such an id: 'mylib_int4-*'; may be repeated",
    )
    parser.add_argument("--until", type=_date, metavar="DATE", help="the last day on which they are excused")
    parser.add_argument("--link", type=_link, metavar="URL", help="where it is dealt with")
    parser.add_argument(
        "-o", "--output", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"the file ({DEFAULT_FILE})"
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Change the file, and say what became of each cell."""
    chosen = matching(results_of(options.results), options.only)
    before, refused = read_text(options.output), list[CellResult]()
    if options.reason is None:
        if options.until is not None or options.link is not None:
            raise ValueError("--until and --link are part of what is accepted: say why, too: --reason TEXT")
        refused = [each for each in chosen if not each.verdict.passes]
        chosen = [each for each in chosen if each.verdict.passes]
    why = Acceptance("" if options.reason is None else reason_of(options.reason), options.until, options.link)
    after = accept(options.output, before, chosen, why)
    if refused and not (after.removed or after.healed):
        raise ValueError(f"{_named(refused)}: nothing is accepted without a reason; say why: --reason TEXT")
    if after.text != before:
        _write(options.output, after.text)
    for name, said in _SAID:
        for cell_id in getattr(after, name):
            print(printable(f"{cell_id}: {said}"))
    print(printable(f"{options.output}: {'as it was' if after.text == before else 'written'}"))
    return EXIT_OK


def _named(failing: Sequence[CellResult]) -> str:
    names = ", ".join(each.cell.id for each in failing[:3])
    return f"{names} and {len(failing) - 3} more" if len(failing) > 3 else names


def _write(path: Path, text: str) -> None:
    target = path.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise KnownFailuresError(
            f"known failures {str(path)!r} cannot be written: {error.strerror}"
        ) from None


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write 2026-12-31") from None


def _link(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise argparse.ArgumentTypeError(f"{text!r} is no https:// address")
    return text
