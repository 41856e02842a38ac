"""What pytest itself shows of a cell: a word in its line, the verdict in its short summary, one line of its failure.

The whole message stays in the report of the test, which JUnit's file and editors read; pytest's section of failures
leaves out what quantgate's own section says once for all cells of a cause.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from _pytest.outcomes import Failed

from quantgate.plugin.names import PROPERTY
from quantgate.records.result import CellResult
from quantgate.reports.blocks.line import score
from quantgate.reports.text import printable, printable_lines

#: Lines of a message that quantgate's section repeats for the cause.
_TOLD_BELOW = ("Cause: ", "Also: ", "Hint: ", "Next: ", "Note: ", "A close call")
_REGRESSED = ": regressed against the baseline: "
_WORDS: Mapping[str, tuple[str, str, str]] = {
    "passed": ("passed", ".", "PASSED"),
    "failed": ("failed", "F", "FAILED"),
    "skipped": ("xfailed", "x", "XFAIL"),
}
_MARKUP = {"passed": {"green": True}, "failed": {"red": True}, "skipped": {"yellow": True}}


class CellFailed(Failed):
    """A cell that is not as it should be. `short` is what fits behind the name of its test."""

    def __init__(self, said: str, short: str) -> None:
        super().__init__(said, pytrace=False)
        self.short = printable(short)


def escape(longrepr: Any) -> None:
    """Make pytest's own traceback safe to print: what a subject raises must not drive the terminal."""
    for traceback, crash, _ in getattr(longrepr, "chain", ()):
        if crash is not None:
            crash.message = printable_lines(crash.message)
        for entry in traceback.reprentries:
            entry.lines[:] = [printable_lines(line) for line in getattr(entry, "lines", ())]
    if (crash := getattr(longrepr, "reprcrash", None)) is not None:
        crash.message = printable_lines(crash.message)


def headed(report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    """Put the verdict and the cause first where pytest has room for a few words: the short summary, JUnit's message."""
    failure = None if call.excinfo is None else call.excinfo.value
    crash = getattr(report.longrepr, "reprcrash", None)
    if isinstance(failure, CellFailed) and crash is not None:
        crash.message = failure.short


def status(report: pytest.TestReport) -> tuple[str, str, tuple[str, Mapping[str, bool]]] | None:
    """`PASSED 5.22 learns` in the line that `-v` gives a test; None where a test has no single result."""
    records = [str(value) for name, value in report.user_properties if name == PROPERTY]
    is_xfail = hasattr(report, "wasxfail")
    if report.when != "call" or len(records) != 1 or is_xfail != report.skipped:
        return None
    result = CellResult.from_record(json.loads(records[0]))
    category, letter, word = _WORDS[report.outcome]
    cause = f": {result.cause}" if result.cause and not result.verdict.passes else ""
    return category, letter, (printable(f"{word} {score(result)}{cause}"), _MARKUP[report.outcome])


def condense(reports: Iterable[pytest.TestReport]) -> None:
    """Leave of each cell's failure what is its own."""
    for report in reports:
        traceback = getattr(report.longrepr, "reprtraceback", None)
        for entry in getattr(traceback, "reprentries", ()):
            if traceback is not None and traceback.style == "value":
                entry.lines[:] = own_lines(entry.lines)


def own_lines(lines: Sequence[str]) -> list[str]:
    """The lines of a cell's message that its cause's block does not hold, with the name of the cause.

    What a foreign trainer printed is of its cell alone, and stays whole.
    """
    if any(line.startswith("Command: ") for line in lines):
        return list(lines)
    kept: list[str] = []
    for said in lines:
        line = re.sub(r"(: unjudged): .*", r"\1.", said)
        if line.startswith("Cause: ") and kept:
            kept[-1] += f" Cause: {line.split(': ')[1].rstrip('.')}."
        elif not line.startswith(_TOLD_BELOW):
            kept.append(line)
            if _REGRESSED in line:
                break
    return kept
