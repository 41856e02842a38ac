"""The gate's session in one pytest process: its settings, plan and controls, and the results of its cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from quantgate.baselines.compare import hold
from quantgate.baselines.document import Baseline
from quantgate.gate.astray import AstrayError
from quantgate.gate.controls.aside import can_help, helping
from quantgate.gate.folder import FolderError, RunFolder
from quantgate.gate.loading import load_torch
from quantgate.gate.validity import unlearned
from quantgate.plan import known_failures, matrix
from quantgate.plan.known_failures import KnownFailures
from quantgate.plan.matrices import MATRICES
from quantgate.plan.resume import provenance
from quantgate.plan.settings import Settings
from quantgate.plugin.collected.offering import Offering
from quantgate.plugin.expected.baseline import open_baseline
from quantgate.plugin.process.keeper import keeper
from quantgate.plugin.process.timeouts import CELL_TIMEOUT, GRACE
from quantgate.records.cell import CONTROL_KINDS, Cell, Config
from quantgate.records.result import CellResult, unmeasured, with_shard
from quantgate.records.verdict import Verdict
from quantgate.subjects.code.source import source_of
from quantgate.subjects.registry import Registry

if TYPE_CHECKING:
    from quantgate.gate.controls.store import ControlStore
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

    @cached_property
    def offering(self) -> Offering:
        """What the tests of this process are offered."""
        return Offering(self.settings, self.registry)

    @cached_property
    def known_failures(self) -> KnownFailures:
        """The known failures of this run."""
        path = self.settings.known_failures
        if path is None:
            return KnownFailures()
        return known_failures.load(path, self.offering.matrix, self.registry)

    @cached_property
    def baseline(self) -> Baseline | None:
        """What this run's cells are held against; None where nothing is, or where this run becomes the baseline."""
        found = open_baseline(self.settings)
        return None if self.settings.update_baseline else found

    @property
    def matrix_ids(self) -> list[str]:
        """The ids of the cells of the whole matrix, before sharding."""
        return [cell.id for cell in self.offering.matrix]

    def _expected(self, result: CellResult) -> CellResult:
        """A result of this run, beside what was known of the cell before."""
        result = with_shard(result, self.shard)
        entry = self.known_failures.get(result.cell.id)
        if entry is not None and entry.excuses(result):
            result = replace(result, known=entry.to_record())
        elif entry is not None and (why := entry.unexcused(result)) is not None:
            result = replace(result, unexcused={**entry.to_record(), "why": why})
        return result if self.baseline is None else hold(self.baseline, result)

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
        load_torch()
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
            from quantgate.gate.controls.store import ControlStore

            # A trainer may take as long as the user lets its cells.
            limit = self.timeout if trainer is None else self._control_limit
            self._stores[trainer] = ControlStore(
                self.folder, self._trains(trainer), lambda control: self._keeping(control, limit)
            )
        return self._stores[trainer]

    @property
    def planned(self) -> list[Cell]:
        """The planned cells in the order of the matrix, not as dealt: the first one chooses the negative controls."""
        order = {cell: place for place, cell in enumerate(self.offering.cells)}
        return sorted(set(self.plan.values()), key=lambda cell: (order.get(cell, len(order)), cell.id))

    def ensure_controls(self, limit: float | None = None) -> None:
        """Train the controls of all planned cells, or wait for other workers to; once in a process.

        Args:
            limit: Seconds that a cell of a foreign trainer may take, and so its controls; None for the matrix' own.
        """
        if self._invalid is not None:
            return
        self._control_limit = self.timeout if limit is None else limit
        planned: dict[str | None, list[Cell]] = {}
        for cell in self.planned:
            planned.setdefault(cell.trainer, []).append(cell)
        self._invalid = {trainer: self._ensured(trainer, cells) for trainer, cells in planned.items()}

    def _ensured(self, trainer: str | None, cells: Sequence[Cell]) -> tuple[str, ...]:
        try:
            with self._helping(trainer, cells):
                return self._store(trainer).ensure(cells)
        except (ValueError, RuntimeError, AssertionError) as error:
            return (str(error),)
        except FolderError as error:
            self._unusable = str(error)
        except OSError as error:  # the lock files of the folder
            self._unusable = f"the folder {str(self.folder.path)!r} of the run: {error.strerror}"
        return (self._unusable,)

    def _helping(self, trainer: str | None, cells: Sequence[Cell]) -> AbstractContextManager[None]:
        alone = trainer is None and self.worker is None and not self.is_resumable
        if not (alone and can_help(self.config, [self.registry.optimizer(cell.optimizer) for cell in cells])):
            return nullcontext()
        return helping(self.folder, self.config, cells, self.timeout)

    def run(self, cell: Cell, limit: float) -> CellResult:
        """The result of a cell. Trained on the first call in a process, and kept.

        Args:
            cell: What is trained.
            limit: Seconds after which somebody else ends it; the watchdog does some time later.
        """
        if cell not in self._results:
            self.ensure_controls()
            self._results[cell] = self._expected(self._kept(cell, limit, self._run))
        return self._results[cell]

    def examine(self, cell: Cell, limit: float) -> CellResult:
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
        seconds = (limit if limit > 0 else self.timeout) + GRACE
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

    @property
    def is_resumable(self) -> bool:
        """Whether what an earlier run left in the report folder may be taken up."""
        return self.config.lane is not None and self.settings.report is not None

    def taker(self, tests: Mapping[Cell, str]) -> Callable[[CellResult], CellResult | None] | None:
        """Publishes a result of an earlier run if a run of these cells would train it again, to the last bit.

        Args:
            tests: The cells of this run, and what judges each.

        Returns:
            A function that gives such a result as this run has it, and None for any other; None where nothing of an
            earlier run may be taken up.
        """
        return partial(self._take, tests) if self.is_resumable else None

    def _take(self, tests: Mapping[Cell, str], result: CellResult) -> CellResult | None:
        cell = result.cell
        controls = {each.control for each in tests}
        if cell.kind == "negative-control":  # which have a width of their own
            controls = {replace(each, width=cell.width) for each in controls}
        is_control = cell.kind in CONTROL_KINDS and cell.control in controls
        if not ((cell in tests or is_control) and result.verdict.judged and result.provenance is not None):
            return None
        if result.provenance != provenance(cell, self.config, self.registry, self._corpus_sha256):
            return None
        # What the earlier run expected of the cell, and where its test stood, is not this run's.
        bare = replace(result, baseline=None, known=None, unexcused=None, test=None, shard=None)
        if is_control:
            self.folder.keep_control(bare)
            return bare
        self.folder.keep_taken(bare)
        return replace(self._expected(bare), test=tests[cell])

    @cached_property
    def _corpus_sha256(self) -> str:
        from quantgate.corpus import load

        return load(self.config.corpus).sha256

    def _run(self, cell: Cell) -> CellResult:
        if reasons := (self._invalid or {}).get(cell.trainer):
            return self._of_invalid_run(cell, reasons)
        if because := self._unlearned.get(cell.control):
            return self.unmeasured(cell, Verdict.UNJUDGED, because)
        trained = self.folder.taken(cell)
        return trained or self._trains(cell.trainer).run(cell, self._store(cell.trainer).curve)

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
