"""Provenance: equal where nothing changed that a result depends on, and known of built-in subjects alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quantgate.plan import resume
from quantgate.plan.matrices import LONG
from quantgate.plan.resume import provenance
from quantgate.records.cell import Cell, Config
from quantgate.records.verdict import Limits
from quantgate.subjects.registry import Registry

CELL = Cell("gf4", "format", "adamw", 47, 128, lane="long")
TEXT = "ab" * 32


def of(
    cell: Cell = CELL, config: Config = LONG, registry: Registry | None = None, text: str = TEXT
) -> str | None:
    return provenance(cell, config, registry or Registry(), text)


def test_it_is_the_same_where_nothing_changed() -> None:
    found = of()

    assert found is not None
    assert len(found) == 64
    assert of(replace(CELL)) == found
    assert of(config=replace(LONG, width=64)) == found  # the width is the cell's


@pytest.mark.parametrize(
    "changed",
    [
        {"cell": replace(CELL, seed=89)},
        {"cell": replace(CELL, optimizer="muon")},
        {"cell": CELL.control},
        {"config": replace(LONG, steps=1999)},
        {"config": replace(LONG, lr=1e-3)},
        {"config": replace(LONG, limits=Limits(2.9, 6.9))},
        {"config": replace(LONG, schedule=None)},
        {"text": "cd" * 32},
    ],
)
def test_it_changes_with_what_the_result_depends_on(changed: dict[str, Any]) -> None:
    assert of(**changed) not in {None, of()}


@pytest.mark.parametrize(
    ("name", "value"),
    [("version", lambda package: "0"), ("cpu", lambda: "another"), ("_code", lambda: "changed")],
)
def test_it_changes_with_libraries_machine_and_code(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = of()
    monkeypatch.setattr(resume, name, value)

    assert of() not in {None, before}


def test_it_changes_with_the_kernels_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of()
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")

    assert of() not in {None, before}


def test_it_is_not_known_of_users_code_of_accelerators_and_of_other_lanes() -> None:
    registry = Registry()
    registry.register_optimizer("mine", lambda model, lr: [])

    assert of(replace(CELL, subject="mylib.quant:int4@4")) is None
    assert of(replace(CELL, subject="mine", kind="recipe")) is None
    assert of(replace(CELL, optimizer="mine"), registry=registry) is None
    assert of(config=replace(LONG, device="cuda")) is None
    assert of(replace(CELL, lane=None)) is None
