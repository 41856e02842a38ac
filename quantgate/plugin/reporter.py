"""The controller's side of a run: collects results, writes the report, prints the table, sets the exit status."""

from __future__ import annotations

import time

import pytest

from quantgate.gate.validity import invalid_reasons, is_users_doing, unlearned
from quantgate.plugin.names import PROPERTY
from quantgate.plugin.session import GateSession
from quantgate.records.cell import Cell
from quantgate.records.result import CellResult
from quantgate.records.verdict import Verdict
from quantgate.reports import terminal
from quantgate.reports.results import ResultsFile
from quantgate.reports.text import printable

#: pytest itself uses 0 to 6.
EXIT_INVALID = 70
#: pytest's own options that list tests, or what they use, instead of running them.
_LISTING = ("collectonly", "setuponly", "showfixtures", "show_fixtures_per_test")
#: What to do about an optimizer whose float32 control does not learn while others do.
RATE = "its cells are not judged, the others are; give the optimizer a rate at which float32 learns (lr=)"
#: Seconds between two lines of progress.
PROGRESS_SECONDS = 10.0


class Reporter:
    """Registered in the controller, or in the only process if there are no workers."""

    def __init__(self, session: GateSession, config: pytest.Config) -> None:
        self.session = session
        self.config = config
        self.results: dict[Cell, CellResult] = {}
        self.planned: dict[str, Cell] = {}
        self.skipped: set[Cell] = set()
        self.controls: list[CellResult] = []
        self.problems: list[str] = []
        self.file: ResultsFile | None = None
        #: Whether tests are run, not merely listed.
        self.running = not any(config.getoption(name, False) for name in _LISTING)
        #: When the first result came in, which the controls go before, and when progress was last said.
        self.first = self.said = 0.0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Take the plan of the only process; collection has ended and the cells are about to run."""
        self.planned = dict(self.session.plan)
        self._open()

    def adopt_plan(self) -> None:
        """Take the plan that the workers published."""
        if not self.planned:
            self.planned = self.session.folder.plan()
            self._open()

    def _open(self) -> None:
        """Open the report. Called when cells are about to run, so that a run without cells keeps an earlier report."""
        if not (self.running and self.planned):
            return
        if self.session.settings.report is not None and self.file is None:
            try:
                self.file = ResultsFile(self.session.settings.report)
            except OSError as error:
                raise pytest.UsageError(
                    f"quantgate: the report folder {str(self.session.settings.report)!r} cannot be "
                    f"written to: {error.strerror}"
                ) from None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        cell = self.planned.get(report.nodeid)
        if cell is None:
            return
        record = dict(report.user_properties).get(PROPERTY)
        if isinstance(record, dict):
            self._add(CellResult.from_record(record))
        elif report.skipped and report.when in {"setup", "call"}:
            self.skipped.add(cell)
        elif report.failed:  # its worker died: nothing but the name of the test came back
            because = printable(str(report.longrepr).strip().splitlines()[0]) if report.longrepr else ""
            self._add(self.session.unmeasured(cell, Verdict.CRASHED, because or "no message"))
        self._say_progress()

    def _add(self, result: CellResult) -> None:
        if result.cell in self.results:
            return
        self.results[result.cell] = result
        if self.file is not None:
            self.file.append(result)

    def _say_progress(self) -> None:
        now = time.monotonic()
        done, planned = len(self.results), len(set(self.planned.values()))
        if done == 1:
            self.first = self.said = now
        if now - self.said < PROGRESS_SECONDS or not 1 < done < planned:
            return
        self.said = now
        left = (now - self.first) / (done - 1) * (planned - done)
        learn = sum(result.verdict.passes for result in self.results.values())
        terminal_reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal_reporter is not None:
            terminal_reporter.write_line(
                f"\nquantgate: {done} of {planned} cells judged, {learn} learn, about {left:.0f} s left"
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.running:
            self._finish(session)

    def _finish(self, session: pytest.Session) -> None:
        if not self.planned:
            self._check_least(0, session)
            return
        self.controls = self.session.folder.controls()
        for cell in dict.fromkeys(self.planned.values()):
            if cell not in self.results and cell not in self.skipped:
                self._add(self.session.unmeasured(cell, Verdict.UNJUDGED, "the run ended before its turn"))
        if self.file is not None:
            for control in self.controls:
                self.file.append(control)
            self.file.close()
        self._set_status(session)

    def _set_status(self, session: pytest.Session) -> None:
        invalid = invalid_reasons(self.controls)
        failed = unlearned(self.controls)
        users = self._users_doing([each for each in self.controls if each.cell in failed])
        self.problems = list(dict.fromkeys((*failed.values(), *invalid)))
        if failure := self.session.folder.failure:
            self.problems = [failure]
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif users and set(failed.values()) & set(invalid):
            self.problems.append("the options of this run keep even float32 from learning; mend them first")
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif invalid or (failed and not users):
            self.problems.append("the run is invalid: the machine or the gate is at fault, not the formats")
            session.exitstatus = EXIT_INVALID
        else:
            if failed:
                self.problems.append(RATE)
            self._check_least(self.counts.judged, session)

    def _users_doing(self, failed: list[CellResult]) -> bool:
        registered = self.session.registry.registered_optimizers()
        return is_users_doing(failed, self.session.settings, registered)

    def _check_least(self, judged: int, session: pytest.Session) -> None:
        least = self.session.settings.min_cells
        inapplicable = {cell for cell in self.planned.values() if cell.not_applicable}
        if self.planned and judged < max(1, self.counts.planned - len(inapplicable)):
            self.problems.append(f"{judged} of {self.counts.planned} planned cells were judged")
        if judged < least:
            self.problems.append(f"{judged} cells were judged, and min-cells asks for {least}")
        if self.problems and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @property
    def counts(self) -> terminal.Counts:
        """How many cells are planned, ran, were judged and were skipped so far."""
        ran = [r for r in self.results.values() if r.verdict is not Verdict.UNJUDGED]
        judged = [r for r in ran if r.verdict.judged]
        return terminal.Counts(len(set(self.planned.values())), len(ran), len(judged), len(self.skipped))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.running or not (self.planned or self.problems):
            return
        terminalreporter.write_sep("=", "quantgate")
        order = {cell: place for place, cell in enumerate(self.session.cells)}
        results = sorted(self.results.values(), key=lambda result: order.get(result.cell, len(order)))
        limits = self.session.config.limits
        for line in terminal.table(results, self.controls, limits):
            _write(terminalreporter, line)
        sections = (terminal.failures(results), terminal.close_calls(results), terminal.remarks(results))
        for section in sections:
            if section:
                terminalreporter.write_line("")
            for line in section:
                _write(terminalreporter, line)
        terminalreporter.write_line("")
        terminalreporter.write_line(f"{self.counts}, {terminal.control_line(self.controls)}")
        for problem in self.problems:
            terminalreporter.write_line(f"quantgate: {printable(problem)}", red=True)
        if self.file is not None:
            terminalreporter.write_line(f"results: {printable(str(self.file.path))}")


def _write(terminalreporter: pytest.TerminalReporter, line: terminal.Line) -> None:
    for text, markup in line:
        terminalreporter.write(text, **markup)
    terminalreporter.write_line("")
