"""Samples by the million become some hundreds of stretches a run: one statement, which every database runs.

A stretch is a sixteenth of an octave of steps: of a run of 20,000 steps that logs each, the last holds 1,024, and steps
up to 32 have one each. Stretches of two runs are the same steps, so that curves can be compared, and how many there are
does not depend on how many samples there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import gcd
from typing import Any

from quantgate.logs.names import KEY, Key, completed

#: Steps below it are a stretch each; above, each octave has half as many stretches.
_FINE = 32
#: Steps are 64-bit integers.
_OCTAVES = 57
#: What a row has in the place of a score: one, be it finite or not; nothing; or no such place.
SCORED, EMPTY, ABSENT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Stretch:
    """The samples of some steps in a row; a score that is not finite is none, and counted."""

    first: int
    last: int
    count: int
    #: How many steps they are at the most; fewer than samples where a step is logged twice.
    steps: int
    mean: float | None
    low: float | None
    high: float | None
    bad: int = 0
    first_bad: int | None = None
    #: Where in the log they stand, the first and the last of them; None where a log has no order.
    begins: int | None = None
    ends: int | None = None


@dataclass(frozen=True, slots=True)
class Blank:
    """The rows of a run that have a step and no score."""

    first: int
    last: int
    rows: int
    #: How many of them stand before the first score, and how many after the last one; all where there is none.
    before: int
    after: int
    #: Whether the place of the score was there and empty, as in a table; else the row may be of something else.
    empty: bool


@dataclass(frozen=True)
class Run:
    """One training, as logged."""

    key: Key
    stretches: tuple[Stretch, ...]
    #: The time of its first sample in seconds; None where the log keeps none.
    began: float | None = None
    #: Whether it came from one file, whose lines have an order.
    one_file: bool = True
    #: Its rows without a score; None where each has one.
    blank: Blank | None = None

    @property
    def samples(self) -> int:
        """How many scores it has."""
        return sum(stretch.count for stretch in self.stretches)

    @property
    def last_step(self) -> int:
        """The last step that has a score."""
        return self.stretches[-1].last


def statement(source: str, keys: Collection[str] = KEY) -> str:
    """The query over a relation with `step`, `score`, `ord`, `ts`, `source` and these of the columns of `KEY`.

    `blank` is a column of it too: SCORED, EMPTY or ABSENT. It counts no distinct steps, for which a database would
    sort: `runs` derives them.
    """
    grouped = [*(key for key in KEY if key in keys), "stretch", "blank"]
    shown = ", ".join(key if key in keys else "''" for key in KEY)
    return (
        f"SELECT {shown}, {_bucket(0, _OCTAVES)} AS stretch, min(step), max(step), count(*), avg(score), min(score), "
        "max(score), sum(CASE WHEN score IS NULL THEN 1 ELSE 0 END), min(CASE WHEN score IS NULL THEN step END), "
        "min(ord), max(ord), min(ts), min(source), max(source), blank "
        f"FROM {source} AS samples WHERE step IS NOT NULL AND step >= 0 "
        f"GROUP BY {', '.join(grouped)} ORDER BY {', '.join(grouped)}"
    )


def _bucket(low: int, high: int) -> str:
    """SQL of the first step of a step's stretch, by halving the octaves: six comparisons find one of 57."""
    if high - low == 1:
        return f"step - step % {1 << low}" if low else "step"
    middle = (low + high) // 2
    lower, upper = _bucket(low, middle), _bucket(middle, high)
    return f"CASE WHEN step < {_FINE << (middle - 1)} THEN {lower} ELSE {upper} END"


def runs(rows: Iterable[Sequence[Any]]) -> Iterator[Run]:
    """The runs of the statement's rows, one at a time."""
    width = len(KEY)
    for values, group in groupby(rows, key=lambda row: tuple(row[:width])):
        members = list(group)
        scored = [row for row in members if row[-1] == SCORED]
        stretches = _stretches([row[width + 1 :] for row in scored])
        blank = _blank([row[width + 1 :] for row in members if row[-1] != SCORED], stretches)
        stretches = stretches or _unscored(blank)
        if not stretches:
            continue
        times = [row[-4] for row in members if row[-4] is not None]
        yield Run(
            key=completed(Key(*("" if value is None else str(value) for value in values))),
            stretches=stretches,
            began=float(min(times)) if times else None,
            one_file=len({place for row in scored for place in row[-3:-1]}) <= 1,
            blank=blank,
        )


def _blank(rows: Sequence[Sequence[Any]], scored: Sequence[Stretch]) -> Blank | None:
    """The rows without a score, beside those that have one."""
    if not rows:
        return None
    spans = [(int(row[0]), int(row[1]), int(row[2])) for row in rows]
    none = spans[0][0] - 1
    start, end = (scored[0].first, scored[-1].last) if scored else (none, none)
    return Blank(
        first=min(first for first, _, _ in spans),
        last=max(last for _, last, _ in spans),
        rows=sum(count for _, _, count in spans),
        before=sum(count for _, last, count in spans if last < start),
        # Of a stretch that begins before the last score, one row at least comes after it.
        after=sum(count if first > end else 1 for first, last, count in spans if last > end),
        empty=any(row[-1] == EMPTY for row in rows),
    )


def _unscored(blank: Blank | None) -> tuple[Stretch, ...]:
    """A run that never had a score; rows without the place of one are a log of something else."""
    if blank is None or not blank.empty:
        return ()
    return (Stretch(blank.first, blank.last, 0, 0, None, None, None),)


def _stretches(rows: Sequence[Sequence[Any]]) -> tuple[Stretch, ...]:
    # The interval at which the trainer logs: what divides all steps but the first and the last, which may stand apart.
    firsts = [int(row[0]) for row in rows][1:]
    interval = (
        gcd(*(b - a for a, b in pairwise(firsts)), *(int(row[1]) - int(row[0]) for row in rows[:-1])) or 1
    )
    return tuple(_stretch(row, interval) for row in rows)


def _stretch(row: Sequence[Any], interval: int) -> Stretch:
    first, last, count, mean, low, high, bad, first_bad, begins, ends = row[:10]
    first, last, count = int(first), int(last), int(count)
    return Stretch(
        first,
        last,
        count,
        min(count, -((first - last) // interval) + 1),
        _number(mean),
        _number(low),
        _number(high),
        int(bad),
        None if first_bad is None else int(first_bad),
        begins,
        ends,
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
