"""The gate's session in one pytest process: its settings, plan and controls, and the results of its cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from quantgate.baselines.compare import hold
from quantgate.baselines.document import Baseline
from quantgate.gate.astray import AstrayError
from quantgate.gate.folder import FolderError, RunFolder
from quantgate.gate.validity import unlearned
from quantgate.plan import known_failures, matrix
from quantgate.plan.known_failures import KnownFailures
from quantgate.plan.settings import Settings
from quantgate.plan.shards import take_shard
from quantgate.plugin.expected.baseline import open_baseline
from quantgate.plugin.options import override
from quantgate.plugin.process.keeper import keeper
from quantgate.plugin.process.timeouts import CELL_TIMEOUT, GRACE
from quantgate.records.cell import Cell, Config
from quantgate.records.result import CellResult, unmeasured, with_shard
from quantgate.records.verdict import Verdict
from quantgate.subjects.code.source import source_of
from quantgate.subjects.registry import Registry

if TYPE_CHECKING:
    from quantgate.gate.controls import ControlStore
    from quantgate.gate.run import Gate
    from quantgate.trainers.foreign import ForeignGate


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
    #: The same before sharding: what all shards of this run are offered.
    whole: dict[Cell, None] = field(default_factory=dict)
    #: The subjects and optimizers of those cells' matrices before sharding; and whether a marker narrowed any of them.
    _names: set[str] = field(default_factory=set)
    _narrowed: bool = False
    #: What was registered when a test was first offered cells.
    _registered: tuple[str, ...] | None = None
    _results: dict[Cell, CellResult] = field(default_factory=dict)
    #: Why the cells of the gate itself (None) and those of each foreign trainer cannot be judged, once that is known.
    _invalid: dict[str | None, tuple[str, ...]] | None = None
    #: Seconds that what runs now may take.
    _seconds: float = CELL_TIMEOUT
    #: Why the folder that the processes of the run share cannot be used; empty where it can.
    _unusable: str = ""
    _is_kept: bool = False
    _control_limit: float = CELL_TIMEOUT
    _stores: dict[str | None, ControlStore] = field(default_factory=dict)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The matrix, or this shard of it, of what is registered by now."""
        return take_shard(self._matrix, self.settings.shard, self.settings.steps)

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
        cells = take_shard(whole, settings.shard, settings.steps)
        self.offered |= dict.fromkeys(cells)
        self.whole |= dict.fromkeys(whole)
        if self._registered is None:
            self._registered = self._all_registered()
        self._names |= {n for cell in whole for n in (cell.trainer or cell.subject, cell.optimizer)}
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
            self.whole.clear()
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
    def known_failures(self) -> KnownFailures:
        """The known failures of this run."""
        path = self.settings.known_failures
        if path is None:
            return KnownFailures()
        return known_failures.load(path, self._matrix, self.registry)

    @cached_property
    def baseline(self) -> Baseline | None:
        """What this run's cells are held against; None where nothing is, or where this run becomes the baseline."""
        found = open_baseline(self.settings)
        return None if self.settings.update_baseline else found

    @property
    def matrix_ids(self) -> list[str]:
        """The ids of the cells of the whole matrix, before sharding."""
        return [cell.id for cell in self._matrix]

    def _expected(self, result: CellResult) -> CellResult:
        """A result of this run, beside what was known of the cell before."""
        result = with_shard(result, self.shard)
        entry = self.known_failures.get(result.cell.id)
        if entry is not None and entry.excuses(result):
            result = replace(result, known=entry.to_record())
        return result if self.baseline is None else hold(self.baseline, result)

    @cached_property
    def config(self) -> Config:
        """How cells are trained and judged."""
        return matrix.config_of(self.settings)

    @cached_property
    def _gate(self) -> Gate:
        from quantgate.gate.run import Gate

        return Gate(self.config, self.registry)

    @cached_property
    def _foreign(self) -> ForeignGate:
        from quantgate.trainers.foreign import ForeignGate

        return ForeignGate(self.config, self.registry, self.folder, lambda: self._seconds)

    def _trains(self, trainer: str | None) -> Gate | ForeignGate:
        return self._gate if trainer is None else self._foreign

    def _store(self, trainer: str | None) -> ControlStore:
        """The controls of the gate itself or of a foreign trainer: what trains none of its own needs no torch."""
        if trainer not in self._stores:
            from quantgate.gate.controls import ControlStore

            # A trainer may take as long as the user lets its cells.
            limit = CELL_TIMEOUT if trainer is None else self._control_limit
            self._stores[trainer] = ControlStore(
                self.folder, self._trains(trainer), lambda control: self._keeping(control, limit)
            )
        return self._stores[trainer]

    @property
    def planned(self) -> list[Cell]:
        """The planned cells in the order of the matrix, not as dealt: the first one chooses the negative controls."""
        order = {cell: place for place, cell in enumerate(self.cells)}
        return sorted(set(self.plan.values()), key=lambda cell: (order.get(cell, len(order)), cell.id))

    def ensure_controls(self, limit: float = CELL_TIMEOUT) -> None:
        """Train the controls of all planned cells, or wait for other workers to; once in a process.

        Args:
            limit: Seconds that a cell of a foreign trainer may take, and so its controls.
        """
        if self._invalid is not None:
            return
        self._control_limit = limit
        planned: dict[str | None, list[Cell]] = {}
        for cell in self.planned:
            planned.setdefault(cell.trainer, []).append(cell)
        self._invalid = {trainer: self._ensured(trainer, cells) for trainer, cells in planned.items()}

    def _ensured(self, trainer: str | None, cells: Sequence[Cell]) -> tuple[str, ...]:
        try:
            return self._store(trainer).ensure(cells)
        except (ValueError, RuntimeError, AssertionError) as error:
            return (str(error),)
        except FolderError as error:
            self._unusable = str(error)
        except OSError as error:  # the lock files of the folder
            self._unusable = f"the folder {str(self.folder.path)!r} of the run: {error.strerror}"
        return (self._unusable,)

    def run(self, cell: Cell, limit: float = CELL_TIMEOUT) -> CellResult:
        """The result of a cell. Trained on the first call in a process, and kept.

        Args:
            cell: What is trained.
            limit: Seconds after which somebody else ends it; the watchdog does some time later.
        """
        if cell not in self._results:
            self.ensure_controls()
            self._results[cell] = self._expected(self._kept(cell, limit, self._run))
        return self._results[cell]

    def examine(self, cell: Cell, limit: float = CELL_TIMEOUT) -> CellResult:
        """The result of the probes of a cell alone."""
        return self._expected(self._kept(cell, limit, self._trains(cell.trainer).examine))

    def _kept(self, cell: Cell, limit: float, train: Callable[[Cell], CellResult]) -> CellResult:
        try:
            with self._keeping(cell, limit):
                return train(cell)
        except AstrayError as error:
            return self.unmeasured(cell, Verdict.CRASHED, f"{cell}: {error}")
        except FolderError as error:
            self._unusable = str(error)
            return self._of_invalid_run(cell, (self._unusable,))

    @contextmanager
    def _keeping(self, cell: Cell, limit: float) -> Iterator[None]:
        seconds = (limit if limit > 0 else CELL_TIMEOUT) + GRACE
        if self._is_kept:  # a control that a close call asks for, within its cell
            yield
            return
        self._is_kept = True
        self._seconds = seconds - GRACE
        try:
            if self.worker is None:
                with keeper().keeping(seconds, self.stderr):
                    yield
            else:
                with self.folder.doing(self.worker, cell) as log, keeper().keeping(seconds, log):
                    yield
        finally:
            self._is_kept = False

    def _run(self, cell: Cell) -> CellResult:
        if reasons := (self._invalid or {}).get(cell.trainer):
            return self._of_invalid_run(cell, reasons)
        if because := self._unlearned.get(cell.control):
            return self.unmeasured(cell, Verdict.UNJUDGED, because)
        return self._trains(cell.trainer).run(cell, self._store(cell.trainer).curve)

    def _of_invalid_run(self, cell: Cell, reasons: tuple[str, ...]) -> CellResult:
        """The controller is told of a folder that is at fault with the record, since there is no other way."""
        result = self.unmeasured(cell, Verdict.UNJUDGED, f"the run is invalid: {'; '.join(reasons)}")
        told = {"invalid": self._unusable} if self._unusable else {}
        return replace(result, evidence={**result.evidence, **told})

    @cached_property
    def _unlearned(self) -> dict[Cell, str]:
        return unlearned(self.folder.controls())

    @property
    def shard(self) -> str | None:
        """The shard as it was written, `2/8`."""
        return None if self.settings.shard is None else "/".join(map(str, self.settings.shard))

    def unmeasured(self, cell: Cell, verdict: Verdict, because: str) -> CellResult:
        """The result of a cell that has no score."""
        result = self._expected(unmeasured(cell, verdict, because, self.config))
        subject = self.registry.subjects().get(cell.subject)
        return result if subject is None else replace(result, source=source_of(subject))
