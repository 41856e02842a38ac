"""Scores that stop while the steps go on: pandas writes NaN as an empty field, JSON as null, others not at all.

Rows without a score between those that have one are a logger's that scores every so many steps, and so is a tail of
them that is no longer than usual.
"""

from __future__ import annotations

from itertools import pairwise

from quantgate.logs.aggregate import Run

#: So many of the usual distances after the last score it is overdue: more than the one after which a loop may end, and
#: than the next of a logger that scores steps 1, 2, 4, 8 and so on.
OVERDUE = 2

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
    blank, last, usual = run.blank, run.last_step, _usual(run)
    if blank is None or usual is None:
        return None
    # Where each row of a table had its score, the first that has none is the one that was NaN.
    every_row = blank.empty and blank.first > last
    if blank.last - last < usual if every_row else blank.last - last <= OVERDUE * usual:
        return None
    return (
        f"no score after step {last:,} ({final:.2f}), while its steps go on to {blank.last:,}; until then, scores were "
        f"at most {usual:,} step{'s' * (usual != 1)} apart."
    )


def _usual(run: Run) -> int | None:
    """The longest distance between scores; None where there is one alone."""
    between = [after.first - before.last for before, after in pairwise(run.stretches)]
    within = [-((s.first - s.last) // (s.steps - 1)) for s in run.stretches if s.steps > 1]
    return max((*between, *within), default=None)
