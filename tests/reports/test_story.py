"""What a run's records say: by cause, in order, and how to judge a cell again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quantgate.records.cell import Cell
from quantgate.records.result import CellResult
from quantgate.records.run import RunRecord
from quantgate.records.verdict import Verdict
from quantgate.reports.story import by_cause, rerun, short, tell, turned
from tests.examples import learning, make_cell, make_result

OPTIMIZERS = ("adamw", "muon", "sgd")
DONE = RunRecord(state="finished", exit_status=1)


def nine(**changes: Any) -> list[CellResult]:
    """Three formats under three optimizers, the sample's failing under all of them."""
    failing = [
        make_result(make_cell(optimizer=each), **{"cause": "sign-lost", **changes}) for each in OPTIMIZERS
    ]
    return failing + [
        learning(Cell(name, "format", each, 47)) for name in ("int4", "int8") for each in OPTIMIZERS
    ]


# what a cell is


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("regressed", "regressed since the baseline"),
        ("improved", "better than the baseline"),
        ("same", "as in the baseline"),
        ("new", "not in the baseline"),
        ("odd", "odd"),
    ],
)
def test_a_change_in_words(change: str, said: str) -> None:
    assert turned(learning(baseline={"change": change})) == said
    assert turned(learning()) is None


def test_a_record_may_say_itself_that_it_is_known() -> None:
    story = tell(
        [make_result(known={"reason": "issue 12", "cause": "gradient-blocked"})], run=RunRecord("finished", 0)
    )

    assert (story.failing, story.reason(story.known[0])) == ([], "issue 12")


def test_a_known_failure_by_another_cause_is_one() -> None:
    run = replace(DONE, known={make_cell().id: {"reason": "coarse", "cause": "resolution"}})

    assert len(tell([make_result()], run=run).failing) == 1


# order and groups


def test_cells_stand_in_the_order_of_the_matrix() -> None:
    run = replace(DONE, subjects=("mylib_int4", "int4", "int8"), optimizers=("sgd", "muon", "adamw"))
    results = nine()

    assert [(e.subject, e.optimizer) for e in tell(reversed(results), run=run).results][:4] == [
        ("mylib_int4", "sgd"),
        ("mylib_int4", "muon"),
        ("mylib_int4", "adamw"),
        ("int4", "sgd"),
    ]
    assert tell(results, run=run) == tell(reversed(results), run=run)


def test_causes_come_by_what_is_new_then_by_gravity_then_by_number() -> None:
    results = [
        make_result(make_cell(subject="a"), verdict=Verdict.LAGS, cause="resolution"),
        make_result(make_cell(subject="b"), cause="sign-lost"),
        make_result(make_cell(subject="c"), cause="gradient-blocked"),
        make_result(make_cell(subject="d"), cause="gradient-blocked"),
        make_result(
            make_cell(subject="e"), verdict=Verdict.LAGS, cause="no-op", baseline={"change": "regressed"}
        ),
    ]
    groups = by_cause(results)

    assert [group.cause for group in groups] == ["no-op", "gradient-blocked", "sign-lost", "resolution"]
    assert [part.subject for part in groups[1].parts] == ["c", "d"]


# again


def test_the_command_names_the_test_and_the_options() -> None:
    result = make_result(test="tests/test_lowbit.py::test_learns[mylib_int4-adamw-s47]")

    assert rerun(result, replace(DONE, options=("--quantgate-steps=20",))) == (
        "pytest 'tests/test_lowbit.py::test_learns[mylib_int4-adamw-s47]' --quantgate-steps=20"
    )
    assert rerun(make_result(), DONE) is None
    assert rerun(make_result(test="-k/test_a.py::test_b"), DONE) == "pytest ./-k/test_a.py::test_b"


def test_long_names_are_short() -> None:
    assert short("a" * 100) == f"{'a' * 39}…{'a' * 20}"
