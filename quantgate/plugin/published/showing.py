"""What a run shows at its end, in pytest's terminal summary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from quantgate.plugin.expected.outcome import files_of
from quantgate.reports import terminal
from quantgate.reports.blocks.failing import failures
from quantgate.reports.blocks.line import Line, fold
from quantgate.reports.text import printable

if TYPE_CHECKING:
    import pytest

    from quantgate.plugin.reporter import Reporter


def show(run: Reporter, terminalreporter: pytest.TerminalReporter) -> None:
    """Write the table, the causes, what is remarkable, the counts and the problems; of a quiet run, what fails."""
    terminalreporter.write_sep("=", "quantgate")
    order = {cell: place for place, cell in enumerate(run.session.offering.cells)}
    results = sorted(run.results.values(), key=lambda result: order.get(result.cell, len(order)))
    verbosity, width = run.config.get_verbosity(), run.config.get_terminal_writer().fullwidth
    files = files_of(run.session.settings)
    shown: Iterable[list[Line]] = [failures(results, run.problems, files)]
    if verbosity >= 0:
        shown = terminal.sections(
            results, run.controls, run.session.config.limits, width, run.problems, files
        )
    sections = [*filter(None, shown), run.baseline.section(results, run.offered)]
    for place, section in enumerate(sections):
        if place and section:
            terminalreporter.write_line("")
        for line in section:
            # A log is searched for whole sentences, a screen is read.
            for part in fold(line, width) if terminalreporter.isatty else [line]:
                _write(terminalreporter, part)
    terminalreporter.write_line("")
    counts: Line = [(f"{run.counts}, {terminal.control_line(run.controls)}", {})]
    for part in fold(counts, width) if terminalreporter.isatty else [counts]:
        _write(terminalreporter, part)
    if run.counts.selection is not None:
        terminalreporter.write_line(run.counts.selection)
    if run.is_empty_shard:
        terminalreporter.write_line(
            f"shard {run.session.shard} holds no cell: the matrix has fewer than shards"
        )
    for problem in run.problems:
        terminalreporter.write_line(f"quantgate: {printable(problem)}", red=True)
    if run.report is not None:
        for text in run.report.summary:
            terminalreporter.write_line(text)
    if run.unsummed is not None:
        terminalreporter.write_line(f"quantgate: {printable(run.unsummed)}")
    for said in run.history.said:
        terminalreporter.write_line(f"history: {said}", yellow=not run.history.is_recorded)


def _write(terminalreporter: pytest.TerminalReporter, line: Line) -> None:
    for text, markup in line:
        terminalreporter.write(text, **markup)
    terminalreporter.write_line("")
