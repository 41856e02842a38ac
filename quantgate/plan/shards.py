"""The shards of a matrix: parts of about equal time, the controls that each must train counted in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

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

    The cells that share a control stand in one row, the longest first, and the row is cut where a shard is full; what
    is full is found by bisection. The narrowest cells are cut first, and the others fill what these leave: a shard with
    a narrow cell has narrow negative controls. At most two controls a shard are trained elsewhere too. All is computed
    in whole milliseconds, and is the same in every process.
    """
    narrowest = min((cell.width for cell in cells), default=0)
    narrow = _row(cells, [place for place, cell in enumerate(cells) if cell.width == narrowest], steps)
    wide = _row(cells, [place for place, cell in enumerate(cells) if cell.width > narrowest], steps)
    parts = _cut(narrow, [_Part() for _ in range(n)])
    parts = _cut(wide, parts)
    return tuple(tuple(cells[place] for place in sorted(part.places)) for part in parts if part.places)


@dataclass(frozen=True)
class _Job:
    place: int
    seconds: int
    control: Cell
    control_seconds: int


@dataclass(frozen=True)
class _Part:
    """A shard so far: the places of its cells, and what they and their controls take."""

    places: tuple[int, ...] = ()
    load: int = 0


def _row(cells: Sequence[Cell], places: Sequence[int], steps: int) -> list[_Job]:
    groups: dict[Cell, list[_Job]] = {}
    for place in places:
        control = cells[place].control
        job = _Job(place, cost(cells[place], steps), control, control_cost(control, steps))
        groups.setdefault(control, []).append(job)
    return [
        job
        for control in sorted(
            groups, key=lambda each: (each.trainer or "", each.width, each.seed, each.optimizer)
        )
        for job in sorted(groups[control], key=lambda each: (-each.seconds, each.place))
    ]


def _cut(row: Sequence[_Job], parts: Sequence[_Part]) -> list[_Part]:
    """The parts with the row dealt out in order, such that the longest is as short as can be."""
    low = max((part.load for part in parts), default=0)
    high = low + sum(job.seconds + (1 + NEGATIVE_CONTROLS) * job.control_seconds for job in row)
    while low < high:
        middle = (low + high) // 2
        if _fill(row, parts, middle) is None:
            low = middle + 1
        else:
            high = middle
    return _fill(row, parts, low) or list(parts)


def _fill(row: Sequence[_Job], parts: Sequence[_Part], full: int) -> list[_Part] | None:
    """The parts with the row added, none of them longer than `full`; None where they do not hold it.

    A part that the next job does not fit into takes the longest of the same control that does.
    """
    places, loads = [list(part.places) for part in parts], [part.load for part in parts]
    pending = [list(jobs) for _, jobs in groupby(row, key=lambda job: job.control)]
    for part in range(len(parts)):
        while pending:
            first = pending[0][0]
            controls = 1 + (0 if places[part] else NEGATIVE_CONTROLS)
            room = full - loads[part] - controls * first.control_seconds
            taken = []
            for job in pending[0]:
                if job.seconds <= room:
                    taken.append(job.place)
                    room -= job.seconds
            if not taken:
                break
            places[part] += taken
            loads[part] = full - room
            held = set(taken)
            pending[0] = [job for job in pending[0] if job.place not in held]
            if pending[0]:
                break
            pending.pop(0)
    if pending:
        return None
    return [_Part(tuple(held), load) for held, load in zip(places, loads, strict=True)]


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
