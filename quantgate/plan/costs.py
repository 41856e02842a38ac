"""What a cell costs, in milliseconds of one core: the measure by which shards are cut and cells are dealt.

Measured for every cell of the nightly matrix, and recorded in `tests/plan/seconds.csv`; from it, `python -m
tests.benchmarks.costs table tests/plan/seconds.csv` prints the tables below, and says how far they are off. What they
lack (an optimizer, a format, a recipe or a trainer of somebody's own) is taken for AdamW's, and for the usual format.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from quantgate.formats import BUILTIN
from quantgate.records.cell import DEFAULT_STEPS, NEGATIVE_WIDTH, Cell

#: Negative controls that each run trains, whatever it holds (`gate.controls.negative`).
NEGATIVE_CONTROLS = 3

#: The widths that were measured.
_NARROW, _WIDE = 64, 128
#: Before the first step and after the last, at these widths: the probes, the model, the scores.
_SETUP = (85.2, 218.6)
#: A step, by optimizer, at these widths.
_STEP = MappingProxyType(
    {
        "adamw": (7.32, 16.84),
        "muon": (9.08, 20.43),
        "sgd": (6.58, 16.40),
        "lion": (6.52, 16.40),
        "rmsprop": (6.62, 16.33),
        "adafactor": (6.98, 16.76),
    }
)
#: A control beside the usual cell: nothing in it is quantized, and few probes ask.
_CONTROL = 0.87
#: A cell of a family of formats beside the usual cell, by what its weights are stored in.
_FAMILY = MappingProxyType(
    {
        ("codebook", "master"): 1.03,
        ("float", "inplace"): 0.90,
        ("float", "master"): 1.00,
        ("goldenfloat", "inplace"): 0.98,
        ("goldenfloat", "master"): 1.01,
        ("int", "inplace"): 0.94,
        ("int", "master"): 0.98,
        ("mx", "master"): 0.96,
        ("nvfp4", "master"): 1.03,
        ("posit", "inplace"): 1.02,
        ("posit", "master"): 1.02,
    }
)


def cost(cell: Cell, steps: int = DEFAULT_STEPS) -> int:
    """Milliseconds of one core that a cell takes, its probes with it and its control without."""
    known = BUILTIN.get(cell.subject) if cell.kind == "format" else None
    factor = 1.0 if known is None else _FAMILY.get((known.family, cell.storage), 1.0)
    return max(1, round(factor * _usual(cell, steps)))


def control_cost(control: Cell, steps: int = DEFAULT_STEPS) -> int:
    """Milliseconds of one core that a control takes."""
    return max(1, round(_CONTROL * _usual(control, steps)))


def negative_cost(control: Cell, steps: int = DEFAULT_STEPS) -> int:
    """Milliseconds of one core that the negative controls of a run with this control take together."""
    return NEGATIVE_CONTROLS * control_cost(replace(control, width=NEGATIVE_WIDTH), steps)


def _usual(cell: Cell, steps: int) -> float:
    return _at(_SETUP, cell.width) + steps * _at(_STEP.get(cell.optimizer, _STEP["adamw"]), cell.width)


def _at(measured: tuple[float, float], width: int) -> float:
    """A cost at another width: a constant and a part that grows as its square.

    Only sums and products, which every machine rounds the same way: shards are cut on different ones.
    """
    narrow, wide = measured
    grows = (wide - narrow) / (_WIDE * _WIDE - _NARROW * _NARROW)
    return narrow + grows * (width * width - _NARROW * _NARROW)
