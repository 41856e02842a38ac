"""The controller's side of a run: collects results, writes the report, prints the table, sets the exit status."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import asdict, replace
from functools import partial
from itertools import chain

import pytest

from quantgate.gate.folder import FolderError
from quantgate.gate.validity import advice, broken_trainers, is_users_doing, reasons_of, unlearned, unsaid
from quantgate.plugin.database.recording import History
from quantgate.plugin.expected.baseline import BaselineKeeper
from quantgate.plugin.expected.outcome import fewer_judged
from quantgate.plugin.names import PROPERTY
from quantgate.plugin.process.keeper import keeper
from quantgate.plugin.process.lost import lost
from quantgate.plugin.published.closing import closing
from quantgate.plugin.published.condensing import condense, status
from quantgate.plugin.published.github import annotate
from quantgate.plugin.published.leaving import leave
from quantgate.plugin.published.progress import Progress
from quantgate.plugin.published.report import Report, ReportError
from quantgate.plugin.published.run import address, now, opened, repeated
from quantgate.plugin.published.showing import show
from quantgate.plugin.session import GateSession
from quantgate.records.cell import Cell
from quantgate.records.closing import Closing
from quantgate.records.result import CellResult
from quantgate.records.verdict import Verdict
from quantgate.reports import terminal
from quantgate.reports.story import Story, tell
from quantgate.reports.text import printable

#: pytest itself uses 0 to 6.
EXIT_INVALID = 70
#: pytest's own options that list tests, or what they use, instead of running them.
_LISTING = ("collectonly", "setuponly", "showfixtures", "show_fixtures_per_test")


class Reporter:
    """Registered in the controller, or in the only process if there are no workers."""

    def __init__(self, session: GateSession, config: pytest.Config) -> None:
        self.session = session
        self.config = config
        self.results: dict[Cell, CellResult] = {}
        self.planned: dict[str, Cell] = {}
        self._tests: dict[Cell, str] = {}
        self.offered: dict[Cell, None] = {}
        self.skipped: set[Cell] = set()
        #: The cells of tests that failed, and of tests that ended without asking for a result.
        self.failed: set[Cell] = set()
        self.unasked: set[Cell] = set()
        self.controls: list[CellResult] = []
        self.problems: list[str] = []
        #: Built-in controls in which a worker died: the machine is at fault.
        self.lost_controls: list[str] = []
        self.report: Report | None = None
        #: The run as its records tell it, and why GitHub's summary lacks it.
        self.story: Story | None = None
        self.unsummed: str | None = None
        self.baseline = BaselineKeeper(session)
        self.history = History(session.settings.db, config.rootpath)
        self.exit_status = int(pytest.ExitCode.INTERNAL_ERROR)
        #: Whether tests are run, not merely listed.
        self.running = not any(config.getoption(name, False) for name in _LISTING)
        self._progress = Progress(config)
        self._has_ended = False
        #: How many results an earlier run left.
        self.carried = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Take the plan of the only process; collection has ended and the cells are about to run."""
        self.planned, self.offered = dict(self.session.plan), dict(self.session.offering.offered)
        self._open()

    def adopt_plan(self) -> None:
        """Take the plan that the workers published."""
        if not self.offered:
            self.planned, self.offered = self.session.folder.plan()
            self._open()

    def _open(self) -> None:
        """Open the report. Called when cells are about to run, so that a run without cells keeps an earlier report."""
        keeper().signals.end_gently()
        self._tests = {cell: address(self.config, test) for test, cell in reversed(self.planned.items())}
        wanted = self.running and (self.planned or self.is_empty_shard)
        folder = self.session.settings.report
        if wanted and self.report is None and folder is not None:
            try:
                self.report = Report(folder, self.session.taker(self._tests))
            except (ReportError, FolderError) as error:
                raise pytest.UsageError(f"quantgate: {printable(str(error))}") from None
            self.results |= {cell: each for cell, each in self.report.taken.items() if cell in self._tests}
            self.carried = len(self.results)
            if self.report.resumed:
                self._say(f"quantgate: {self.report.resumed}")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        cell = self.planned.get(nodeid)
        if self.report is not None and cell is not None and self._is_only_process:
            self.report.running(cell.id)

    @property
    def _is_only_process(self) -> bool:
        return bool(self.session.offering.offered)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        cell = self.planned.get(report.nodeid)
        if cell is None:
            return
        if report.failed:
            self.failed.add(cell)
        records = [
            json.loads(str(value))
            for name, value in report.user_properties
            if name == PROPERTY and str(value).startswith("{")
        ]
        for record in records:
            self._add(CellResult.from_record(record))
        if records:
            self.unasked.discard(cell)
        elif report.skipped and report.when in {"setup", "call"}:
            self.skipped.add(cell)
        elif report.failed:
            result, control = lost(self.session, cell, report)
            self.lost_controls += [] if control is None else [control]
            self._add(result)
        elif report.when == "call":
            self.unasked.add(cell)

    def _add(self, result: CellResult) -> None:
        """Keep a result, and of several of one cell the gravest: a test may ask for two, two tests for one each."""
        result = replace(result, test=self._tests.get(result.cell))
        before = self.results.get(result.cell)
        if before is not None and _gravity(before) >= _gravity(result):
            return
        self.results[result.cell] = result
        if self.report is not None:
            if self.session.is_resumable:  # a run that is cut leaves its controls too
                self.report.append_new(self.session.folder.controls())
            self.report.append(result)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        """Say how far the run is, when pytest has written what it says of a test."""
        self._progress.say(list(self.results.values()), len(set(self.planned.values())), self.carried)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> object:
        """The score in the line of `-v`; the short summary, after it, begins with pytest's own words."""
        is_cell = not self._has_ended and report.nodeid in self.planned
        return status(report) if is_cell and isinstance(report, pytest.TestReport) else None

    def _say(self, text: str) -> None:
        terminal_reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal_reporter is not None:
            terminal_reporter.write_line(text)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Set the exit status before pytest's summary, and again when every other hook has had its say."""
        self._has_ended = True
        if not self.running:
            yield
            self.exit_status = int(session.exitstatus)
            return
        self._finish(session)
        self._condense()
        ended = session.exitstatus
        yield
        session.exitstatus = ended
        self.exit_status = int(ended)
        annotate(self.config, self.story)
        keeper().signals.let_go()

    def _condense(self) -> None:
        """Shorten pytest's section of failures, which comes next; `-vv` shows all."""
        terminal_reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal_reporter is not None and self.config.get_verbosity() < 2:
            condense(
                each for each in terminal_reporter.stats.get("failed", ()) if each.nodeid in self.planned
            )

    def _finish(self, session: pytest.Session) -> None:
        if reason := self.session.offering.left_out():
            self.session.folder.mark_misuse(reason)
        self.controls = self.session.folder.controls()
        for cell in dict.fromkeys(self.planned.values()):
            if cell not in self.results and cell not in self.skipped:
                asked = "its test never asked for its result: lowbit_cell.assert_learns() does"
                because = asked if cell in self.unasked else "the run ended before its turn"
                self._add(self.session.unmeasured(cell, Verdict.UNJUDGED, because))
        if self.report is not None:
            self.report.append_new(self.controls)
        if self.planned or self.session.folder.misuse:
            self._set_status(session)
        else:
            self._check_least(0, session)
        if self.planned or self.problems or self.is_empty_shard:
            told = partial(self._told, session, now())
            self.unsummed = leave(
                self.report, told, partial(self._closing, session), partial(self._complain, session)
            )
            self.story = told()
        self.history.record([*self.results.values(), *self.controls], int(session.exitstatus))

    def _closing(self, session: pytest.Session) -> Closing:
        said = {"exit_status": int(session.exitstatus), **asdict(self.counts), "problems": self.problems}
        said["options"] = repeated(self.config)
        left_out = {cell.id: "skipped" for cell in sorted(self.skipped - self.results.keys(), key=str)}
        left_out |= {c.id: "deselected" for c in self.offered if c not in set(self.planned.values())}
        return closing(self.session, said, left_out)

    def _told(self, session: pytest.Session, when: str) -> Story:
        """The run as those are told who read its records."""
        skipped = tuple(sorted(cell.id for cell in self.skipped))
        run = replace(opened(self.session, self.config, self.offered), state="finished", finished=when)
        said = replace(run, **asdict(self.counts), problems=tuple(self.problems), left_out=skipped)
        done = replace(said, exit_status=int(session.exitstatus))
        return tell(self.results.values(), self.controls, done)

    def _complain(self, session: pytest.Session, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _set_status(self, session: pytest.Session) -> None:
        own = [each for each in self.controls if each.cell.trainer is None]
        told = [each.evidence["invalid"] for each in self.results.values() if "invalid" in each.evidence]
        invalid = (*reasons_of(own, None), *dict.fromkeys(told))
        failed = unlearned(own)
        users = self._users_doing([each for each in own if each.cell in failed])
        broken = broken_trainers(self.controls)
        said = (*unlearned(self.controls).values(), *invalid, *chain.from_iterable(broken.values()))
        self.problems = list(dict.fromkeys(said))
        if failure := self.session.folder.failure or self.session.folder.misuse:
            self.problems = [failure]
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif users and set(failed.values()) & set(invalid):
            self.problems.append(advice([each for each in own if each.cell in failed], beside_others=False))
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif invalid or self.lost_controls or (failed and not users):
            self.problems += dict.fromkeys(self.lost_controls)
            self.problems.append("the run is invalid: the machine or the gate is at fault, not the formats")
            session.exitstatus = EXIT_INVALID
        elif broken and {cell.trainer for cell in self.planned.values()} <= broken.keys():
            self.problems.append("the run is invalid: the trainer is at fault, not its formats")
            session.exitstatus = EXIT_INVALID
        else:
            if failed:
                self.problems.append(
                    advice([each for each in own if each.cell in failed], beside_others=True)
                )
            self.problems += unsaid(list(self.results.values()), self.session.known_failures, self.failed)
            self.problems += self.baseline.update(self.results.values())
            self.problems += self.baseline.uncompared(self.results.values())
            self._check_least(self.counts.judged, session)

    def _users_doing(self, failed: list[CellResult]) -> bool:
        registered = self.session.registry.registered_optimizers()
        return is_users_doing(failed, self.session.settings, registered)

    def _check_least(self, judged: int, session: pytest.Session) -> None:
        least = self.session.settings.min_cells
        inapplicable = {cell for cell in self.planned.values() if cell.not_applicable}
        if self.planned and judged < max(1, self.counts.planned - len(inapplicable)):
            self.problems.append(fewer_judged(self.results.values(), judged, self.counts.planned))
        if judged < least:
            self.problems.append(f"{judged} cells were judged, and min-cells asks for {least}")
        if self.problems and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @property
    def counts(self) -> terminal.Counts:
        """How many cells are planned, ran, were judged and were skipped so far."""
        ran = [r for r in self.results.values() if r.verdict is not Verdict.UNJUDGED]
        judged = [r for r in ran if r.verdict.judged]
        planned = len(set(self.planned.values()))
        return terminal.Counts(planned, len(ran), len(judged), len(self.skipped), len(self.offered))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.running and (self.planned or self.problems or self.is_empty_shard):
            show(self, terminalreporter)

    @property
    def is_empty_shard(self) -> bool:
        """Whether the matrix has fewer cells than shards, and this one holds none."""
        return self.session.shard is not None and not self.offered and self.session.folder.is_planned


def _gravity(result: CellResult) -> tuple[bool, bool]:
    """What fails outranks what passes, then a curve what the probes alone said."""
    return not result.verdict.passes, bool(result.curve)
