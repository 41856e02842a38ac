"""The statement that makes stretches of samples, in SQLite, and what is derived of its rows."""

from __future__ import annotations

import sqlite3

import pytest

from quantgate.logs.aggregate import ABSENT, EMPTY, Blank, Run, runs, statement
from quantgate.logs.names import Key

#: (name, step, score, where it stands).
Sample = tuple[str, int, float | None, int | None]

SOURCE = (
    "(SELECT name, '' AS format, '' AS optimizer, '' AS seed, '' AS width, '' AS lr, '' AS sha, '' AS run, step, "
    "score, ord, NULL AS ts, 'a.log' AS source, blank FROM logged)"
)


def aggregated(samples: list[Sample], blanks: list[tuple[int, int]] | None = None) -> list[Run]:
    """The runs of these samples, and of rows of a run `a` that have a step, and `blank` in place of a score."""
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE logged (name text, step int, score real, ord int, blank int)")
        connection.executemany("INSERT INTO logged VALUES (?, ?, ?, ?, 0)", samples)
        connection.executemany("INSERT INTO logged VALUES ('a', ?, NULL, NULL, ?)", blanks or [])
        return list(runs(connection.execute(statement(SOURCE))))


@pytest.mark.parametrize(
    ("step", "first", "after"),
    [
        (0, 0, 1),
        (31, 31, 32),
        (32, 32, 34),
        (63, 62, 64),
        (64, 64, 68),
        (2000, 1984, 2048),
        (20_000, 19_456, 20_480),
    ],
)
def test_a_stretch_is_a_sixteenth_of_an_octave(step: int, first: int, after: int) -> None:
    around: list[Sample] = [
        ("a", each, 7.0, None) for each in (first - 1, first, step, after - 1, after) if each >= 0
    ]
    (run,) = aggregated(list(dict.fromkeys(around)))

    assert (first, after - 1) in [(stretch.first, stretch.last) for stretch in run.stretches]


@pytest.mark.parametrize("octave", range(1, 61))
def test_there_are_stretches_of_every_size(octave: int) -> None:
    step = 1 << octave
    (run,) = aggregated(
        [("a", step - 1, 7.0, None), ("a", step, 6.0, None), ("a", step + (step >> 5), 5.0, None)]
    )

    assert run.stretches[-1].last == step + (step >> 5)
    assert 2 <= len(run.stretches) <= 3


def test_a_long_run_has_some_hundred_stretches() -> None:
    (run,) = aggregated([("a", step, 7.0, None) for step in range(100_000)])

    assert run.samples == 100_000
    assert run.last_step == 99_999
    assert len(run.stretches) == 217


def test_each_stretch_says_its_scores_and_what_is_none() -> None:
    (run,) = aggregated([("a", 1000, 3.0, 1), ("a", 1010, None, 2), ("a", 1020, 5.0, 3)])
    (stretch,) = run.stretches

    assert (stretch.mean, stretch.low, stretch.high, stretch.bad, stretch.first_bad) == (
        4.0,
        3.0,
        5.0,
        1,
        1010,
    )
    assert (stretch.begins, stretch.ends) == (1, 3)


@pytest.mark.parametrize("interval", [1, 10, 100])
def test_steps_that_are_logged_twice_are_counted_by_the_interval(interval: int) -> None:
    once: list[Sample] = [("a", step, 7.0, None) for step in range(0, 20_000, interval)]
    again: list[Sample] = [("a", step, 6.0, None) for step in range(10_000, 12_000, interval)]

    # Many a trainer logs its first step and its last apart.
    apart: list[Sample] = [("a", 1, 7.0, None), ("a", 20_007, 7.0, None)] if interval > 1 else []
    (whole,) = aggregated([*once, *apart])
    (twice,) = aggregated([*once, *again])

    assert all(stretch.steps == stretch.count for stretch in whole.stretches)
    assert any(stretch.steps < stretch.count for stretch in twice.stretches)


def test_runs_are_told_by_all_that_identifies_them() -> None:
    found = aggregated([(name, step, 7.0, None) for step in (0, 10) for name in ("b", "a", "int4-sgd-s47")])

    assert [run.key for run in found] == [Key("a"), Key("b"), Key("int4-sgd-s47", "int4", "sgd", "47")]


def test_rows_without_a_score_are_counted_apart() -> None:
    (run,) = aggregated([("a", step, 7.0, step) for step in range(0, 101, 10)], [(5, 2), (120, 1), (400, 1)])

    assert (run.samples, run.last_step) == (11, 100)
    assert run.blank == Blank(first=5, last=400, rows=3, before=0, after=2, empty=True)
    assert all(stretch.bad == 0 for stretch in run.stretches)


def test_a_run_that_never_had_a_score_is_one_where_its_place_is_empty() -> None:
    (run,) = aggregated([], [(0, EMPTY), (10, EMPTY)])

    assert (run.samples, run.last_step, run.stretches[0].mean) == (0, 10, None)
    assert aggregated([], [(0, ABSENT), (10, ABSENT)]) == []
