"""The fixtures that tests use, and the cell object that they are given."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from quantgate.plugin.lifecycle import session_of, settings_of
from quantgate.plugin.names import PROPERTY
from quantgate.plugin.process.timeouts import limit_of

if TYPE_CHECKING:
    from quantgate.corpus import Corpus
    from quantgate.formats import Format
    from quantgate.plugin.session import GateSession
    from quantgate.records.cell import Cell
    from quantgate.records.result import CellResult
    from quantgate.training.model import TinyTransformer


class LowbitCell:
    """One cell of the matrix: trained when its result is first asked for."""

    def __init__(self, cell: Cell, session: GateSession, node: pytest.Item) -> None:
        self.cell = cell
        self._session = session
        self._node = node

    @cached_property
    def result(self) -> CellResult:
        """The trained and judged cell; its record joins the test's user properties."""
        return self._recorded(self._session.run(self.cell, self._limit))

    @cached_property
    def examined(self) -> CellResult:
        """What the probes alone say, in 8 training steps; its record joins the test's user properties."""
        return self._recorded(self._session.examine(self.cell, self._limit))

    @property
    def _limit(self) -> float:
        return limit_of(self._node, self._session.timeout)

    def _recorded(self, result: CellResult) -> CellResult:
        from quantgate.records.result import to_line

        self._node.user_properties.append((PROPERTY, to_line(result)))
        return result

    def assert_healthy(self) -> None:
        """Fail the test, and say why, if a probe finds a fault: for every commit, where `assert_learns` takes long.

        What only a curve shows is not seen.
        """
        __tracebackhide__ = True
        self._assert_passes(self.examined)

    def assert_learns(self) -> None:
        """Fail the test, and say why, unless the verdict is `learns`; known failures are expected failures."""
        __tracebackhide__ = True
        self._assert_passes(self.result)

    def _assert_passes(self, result: CellResult) -> None:
        __tracebackhide__ = True
        from quantgate.plugin.expected.outcome import complaint, files_of, in_short
        from quantgate.plugin.published.condensing import CellFailed
        from quantgate.reports.text import printable_lines

        known = self._session.known_failures.get(self.cell.id)
        said = complaint(result, known, self._session.config.limits, files_of(self._session.settings))
        if said is not None:
            raise CellFailed(printable_lines(said), in_short(result, known))
        if known is not None:
            pytest.xfail(printable_lines(f"{known.cause}: {known}"))


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
    from quantgate.plan.matrix import config_of

    return load(config_of(settings_of(request.config)).corpus)
