"""The gate's session in one pytest process: its settings, plan and controls, and the results of its cells."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from quantgate.gate.astray import AstrayError
from quantgate.gate.folder import RunFolder
from quantgate.plan import known_failures, matrix
from quantgate.plan.known_failures import KnownFailure
from quantgate.plan.matrices import MATRICES
from quantgate.plan.order import take_shard
from quantgate.plan.resume import provenance
from quantgate.plan.settings import Settings
from quantgate.plugin.options import override
from quantgate.plugin.process.keeper import keeper
from quantgate.plugin.process.timeouts import GRACE
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
        worker: See below.
        stderr: See below.
    """

    settings: Settings
    registry: Registry
    folder: RunFolder
    #: pytest-xdist's name of this process; None where it is the only one.
    worker: str | None = None
    #: The number of a file that the watchdog of an only process writes to, `stderr` as it was before pytest took it.
    stderr: int = 2
    #: The cells that this process will judge by the node ids of their tests, known once tests are collected.
    plan: dict[str, Cell] = field(default_factory=dict)
    #: Every cell that a test of this run was offered, whether the test was then selected or not.
    offered: dict[Cell, None] = field(default_factory=dict)
    #: The subjects and optimizers of those cells' matrices before sharding; and whether a marker narrowed any of them.
    _names: set[str] = field(default_factory=set)
    _narrowed: bool = False
    #: What was registered when a test was first offered cells.
    _registered: tuple[str, ...] | None = None
    _results: dict[Cell, CellResult] = field(default_factory=dict)
    _invalid: tuple[str, ...] | None = None
    _is_kept: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The matrix, or this shard of it, of what is registered by now."""
        return take_shard(self._matrix, self.settings.shard)

    @property
    def _matrix(self) -> tuple[Cell, ...]:
        return matrix.plan(self.settings, self.registry)

    def offer(self, marker: Mapping[str, Any]) -> tuple[Cell, ...]:
        """The cells of a test with these arguments of its `lowbit` marker, which are now part of this run's matrix.

        Raises:
            OptionError: The marker names no option of a cell.
            UnknownNameError: It names an unknown format or optimizer.
        """
        settings = override(self.settings, marker, "the lowbit marker") if marker else self.settings
        whole = matrix.plan(settings, self.registry)
        cells = take_shard(whole, settings.shard)
        self.offered |= dict.fromkeys(cells)
        if self._registered is None:
            self._registered = self._all_registered()
        self._names |= {name for cell in whole for name in (cell.subject, cell.optimizer)}
        self._narrowed |= bool({"formats", "optimizers"} & set(marker))
        return cells

    @property
    def is_used(self) -> bool:
        """Whether any test was offered cells, be it none of a matrix of which this shard holds nothing."""
        return self._registered is not None

    def outgrown(self) -> bool:
        """Whether more was registered since a test was first offered cells; then every test is to be offered anew."""
        grown = self._registered is not None and self._registered != self._all_registered()
        if grown:
            self.offered.clear()
            self._names.clear()
            self._registered = None
        return grown

    def _all_registered(self) -> tuple[str, ...]:
        return (*self.registry.registered(), *self.registry.registered_optimizers())

    def left_out(self) -> str | None:
        """What is registered and in no cell, although nothing narrowed the matrix; None where nothing is.

        It was registered when the tests had been collected, so that other cells were trained in its place.
        """
        if not self._names or self._narrowed:
            return None
        settings = self.settings
        subjects = () if settings.formats is not None else self.registry.registered()
        optimizers = () if settings.optimizers is not None else self.registry.registered_optimizers()
        missing = [name for name in (*subjects, *optimizers) if name not in self._names]
        if not missing:
            return None
        named = ", ".join(f"{name!r} ({self.registry.place(name)})" for name in missing)
        return (
            f"registered and in no cell of this run: {named}; the tests had been collected by then. Register it while "
            "a conftest or a test module is imported, or in the hook pytest_quantgate_register"
        )

    @cached_property
    def known_failures(self) -> Mapping[str, KnownFailure]:
        """The known failures of this run by cell id."""
        path = self.settings.known_failures
        return {} if path is None else known_failures.load(path, self._matrix, self.registry)

    @cached_property
    def config(self) -> Config:
        """How cells are trained and judged."""
        return matrix.config_of(self.settings)

    @property
    def timeout(self) -> float:
        """Seconds that a cell may take where neither an option of pytest-timeout's nor a marker says so."""
        return MATRICES[self.settings.matrix].timeout

    @cached_property
    def _gate(self) -> Gate:
        from quantgate.gate.run import Gate

        return Gate(self.config, self.registry)

    @cached_property
    def _store(self) -> ControlStore:
        from quantgate.gate.controls import ControlStore

        return ControlStore(self.folder, self._gate, lambda control: self._keeping(control, self.timeout))

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
            except OSError as error:  # the folder that the run shares cannot be written to: a full disk
                self._invalid = (f"the folder {str(self.folder.path)!r} of the run: {error.strerror}",)

    def run(self, cell: Cell, limit: float) -> CellResult:
        """The result of a cell. Trained on the first call in a process, and kept.

        Args:
            cell: What is trained.
            limit: Seconds after which somebody else ends it; the watchdog does some time later.
        """
        if cell not in self._results:
            self.ensure_controls()
            self._results[cell] = with_shard(self._kept(cell, limit, self._run), self.shard)
        return self._results[cell]

    def examine(self, cell: Cell, limit: float) -> CellResult:
        """The result of the probes of a cell alone."""
        return with_shard(self._kept(cell, limit, self._gate.examine), self.shard)

    def _kept(self, cell: Cell, limit: float, train: Callable[[Cell], CellResult]) -> CellResult:
        try:
            with self._keeping(cell, limit):
                return train(cell)
        except AstrayError as error:
            return self.unmeasured(cell, Verdict.CRASHED, f"{cell}: {error}")

    @contextmanager
    def _keeping(self, cell: Cell, limit: float) -> Iterator[None]:
        seconds = (limit if limit > 0 else self.timeout) + GRACE
        if self._is_kept:  # a control that a close call asks for, within its cell
            yield
            return
        self._is_kept = True
        try:
            if self.worker is None:
                with keeper().keeping(seconds, self.stderr):
                    yield
            else:
                with self.folder.doing(self.worker, cell) as log, keeper().keeping(seconds, log):
                    yield
        finally:
            self._is_kept = False

    @property
    def is_resumable(self) -> bool:
        """Whether what an earlier run left in the report folder may be taken up."""
        return self.config.lane is not None and self.settings.report is not None

    def taker(self, cells: Collection[Cell]) -> Callable[[CellResult], bool] | None:
        """Publishes a result of an earlier run if a run of these cells would train it again, to the last bit.

        Returns:
            A function that says whether it did so; None where nothing of an earlier run may be taken up.
        """
        return partial(self._take, cells) if self.is_resumable else None

    def _take(self, cells: Collection[Cell], result: CellResult) -> bool:
        cell = result.cell
        wanted = cell in cells or (
            cell.kind in {"control", "negative-control"} and cell.control in {each.control for each in cells}
        )
        if not (wanted and result.verdict.judged and result.provenance is not None):
            return False
        if result.provenance != provenance(cell, self.config, self.registry, self._corpus_sha256):
            return False
        keep = self.folder.keep_taken if cell in cells else self.folder.keep_control
        keep(result)
        return True

    @cached_property
    def _corpus_sha256(self) -> str:
        from quantgate.corpus import load

        return load(self.config.corpus).sha256

    def _run(self, cell: Cell) -> CellResult:
        if self._invalid:
            return self.unmeasured(cell, Verdict.UNJUDGED, f"the run is invalid: {'; '.join(self._invalid)}")
        if unlearned := self._unlearned.get(cell.control):
            return self.unmeasured(cell, Verdict.UNJUDGED, unlearned)
        return self.folder.taken(cell) or self._gate.run(cell, self._store.curve)

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
