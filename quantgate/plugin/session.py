"""The gate's session in one pytest process: its settings, plan and controls, and the results of its cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from quantgate.gate.folder import RunFolder
from quantgate.plan import known_failures, matrix
from quantgate.plan.known_failures import KnownFailure
from quantgate.plan.order import take_shard
from quantgate.plan.settings import Settings
from quantgate.plugin.options import override
from quantgate.records.cell import Cell, Config
from quantgate.records.result import CellResult, unmeasured, with_shard
from quantgate.records.verdict import Verdict
from quantgate.subjects.registry import Registry

if TYPE_CHECKING:
    from quantgate.gate.controls import ControlStore
    from quantgate.gate.run import Gate


@dataclass
class GateSession:
    """Runs cells in one process, with the controls that all processes of the run share.

    Args:
        settings: The parsed options.
        registry: Where names are looked up.
        folder: Where the run's processes share their plan and controls.
    """

    settings: Settings
    registry: Registry
    folder: RunFolder
    #: The cells that this process will judge by the node ids of their tests, known once tests are collected.
    plan: dict[str, Cell] = field(default_factory=dict)
    _results: dict[Cell, CellResult] = field(default_factory=dict)
    _invalid: tuple[str, ...] | None = None

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The matrix, or this shard of it."""
        return take_shard(self._matrix, self.settings.shard)

    @cached_property
    def _matrix(self) -> tuple[Cell, ...]:
        return matrix.plan(self.settings, self.registry)

    @cached_property
    def known_failures(self) -> Mapping[str, KnownFailure]:
        """The known failures of this run by cell id."""
        path = self.settings.known_failures
        return {} if path is None else known_failures.load(path, self._matrix, self.registry)

    @cached_property
    def config(self) -> Config:
        """How cells are trained and judged."""
        return matrix.config_of(self.settings)

    @cached_property
    def _gate(self) -> Gate:
        from quantgate.gate.run import Gate

        return Gate(self.config, self.registry)

    @cached_property
    def _store(self) -> ControlStore:
        from quantgate.gate.controls import ControlStore

        return ControlStore(self.folder, self._gate)

    def cells_for(self, marker: Mapping[str, Any]) -> tuple[Cell, ...]:
        """The cells of a test with these arguments of its `lowbit` marker.

        Raises:
            OptionError: The marker names no option of a cell.
            UnknownNameError: It names an unknown format or optimizer.
        """
        if not marker:
            return self.cells
        settings = override(self.settings, marker, "the lowbit marker")
        return take_shard(matrix.plan(settings, self.registry), settings.shard)

    @property
    def planned(self) -> list[Cell]:
        """The planned cells in the order of the matrix, not as dealt: the first one chooses the negative controls."""
        order = {cell: place for place, cell in enumerate(self.cells)}
        return sorted(set(self.plan.values()), key=lambda cell: (order.get(cell, len(order)), cell.id))

    def ensure_controls(self) -> None:
        """Train the controls of all planned cells, or wait for other workers to; once in a process."""
        if self._invalid is None:
            try:
                self._invalid = self._store.ensure(self.planned)
            except (ValueError, RuntimeError, AssertionError) as error:
                self._invalid = (str(error),)

    def run(self, cell: Cell) -> CellResult:
        """The result of a cell. Trained on the first call in a process, and kept."""
        if cell not in self._results:
            self._results[cell] = with_shard(self._run(cell), self.shard)
        return self._results[cell]

    def examine(self, cell: Cell) -> CellResult:
        """The result of the probes of a cell alone."""
        return with_shard(self._gate.examine(cell), self.shard)

    def _run(self, cell: Cell) -> CellResult:
        self.ensure_controls()
        if self._invalid:
            return self.unmeasured(cell, Verdict.UNJUDGED, f"the run is invalid: {'; '.join(self._invalid)}")
        if unlearned := self._unlearned.get(cell.control):
            return self.unmeasured(cell, Verdict.UNJUDGED, unlearned)
        return self._gate.run(cell, self._store.curve)

    @cached_property
    def _unlearned(self) -> dict[Cell, str]:
        return self._store.unlearned

    @property
    def shard(self) -> str | None:
        """The shard as it was written, `2/8`."""
        return None if self.settings.shard is None else "/".join(map(str, self.settings.shard))

    def unmeasured(self, cell: Cell, verdict: Verdict, because: str) -> CellResult:
        """The result of a cell that has no score."""
        return with_shard(unmeasured(cell, verdict, because, self.config), self.shard)
