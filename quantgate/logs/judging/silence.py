"""Scores that stop while the steps go on: pandas writes NaN as an empty field, JSON as null, others not at all.

Rows without a score between those that have one are a logger's that scores every so many steps, and so is a tail of
them that is no longer than usual.
"""

from __future__ import annotations

from collections.abc import Sequence

from quantgate.logs.aggregate import Run

#: So many of the usual distances after the last score it is overdue: more than the one after which a loop may end, and
#: than the next of a logger that scores steps 1, 2, 4, 8 and so on.
OVERDUE = 2
#: Usual is what the last so many distances were: a run that was scored seldom at first may be scored often later.
RECENT = 10

HINT = (
    "pandas writes NaN as an empty field, JSON as null: it may have diverged there. Log NaN as a word; where scores "
    "were switched off, judge the log up to the last one."
)


def too_little(run: Run) -> str:
    """What is said of a run that has one score, or rows and no score in any of them."""
    if run.samples:
        return "too little to judge: one score; at least a first and a last one are needed."
    rows = 0 if run.blank is None else run.blank.rows
    return (
        f"no score in any of its {rows:,} rows: NaN from the first step on, as pandas writes it, or the wrong column; "
        "--columns bpb=COLUMN names another."
    )


def stopped(run: Run, final: float) -> str | None:
    """What is said of a run whose scores stop while its steps go on; None where no score is overdue."""
    distances = _distances(run)
    if run.blank is None or not distances:
        return None
    blank, last = run.blank, run.last_step
    usual = max(distances[-RECENT:])
    silent = blank.last - last
    # Where each row of a table had its score, the first that has none is the one that was NaN; a row before the first
    # score is one of the untrained model. Elsewhere one row alone may be an entry of the end of the training.
    if blank.empty and blank.rows == blank.before + blank.after:
        if silent < usual:
            return None
    elif blank.after == 1 or silent <= max(OVERDUE * usual, _growing(distances)):
        return None
    which = "scores" if usual == max(distances) else f"the last {RECENT} scores"
    return (
        f"no score after step {last:,} ({final:.2f}), while its steps go on to {blank.last:,}; until then, {which} "
        f"were at most {usual:,} step{'s' * (usual != 1)} apart."
    )


def _distances(run: Run) -> list[int]:
    """The steps from each score to the next, in order; those of a stretch as if they were even, at most `RECENT`."""
    found: list[int] = []
    for place, stretch in enumerate(run.stretches):
        if place:
            found.append(stretch.first - run.stretches[place - 1].last)
        if stretch.steps > 1:
            even = -((stretch.first - stretch.last) // (stretch.steps - 1))
            found += [even] * min(stretch.steps - 1, RECENT)
    return found


def _growing(distances: Sequence[int]) -> float:
    """The distance that comes next where each is longer than the one before: scores at steps 1, 10, 100 and so on."""
    if len(distances) < 3 or not distances[-3] < distances[-2] < distances[-1]:
        return 0
    return distances[-1] ** 2 / distances[-2]
