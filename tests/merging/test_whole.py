"""The whole of a run's shards: what is missing, twice or different, and its exit status."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from quantgate.merging.reading import read_part
from quantgate.merging.whole import Merged, merge
from quantgate.records.closing import Closing
from quantgate.records.verdict import Verdict
from tests.examples import learning, make_result
from tests.merging.shards import CELLS, PLAN, control, halves, negative, report

ADAMW, SGD = CELLS[::2], CELLS[1::2]


def merged(*paths: Path) -> Merged:
    return merge([read_part(path) for path in paths])


def test_two_shards_are_one_run(tmp_path: Path) -> None:
    whole = merged(*halves(tmp_path))

    assert [result.cell for result in whole.results] == list(CELLS)
    assert [(c.kind, c.optimizer) for c in whole.controls] == [
        ("control", "adamw"), ("control", "sgd"), ("negative-control", "adamw"), ("negative-control", "sgd"),
    ]  # fmt: skip
    assert whole.closing == Closing(PLAN, exit_status=0, planned=4, ran=4, judged=4)
    assert (whole.missing, whole.twice, whole.differ) == ((), (), {})


def test_the_whole_has_the_options_that_judge_a_cell_again(tmp_path: Path) -> None:
    a, b = halves(tmp_path, options=("--quantgate-matrix=nightly",))

    assert merged(a, b).closing.options == ("--quantgate-matrix=nightly",)


def test_the_order_of_the_reports_is_nothing(tmp_path: Path) -> None:
    a, b = halves(tmp_path)

    assert merged(a, b) == merged(b, a)


def test_a_shard_that_fails_fails_the_whole(tmp_path: Path) -> None:
    a, _ = halves(tmp_path)
    c = report(
        tmp_path / "c", [make_result(SGD[0]), learning(SGD[1]), control(SGD[0])], shard="2/2", exit_status=1
    )
    whole = merged(a, c)

    assert whole.closing.exit_status == 1
    assert [result.cell for result in whole.failing] == [SGD[0]]
    assert whole.closing.problems == (
        f"the run of {c} ended with exit status 1: its records, or its other tests, say why",
    )


def test_records_decide_whatever_a_closing_says(tmp_path: Path) -> None:
    a, _ = halves(tmp_path)
    c = report(tmp_path / "c", [make_result(SGD[0]), learning(SGD[1]), control(SGD[0])], shard="2/2")

    assert merged(a, c).closing.exit_status == 1


def test_a_known_failure_is_accepted_by_its_cause(tmp_path: Path) -> None:
    a, _ = halves(tmp_path)
    results = [make_result(SGD[0]), learning(SGD[1]), control(SGD[0])]
    known = report(tmp_path / "c", results, shard="2/2", known_failures={SGD[0].id: "gradient-blocked"})
    other = report(tmp_path / "d", results, shard="2/2", known_failures={SGD[0].id: "sign-lost"})

    assert merged(a, known).closing.exit_status == 0
    assert merged(a, known).failing == []
    assert merged(a, other).closing.exit_status == 1


def test_a_shard_that_is_not_there_is_missing(tmp_path: Path) -> None:
    a, _ = halves(tmp_path)
    whole = merged(a)

    assert whole.missing == tuple(cell.id for cell in SGD)
    assert whole.closing.exit_status == 1
    assert whole.closing.problems == (
        "2 of 4 planned cells are missing: int4-sgd-s47, int8-sgd-s47; there is no report of shard 2/2: add it, or run "
        "that shard again",
    )


def test_a_shard_that_was_cut_is_said_and_its_records_kept(tmp_path: Path) -> None:
    a, _ = halves(tmp_path)
    c = report(tmp_path / "c", [learning(SGD[0], shard="2/2")], closed=False)
    whole = merged(a, c)

    assert [result.cell for result in whole.results] == [CELLS[0], CELLS[1], CELLS[2]]
    assert whole.closing.exit_status == 1
    assert whole.closing.problems == (
        f"{c} is not complete: its run was killed, or the file was cut, after 1 cell; run that shard again",
        "1 of 4 planned cells is missing: int8-sgd-s47; a shard ended before its turn; run it again",
    )


def test_without_a_closing_line_nobody_knows_the_plan(tmp_path: Path) -> None:
    whole = merged(report(tmp_path / "a", [learning(cell) for cell in CELLS], closed=False))

    assert whole.closing.exit_status == 1
    assert whole.closing.problems[-1] == (
        "no report says what was planned, since no run came to its end; run the shards again"
    )


def test_cells_that_were_skipped_or_deselected_are_not_missing(tmp_path: Path) -> None:
    a, _ = halves(tmp_path)
    left_out = {SGD[0].id: "skipped", SGD[1].id: "deselected"}
    c = report(tmp_path / "c", [], shard="2/2", left_out=left_out, skipped=1)
    whole = merged(a, c)

    assert whole.missing == ()
    assert whole.closing.exit_status == 0
    assert (whole.closing.planned, whole.closing.judged, whole.closing.skipped) == (3, 2, 1)
    assert dict(whole.closing.left_out) == left_out


def test_a_shard_that_is_twice_and_agrees_is_said_and_no_fault(tmp_path: Path) -> None:
    a, b = halves(tmp_path)
    again = report(
        tmp_path / "c", [*(learning(cell, bpb=5.1001) for cell in SGD), control(SGD[0])], shard="2/2"
    )
    whole = merged(a, b, again)

    assert whole.closing.exit_status == 0
    assert [(each.id, each.agree) for each in whole.twice] == [(cell.id, True) for cell in SGD]


def test_a_cell_that_is_twice_and_disagrees_fails(tmp_path: Path) -> None:
    a, b = halves(tmp_path)
    again = report(tmp_path / "c", [make_result(SGD[0]), learning(SGD[1]), control(SGD[0])], shard="2/2")
    whole = merged(a, b, again)

    assert whole.closing.exit_status == 1
    assert whole.closing.problems == (
        f"int4-sgd-s47 has results that disagree: learns 5.10 in {b}, dead 6.94 (gradient-blocked) in {again}; give "
        "only the report that is meant",
    )
    assert next(each for each in whole.results if each.cell == SGD[0]).verdict is Verdict.DEAD


def test_a_cell_that_was_not_planned_is_said(tmp_path: Path) -> None:
    stranger = replace(CELLS[0], subject="gf4")
    a, _ = halves(tmp_path)
    c = report(tmp_path / "c", [*map(learning, (*SGD, stranger)), control(SGD[0])], shard="2/2")

    assert merged(a, c).closing.problems == (
        "1 cell was not planned: gf4-adamw-s47; leave out the report of another run",
    )
    assert merged(a, c).closing.exit_status == 1


def test_versions_that_differ_are_said(tmp_path: Path) -> None:
    a, _ = halves(tmp_path)
    newer = {"environment": {"torch": "2.14.0", "threads": 1}, "quantgate": "0.2.0"}
    c = report(tmp_path / "c", [*(learning(cell, **newer) for cell in SGD), control(SGD[0])], shard="2/2")
    whole = merged(a, c)

    assert whole.closing.exit_status == 0
    assert whole.differ == {
        "quantgate": {"0.1.0": (str(a), str(c)), "0.2.0": (str(c),)},
        "torch": {"2.13.0": (str(a), str(c)), "2.14.0": (str(c),)},
    }


def test_another_corpus_is_a_fault(tmp_path: Path) -> None:
    a, _ = halves(tmp_path)
    other = {"corpus": {"name": "mine.txt", "sha256": "cd" * 32}}
    c = report(tmp_path / "c", [learning(cell, **other) for cell in SGD], shard="2/2")

    assert merged(a, c).closing.exit_status == 1
    assert merged(a, c).closing.problems == (
        f"corpus is not the same in all reports: {'ab' * 10} in {a}; {'cd' * 10} in {c}; their cells were trained on "
        "different texts; give all shards the same corpus",
    )


# the status of the whole


def test_a_negative_control_that_learns_makes_the_whole_invalid(tmp_path: Path) -> None:
    a, _ = halves(tmp_path)
    c = report(
        tmp_path / "c",
        [*map(learning, SGD), control(SGD[0]), negative(SGD[0], fails=False)],
        shard="2/2",
        exit_status=70,
    )
    whole = merged(a, c)

    assert whole.closing.exit_status == 70
    assert (
        "the negative control dead-body x sgd, broken on purpose, learns (5.10 BPB)" in whole.closing.problems
    )


@pytest.mark.parametrize(
    ("exit_status", "optimizers", "given", "whole_status"),
    [
        (70, (), (), 70),  # a built-in optimizer: the machine is at fault
        (
            4,
            ("sgd",),
            (),
            1,
        ),  # somebody's own, and no other in its shard: its cells are not judged, others are
        (4, (), ("steps",), 1),
    ],
)
def test_a_control_that_does_not_learn_is_judged_over_all_shards(
    tmp_path: Path, exit_status: int, optimizers: tuple[str, ...], given: tuple[str, ...], whole_status: int
) -> None:
    a, _ = halves(tmp_path)
    unjudged = [make_result(cell, verdict=Verdict.UNJUDGED, cause=None, bpb=None) for cell in SGD]
    c = report(
        tmp_path / "c",
        [*unjudged, control(SGD[0], learns=False), negative(SGD[0])],
        shard="2/2",
        exit_status=exit_status,
        optimizers=optimizers,
        given=given,
    )

    assert merged(a, c).closing.exit_status == whole_status
    assert merged(c).closing.exit_status == exit_status


@pytest.mark.parametrize("first", ["learning", "dead"])
def test_of_a_control_that_two_shards_trained_the_one_that_does_not_learn_counts(
    tmp_path: Path, first: str
) -> None:
    healthy = report(tmp_path / "a", [learning(CELLS[0]), control(CELLS[0])], shard="1/2")
    dead = report(tmp_path / "b", [*map(learning, CELLS[1:]), control(CELLS[0], learns=False)], shard="2/2")
    whole = merged(*((healthy, dead) if first == "learning" else (dead, healthy)))

    assert [c.verdict for c in whole.controls] == [Verdict.DEAD]
    assert whole.closing.exit_status == 70


def test_misuse_in_a_shard_is_a_usage_error_of_the_whole(tmp_path: Path) -> None:
    whole = merged(*halves(tmp_path, exit_status=4, problems=("registered too late",)))

    assert whole.closing.exit_status == 4
    assert whole.closing.problems == (
        f"the run of {tmp_path / 'b'} ended with exit status 4: registered too late",
    )


def test_a_run_that_was_interrupted_is_no_pass(tmp_path: Path) -> None:
    assert merged(*halves(tmp_path, exit_status=2)).closing.exit_status == 1
