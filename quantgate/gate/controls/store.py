"""The controls of a run. Each is trained once, by the first worker that needs it, and read by all.

A control is one result file in the run's folder, guarded by a file lock. A worker that finds a lock taken goes on to
the next control, so that the workers share the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from filelock import FileLock, Timeout

from quantgate.gate.astray import AstrayError
from quantgate.gate.folder import RunFolder
from quantgate.gate.validity import reasons_of, unlearned
from quantgate.records.cell import Cell, Config
from quantgate.records.result import CellResult, unmeasured
from quantgate.records.verdict import Curve, Verdict

#: How often a worker looks whether another has finished a control.
_POLL_SECONDS = 0.05


class Trains(Protocol):
    """What trains controls: the gate itself, or a trainer from elsewhere."""

    @property
    def config(self) -> Config: ...

    def negative_controls(
        self, cells: Sequence[Cell], unlearned: Collection[Cell] = ()
    ) -> tuple[Cell, ...]: ...

    def control(self, cell: Cell) -> CellResult: ...

    def negative(self, cell: Cell, control: Curve | None) -> CellResult: ...


class ControlStore:
    """Trains the missing controls of a run and reads the others.

    Args:
        folder: Shared by the processes of the run.
        gate: Trains them.
        keep: Entered while a control is trained, since a user's optimizer may run in it.
    """

    def __init__(
        self,
        folder: RunFolder,
        gate: Trains,
        keep: Callable[[Cell], AbstractContextManager[None]] = lambda control: nullcontext(),
    ) -> None:
        self.folder = folder
        self.gate = gate
        self.keep = keep
        self._curves: dict[Cell, Curve] = {}

    def ensure(self, cells: Sequence[Cell]) -> tuple[str, ...]:
        """Train the controls that these cells of one trainer need, or wait for other workers to.

        Returns:
            Why the run is invalid; empty where it is valid.
        """
        controls = dict.fromkeys(cell.control for cell in cells)
        self.train((*controls, *self.gate.negative_controls(cells)))
        # The first control that was taken for the negative ones may turn out not to learn.
        self.train(self.gate.negative_controls(cells, self.unlearned))
        if failure := self.folder.failure:
            return (failure,)
        return reasons_of(self.folder.controls(), cells[0].trainer if cells else None)

    @property
    def unlearned(self) -> dict[Cell, str]:
        """The controls so far that do not learn, each with the sentence that says so."""
        return unlearned(self.folder.controls())

    def train(self, controls: Sequence[Cell]) -> None:
        """Train these controls, but for those that other processes do; return when all are there."""
        pending = list(controls)
        while pending and self.folder.failure is None:
            left = [control for control in pending if not self._done(control)]
            if left and len(left) == len(pending):
                time.sleep(_POLL_SECONDS)
            pending = left

    def curve(self, cell: Cell) -> Curve:
        """The curve of a cell's float32 control (step, bits per byte); trains the control first if need be."""
        control = cell.control
        if control not in self._curves:
            with FileLock(self.folder.lock(control)):
                result = self.folder.control(control) or self._train(control)
            self._curves[control] = [(step, score) for step, score in result.curve if score is not None]
        return self._curves[control]

    def _done(self, control: Cell) -> bool:
        """Whether the control is there. Trains it, unless another process is doing so."""
        if self.folder.has_control(control):
            return True
        try:
            with FileLock(self.folder.lock(control), timeout=0):
                if not self.folder.has_control(control):
                    self._train(control)
            return True
        except Timeout:
            return False

    def _train(self, control: Cell) -> CellResult:
        if (deaths := self.folder.deaths(control)) and (any(deaths) or len(deaths) > 1):
            # It did not end, or killed two workers: another one would fare no better.
            verdict = Verdict.TIMEOUT if any(deaths) else Verdict.CRASHED
            result = unmeasured(control, verdict, "the workers that trained it were ended", self.gate.config)
            self.folder.keep_control(result)
            return result
        try:
            if control.kind == "control":
                with self.keep(control):
                    result = self.gate.control(control)
            else:
                # The gate's own have a width of their own, at which no float32 control is trained.
                curve = None if control.trainer is None else self.curve(control)
                with self.keep(control):
                    result = self.gate.negative(control, curve)
        except AstrayError as error:
            result = unmeasured(control, Verdict.CRASHED, str(error), self.gate.config)
        except (ValueError, RuntimeError, AssertionError) as error:
            # Outside every subject's code: the corpus, or a device that torch does not have.
            self.folder.fail(f"{control} cannot be trained: {error}")
            raise
        self.folder.keep_control(result)
        return result
