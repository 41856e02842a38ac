"""The folder that the processes of a run share, and every file in it.

The workers publish the plan and the controls here, and write down what ends the run for all of them; the controller
reads it. Each file is written whole and then renamed, so that nobody reads half of one. No torch, and no records until
there are some: every pytest run that has workers makes a folder, and few of them have a cell.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantgate.records.cell import Cell
    from quantgate.records.result import CellResult


@dataclass(frozen=True)
class RunFolder:
    """The shared folder of one run.

    Args:
        path: An existing folder that nothing else uses.
    """

    path: Path

    def publish_plan(self, cells: Mapping[str, Cell]) -> None:
        """Publish the collected cells by the node ids of their tests. Only the first call of a run has an effect."""
        if not self._plan.exists():
            self._write(self._plan, json.dumps({nodeid: asdict(cell) for nodeid, cell in cells.items()}))

    def plan(self) -> dict[str, Cell]:
        """The published cells by the node ids of their tests; empty where no process collected any."""
        if not self._plan.exists():
            return {}
        from quantgate.records.cell import Cell

        return {nodeid: Cell(**cell) for nodeid, cell in json.loads(self._plan.read_text("utf-8")).items()}

    def keep_control(self, result: CellResult) -> None:
        """Publish the result of a control or negative control."""
        from quantgate.records.result import to_line

        self._write(self._control(result.cell), to_line(result))

    def control(self, cell: Cell) -> CellResult | None:
        """The result of this control; None where it was not trained yet."""
        return _read_result(self._control(cell)) if self.has_control(cell) else None

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

    def mark_misuse(self) -> None:
        """Publish that this process met an invalid `lowbit` marker."""
        self._misuse.touch()

    @property
    def misused(self) -> bool:
        """Whether any process of this run met an invalid `lowbit` marker."""
        return self._misuse.exists()

    @property
    def _plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def _error(self) -> Path:
        return self.path / "error.txt"

    @property
    def _misuse(self) -> Path:
        return self.path / "misuse"

    def _control(self, control: Cell) -> Path:
        return self.path / f"{control.kind}-{control.id}.json"

    def _write(self, path: Path, text: str) -> None:
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(text, encoding="utf-8")
        part.replace(path)


def _read_result(path: Path) -> CellResult:
    from quantgate.records.result import CellResult

    return CellResult.from_record(json.loads(path.read_text("utf-8")))
