"""Reports of shards, as runs leave them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from quantgate.records.cell import Cell
from quantgate.records.closing import Closing, Plan
from quantgate.records.result import CellResult, to_line
from quantgate.records.verdict import Verdict
from tests.examples import learning, make_cell, make_result

CELLS = tuple(make_cell(subject=name, optimizer=by) for name in ("int4", "int8") for by in ("adamw", "sgd"))
PLAN = Plan(tuple(cell.id for cell in CELLS), {"steps": 100})


def control(cell: Cell, *, learns: bool = True) -> CellResult:
    return learning(cell.control) if learns else make_result(cell.control, cause=None, verdict=Verdict.DEAD)


def negative(cell: Cell, *, fails: bool = True) -> CellResult:
    broken = make_cell(subject="dead-body", kind="negative-control", optimizer=cell.optimizer)
    return make_result(broken) if fails else learning(broken)


def report(folder: Path, results: Iterable[CellResult], closing: Closing | None = None, **said: Any) -> Path:
    """A report folder of these records, closed unless `closing=False` cuts it."""
    results = list(results)
    folder.mkdir(parents=True)
    lines = [to_line(result) for result in results]
    if said.pop("closed", True):
        own = [each for each in results if "control" not in each.kind]
        counts = {"planned": len(own), "ran": len(own), "judged": len(own)}
        lines.append((closing or Closing(PLAN, **{"exit_status": 0, **counts, **said})).to_line())
    (folder / "results.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def halves(base: Path, **second: Any) -> tuple[Path, Path]:
    """A run in two shards, cut between optimizers; `second` changes the closing of the second."""
    adamw, sgd = (tuple(cell for cell in CELLS if cell.optimizer == name) for name in ("adamw", "sgd"))
    return (
        report(base / "a", [*map(learning, adamw), control(adamw[0]), negative(adamw[0])], shard="1/2"),
        report(
            base / "b", [*map(learning, sgd), control(sgd[0]), negative(sgd[0])], **{"shard": "2/2", **second}
        ),
    )
