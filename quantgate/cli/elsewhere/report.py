"""`quantgate report`: a run shown again from its records."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from quantgate.cli.status import EXIT_FAILED, EXIT_OK
from quantgate.plugin.published.github import annotation_lines, append_summary
from quantgate.records.schema import schema_text
from quantgate.reports import baseline, terminal
from quantgate.reports.blocks.line import Line, fold
from quantgate.reports.html.pictures import SUMMARY_NAME, write_page, write_pictures, write_whole
from quantgate.reports.reading import read
from quantgate.reports.story import Story, by_cause
from quantgate.reports.text import printable
from quantgate.reports.words.commands import Files
from quantgate.reports.words.headline import counted, headline

#: The colours of the terminal's markup (SGR).
_SGR = {"green": "32", "red": "31", "yellow": "33", "purple": "35", "cyan": "36"}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "report",
        help="a run again, from its records: the table, the page, the summary",
        usage="quantgate report DIR | FILE... [-o report.html | -o summary.md] [--json]\n"
        "       quantgate report --schema",
    )
    command.add_argument(
        "paths", metavar="DIR | FILE", nargs="*", type=Path, help="report folders, or files of records"
    )
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the page, or the summary where its name ends in .md",
    )
    command.add_argument("--json", action="store_true", help="what the run says, for programs")
    command.add_argument(
        "--schema", action="store_true", help="the JSON Schema of results.jsonl and run.json"
    )
    command.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print the table again, and write the pictures; the exit status is the run's."""
    if options.schema:
        sys.stdout.write(schema_text())
        return EXIT_OK
    if not options.paths:
        raise ValueError("name a report folder, or files of records: quantgate report out -o report.html")
    story = read(options.paths)
    written = _write(story, options)
    if options.json:
        print(json.dumps(_summed(story, written), indent=2))
    else:
        for line in _lines(story, written, _painted if _is_coloured() else _plain):
            print(line)
        for line in annotation_lines(story):
            print(line)
    if (why := append_summary(lambda: story)) is not None:
        print(f"quantgate: {printable(why)}", file=sys.stderr)
    return _status(story)


def _write(story: Story, options: argparse.Namespace) -> list[Path]:
    """Write what was asked for: one file, or both pictures into the one folder that was named."""
    output: Path | None = options.output
    folder = options.paths[0] if len(options.paths) == 1 and options.paths[0].is_dir() else None
    try:
        if output is None:
            if folder is None:
                return []
            return write_pictures(story, folder)
        if output.is_dir():
            return write_pictures(story, output)
        if output.suffix.lower() == Path(SUMMARY_NAME).suffix:
            from quantgate.reports.github.summary import summary

            return [write_whole(output, summary(story))]
        return [write_page(story, output)]
    except OSError as error:
        where = output or folder
        raise ValueError(f"the report cannot be written to {str(where)!r}: {error.strerror}") from None


def _lines(story: Story, written: list[Path], paint: Callable[[Line], str]) -> list[str]:
    lines = [printable(headline(story)), ""]
    width, is_screen = shutil.get_terminal_size().columns, sys.stdout.isatty()
    run = story.run
    sections = [
        *terminal.sections(story.results, story.controls, run.limits, width, run.problems, Files.of(run))
    ]
    if any(result.baseline for result in story.results):
        sections.append(baseline.section(story.results, files=Files.of(run)))
    for section in sections:
        folded = [part for line in section for part in (fold(line, width) if is_screen else [line])]
        lines += [*map(paint, folded), ""]
    lines.append(f"{counted(story)}, {terminal.control_line(story.controls)}")
    lines += [f"quantgate: {printable(problem)}" for problem in story.run.problems]
    return lines + [f"written: {printable(str(path))}" for path in written]


def _is_coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _plain(line: Line) -> str:
    return "".join(text for text, _ in line)


def _painted(line: Line) -> str:
    """A line in colours; pieces are padded, and their padding stays without."""
    painted = []
    for text, markup in line:
        code = next((_SGR[name] for name in markup if name in _SGR), None)
        painted.append(text if code is None else f"\x1b[{code}m{text}\x1b[0m")
    return "".join(painted)


def _summed(story: Story, written: list[Path]) -> dict[str, object]:
    return {
        "headline": headline(story),
        "exit_status": _status(story),
        "cells": len(story.results),
        "failing": [each.cell.id for each in story.failing],
        "known": [each.cell.id for each in story.known],
        "causes": {
            group.cause: [each.cell.id for each in group.members] for group in by_cause(story.failing)
        },
        "problems": list(story.run.problems),
        "written": [str(path) for path in written],
    }


def _status(story: Story) -> int:
    """The run's own; of records without one, whether a cell fails."""
    if story.run.exit_status is not None:
        return story.run.exit_status
    return EXIT_FAILED if story.fails or not story.results else EXIT_OK
