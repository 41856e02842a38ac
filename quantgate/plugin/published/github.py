"""GitHub's summary and annotations, where a run is a step of one of its workflows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from quantgate.reports.github.annotations import error_lines
from quantgate.reports.github.summary import MOST_BYTES, summary

if TYPE_CHECKING:
    import pytest

    from quantgate.reports.story import Story

#: Below this a summary would be its headline at most.
_LEAST_BYTES = 4_000


def append_summary(story: Callable[[], Story]) -> str | None:
    """Append the summary to the file that `GITHUB_STEP_SUMMARY` names; why it is not there, or None.

    What else the step wrote into it counts towards GitHub's limit, over which all of it is dropped.
    """
    if not (name := os.environ.get("GITHUB_STEP_SUMMARY")):
        return None
    path = Path(name)
    try:
        there = path.stat().st_size if path.exists() else 0
        if path.exists() and not path.is_file():
            return f"no step summary: {name!r} is no file"
        if MOST_BYTES - there < _LEAST_BYTES:
            return "no step summary: what the step wrote there before fills GitHub's limit"
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(("\n" if there else "") + summary(story(), MOST_BYTES - there))
    except OSError as error:
        return f"no step summary: {name!r}: {error.strerror or error}"
    return None


def annotation_lines(story: Story) -> list[str]:
    """The annotations to print, where a workflow's runner reads what is printed."""
    return error_lines(story) if os.environ.get("GITHUB_ACTIONS") == "true" else []


def annotate(config: pytest.Config, story: Story | None) -> None:
    """Print the annotations, after all that others print: each must have a line of its own."""
    terminal_reporter = config.pluginmanager.get_plugin("terminalreporter")
    if story is not None and terminal_reporter is not None:
        for line in annotation_lines(story):
            terminal_reporter.ensure_newline()
            terminal_reporter.write_line(line)
