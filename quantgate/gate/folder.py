"""The folder that the processes of a run share, and every file in it.

The workers publish the plan and the controls here, and write down what ends the run for all of them; the controller
reads it. Each file is written whole and then renamed, so that nobody reads half of one. No torch, and no records until
there are some: every pytest run that has workers makes a folder, and few of them have a cell.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from quantgate.records.cell import Cell
    from quantgate.records.result import CellResult


class FolderError(Exception):
    """The folder that the processes of a run share cannot be written to: a full disk."""


@dataclass(frozen=True)
class RunFolder:
    """The shared folder of one run.

    Args:
        path: A folder that nothing else uses; `make` makes it.
    """

    path: Path

    def make(self) -> None:
        """Make the folder, for this user alone, unless another process of the run did."""
        self.path.mkdir(mode=0o700, exist_ok=True)

    def publish_plan(
        self, cells: Mapping[str, Cell], offered: Iterable[Cell], whole: Iterable[str] = ()
    ) -> None:
        """Publish the selected cells by the node ids of their tests, and every cell that could have been selected.

        Only the first call of a run has an effect.

        Args:
            cells: The selected ones.
            offered: Those of this shard.
            whole: The ids of all of the run's, of which this may be one shard.
        """
        if not self._plan.exists():
            plan = {
                "selected": {nodeid: asdict(cell) for nodeid, cell in cells.items()},
                "offered": [asdict(cell) for cell in offered],
                "whole": list(whole),
            }
            self._write(self._plan, json.dumps(plan))

    def plan(self) -> tuple[dict[str, Cell], dict[Cell, None]]:
        """What `publish_plan` was given; empty where no process collected any cells."""
        if not self._plan.exists():
            return {}, {}
        from quantgate.records.cell import Cell

        plan = json.loads(self._plan.read_text("utf-8"))
        selected = {nodeid: Cell(**cell) for nodeid, cell in plan["selected"].items()}
        return selected, dict.fromkeys(Cell(**cell) for cell in plan["offered"])

    def whole(self) -> tuple[str, ...]:
        """The ids of the whole run's cells, as `publish_plan` was given them."""
        return tuple(json.loads(self._plan.read_text("utf-8"))["whole"]) if self._plan.exists() else ()

    @property
    def is_planned(self) -> bool:
        """Whether a process published its plan, be it empty."""
        return self._plan.exists()

    def keep_control(self, result: CellResult) -> None:
        """Publish the result of a control or negative control."""
        from quantgate.records.result import to_line

        self._write(self._control(result.cell), to_line(result))

    def control(self, cell: Cell) -> CellResult | None:
        """The result of this control; None where it was not trained yet."""
        return _read_result(self._control(cell)) if self.has_control(cell) else None

    def keep_taken(self, result: CellResult) -> None:
        """Publish the result of a cell that an earlier run trained, and that this one need not."""
        from quantgate.records.result import to_line

        self._write(self._taken(result.cell), to_line(result))

    def taken(self, cell: Cell) -> CellResult | None:
        """The result of an earlier run that is this cell's; None where it is to be trained."""
        path = self._taken(cell)
        return _read_result(path) if path.exists() else None

    def has_control(self, cell: Cell) -> bool:
        """Whether this control was trained."""
        return self._control(cell).exists()

    def controls(self) -> list[CellResult]:
        """Every control and negative control so far, in an order that does not depend on who trained them."""
        found = map(_read_result, self.path.glob("*control-*.json"))
        return sorted(found, key=lambda c: (c.kind, c.subject, c.width, c.seed, c.optimizer))

    def lock(self, control: Cell) -> Path:
        """The lock file that is held while this control is trained."""
        return self.path / f"{control.kind}-{control.id}.lock"

    def fail(self, reason: str) -> None:
        """Publish why no control can be trained: a corpus or a device that cannot be used."""
        self._write(self._error, reason)

    @property
    def failure(self) -> str | None:
        """Why no control could be trained; None if nothing failed."""
        return self._error.read_text("utf-8") if self._error.exists() else None

    def text(self, name: str, text: bytes) -> Path:
        """The path of a text for programs that read files, written by the first process that needs it."""
        path = self.path / name
        if not path.exists():
            part = path.with_suffix(f".{os.getpid()}")
            part.write_bytes(text)
            part.replace(path)
        return path

    def mark_misuse(self, reason: str) -> None:
        """Publish how this process found the gate misused: an invalid `lowbit` marker, a format registered too late."""
        self._write(self._misuse, reason)

    @property
    def misuse(self) -> str | None:
        """How a process of this run found the gate misused; None where none did."""
        return self._misuse.read_text("utf-8") if self._misuse.exists() else None

    @contextmanager
    def doing(self, worker: str, cell: Cell) -> Iterator[IO[str]]:
        """Publish what a worker trains, for as long as it does: what is left behind, its death left.

        Yields:
            The file in which its watchdog may write where it stood.

        Raises:
            FolderError: The disk is full.
        """
        note, trace = self._doing(worker), self._doing(worker).with_suffix(".trace")
        self._write(note, json.dumps(asdict(cell)))
        try:
            log = trace.open("w", encoding="utf-8")
        except OSError as error:
            note.unlink(missing_ok=True)
            raise self._unusable(error) from error
        try:
            with log:
                yield log
        finally:  # which a worker that is ended from outside does not come to
            note.unlink(missing_ok=True)
            trace.unlink(missing_ok=True)

    def died_in(self, worker: str) -> tuple[Cell, str] | None:
        """What a dead worker was training, and what its watchdog wrote; None where it trained nothing."""
        note = self._doing(worker)
        if not note.exists():
            return None
        from quantgate.records.cell import Cell

        trace = note.with_suffix(".trace")
        log = trace.read_text("utf-8", errors="replace") if trace.exists() else ""
        return Cell(**json.loads(note.read_text("utf-8"))), log

    def deaths(self, control: Cell) -> list[str]:
        """What the watchdogs of the workers wrote that died in this control; to be asked by who holds its lock."""
        found = (self.died_in(note.stem.removeprefix("doing-")) for note in self.path.glob("doing-*.json"))
        return [death[1] for death in found if death is not None and death[0] == control]

    def _doing(self, worker: str) -> Path:
        return self.path / f"doing-{worker}.json"

    @property
    def _plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def _error(self) -> Path:
        return self.path / "error.txt"

    @property
    def _misuse(self) -> Path:
        return self.path / "misuse.txt"

    def _taken(self, cell: Cell) -> Path:
        return self.path / f"taken-{cell.id}.json"

    def _control(self, control: Cell) -> Path:
        return self.path / f"{control.kind}-{control.id}.json"

    def _write(self, path: Path, text: str) -> None:
        part = path.with_suffix(f".{os.getpid()}")
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> FolderError:
        return FolderError(f"the folder {str(self.path)!r} of the run cannot be written to: {error.strerror}")


def _read_result(path: Path) -> CellResult:
    from quantgate.records.result import CellResult

    return CellResult.from_record(json.loads(path.read_text("utf-8")))
