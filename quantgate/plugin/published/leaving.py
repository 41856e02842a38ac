"""What a run leaves behind: the end of its report, its pictures, and GitHub's summary."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from quantgate.plugin.published.github import append_summary

if TYPE_CHECKING:
    from quantgate.plugin.published.report import Report
    from quantgate.records.closing import Closing
    from quantgate.reports.story import Story


def leave(
    report: Report | None,
    story: Callable[[], Story],
    closing: Callable[[], Closing],
    complain: Callable[[str], None],
) -> str | None:
    """Draw and end the report, and append the step summary; why there is none of that, which fails no run.

    Args:
        report: The open report; None where none is asked for.
        story: Tells the run, with what was complained of until then.
        closing: The last line of its records, likewise.
        complain: Told of what could not be written, in a sentence; the run fails for it.
    """
    if report is not None:
        if report.problem is None:
            report.draw(story())
        _complain_of(report, complain)
        report.end(closing())
        _complain_of(report, complain)
        report.close(story().run)
    return append_summary(story)


def _complain_of(report: Report, complain: Callable[[str], None]) -> None:
    if report.problem is not None:
        complain(report.problem)
