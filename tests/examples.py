"""Cells and results that tests of several modules start from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from quantgate.records.cell import Cell
from quantgate.records.result import CellResult, canon_name
from quantgate.records.verdict import Verdict

#: The cell of DESIGN.md's sample.
CELL = Cell("mylib_int4", "format", "adamw", 47)


def make_cell(**changes: Any) -> Cell:
    """The sample's cell with these changes."""
    return replace(CELL, **changes)


def make_result(cell: Cell = CELL, **changes: Any) -> CellResult:
    """The result of DESIGN.md's sample, of this cell, with these changes."""
    result = CellResult(
        subject=cell.subject,
        kind=cell.kind,
        format=cell.subject,
        optimizer=cell.optimizer,
        seed=cell.seed,
        width=cell.width,
        steps=100,
        lr=2e-4,
        storage=cell.storage,
        scope=cell.scope,
        bpb_initial=7.03,
        bpb=6.94,
        bpb_control=5.09,
        gap=1.85,
        verdict=Verdict.DEAD,
        cause="gradient-blocked",
        hint="round() has no gradient; use x + (q(x) - x).detach().",
        evidence={
            "because": "the gradient is 0 for 7 of 7 weights where the reference straight-through "
            "estimator's is not."
        },
        curve=((0, 7.03), (50, 7.01), (100, 6.94)),
        seconds=0.5,
        corpus={"name": "builtin", "sha256": "ab" * 32},
        environment={"torch": "2.13.0", "threads": 1},
        quantgate="0.1.0",
        canon_name=canon_name(cell, 2e-4),
    )
    return replace(result, **changes)


def learning(cell: Cell = CELL, **changes: Any) -> CellResult:
    """A result of this cell that learns."""
    healthy: dict[str, Any] = {
        "bpb": 5.1,
        "gap": 0.01,
        "verdict": Verdict.LEARNS,
        "cause": None,
        "hint": None,
        "evidence": {},
        "curve": ((0, 7.03), (100, 5.1)),
    }
    return make_result(cell, **{**healthy, **changes})
