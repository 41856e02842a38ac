"""The order in which cells are handed to workers, by how long cells take."""

from __future__ import annotations

from collections.abc import Sequence

from quantgate.plan.costs import cost
from quantgate.records.cell import DEFAULT_STEPS, Cell


def deal(cells: Sequence[Cell], workers: int, steps: int = DEFAULT_STEPS) -> list[int]:
    """The order in which to hand out cells, as indices into `cells`: longest first, in strides of `workers`.

    pytest-xdist hands out contiguous chunks. In this order each chunk mixes long and short cells.
    """
    costs = [cost(cell, steps) for cell in cells]
    longest_first = sorted(range(len(cells)), key=lambda place: -costs[place])
    return [place for k in range(workers) for place in longest_first[k::workers]]
