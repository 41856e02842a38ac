"""The fixtures that tests use, and the cell object that they are given."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from quantgate.records.cell import Cell
    from quantgate.corpus import Corpus
    from quantgate.formats import Format
    from quantgate.training.model import TinyTransformer
    from quantgate.records.result import CellResult
    from quantgate.plugin.session import GateSession

SESSION: pytest.StashKey[GateSession] = pytest.StashKey()
#: The folder that a controller made for its workers, and where a worker finds it.
FOLDER: pytest.StashKey[Path] = pytest.StashKey()
FOLDER_INPUT = "quantgate_folder"
#: In that folder: the cells that the workers collected.
PLAN_FILE = "plan.json"
#: The name of the reporter among pytest's plugins.
REPORTER = "quantgate-reporter"
#: The name of a result record among a test's user properties.
PROPERTY = "quantgate"


def session_of(config: pytest.Config) -> GateSession:
    """The gate of this process, made when something first asks for it: other test runs need not load it.

    Raises:
        ValueError: An option, or what a hook or an entry point registers, cannot stand.
    """
    session = config.stash.get(SESSION, None)
    if session is not None:
        return session
    from importlib.metadata import entry_points
    from pathlib import Path

    from quantgate.plugin.options import read_settings
    from quantgate.subjects.registry import REGISTRY
    from quantgate.plugin.session import GateSession

    for entry_point in entry_points(group="quantgate"):
        entry_point.load()(REGISTRY)
    config.hook.pytest_quantgate_register(registry=REGISTRY)
    inputs = getattr(config, "workerinput", None)
    folder = config.stash.get(FOLDER, None) if inputs is None else Path(inputs[FOLDER_INPUT])
    session = config.stash[SESSION] = GateSession(read_settings(config), REGISTRY, folder)
    if inputs is None:
        from quantgate.plugin.reporter import Reporter

        config.pluginmanager.register(Reporter(session, config), REPORTER)
    return session


class LowbitCell:
    """One cell of the matrix: trained when its result is first asked for."""

    def __init__(self, cell: Cell, session: GateSession, node: pytest.Item) -> None:
        self.cell = cell
        self._session = session
        self._node = node

    @cached_property
    def result(self) -> CellResult:
        """The trained and judged cell; its record joins the test's user properties."""
        result = self._session.run(self.cell)
        self._node.user_properties.append((PROPERTY, result.to_record()))
        return result

    def assert_learns(self) -> None:
        """Fail the test, and say why, unless the verdict is `learns`; known failures are expected failures."""
        __tracebackhide__ = True
        result = self.result
        known = self._session.known_failures.get(self.cell.id)
        if known is None:
            if not result.verdict.passes:
                pytest.fail(_shown(result.message(self._session.config.limits)), pytrace=False)
            return
        if result.verdict.passes:
            pytest.fail(
                _shown(
                    f"{self.cell}: a known failure ({known.reason}) that learns now; "
                    f"take {self.cell.id!r} out of the file of known failures."
                ),
                pytrace=False,
            )
        if result.cause != known.cause:
            message = result.message(self._session.config.limits)
            pytest.fail(
                _shown(f"a known failure by another cause than {known.cause!r}.\n{message}"), pytrace=False
            )
        pytest.xfail(_shown(f"{known.cause}: {known.reason}"))


def _shown(message: str) -> str:
    """A message whose parts may come from outside, line by line without control characters."""
    from quantgate.reports.terminal import printable

    return "\n".join(map(printable, message.split("\n")))


@pytest.fixture
def lowbit_cell(request: pytest.FixtureRequest) -> LowbitCell:
    """One cell of the matrix: `lowbit_cell.assert_learns()`, or `lowbit_cell.result` for its curve and verdict."""
    return LowbitCell(request.param, session_of(request.config), request.node)


@pytest.fixture
def lowbit_format(request: pytest.FixtureRequest) -> Format:
    """Each number format of the run, for tests of its codec."""
    found: Any = session_of(request.config).registry.subject(request.param)
    return found  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def lowbit_model() -> Callable[..., TinyTransformer]:
    """Makes the tiny model that cells train: `lowbit_model(width=64, seed=47)`."""

    def make(width: int = 64, seed: int = 47) -> TinyTransformer:
        import torch

        from quantgate.training.model import ModelConfig, build_model

        return build_model(ModelConfig(width=width), torch.Generator().manual_seed(seed))

    return make


@pytest.fixture(scope="session")
def lowbit_corpus(request: pytest.FixtureRequest) -> Corpus:
    """The text that cells are trained and judged on."""
    from quantgate.corpus import load

    return load(session_of(request.config).settings.corpus)
