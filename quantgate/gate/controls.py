"""The controls of a run: trained once, by whichever worker comes first, and read by all.

They lie as one result record a file in the run's shared folder, each behind a file lock. A worker that finds a
lock taken goes on to the next control, so that the workers of a run share the work. The controller reads them
without torch.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from quantgate.records.cell import Cell
from quantgate.records.result import CellResult, to_line
from quantgate.records.verdict import Curve

if TYPE_CHECKING:
    from quantgate.gate.cell import Gate

#: How often a worker looks whether another has finished a control.
_POLL_SECONDS = 0.05
#: What an error that is nobody's verdict is written to: a corpus or a device that cannot be used.
_ERROR_FILE = "error.txt"


class ControlStore:
    """The controls in one folder.

    Args:
        folder: Shared by the processes of the run, and by nothing else.
        gate: Trains them.
    """

    def __init__(self, folder: Path, gate: Gate) -> None:
        self.folder = folder
        self.gate = gate
        self._curves: dict[Cell, Curve] = {}

    def ensure(self, cells: Sequence[Cell]) -> tuple[str, ...]:
        """Train what is missing for these cells, wait for the rest; why the run is invalid, if it is."""
        from quantgate.gate.cell import negative_controls

        controls = dict.fromkeys((*(cell.control for cell in cells), *negative_controls(cells)))
        pending = list(controls)
        while pending and not (self.folder / _ERROR_FILE).exists():
            left = [control for control in pending if not self._done(control)]
            if left and len(left) == len(pending):
                time.sleep(_POLL_SECONDS)
            pending = left
        if error := read_error(self.folder):
            return (error,)
        return invalid_reasons(read_controls(self.folder))

    def curve(self, cell: Cell) -> Curve:
        """The control's curve for a cell, trained now if it was not yet."""
        control = cell.control
        if control not in self._curves:
            with FileLock(self._lock(control)):
                result = self._read(control) or self._train(control)
            self._curves[control] = [(step, score) for step, score in result.curve if score is not None]
        return self._curves[control]

    def _done(self, control: Cell) -> bool:
        """Whether the control is there; it is trained now unless another process is at it."""
        if self._path(control).exists():
            return True
        try:
            with FileLock(self._lock(control), timeout=0):
                if not self._path(control).exists():
                    self._train(control)
            return True
        except Timeout:
            return False

    def _train(self, control: Cell) -> CellResult:
        try:
            if control.kind == "control":
                result = self.gate.control(control)
            else:
                result = self.gate.assess(control, self.gate.train(control), self.curve(control))
        except (ValueError, RuntimeError, AssertionError) as error:
            # Outside every subject's code: the corpus, or a device that torch does not have.
            _write(self.folder / _ERROR_FILE, f"{control} cannot be trained: {error}")
            raise
        _write(self._path(control), to_line(result))
        return result

    def _read(self, control: Cell) -> CellResult | None:
        path = self._path(control)
        return CellResult.from_record(json.loads(path.read_text("utf-8"))) if path.exists() else None

    def _path(self, control: Cell) -> Path:
        return self.folder / f"{control.kind}-{control.id}.json"

    def _lock(self, control: Cell) -> Path:
        return self.folder / f"{control.kind}-{control.id}.lock"


def read_controls(folder: Path) -> list[CellResult]:
    """Every control and negative control of a run, in an order that does not depend on who trained them."""
    paths = folder.glob("*control-*.json")
    controls = [CellResult.from_record(json.loads(path.read_text("utf-8"))) for path in paths]
    return sorted(controls, key=lambda c: (c.kind, c.subject, c.width, c.seed, c.optimizer))


def read_error(folder: Path) -> str | None:
    """Why no control could be trained at all; None where nothing stood in the way."""
    path = folder / _ERROR_FILE
    return path.read_text("utf-8") if path.exists() else None


def invalid_reasons(results: Sequence[CellResult]) -> tuple[str, ...]:
    """Why a run with these controls and negative controls proves nothing; empty where it does."""
    reasons = []
    for result in results:
        score = "no score" if result.bpb is None else f"{result.bpb:.2f} BPB"
        because = "" if result.verdict.judged else f": {result.evidence.get('because')}"
        if result.kind == "control" and not result.verdict.passes:
            reasons.append(
                f"the float32 control of {result.cell} does not learn ({result.verdict}, {score}){because}"
            )
        if result.kind == "negative-control" and result.verdict.passes:
            reasons.append(f"the negative control {result.cell}, broken on purpose, learns ({score})")
        elif result.kind == "negative-control" and not result.verdict.judged:
            reasons.append(f"the negative control {result.cell} proves nothing ({result.verdict}){because}")
    return tuple(reasons)


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
