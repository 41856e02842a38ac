"""The negative controls of a run."""

from __future__ import annotations

from quantgate.gate.controls.negative import negative_controls
from quantgate.records.cell import Cell


def test_negative_controls_take_the_optimizer_and_seed_of_the_first_cell_of_the_default_width() -> None:
    cells = (
        Cell("int4", "format", "sgd", 89, 128),
        Cell("int4", "format", "sgd", 89),
        Cell("a", "format", "lion", 1),
    )

    assert {(c.kind, c.optimizer, c.seed, c.width) for c in negative_controls(cells)} == {
        ("negative-control", "sgd", 89, 16)
    }
    assert negative_controls(()) == ()
