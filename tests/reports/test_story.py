"""What a run's records say: in one sentence, by cause, in order, and how to judge a cell again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quantgate.records.cell import Cell
from quantgate.records.result import CellResult
from quantgate.records.run import RunRecord
from quantgate.records.verdict import Verdict
from quantgate.reports.story import by_cause, counted, headline, rerun, short, tell, turned
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


# the headline


def test_one_format() -> None:
    assert headline(tell(nine(), run=DONE)) == "mylib_int4 stopped learning: 3 of 9 cells, sign-lost"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (("regressed", "regressed", "regressed"), "; regressed since the baseline"),
        (("regressed", "same", "same"), "; 1 regressed since the baseline"),
        (("same", "same", "same"), "; as in the baseline"),
        (("new", "new", "new"), "; not in the baseline yet"),
    ],
)
def test_what_became_of_it_since_the_baseline(changes: tuple[str, ...], expected: str) -> None:
    results = nine()
    compared = [
        replace(each, baseline={"change": change}) for each, change in zip(results, changes, strict=False)
    ]

    said = headline(tell(compared + results[3:], run=DONE))
    assert said == f"mylib_int4 stopped learning: 3 of 9 cells, sign-lost{expected}"


def test_a_cell_that_learns_and_is_worse_than_its_baseline_fails() -> None:
    worse = {"change": "regressed", "because": "5.10 there, 5.31 here"}
    story = tell([learning(baseline=worse), learning(make_cell(optimizer="sgd"))], run=DONE)
    (group,) = by_cause(story.failing)

    assert headline(story) == "mylib_int4 got worse than its baseline: 1 of 2 cells"
    assert (len(story.failing), len(story.passing)) == (1, 1)
    assert (group.cause, group.summary, group.hint, group.parts[0].because) == (
        "regressed",
        "It learns, and is worse than its baseline by more than rounding explains.",
        "if it is meant, accept it with quantgate baseline accept; if not, look at what changed since.",
        "5.10 there, 5.31 here",
    )


def test_a_regression_beside_a_failure_is_counted_with_it() -> None:
    results = [make_result(), learning(make_cell(subject="int8"), baseline={"change": "regressed"})]

    assert headline(tell(results, run=DONE)) == (
        "2 formats fail (int8, mylib_int4): 2 of 2 cells, gradient-blocked; 1 regressed since the baseline"
    )


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


@pytest.mark.parametrize(
    ("verdict", "did"),
    [
        (Verdict.PARTIAL, "stopped learning"),
        (Verdict.LAGS, "lags behind float32"),
        (Verdict.FAULTY, "is faulty"),
        (Verdict.NO_OP, "changes nothing"),
        (Verdict.CRASHED, "crashed"),
        (Verdict.TIMEOUT, "never ended"),
        (Verdict.UNJUDGED, "was not judged"),
    ],
)
def test_it_says_what_the_format_did(verdict: Verdict, did: str) -> None:
    story = tell([make_result(verdict=verdict, cause=None)], run=DONE)

    assert headline(story) == f"mylib_int4 {did}: 1 of 1 cell, {verdict}"


def test_many_formats_and_causes_are_counted() -> None:
    results = [
        make_result(Cell(f"f{place}", "format", "adamw", 47), cause=f"cause{place}") for place in range(5)
    ]

    assert headline(tell(results, run=DONE)) == (
        "5 formats fail (f0, f1, f2 and 2 more): 5 of 5 cells, cause0, cause1, cause2 and 2 more"
    )


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (RunRecord("finished", 0), "Every cell learns: 1 of 1"),
        (
            RunRecord("finished", 70, problems=("a control",)),
            "The run is invalid: the machine or the gate is at fault, not the formats",
        ),
        (RunRecord("finished", 4, problems=("unknown format",)), "Nothing was judged: unknown format"),
        (RunRecord("finished", 1, problems=("0 cells were judged",)), "0 cells were judged"),
        (RunRecord("finished", 2), "The run did not end: 1 cell judged until then"),
        (RunRecord(), "The run did not end: 1 cell judged until then"),
    ],
)
def test_what_is_none_of_the_formats_doing(run: RunRecord, expected: str) -> None:
    assert headline(tell([learning()], run=run)) == expected


def test_known_failures_are_no_failures() -> None:
    run = replace(DONE, exit_status=0, known={make_cell().id: {"reason": "a", "cause": "gradient-blocked"}})
    story = tell([make_result(), learning(make_cell(optimizer="sgd"))], run=run)

    assert headline(story) == "1 of 2 cells pass, 1 as it is known to fail"
    assert (story.fails, story.failing, len(story.known)) == (False, [], 1)


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


def test_counts_and_names_are_short() -> None:
    assert counted(tell([], run=replace(DONE, planned=2, ran=1, matrix=3))) == (
        "2 planned / 1 ran / 0 judged / 0 skipped; 2 of 3 cells were selected"
    )
    assert counted(tell([learning()])) == "1 record; the run's own record is not there or says unfinished"
    assert short("a" * 100) == f"{'a' * 39}…{'a' * 20}"
