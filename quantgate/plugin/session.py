"""What one pytest process holds: the settings, the plan, the controls, and how a cell is run and recorded."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantgate.gate import known_failures, matrix
from quantgate.records.cell import Cell, Config
from quantgate.plugin.fixtures import PLAN_FILE
from quantgate.gate.known_failures import KnownFailure
from quantgate.plugin.options import Settings
from quantgate.subjects.registry import Registry
from quantgate.records.result import CellResult, canon_name, with_shard
from quantgate.records.verdict import Verdict

if TYPE_CHECKING:
    from quantgate.gate.cell import Gate
    from quantgate.gate.controls import ControlStore

#: Options with which a user can keep even float32 from learning.
_USERS_OWN = ("steps", "lr", "corpus", "device", "fail_bpb", "widths")


@dataclass
class GateSession:
    """The gate in one process of a run.

    Args:
        settings: The parsed options.
        registry: Where names are looked up.
        folder: Where the run's processes share their controls; made when first needed if None.
    """

    settings: Settings
    registry: Registry
    folder: Path | None = None
    #: The cells that this run will judge, known once tests are collected.
    planned: list[Cell] = field(default_factory=list)
    #: The same by the node ids of their tests.
    plan: dict[str, Cell] = field(default_factory=dict)
    _owns_folder: bool = False
    _results: dict[Cell, CellResult] = field(default_factory=dict)
    _invalid: tuple[str, ...] | None = None

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The matrix, or this shard of it."""
        return matrix.take_shard(self._matrix, self.settings.shard)

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
        from quantgate.gate.cell import Gate

        return Gate(self.config, self.registry)

    @cached_property
    def _store(self) -> ControlStore:
        from quantgate.gate.controls import ControlStore

        return ControlStore(self.shared_folder(), self._gate)

    def shared_folder(self) -> Path:
        """The folder that the processes of this run share."""
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="quantgate-"))
            self._owns_folder = True
        return self.folder

    def set_plan(self, cells: Mapping[str, Cell], *, publish: bool) -> None:
        """Take the cells of the collected tests, by node id; a worker publishes them for its controller."""
        self.plan = dict(cells)
        # In the order of the matrix, not as they are dealt: the first one chooses the negative controls.
        order = {cell: place for place, cell in enumerate(self.cells)}
        self.planned = sorted(set(cells.values()), key=lambda cell: (order.get(cell, len(order)), cell.id))
        path = self.shared_folder() / PLAN_FILE
        if publish and not path.exists():
            part = path.with_suffix(f".{os.getpid()}")
            part.write_text(
                json.dumps({nodeid: asdict(cell) for nodeid, cell in cells.items()}), encoding="utf-8"
            )
            part.replace(path)

    def published_plan(self) -> dict[str, Cell]:
        """The plan that the workers published, by node id; empty where none has a cell."""
        path = None if self.folder is None else self.folder / PLAN_FILE
        if path is None or not path.exists():
            return {}
        return {nodeid: Cell(**cell) for nodeid, cell in json.loads(path.read_text("utf-8")).items()}

    def close(self) -> None:
        """Remove the shared folder, where this process made it."""
        if self._owns_folder and self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def cells_for(self, marker: Mapping[str, Any]) -> tuple[Cell, ...]:
        """The cells of a test whose `lowbit` marker says this.

        Raises:
            OptionError: The marker names no option of a cell.
            UnknownNameError: It names an unknown format or optimizer.
        """
        if not marker:
            return self.cells
        settings = self.settings.override(marker, "the lowbit marker")
        return matrix.take_shard(matrix.plan(settings, self.registry), settings.shard)

    def ensure_controls(self) -> None:
        """Train the controls of every planned cell, or wait for those who do; once in a process."""
        if self._invalid is None:
            try:
                self._invalid = self._store.ensure(self.planned)
            except (ValueError, RuntimeError, AssertionError) as error:
                self._invalid = (str(error),)

    def run(self, cell: Cell) -> CellResult:
        """The result of a cell, trained once in a process however many tests ask."""
        if cell not in self._results:
            self._results[cell] = with_shard(self._run(cell), self.shard)
        return self._results[cell]

    def _run(self, cell: Cell) -> CellResult:
        self.ensure_controls()
        if self._invalid:
            return self.unmeasured(cell, Verdict.UNJUDGED, f"the run is invalid: {'; '.join(self._invalid)}")
        return self._gate.run(cell, self._store.curve)

    @property
    def shard(self) -> str | None:
        """The shard as it was written, `2/8`."""
        return None if self.settings.shard is None else "/".join(map(str, self.settings.shard))

    def unmeasured(self, cell: Cell, verdict: Verdict, because: str) -> CellResult:
        """The result of a cell that has no score."""
        from quantgate import __version__

        return CellResult(
            subject=cell.subject,
            kind=cell.kind,
            format=cell.subject if cell.kind == "format" else "",
            optimizer=cell.optimizer,
            seed=cell.seed,
            width=cell.width,
            steps=self.settings.steps,
            lr=self.settings.lr,
            storage=cell.storage,
            scope=cell.scope,
            bpb_initial=None,
            bpb=None,
            bpb_control=None,
            gap=None,
            verdict=verdict,
            cause=None,
            hint=None,
            evidence={"because": because},
            curve=(),
            seconds=0.0,
            corpus={"name": self.settings.corpus},
            environment={},
            quantgate=__version__,
            canon_name=canon_name(cell, self.settings.lr),
            shard=self.shard,
        )

    def is_users_doing(self, controls: Sequence[CellResult]) -> bool:
        """Whether the user's own rate, steps, corpus or optimizer may keep these controls from learning."""
        own = set(self.registry.registered_optimizers())
        failed = [each for each in controls if each.kind == "control" and not each.verdict.passes]
        if not failed:
            return False
        return any(name in self.settings.given for name in _USERS_OWN) or any(
            each.optimizer in own for each in failed
        )
