"""Where a cell stepped."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from quantgate.history.series import Point, Step, by_series, find_steps
from quantgate.records.verdict import Verdict
from tests.history.runs import BEGUN

FIRST = Point(
    cell="int8-adamw-s47", kind="format", canon_name="IGLA", branch="main", steps=100, sha="a", ended=BEGUN, run="0",
    bpb=5.22, verdict=Verdict.LEARNS, cause=None, because=None, setting=(("torch", "2.13.0"),),
)  # fmt: skip


def points(*found: tuple[float | None, str]) -> list[Point]:
    """A run a day, each of another commit."""
    return [
        replace(FIRST, bpb=bpb, verdict=Verdict(verdict), sha=chr(97 + day), run=str(day),
                ended=BEGUN + timedelta(days=day))
        for day, (bpb, verdict) in enumerate(found)
    ]  # fmt: skip


def told(steps: tuple[Step, ...]) -> list[tuple[str, str | None, str | None, str | None]]:
    return [
        (step.kind, step.before.sha, step.after.sha, None if step.mended is None else step.mended.sha)
        for step in steps
    ]


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        ([(5.22, "learns")], []),
        ([(5.22, "learns"), (5.235, "learns"), (5.21, "learns")], []),
        ([(5.22, "learns"), (7.0, "dead"), (7.0, "dead")], [("regressed", "a", "b", None)]),
        (
            [(5.22, "learns"), (7.0, "dead"), (5.23, "learns")],
            [("regressed", "a", "b", "c"), ("mended", "b", "c", None)],
        ),
        # Better than dead is not yet as good as before.
        (
            [(5.22, "learns"), (7.0, "dead"), (6.0, "learns")],
            [("regressed", "a", "b", None), ("mended", "b", "c", None)],
        ),
        ([(5.22, "learns"), (5.25, "learns")], [("regressed", "a", "b", None)]),
        ([(5.22, "learns"), (5.19, "learns")], [("improved", "a", "b", None)]),
        ([(5.22, "learns"), (5.22, "faulty")], [("regressed", "a", "b", None)]),
        ([(5.22, "learns"), (None, "crashed")], [("regressed", "a", "b", None)]),
        ([(7.0, "dead"), (None, "crashed")], [("changed", "a", "b", None)]),
        ([(6.6, "partial"), (7.0, "dead")], [("regressed", "a", "b", None)]),
        # A drift of 0.015 a run: no two neighbours differ much.
        ([(5.2, "learns"), (5.215, "learns"), (5.23, "learns")], [("regressed", "b", "c", None)]),
        # What was not judged says nothing.
        ([(5.22, "learns"), (None, "unjudged"), (7.0, "dead")], [("regressed", "a", "c", None)]),
        ([(None, "unjudged")], []),
        (
            [(None, "crashed"), (5.2, "learns"), (5.3, "learns")],
            [("mended", "a", "b", None), ("regressed", "b", "c", None)],
        ),
    ],
)  # fmt: skip
def test_steps(found: list[tuple[float | None, str]], steps: list[object]) -> None:
    assert told(find_steps(points(*found))) == steps


def test_what_else_changed_is_said() -> None:
    before, after = points((5.22, "learns"), (7.0, "dead"))
    after = replace(after, sha="a", setting=(("torch", "2.14.0"),))

    (step,) = find_steps([before, after])
    assert step.also == ("the commit is the same", "torch 2.13.0 -> 2.14.0")


def test_branches_steps_and_kinds_are_series_of_their_own() -> None:
    one, other = points((5.22, "learns"), (7.0, "dead"))
    apart = [
        one,
        replace(other, branch="mine"),
        replace(other, steps=200),
        replace(other, kind="control"),
    ]

    assert [len(series) for series in by_series(apart)] == [1] * 4


def test_a_series_is_in_the_order_of_time() -> None:
    found = points((5.22, "learns"), (7.0, "dead"), (7.0, "dead"))

    (series,) = by_series([found[2], found[0], found[1]])
    assert [point.sha for point in series] == ["a", "b", "c"]
