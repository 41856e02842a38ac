"""The shards of a matrix: parts of about equal time, the controls that each must train counted in."""

from __future__ import annotations

from collections.abc import Sequence

from quantgate.plan.costs import control_cost, cost
from quantgate.records.cell import DEFAULT_STEPS, Cell

#: Negative controls that each shard trains, whatever it holds (`gate.negative`).
NEGATIVE_CONTROLS = 3


def take_shard(
    cells: Sequence[Cell], shard: tuple[int, int] | None, steps: int = DEFAULT_STEPS
) -> tuple[Cell, ...]:
    """The k-th of n shards, for a shard (k, n), in the order of the matrix; empty where there are fewer shards."""
    if shard is None:
        return tuple(cells)
    k, n = shard
    shards = split(cells, n, steps)
    return shards[k - 1] if k <= len(shards) else ()


def split(cells: Sequence[Cell], n: int, steps: int = DEFAULT_STEPS) -> tuple[tuple[Cell, ...], ...]:
    """At most `n` shards, none of them empty, whose longest is as short as can be.

    The cells that share a control stand in one row, the longest first, and the row is cut where a shard is full: so at
    most n - 1 controls are trained twice. What is full is found by bisection. All is computed in whole milliseconds,
    and is the same in every process.
    """
    if not cells:
        return ()
    groups: dict[Cell, list[int]] = {}
    costs = [cost(cell, steps) for cell in cells]
    for place, cell in enumerate(cells):
        groups.setdefault(cell.control, []).append(place)
    row = [
        (place, costs[place], control, control_cost(control, steps))
        for control in sorted(groups, key=lambda each: (each.width, each.seed, each.optimizer))
        for place in sorted(groups[control], key=lambda each: (-costs[each], each))
    ]
    low = max(seconds + (1 + NEGATIVE_CONTROLS) * control for _, seconds, _, control in row)
    high = low + sum(seconds for _, seconds, _, _ in row) + sum(control_cost(each, steps) for each in groups)
    while low < high:
        middle = (low + high) // 2
        if len(_fill(row, middle)) <= n:
            high = middle
        else:
            low = middle + 1
    return tuple(tuple(cells[place] for place in sorted(part)) for part in _fill(row, low))


def _fill(row: Sequence[tuple[int, int, Cell, int]], full: int) -> list[list[int]]:
    """The row cut into parts that take at most so long."""
    parts: list[list[int]] = []
    load, last = full + 1, None
    for place, seconds, control, control_seconds in row:
        more = seconds + (0 if control == last else control_seconds)
        if load + more > full:
            parts.append([])
            load, more = NEGATIVE_CONTROLS * control_seconds, seconds + control_seconds
        parts[-1].append(place)
        load, last = load + more, control
    return parts


def makespan(shards: Sequence[Sequence[Cell]], steps: int = DEFAULT_STEPS) -> int:
    """Milliseconds that the longest shard takes on one core, its controls with it."""
    return max((duration(shard, steps) for shard in shards), default=0)


def duration(cells: Sequence[Cell], steps: int = DEFAULT_STEPS) -> int:
    """Milliseconds that these cells take on one core, with the controls that a run of them trains."""
    controls = dict.fromkeys(cell.control for cell in cells)
    negative = min(controls, key=lambda each: each.width, default=None)
    return (
        sum(cost(cell, steps) for cell in cells)
        + sum(control_cost(control, steps) for control in controls)
        + (0 if negative is None else NEGATIVE_CONTROLS * control_cost(negative, steps))
    )
