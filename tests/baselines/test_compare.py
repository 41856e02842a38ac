"""Cells beside their baseline: what counts as worse, in which lane, and what is not compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quantgate.baselines.compare import compare, hold, why_not_comparable
from quantgate.baselines.document import Baseline, Entry
from quantgate.baselines.lanes import PORTABLE_BPB, PORTABLE_LONG_BPB, STATISTICAL_BPB, STATISTICAL_SHARE
from quantgate.records.cell import Config
from quantgate.records.result import CellResult, unmeasured
from quantgate.records.verdict import Verdict
from tests.examples import CELL, learning, make_cell, make_result

HERE = {"torch": "2.13.0", "isa": "AVX2", "cpu": "EPYC", "threads": 1, "device": "cpu", "numpy": "2.4"}
ELSEWHERE = {**HERE, "torch": "2.9.1", "isa": "AVX512"}


def of(*results: CellResult) -> Baseline:
    return Baseline({each.cell.id: Entry(each) for each in results})


def at(bpb: float | None, **changes: Any) -> CellResult:
    given = {"environment": HERE, "bpb": bpb, "curve": ((0, 7.0), (100, bpb)), **changes}
    return learning(**given)


def held(before: CellResult, now: CellResult) -> tuple[str, str, str]:
    """(change, lane, because) of a cell."""
    found = hold(of(before), now).baseline
    assert found is not None
    return found["change"], found["lane"], found["because"]


# the record


def test_the_record_says_what_the_cell_was_and_how_it_changed() -> None:
    assert hold(of(at(5.1)), at(5.2)).baseline == {
        "bpb": 5.1,
        "verdict": "learns",
        "cause": None,
        "curve": [[0, 7.0], [100, 5.1]],
        "change": "regressed",
        "tolerance": 0.003,
        "lane": "exact",
        "because": "5.2000 BPB, 0.1 worse than 5.1000, where 0.003 is within the tolerance (what rounding alone "
        "moves it by)",
    }


def test_a_new_cell_has_no_past() -> None:
    assert hold(of(learning(make_cell(subject="other"))), at(5.1)).baseline == {
        "bpb": None,
        "verdict": None,
        "cause": None,
        "curve": [],
        "change": "new",
        "tolerance": None,
        "lane": None,
        "because": "not in the baseline",
    }


# the lanes


@pytest.mark.parametrize(
    ("now", "change", "because"),
    [
        (5.1, "same", ""),
        (5.1 + 1e-6, "same", "other bits, 1e-06 worse"),
        (5.1 - 1e-6, "same", "other bits, 1e-06 better"),
        (5.104, "regressed", "5.1040 BPB, 0.004 worse than 5.1000, where 0.003 is within the tolerance (what rounding "
         "alone moves it by)"),
    ],
)  # fmt: skip
def test_where_nothing_differs_that_changes_bits_rounding_is_said_and_no_regression(
    now: float, change: str, because: str
) -> None:
    assert held(at(5.1), at(now)) == (change, "exact", because)


@pytest.mark.parametrize("name", ["numpy", "python"])
def test_what_changes_no_bits_keeps_the_lane_exact(name: str) -> None:
    assert held(at(5.1, environment={**HERE, name: "other"}), at(5.1))[1] == "exact"


@pytest.mark.parametrize("name", ["torch", "isa", "cpu", "threads", "mkl_cbwr"])
def test_another_machine_or_torch_is_allowed_what_was_measured(name: str) -> None:
    before = at(5.1, environment={**HERE, name: "other"})

    assert held(before, at(5.1 + 0.9 * PORTABLE_BPB))[:2] == ("same", "portable")
    assert held(before, at(5.1 - 0.9 * PORTABLE_BPB))[:2] == ("same", "portable")
    assert held(before, at(5.1 + 1.1 * PORTABLE_BPB))[:2] == ("regressed", "portable")
    assert held(before, at(5.1 - 1.1 * PORTABLE_BPB))[:2] == ("improved", "portable")


@pytest.mark.parametrize(
    ("optimizer", "bits", "most"),
    [
        ("adamw", 2, PORTABLE_BPB),
        ("muon", 4, 0.1),
        ("muon", 8, 0.012),
        ("muon", 16, PORTABLE_BPB),
        ("muon", "unknown", 0.1),
        ("my_optimizer", 8, 0.012),
    ],
)
def test_few_bits_under_muon_are_chaotic_and_an_optimizer_of_ones_own_may_be(
    optimizer: str, bits: object, most: float
) -> None:
    before, now = (
        at(5.1, optimizer=optimizer, evidence={"bits": bits}, environment=machine)
        for machine in (ELSEWHERE, HERE)
    )
    found = hold(of(before), now).baseline

    assert found is not None
    assert found["tolerance"] == most


@pytest.mark.parametrize(
    ("optimizer", "bits", "most"),
    [("adamw", 4, PORTABLE_LONG_BPB), ("muon", 4, 0.1), ("muon", 8, 0.012), ("muon", 16, PORTABLE_LONG_BPB)],
)
def test_a_long_training_may_differ_more(optimizer: str, bits: float, most: float) -> None:
    before, now = (
        at(2.6, optimizer=optimizer, evidence={"bits": bits}, environment=machine, lane="long", steps=2000)
        for machine in (ELSEWHERE, HERE)
    )
    found = hold(of(before), now).baseline

    assert found is not None
    assert (found["lane"], found["tolerance"]) == ("portable", most)


@pytest.mark.parametrize("change", [{"lane": None}, {"width": 64}])
def test_another_lane_or_width_is_another_cell(change: dict[str, Any]) -> None:
    long = at(2.6, width=128, steps=2000, lane="long")

    assert held(replace(long, **change), long)[0] == "new"


def test_what_differs_between_the_machines_is_said() -> None:
    assert held(at(5.1, environment=ELSEWHERE), at(5.3))[2] == (
        f"5.3000 BPB, 0.2 worse than 5.1000, where {PORTABLE_BPB:g} is within the tolerance "
        "(torch 2.9.1 there, 2.13.0 here; isa AVX512 there, AVX2 here)"
    )


def test_another_quantgate_is_another_machine() -> None:
    assert held(at(5.1, quantgate="0.0.1"), at(5.1))[1:] == ("portable", "quantgate 0.0.1 there, 0.1.0 here")


def test_an_accelerator_is_never_held_to_bits() -> None:
    gpu = {**HERE, "device": "NVIDIA H100"}

    assert held(at(5.1, environment=gpu), at(5.1, environment=gpu))[1] == "portable"
    assert held(at(5.1, environment=gpu), at(5.1))[1] == "statistical"


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"evidence": {"judged_seed": 89}}, {}),
        ({}, {"evidence": {"judged_seed": 89}}),
        ({}, {"evidence": {"warnings": {"not-reproducible": "differs"}}}),
        ({"evidence": {"warnings": {"not-reproducible": "differs"}}}, {}),
        ({"kind": "trainer"}, {"kind": "trainer"}),
    ],
)
def test_other_random_numbers_are_allowed_what_seeds_differ_by(
    before: dict[str, Any], now: dict[str, Any]
) -> None:
    def change(gap: float) -> tuple[str, str]:
        found = {"evidence": {"tolerance": 0.2}, **now}
        found["evidence"] = {"tolerance": 0.2, **found["evidence"]}
        return held(at(5.1, gap=0.05, **before), at(9.0, gap=gap, **found))[:2]

    allowed = STATISTICAL_SHARE * 0.2
    assert change(0.05 + 0.9 * allowed) == ("same", "statistical")
    assert change(0.05 + 1.1 * allowed) == ("regressed", "statistical")
    assert change(0.05 - 1.1 * allowed) == ("improved", "statistical")


def test_the_gap_is_said_where_it_decides() -> None:
    now = at(5.3, gap=0.3, evidence={"judged_seed": 89, "tolerance": 0.2})

    assert held(at(5.1, gap=0.1), now)[2] == (
        "0.3000 BPB behind its control, 0.2 worse than 0.1000, where 0.13 is within the tolerance "
        "(seed 47 there, 89 here)"
    )


@pytest.mark.parametrize(("was", "found"), [(None, 0.1), (0.1, None), (None, None)])
def test_without_a_control_the_scores_are_compared(was: float | None, found: float | None) -> None:
    def change(bpb: float) -> str:
        return held(at(5.1, gap=was), at(bpb, gap=found, evidence={"judged_seed": 89}))[0]

    assert change(5.1 + 0.9 * STATISTICAL_BPB) == "same"
    assert change(5.1 + 1.1 * STATISTICAL_BPB) == "regressed"


def test_a_seed_that_the_baseline_lacks_is_held_against_the_middle_one_of_its_others() -> None:
    seeds = [
        at(bpb, seed=seed, gap=None, canon_name="")
        for seed, bpb in ((89, 5.0), (123, 5.6), (144, 5.2), (1597, float("nan")))
    ]
    found = hold(of(*seeds, at(6.0, optimizer="muon")), at(5.21, gap=None)).baseline

    assert found is not None
    assert (found["change"], found["lane"], found["bpb"]) == ("same", "statistical", 5.2)
    assert found["because"] == "seed 144 there, 47 here"


# verdicts and causes


ORDER = ("learns", "faulty", "partial", "dead", "diverged", "crashed")


@pytest.mark.parametrize("was", ORDER)
@pytest.mark.parametrize("now", ORDER)
def test_a_graver_verdict_is_a_regression_and_a_milder_one_is_not(was: str, now: str) -> None:
    graver = ORDER.index(now) - ORDER.index(was)
    change = held(at(5.1, verdict=Verdict(was)), at(5.1, verdict=Verdict(now)))[0]

    assert change == ("regressed" if graver > 0 else "improved" if graver else "same")


def test_a_verdict_is_said_with_its_cause() -> None:
    assert held(at(5.1), make_result(environment=HERE))[2] == (
        "its verdict was learns, and is dead by gradient-blocked"
    )


def test_another_cause_is_a_regression_though_the_score_is_better() -> None:
    before = make_result(environment=HERE)

    assert held(before, replace(before, cause="sign-lost", bpb=6.92)) == (
        "regressed",
        "exact",
        "its verdict was dead by gradient-blocked, and is dead by sign-lost",
    )
    assert held(before, before)[0] == "same"


@pytest.mark.parametrize(("before", "now"), [(None, 5.0), (5.0, None), (None, None), (float("nan"), 5.0)])
def test_scores_that_are_no_numbers_are_not_compared(before: float | None, now: float | None) -> None:
    assert held(at(before), at(now))[0] == "same"


def test_a_known_failure_is_no_regression() -> None:
    dead = hold(of(at(5.1)), make_result(environment=HERE))

    assert dead.regressed
    assert not replace(dead, known={"reason": "r"}).regressed


# what is not compared


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"steps": 20}, "100 steps there, 20 here"),
        ({"lr": 0.5}, "a rate of 0.0002 there, 0.5 here"),
        ({"corpus": {"name": "text.txt", "sha256": "cd"}}, "another corpus: builtin there, text.txt here"),
        ({"lr": None}, None),
        ({"corpus": {"name": "builtin"}}, None),
    ],
)
def test_another_question_is_not_compared(changes: dict[str, Any], reason: str | None) -> None:
    now = at(6.0, **changes)

    assert why_not_comparable(at(5.1), now) == reason
    assert (hold(of(at(5.1)), now).baseline is None) == (reason is not None)
    assert compare(of(at(5.1)), [now]).not_comparable == ({CELL.id: reason} if reason else {})


def test_that_nothing_could_be_compared_is_said() -> None:
    other, new = at(6.0, steps=20), learning(make_cell(subject="new"))
    said = (
        "the baseline can be compared with no cell: 100 steps there, 20 here; give both the same options, or make it "
        "anew"
    )

    assert compare(of(at(5.1)), [other]).nothing_compared == said
    assert compare(of(at(5.1)), [other, new]).nothing_compared == said
    assert compare(of(at(5.1)), [new]).nothing_compared is None
    assert compare(of(at(5.1)), [at(5.1)]).nothing_compared is None
    assert compare(of(at(5.1)), []).nothing_compared is None


def test_what_was_not_judged_is_not_compared() -> None:
    lost = unmeasured(CELL, Verdict.UNJUDGED, "the run ended", Config())

    assert hold(of(at(5.1)), lost) == lost


def test_a_width_is_another_cell() -> None:
    assert held(at(5.1, width=32), at(5.1))[0] == "new"


# a run


def test_gone_are_the_cells_that_the_run_does_not_plan() -> None:
    before = of(*(at(5.1, subject=name) for name in ("a", "b", "c")))
    found = compare(before, [at(5.1, subject="a")], planned=[make_cell(subject="b").id])

    assert found.gone == (make_cell(subject="c").id,)


def test_what_another_seed_was_held_against_is_not_gone() -> None:
    assert compare(of(at(5.1, seed=89)), [at(5.1)]).gone == ()
    assert compare(of(at(5.1, seed=89), at(5.1)), [at(5.1)]).gone == (make_cell(seed=89).id,)


def test_controls_are_left_out_of_a_run() -> None:
    assert compare(of(at(5.1)), [at(5.1, kind="control"), at(5.2)]).changed("regressed") == [
        hold(of(at(5.1)), at(5.2))
    ]
