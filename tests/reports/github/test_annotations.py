"""Annotations, compared as whole lines."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from quantgate.records.cell import Cell
from quantgate.records.run import RunRecord
from quantgate.records.verdict import Verdict
from quantgate.reports.github.annotations import error_lines
from quantgate.reports.story import tell
from tests.examples import hostile_results, learning, make_cell, make_result
from tests.reports.test_story import DONE, nine


def test_one_for_a_cause_at_the_line_of_the_quantizer() -> None:
    test = "tests/test_lowbit.py::test_learns[mylib_int4-adamw-s47]"
    results = nine(cause="gradient-blocked", source="src/mylib/quant.py:12", test=test)

    assert error_lines(tell(results, run=DONE)) == [
        "::error file=src/mylib/quant.py,line=12,title=quantgate%3A gradient-blocked::"
        "mylib_int4 x adamw, muon, sgd: 3 of 9 cells (dead)%0A"
        "the gradient is 0 for 7 of 7 weights where the reference straight-through estimator's is not.%0A"
        "Hint: round() has no gradient; use x + (q(x) - x).detach().%0A"
        "Again: pytest 'tests/test_lowbit.py::test_learns[mylib_int4-adamw-s47]'"
    ]


def test_subjects_of_one_cause_and_place_share_it() -> None:
    results = [make_result(make_cell(subject=f"f{place}"), source="a.py:1") for place in range(7)]
    results.append(make_result(make_cell(subject="other"), source="b.py:2"))
    first, second = error_lines(tell(results, run=DONE))

    title = "title=quantgate%3A gradient-blocked"
    assert first.startswith(
        f"::error file=a.py,line=1,{title}::f0, f1, f2, f3, f4 and 2 more x adamw: 7 of 8 "
    )
    assert second.startswith("::error file=b.py,line=2,")


def test_without_a_place_there_is_none() -> None:
    (line,) = error_lines(tell([make_result()], run=DONE))

    assert line.startswith(
        "::error title=quantgate%3A gradient-blocked::mylib_int4 x adamw: 1 of 1 cell (dead)%0A"
    )


def test_what_was_not_judged_is_not_laid_to_its_code() -> None:
    (line,) = error_lines(
        tell([make_result(verdict=Verdict.UNJUDGED, cause=None, source="a.py:1")], run=DONE)
    )

    assert line.startswith("::error title=quantgate%3A unjudged::")


def test_a_green_run_and_known_failures_have_none() -> None:
    known = {make_cell().id: {"reason": "coarse", "cause": "gradient-blocked"}}

    assert error_lines(tell([learning()], run=RunRecord("finished", 0))) == []
    assert error_lines(tell([make_result()], run=RunRecord("finished", 0, known=known))) == []


@pytest.mark.parametrize("status", [4, 70])
def test_a_run_that_judged_nothing_has_one(status: int) -> None:
    unjudged = [make_result(verdict=Verdict.UNJUDGED, cause=None)]
    (line,) = error_lines(
        tell(unjudged, run=RunRecord("finished", status, problems=("first, 50%", "second")))
    )

    assert line.startswith("::error title=quantgate::")
    assert line.endswith("%0Afirst, 50%25%0Asecond")


def test_problems_beside_the_cells_are_said() -> None:
    lines = error_lines(
        tell([make_result()], run=replace(DONE, problems=("1 of 2 planned cells were judged",)))
    )

    assert lines[1:] == ["::error title=quantgate::1 of 2 planned cells were judged"]


def test_there_are_ten_at_most_and_the_last_counts_the_others() -> None:
    results = [make_result(Cell(f"f{n:02}", "format", "adamw", 47), cause=f"cause-{n:02}") for n in range(25)]
    lines = error_lines(tell(results, run=DONE))

    assert len(lines) == 10
    assert lines[-1] == (
        "::error title=quantgate::25 formats fail (f00, f01, f02 and 22 more): 25 of 25 cells, cause-00, cause-01, "
        "cause-02 and 22 more; and 16 more errors"
    )


def test_texts_from_outside_end_no_command_and_begin_none() -> None:
    for result in hostile_results():
        (line,) = error_lines(tell([result], run=DONE))

        assert line.isprintable()
        command, _, message = line.removeprefix("::error ").partition("::")
        assert re.fullmatch(r"(file=[^,:]*,line=12,)?title=[^,:]*", command)
        assert "##[" not in line
        assert not re.search(r"%(?!25|0A|3A|2C)", line)
        assert not re.search(r"%0A\s*::", message)


def test_every_verdict_of_a_cause_is_named_and_an_entry_that_excuses_nothing() -> None:
    over = {"cause": "gradient-blocked", "until": "2026-10-31", "why": "over"}
    lags = make_result(make_cell(optimizer="sgd"), verdict=Verdict.LAGS, unexcused=over)
    (line,) = error_lines(tell([make_result(), lags], run=DONE))

    said = "mylib_int4 x adamw, sgd: 2 of 2 cells (dead, lags)%0AIt is known until 2026-10-31.%0Athe gradient"
    assert f"::{said}" in line


def test_a_known_failure_that_learns_has_one() -> None:
    entry = {"pattern": "mylib_int4-adamw-s47", "why": "learns"}
    (line,) = error_lines(
        tell([learning(unexcused=entry)], run=replace(DONE, files={"known_failures": "k.toml"}))
    )

    assert line.startswith(
        "::error title=quantgate%3A known-failure-learns::mylib_int4 x adamw: 1 of 1 cell (learns)"
    )
    assert line.endswith(
        "%0ANext: run it with --quantgate-report out, then quantgate known accept out/results.jsonl -o k.toml"
    )


def test_a_problem_that_is_the_headline_is_said_once() -> None:
    problem = "4 cells were judged, and min-cells asks for 5"

    assert error_lines(tell([learning()], run=replace(DONE, problems=(problem,)))) == [
        f"::error title=quantgate::{problem}"
    ]


def test_an_interrupted_run_says_so() -> None:
    lost = make_result(
        verdict=Verdict.UNJUDGED, cause=None, evidence={"because": "the run ended before its turn"}
    )
    run = RunRecord("finished", 2, planned=2, problems=("1 of 2 planned cells were judged",))
    cut, said = error_lines(tell([lost, learning(make_cell(optimizer="sgd"))], run=run))

    assert cut.startswith(
        "::error title=quantgate%3A unjudged::mylib_int4 x adamw: 1 of 2 cells (unjudged)%0A"
    )
    assert said == "::error title=quantgate::The run was interrupted: 1 of 2 cells judged, 1 of them pass"
