from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quantgate.gate.controls.store import ControlStore
from quantgate.gate.folder import RunFolder
from quantgate.records.cell import Cell, Config
from quantgate.records.result import CellResult
from quantgate.subjects.registry import Registry
from quantgate.trainers.foreign import ForeignGate

#: Declares a trainer and gives the record of one of its cells.
Judge = Callable[..., CellResult]


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    """`judge(command, format="int8", seconds=30, ...)`: the cell beside its control, run in the test's folder."""
    monkeypatch.chdir(tmp_path)
    folder = RunFolder(tmp_path / "run")
    folder.make()

    def judged(
        command: list[str], format: str = "int8", *, seconds: float = 30.0, **declared: Any
    ) -> CellResult:
        registry = Registry()
        registry.register_trainer("t", command, formats=[format], optimizers=["adamw"], **declared)
        gate = ForeignGate(Config(), registry, folder, lambda: seconds)
        return gate.run(Cell(f"t:{format}", "trainer", "adamw", 47), ControlStore(folder, gate).curve)

    yield judged
    assert [path.name for path in folder.path.iterdir() if path.is_dir()] == [], "a dump was left"
