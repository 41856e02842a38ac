"""`quantgate vectors`: a format as bits for other languages, and the judge of what they answer."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from quantgate.cli.status import EXIT_FAILED, EXIT_OK
from quantgate.formats import ALIASES, BUILTIN
from quantgate.subjects.names import UnknownNameError, unknown

if TYPE_CHECKING:
    from quantgate.vectors.document import Vectors


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    vectors = commands.add_parser(
        "vectors",
        help="a format as hexadecimal bits, to test an implementation in another language",
        usage="quantgate vectors FORMAT [-o FILE]\n       quantgate vectors check FORMAT ANSWERS",
    )
    vectors.add_argument("words", metavar="FORMAT | check FORMAT ANSWERS", nargs="+")
    vectors.add_argument("-o", "--output", type=Path, metavar="FILE", help="instead of the standard output")
    vectors.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Write the vectors, or judge the answers of an implementation."""
    match options.words:
        case ["check", name, answers]:
            return _check(name, Path(answers))
        case ["check", *_] | [_, _, *_]:
            raise ValueError(
                "write quantgate vectors FORMAT -o FILE, or quantgate vectors check FORMAT ANSWERS"
            )
        case [name]:
            return _write(name, options.output)
    raise AssertionError(options.words)


def _vectors(name: str) -> Vectors:
    known = ALIASES.get(name, name)
    if known not in BUILTIN:
        raise UnknownNameError(unknown("built-in format", name, BUILTIN))
    from quantgate.vectors.make import make_vectors

    return make_vectors(BUILTIN[known])


def _write(name: str, output: Path | None) -> int:
    from quantgate.vectors.document import to_text

    text = to_text(made := _vectors(name))
    if output is None:
        sys.stdout.write(text)
        return EXIT_OK
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"the vectors {str(output)!r} cannot be written: {error.strerror}") from None
    print(f"{made.format}: {len(made.values):,} values and {len(made.encode):,} encodings in {output}")
    return EXIT_OK


def _check(name: str, answers: Path) -> int:
    from quantgate.vectors.check import check, to_text
    from quantgate.vectors.document import read_answers

    checked = check(_vectors(name), read_answers(answers))
    print(to_text(checked))
    return EXIT_FAILED if checked.wrong else EXIT_OK
