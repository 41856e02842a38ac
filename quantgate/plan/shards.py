"""The shards of a matrix: parts of about equal time, the controls that each must train counted in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from quantgate.plan.costs import control_cost, cost, negative_cost
from quantgate.records.cell import DEFAULT_STEPS, Cell


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

    The cells that share a control stand in one row, the longest first, and the row is cut where a shard is full; what
    is full is found by bisection. At most two controls a shard are trained elsewhere too. All is computed in whole
    milliseconds, and is the same in every process.
    """
    parts = _cut(_row(cells, steps), n)
    return tuple(tuple(cells[place] for place in sorted(part)) for part in parts if part)


@dataclass(frozen=True)
class _Job:
    place: int
    seconds: int
    control: Cell
    control_seconds: int
    negative_seconds: int


def _row(cells: Sequence[Cell], steps: int) -> list[_Job]:
    groups: dict[Cell, list[_Job]] = {}
    for place, cell in enumerate(cells):
        control = cell.control
        taken = control_cost(control, steps), negative_cost(control, steps)
        job = _Job(place, cost(cell, steps), control, *taken)
        groups.setdefault(control, []).append(job)
    return [
        job
        for control in sorted(
            groups, key=lambda each: (each.trainer or "", each.width, each.seed, each.optimizer)
        )
        for job in sorted(groups[control], key=lambda each: (-each.seconds, each.place))
    ]


def _cut(row: Sequence[_Job], n: int) -> list[tuple[int, ...]]:
    """The row dealt out in order to `n` parts, such that the longest is as short as can be."""
    low = 0
    high = sum(job.seconds + job.control_seconds + job.negative_seconds for job in row)
    while low < high:
        middle = (low + high) // 2
        if _fill(row, n, middle) is None:
            low = middle + 1
        else:
            high = middle
    return _fill(row, n, low) or []


def _fill(row: Sequence[_Job], n: int, full: int) -> list[tuple[int, ...]] | None:
    """Places of the parts that hold the row, none of them longer than `full`; None where `n` of them do not.

    A part that the next job does not fit into takes the longest of the same control that does.
    """
    parts = []
    pending = [list(jobs) for _, jobs in groupby(row, key=lambda job: job.control)]
    for _ in range(n):
        places: list[int] = []
        room = full
        while pending:
            first = pending[0][0]
            left = room - first.control_seconds - (0 if places else first.negative_seconds)
            taken = set()
            for job in pending[0]:
                if job.seconds <= left:
                    taken.add(job.place)
                    left -= job.seconds
            if not taken:
                break
            places += taken
            room = left
            pending[0] = [job for job in pending[0] if job.place not in taken]
            if pending[0]:
                break
            pending.pop(0)
        parts.append(tuple(places))
    return None if pending else parts


def makespan(shards: Sequence[Sequence[Cell]], steps: int = DEFAULT_STEPS) -> int:
    """Milliseconds that the longest shard takes on one core, its controls with it."""
    return max((duration(shard, steps) for shard in shards), default=0)


def duration(cells: Sequence[Cell], steps: int = DEFAULT_STEPS) -> int:
    """Milliseconds that these cells take on one core, with the controls that a run of them trains."""
    controls = dict.fromkeys(cell.control for cell in cells)
    return (
        sum(cost(cell, steps) for cell in cells)
        + sum(control_cost(control, steps) for control in controls)
        + sum(negative_cost(control, steps) for control in list(controls)[:1])
    )
