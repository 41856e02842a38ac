"""A run in one sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantgate.records.cell import Cell
from quantgate.records.run import RunRecord
from quantgate.records.verdict import Verdict
from quantgate.reports.story import by_cause, not_excused, tell
from quantgate.reports.words.headline import counted, headline
from tests.examples import learning, make_cell, make_result
from tests.reports.test_story import DONE, nine


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
        "look at what changed since; if it is meant, accept it.",
        "5.10 there, 5.31 here",
    )


def test_a_regression_beside_a_failure_is_counted_with_it() -> None:
    results = [make_result(), learning(make_cell(subject="int8"), baseline={"change": "regressed"})]

    assert headline(tell(results, run=DONE)) == (
        "2 formats fail (int8, mylib_int4): 2 of 2 cells, gradient-blocked; 1 regressed since the baseline"
    )


@pytest.mark.parametrize(
    ("verdict", "did"),
    [
        (Verdict.PARTIAL, "stopped learning"),
        (Verdict.LAGS, "lags behind float32"),
        (Verdict.FAULTY, "is faulty"),
        (Verdict.CRASHED, "crashed"),
        (Verdict.TIMEOUT, "never ended"),
        (Verdict.UNJUDGED, "was not judged"),
    ],
)
def test_it_says_what_the_format_did(verdict: Verdict, did: str) -> None:
    story = tell([make_result(verdict=verdict, cause=None)], run=DONE)

    assert headline(story) == f"mylib_int4 {did}: 1 of 1 cell"


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
        (RunRecord("finished", 2), "The run was interrupted: 1 of 1 cell judged, 1 of them pass"),
        (RunRecord(), "The run did not end: 1 of 1 cell judged, 1 of them pass"),
    ],
)
def test_what_is_none_of_the_formats_doing(run: RunRecord, expected: str) -> None:
    assert headline(tell([learning()], run=run)) == expected


def test_known_failures_are_no_failures() -> None:
    run = replace(DONE, exit_status=0, known={make_cell().id: {"reason": "a", "cause": "gradient-blocked"}})
    story = tell([make_result(), learning(make_cell(optimizer="sgd"))], run=run)

    assert headline(story) == "1 of 2 cells pass, 1 as it is known to fail"
    assert (story.fails, story.failing, len(story.known)) == (False, [], 1)


def test_what_became_of_the_cells() -> None:
    assert counted(tell([], run=replace(DONE, planned=2, ran=1, matrix=3))) == (
        "2 planned / 1 ran / 0 judged / 0 skipped; 2 of 3 cells were selected"
    )
    assert counted(tell([learning()])) == "1 record; the run's own record is not there or says unfinished"


LEARNS_NOW = {"pattern": "mylib_*", "reason": "issue 12", "cause": "sign-lost", "why": "learns"}


@pytest.mark.parametrize(
    ("optimizers", "expected"),
    [
        (("adamw",), "A known failure learns now (mylib_int4)"),
        (("adamw", "sgd"), "2 known failures learn now (mylib_int4)"),
    ],
)
def test_a_known_failure_that_learns_is_red_for_that(optimizers: tuple[str, ...], expected: str) -> None:
    story = tell([learning(make_cell(optimizer=each), unexcused=LEARNS_NOW) for each in optimizers], run=DONE)
    (group,) = by_cause(story.failing)

    assert headline(story) == expected
    assert (group.cause, len(group.members)) == ("known-failure-learns", len(optimizers))
    assert group.hint == "take its entry out of the file of known failures; narrow it, where it is a pattern."


def test_it_stands_behind_what_fails() -> None:
    results = [make_result(), learning(make_cell(subject="int8"), unexcused=LEARNS_NOW)]

    assert headline(tell(results, run=DONE)) == (
        "mylib_int4 stopped learning: 1 of 2 cells, gradient-blocked; a known failure learns now (int8)"
    )


def test_where_every_cell_learns_another_test_is_why_the_run_failed() -> None:
    assert (
        headline(tell([learning()], run=DONE))
        == "Every cell learns: 1 of 1, and a test failed for another reason"
    )


def test_an_interrupted_run_blames_no_cell_that_was_not_judged() -> None:
    lost = make_result(make_cell(optimizer="sgd"), verdict=Verdict.UNJUDGED, cause=None)
    run = RunRecord("finished", 2, planned=3)

    assert headline(tell([learning(), lost], run=run)) == (
        "The run was interrupted: 1 of 3 cells judged, 1 of them pass"
    )
    assert headline(tell([make_result(), lost], run=run)) == (
        "mylib_int4 stopped learning: 1 of 2 cells, gradient-blocked; interrupted, 1 of 3 cells judged, 0 of them pass"
    )


def test_a_verdict_that_says_it_is_not_said_again_as_a_cause() -> None:
    results = [
        make_result(make_cell(subject=each), verdict=Verdict.CRASHED, cause=None) for each in ("a", "b")
    ]

    assert headline(tell(results[:1], run=DONE)) == "a crashed: 1 of 1 cell"
    assert headline(tell(results, run=DONE)) == "2 formats fail (a, b): 2 of 2 cells, crashed"


def test_what_had_no_turn_stands_behind_what_fails() -> None:
    lost = make_result(make_cell(subject="int8"), verdict=Verdict.UNJUDGED, cause=None)

    assert headline(tell([make_result(), lost], run=DONE)) == (
        "mylib_int4 stopped learning: 1 of 2 cells, gradient-blocked; 1 not judged"
    )
    assert headline(
        tell([learning(unexcused=LEARNS_NOW), lost], run=RunRecord("finished", 2, planned=2))
    ) == ("A known failure learns now (mylib_int4); interrupted, 1 of 2 cells judged, 0 of them pass")


def test_an_entry_of_an_odd_record_is_none() -> None:
    assert not tell([learning(unexcused={})], run=DONE).failing
    assert not_excused(make_result(unexcused={"why": "over"})) == "known until None"
    assert not_excused(make_result(unexcused={"why": ["x"]})) is None
