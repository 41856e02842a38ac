"""The hooks of the pytest plugin. torch is imported when the first cell runs, not before."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from quantgate.plugin import hookspecs
from quantgate.plugin.fixtures import lowbit_cell, lowbit_corpus, lowbit_format, lowbit_model
from quantgate.plugin.lifecycle import close, folder_of, is_misused, session_of, settings_of
from quantgate.plugin.names import FOLDER_INPUT, PROPERTY, REPORTER
from quantgate.plugin.options import add_options

if TYPE_CHECKING:
    from quantgate.plugin.session import GateSession
    from quantgate.records.cell import Cell

__all__ = ["lowbit_cell", "lowbit_corpus", "lowbit_format", "lowbit_model"]

#: Seconds that a cell may take, where neither the user's options nor a marker say otherwise.
CELL_TIMEOUT = 60


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Check the options. The gate's session is made only if an option is given or something is registered."""
    config.addinivalue_line("markers", "lowbit: trains or checks a low-precision number format (quantgate).")
    try:
        if settings_of(config).given or config.hook.pytest_quantgate_register.get_hookimpls():
            _check_early(session_of(config))
    except ValueError as error:
        raise pytest.UsageError(f"quantgate: {error}") from None


def _check_early(session: GateSession) -> None:
    """Report unknown names, bad known failures and a bad corpus before collection, without importing torch."""
    names = session.settings.given
    if names & {"formats", "optimizers", "known_failures"}:
        assert session.cells is not None
        assert session.known_failures is not None
    if "corpus" in names:
        from quantgate.corpus import load

        load(session.settings.corpus)


def pytest_unconfigure(config: pytest.Config) -> None:
    close(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[FOLDER_INPUT] = str(folder_of(node.config).path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:
    """Report on the cells that the workers collected."""
    if folder_of(node.config).plan():
        session_of(node.config)
        node.config.pluginmanager.get_plugin(REPORTER).adopt_plan()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End with a usage error if any process met an invalid `lowbit` marker."""
    if is_misused(session.config):
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    wanted = {"lowbit_cell", "lowbit_format"} & set(metafunc.fixturenames)
    if not wanted:
        return
    session = session_of(metafunc.config)
    marker = metafunc.definition.get_closest_marker("lowbit")
    try:
        cells = session.cells_for(marker.kwargs if marker else {})
    except ValueError as error:
        session.folder.mark_misuse()
        raise pytest.Collector.CollectError(f"quantgate: {error}") from None
    if "lowbit_cell" in wanted:
        params = [pytest.param(cell, id=cell.id, marks=_marks(cell)) for cell in cells]
        metafunc.parametrize("lowbit_cell", params, indirect=True)
    if "lowbit_format" in wanted:
        names = list(dict.fromkeys(cell.subject for cell in cells if cell.kind == "format"))
        metafunc.parametrize("lowbit_format", names, ids=names, indirect=True)


def _marks(cell: Cell) -> list[pytest.MarkDecorator]:
    reason = cell.not_applicable
    return [] if reason is None else [pytest.mark.skip(reason=f"quantgate: {reason}")]


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Add the `lowbit` marker to tests that use the gate, before `-m` selects by it."""
    uses_gate = {"lowbit_cell", "lowbit_format"} & set(getattr(item, "fixturenames", ()))
    if uses_gate and item.get_closest_marker("lowbit") is None:
        item.add_marker("lowbit")


def _needs_timeout(item: pytest.Item) -> bool:
    config = item.config
    if not config.pluginmanager.hasplugin("timeout") or item.get_closest_marker("timeout"):
        return False
    given = config.getoption("timeout", None) is not None or config.getini("timeout")
    return not given and not os.environ.get("PYTEST_TIMEOUT")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each cell a timeout unless the user set one, and order the cells for pytest-xdist.

    Runs last, so that a timeout which the user's own hooks add is seen.
    """
    places = [place for place, item in enumerate(items) if _cell_of(item) is not None]
    for place in places:
        if _needs_timeout(items[place]):
            items[place].add_marker(pytest.mark.timeout(CELL_TIMEOUT))
    workers = getattr(config, "workerinput", {}).get("workercount", 0)
    if workers < 2 or not places:
        return
    from quantgate.plan.order import deal

    chosen = [items[place] for place in places]
    order = deal([cell for item in chosen if (cell := _cell_of(item))], workers)
    for place, source in zip(places, order, strict=True):
        items[place] = chosen[source]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    cells = {item.nodeid: cell for item in session.items if (cell := _cell_of(item))}
    if cells:
        gate = session_of(session.config)
        gate.plan = cells
        if hasattr(session.config, "workerinput"):  # its controller reports on what it collected
            gate.folder.publish_plan(cells)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Train the controls before the first cell, outside its timeout."""
    if _cell_of(item) is not None and not _is_skipped(item) and not item.config.getoption("setuponly", False):
        session_of(item.config).ensure_controls()
    return (yield)


def _is_skipped(item: pytest.Item) -> bool:
    return any(marker.name == "skip" for marker in item.iter_markers())


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Record a cell that ended without a result: it timed out or crashed."""
    cell = _cell_of(item)
    if cell is not None and call.when == "call" and call.excinfo is not None:
        recorded = any(name == PROPERTY for name, _ in item.user_properties)
        if not recorded and not call.excinfo.errisinstance((pytest.skip.Exception, KeyboardInterrupt)):
            record_loss(item, cell, call.excinfo)
    return (yield)


def record_loss(item: pytest.Item, cell: Cell, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Add the record of a cell that raised to its test's user properties."""
    from quantgate.records.verdict import Verdict

    said = str(excinfo.value).strip().splitlines()
    first = said[0] if said else "no message"
    timed_out = first.startswith("Timeout")
    because = f"{cell}: {first}" if timed_out else f"{cell}: {excinfo.typename}: {first}"
    verdict = Verdict.TIMEOUT if timed_out else Verdict.CRASHED
    result = session_of(item.config).unmeasured(cell, verdict, because)
    item.user_properties.append((PROPERTY, result.to_record()))


def _cell_of(item: pytest.Item) -> Cell | None:
    callspec = getattr(item, "callspec", None)
    found: Cell | None = callspec.params.get("lowbit_cell") if callspec is not None else None
    return found
