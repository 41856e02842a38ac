"""The order in which cells are handed to workers, and the shards of a matrix, by how long cells take."""

from __future__ import annotations

from collections.abc import Sequence

from quantgate.records.cell import DEFAULT_WIDTH, Cell

#: Time of a cell relative to AdamW's, measured at width 64.
_RELATIVE_TIME = {"muon": 1.4}


def take_shard(cells: Sequence[Cell], shard: tuple[int, int] | None) -> tuple[Cell, ...]:
    """The k-th of n shards of about equal time, for a shard (k, n).

    Cells that share a control are kept together, so that each shard trains few controls.
    """
    if shard is None:
        return tuple(cells)
    k, n = shard
    grouped = sorted(cells, key=lambda cell: (cell.trainer or "", cell.width, cell.seed, cell.optimizer))
    total = sum(map(relative_time, grouped))
    taken, passed = [], 0.0
    for cell in grouped:
        middle = passed + relative_time(cell) / 2
        passed += relative_time(cell)
        if int(middle / total * n) == k - 1:
            taken.append(cell)
    return tuple(taken)


def relative_time(cell: Cell) -> float:
    """How long a cell takes, relative to a cell of AdamW at the default width."""
    return (cell.width / DEFAULT_WIDTH) * _RELATIVE_TIME.get(cell.optimizer, 1.0)


def deal(cells: Sequence[Cell], workers: int) -> list[int]:
    """The order in which to hand out cells, as indices into `cells`: longest first, in strides of `workers`.

    pytest-xdist hands out contiguous chunks. In this order each chunk mixes long and short cells.
    """
    longest_first = sorted(range(len(cells)), key=lambda place: -relative_time(cells[place]))
    return [place for k in range(workers) for place in longest_first[k::workers]]
