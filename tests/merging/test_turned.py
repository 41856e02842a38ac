"""Cells that turned, and the issue that says so."""

from __future__ import annotations

from quantgate.merging.turned import issue, turned
from quantgate.records.verdict import Verdict
from tests.examples import learning, make_cell, make_result
from tests.merging.shards import CELLS

GOOD, BAD = [learning(cell) for cell in CELLS], [make_result(cell) for cell in CELLS]


def test_a_cell_turns_where_it_passes_no_longer_or_again() -> None:
    turns = turned([GOOD[0], BAD[1], BAD[2], GOOD[3]], [BAD[0], GOOD[1], BAD[2], GOOD[3]])

    assert [(turn.id, turn.before, str(turn.now.verdict), turn.is_worse) for turn in turns] == [
        ("int4-adamw-s47", "learns", "dead", True),
        ("int4-sgd-s47", "dead", "learns", False),
    ]


def test_a_new_cell_counts_where_it_fails_and_a_gone_one_never() -> None:
    assert [turn.before for turn in turned([], [BAD[0], GOOD[1]])] == ["new"]
    assert turned([BAD[0], GOOD[1]], []) == []


def test_a_cell_that_was_lost_turned() -> None:
    (turn,) = turned([GOOD[0]], [make_result(CELLS[0], verdict=Verdict.CRASHED, bpb=None, cause=None)])

    assert turn.is_worse


def test_the_issue_is_a_table() -> None:
    assert issue(turned([GOOD[0], BAD[1]], [BAD[0], GOOD[1]])) == (
        "1 cell stopped learning, 1 learn again.\n"
        "\n"
        "| cell | before | now | BPB | control | cause |\n"
        "|---|---|---|---|---|---|\n"
        "| `int4-adamw-s47` | learns | dead | 6.94 | 5.09 | gradient-blocked |\n"
        "| `int4-sgd-s47` | dead | learns | 5.10 | 5.09 |  |\n"
    )


def test_names_from_outside_are_names_and_no_more() -> None:
    hostile = make_cell(subject="`@team | <img src=x> \x1b[2J\u202e\n::error::")
    (row,) = issue(turned([], [make_result(hostile, cause="[x](http://y) @all <b>")])).splitlines()[4:]

    assert row == (
        r"| `'@team / <img src=x> \x1b[2J\u202e\n::error::-adamw-s47` | new | dead | 6.94 | 5.09 | xhttpy all b |"
    )


def test_a_long_issue_says_how_many_it_leaves_out() -> None:
    now = [make_result(make_cell(seed=seed)) for seed in range(103)]

    assert issue(turned([], now)).endswith("\n3 more are in the report.\n")
