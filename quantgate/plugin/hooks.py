"""The hooks of the pytest plugin. torch is imported when the first cell runs, not before."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from quantgate.plugin import hookspecs
from quantgate.plugin.database.hiding import hide, hide_from, restore
from quantgate.plugin.fixtures import lowbit_cell, lowbit_corpus, lowbit_format, lowbit_model
from quantgate.plugin.lifecycle import (
    close,
    declared_trainers,
    existing_session,
    folder_of,
    keep_stderr,
    misuse,
    session_of,
    settings_of,
    unasked,
)
from quantgate.plugin.names import FOLDER_INPUT, PROPERTY, REPORTER
from quantgate.plugin.options import OptionError, add_options
from quantgate.plugin.process.timeouts import limit_of, needs_timeout

if TYPE_CHECKING:
    from quantgate.plugin.session import GateSession
    from quantgate.records.cell import Cell

#: The fixtures whose tests are parametrized by the plan.
_GATES = {"lowbit_cell", "lowbit_format"}

__all__ = ["lowbit_cell", "lowbit_corpus", "lowbit_format", "lowbit_model"]


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Check the options. The gate's session is made only if an option is given or something is registered."""
    config.addinivalue_line("markers", "lowbit: trains or checks a low-precision number format (quantgate).")
    keep_stderr(config)
    if config.pluginmanager.is_blocked(REPORTER):
        raise pytest.UsageError(
            f"quantgate: -p no:{REPORTER} would leave a run without its judge; -p no:quantgate leaves the gate out"
        )
    try:
        settings = settings_of(config)
        if settings.db is not None:
            hide(config, settings)
        registers = config.hook.pytest_quantgate_register.get_hookimpls()
        if settings.given or registers or declared_trainers(config):
            _check_early(session_of(config))
    except ValueError as error:
        raise pytest.UsageError(f"quantgate: {error}") from None


def _check_early(session: GateSession) -> None:
    """Report unknown names, bad known failures and a bad corpus before collection, without importing torch."""
    names = session.settings.given
    if names & {"formats", "optimizers", "known_failures"}:
        assert session.offering.cells is not None
        assert session.known_failures is not None
    if names & {"baseline", "update_baseline"} and session.worker is None:
        assert session.baseline is None or session.baseline.entries
    if (corpus := session.config.corpus) != "builtin":
        from quantgate.corpus import load

        load(corpus)
    if "report" in names:
        from quantgate.reports.results import why_no_report

        if session.settings.report is not None and (reason := why_no_report(session.settings.report)):
            raise ValueError(reason)


def pytest_enter_pdb() -> None:
    """Somebody is debugging: nothing ends the process."""
    from quantgate.plugin.process.keeper import keeper

    keeper().rest()


def pytest_unconfigure(config: pytest.Config) -> None:
    close(config)
    restore(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[FOLDER_INPUT] = str(folder_of(node.config).path)
    if settings_of(node.config).db is not None:
        hide_from(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:
    """Report on the cells that the workers collected."""
    folder = folder_of(node.config)
    if folder.is_planned or folder.misuse:
        session_of(node.config)
        node.config.pluginmanager.get_plugin(REPORTER).adopt_plan()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Publish what a worker found registered too late; end with a usage error if any process found the gate misused."""
    gate = existing_session(session.config)
    if gate is not None and gate.worker is not None and (reason := gate.offering.left_out()):
        gate.folder.mark_misuse(reason)
    if misuse(session.config):
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and (said := unasked(config)):
        terminalreporter.write_line(f"quantgate: {said}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    wanted = _GATES & set(metafunc.fixturenames)
    if not wanted:
        return
    session = session_of(metafunc.config)
    try:
        cells = session.offering.offer(_marked(metafunc.definition))
    except ValueError as error:
        session.folder.mark_misuse(str(error))
        raise pytest.Collector.CollectError(f"quantgate: {error}") from None
    if not cells:  # pytest would make a parameter of its own, or an error, of an empty list
        reason = f"quantgate: shard {session.shard} holds no cell"
        nothing = [pytest.param(None, id="no-cell", marks=pytest.mark.skip(reason=reason))]
        for name in sorted(wanted):
            metafunc.parametrize(name, nothing, indirect=True)
        return
    if "lowbit_cell" in wanted:
        params = [pytest.param(cell, id=cell.id, marks=_marks(cell)) for cell in cells]
        metafunc.parametrize("lowbit_cell", params, indirect=True)
    if "lowbit_format" in wanted:
        names = list(dict.fromkeys(cell.subject for cell in cells if cell.kind == "format"))
        metafunc.parametrize("lowbit_format", names, ids=names, indirect=True)


def _marked(node: pytest.Item) -> dict[str, Any]:
    """The options that the `lowbit` markers of a test, its class and its module set; the inner ones win."""
    merged: dict[str, Any] = {}
    for marker in reversed(list(node.iter_markers("lowbit"))):
        if marker.args:
            raise OptionError(
                f"the lowbit marker takes no positional argument, {marker.args[0]!r} here; write "
                f"formats={marker.args[0]!r}, say"
            )
        merged |= marker.kwargs
    return merged


def _marks(cell: Cell) -> list[pytest.MarkDecorator]:
    reason = cell.not_applicable
    return [] if reason is None else [pytest.mark.skip(reason=f"quantgate: {reason}")]


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Add the `lowbit` marker to tests that use the gate, before `-m` selects by it."""
    uses_gate = _GATES & set(getattr(item, "fixturenames", ()))
    if uses_gate and item.get_closest_marker("lowbit") is None:
        item.add_marker("lowbit")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Before anybody selects: plan again if more was registered. After: give each cell a timeout, order the cells."""
    _plan_again(config, items)
    yield
    places = [place for place, item in enumerate(items) if _cell_of(item) is not None]
    for place in places:
        if needs_timeout(items[place]):
            items[place].add_marker(pytest.mark.timeout(session_of(config).timeout))
    workers = getattr(config, "workerinput", {}).get("workercount", 0)
    if workers < 2 or not places:
        return
    from quantgate.plan.order import deal

    chosen = [items[place] for place in places]
    cells = [cell for item in chosen if (cell := _cell_of(item))]
    order = deal(cells, workers, session_of(config).config.steps)
    for place, source in zip(places, order, strict=True):
        items[place] = chosen[source]


def _plan_again(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Parametrize the gate's tests once more if a conftest or a module that came later registered something.

    The plan is that of the end of collection: what the first tests were offered was a matrix without it.
    """
    gate = existing_session(config)
    if gate is None or not gate.offering.outgrown():
        return
    by_id = any("[" in argument for argument in config.args)  # then only those with such an id were collected
    again: list[pytest.Item] = []
    done: dict[tuple[int, str], set[str]] = {}
    for item in items:
        name = getattr(item, "originalname", None)
        if not isinstance(item, pytest.Function) or name is None or not _GATES & set(item.fixturenames):
            again.append(item)
            continue
        key = (id(item.parent), name)
        if key not in done:
            done[key] = {
                each.name for each in items if (id(each.parent), getattr(each, "originalname", "")) == key
            }
            made = _parametrized_again(item.parent, name)
            again += [each for each in made if not by_id or each.name in done[key]]
    items[:] = again


def _parametrized_again(parent: Any, name: str) -> list[pytest.Item]:
    made = parent.ihook.pytest_pycollect_makeitem(collector=parent, name=name, obj=getattr(parent.obj, name))
    for item in made:
        item.ihook.pytest_itemcollected(item=item)
    return list(made)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    gate = existing_session(session.config)
    if gate is None:
        return
    if reason := gate.offering.left_out():
        gate.folder.mark_misuse(reason)
        if gate.worker is None:
            raise pytest.UsageError(f"quantgate: {reason}")
        session.items.clear()  # its controller says why
        return
    gate.plan = {item.nodeid: cell for item in session.items if (cell := _cell_of(item))}
    if gate.offering.is_used:  # with workers, their controller reports on what they collected
        whole = (cell.id for cell in gate.offering.whole)
        gate.folder.publish_plan(gate.plan, gate.offering.offered, whole)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Train the controls before the first cell, outside its timeout."""
    if _cell_of(item) is not None and not _is_skipped(item) and not item.config.getoption("setuponly", False):
        gate = session_of(item.config)
        gate.ensure_controls(limit_of(item, gate.timeout))
    return (yield)


def _is_skipped(item: pytest.Item) -> bool:
    return any(marker.name == "skip" for marker in item.iter_markers())


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record a cell that ended without a result: it timed out or crashed."""
    cell = _cell_of(item)
    if cell is not None and call.when == "call" and call.excinfo is not None:
        recorded = any(name == PROPERTY for name, _ in item.user_properties)
        if not recorded and not call.excinfo.errisinstance((pytest.skip.Exception, KeyboardInterrupt)):
            record_loss(item, cell, call.excinfo)
    report = yield
    if _GATES & set(getattr(item, "fixturenames", ())):
        from quantgate.plugin.published.condensing import escape, headed

        escape(report.longrepr)
        headed(report, call)
    return report


def record_loss(item: pytest.Item, cell: Cell, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Add the record of a cell that raised to its test's user properties."""
    from quantgate.records.result import to_line
    from quantgate.records.verdict import Verdict

    said = str(excinfo.value).strip().splitlines()
    first = said[0] if said else "no message"
    timed_out = first.startswith("Timeout")
    because = f"{cell}: {first}" if timed_out else f"{cell}: {excinfo.typename}: {first}"
    verdict = Verdict.TIMEOUT if timed_out else Verdict.CRASHED
    result = session_of(item.config).unmeasured(cell, verdict, because)
    item.user_properties.append((PROPERTY, to_line(result)))


def _cell_of(item: pytest.Item) -> Cell | None:
    callspec = getattr(item, "callspec", None)
    found: Cell | None = callspec.params.get("lowbit_cell") if callspec is not None else None
    return found
