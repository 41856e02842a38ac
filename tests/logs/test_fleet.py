"""What is derived of a fleet: its unit, its horizon, its controls, and which of its runs judges a cell."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from quantgate.logs.aggregate import Run, Stretch
from quantgate.logs.judging.fleet import Asked, judge_fleet
from quantgate.logs.names import Key
from tests.logs.samples import Samples, falling


def run(key: Key, curve: Samples, factor: float = 1.0, began: float | None = None) -> Run:
    stretches = tuple(
        Stretch(step, step, 1, 1, score * factor, score * factor, score * factor, begins=place, ends=place)
        for place, (step, score) in enumerate(curve)
    )
    return Run(key, stretches, began)


FP32, INT8 = (Key("", format, "adamw", "47", "64", "0.001") for format in ("fp32", "int8"))
NATS = math.log(2)


def test_a_loss_is_in_nats() -> None:
    judged = judge_fleet([run(INT8, falling(3.0), NATS)], Asked(), bits_named=False)

    assert judged.said[0] == "unit nats (a loss is, by convention)"
    assert judged.results[0].bpb == pytest.approx(3.0, abs=0.01)


def test_a_loss_that_begins_at_chance_in_bits_is_in_bits() -> None:
    judged = judge_fleet([run(INT8, falling(3.0))], Asked(), bits_named=False)

    assert judged.said[0] == "unit bits (the first scores, 7.02, are chance in bits)"
    assert judged.results[0].verdict == "learns"


def test_a_column_of_bits_that_holds_nats_is_refused() -> None:
    (result,) = judge_fleet([run(INT8, falling(6.99), NATS)], Asked(), bits_named=True).results

    assert (result.verdict, result.evidence["because"]) == (
        "unjudged",
        "the unit cannot be right: the first score is 4.87, which is chance (7.00 bits) in nats. Say --unit nats.",
    )


def test_without_a_control_the_middle_run_says_how_long_a_whole_one_is() -> None:
    short = run(replace(INT8, seed="1"), falling(3.0, steps=600))
    runs = [short, *(run(replace(INT8, seed=str(seed)), falling(3.0)) for seed in (2, 3, 4))]

    judged = judge_fleet(runs, Asked(), bits_named=True)

    assert "horizon 2,000 steps (the middle run's last step, or the control's)" in judged.said
    assert [str(r.verdict) for r in judged.results] == ["unjudged", "learns", "learns", "learns"]
    assert judged.results[0].evidence["because"] == "ended early: at step 600 of 2,000, at 3.20."
    whole = judge_fleet(runs, Asked(horizon=600), bits_named=True)
    assert [str(r.verdict) for r in whole.results] == ["learns"] * 4


@pytest.mark.parametrize(
    ("control", "found"),
    [
        (FP32, "no-op"),
        # Equal curves of other seeds or rates are a coincidence, or rounding.
        (replace(FP32, seed="48"), "learns"),
        (replace(FP32, lr="0.003"), "learns"),
    ],
)
def test_equal_curves_mean_something_where_all_else_is_equal(control: Key, found: str) -> None:
    runs = [run(control, falling(2.6)), run(INT8, falling(2.6))]

    assert [str(r.verdict) for r in judge_fleet(runs, Asked(), bits_named=True).results] == [found]


def test_a_format_that_is_lossless_by_name_may_equal_float32() -> None:
    runs = [run(FP32, falling(2.6)), run(replace(INT8, format="gf256"), falling(2.6))]

    assert judge_fleet(runs, Asked(), bits_named=True).results[0].verdict == "learns"


def test_a_control_of_another_optimizer_is_none() -> None:
    runs = [run(replace(FP32, optimizer="muon"), falling(2.6)), run(INT8, falling(3.4))]

    judged = judge_fleet(runs, Asked(), bits_named=True)

    assert (judged.results[0].verdict, judged.results[0].bpb_control) == ("learns", None)
    assert judged.said[-1] == "1 of 1 cells have no control of their optimizer, width and rate"


def test_eight_bits_that_are_all_but_float32_are_a_warning() -> None:
    near = [(step, score + 1e-5 * (step % 3)) for step, score in falling(2.6)]

    (result,) = judge_fleet([run(FP32, falling(2.6)), run(INT8, near)], Asked(), bits_named=True).results

    assert result.verdict == "learns"
    assert result.evidence["warnings"] == {
        "no-op": "within 2e-05 of its float32 control at each of 101 steps, which 8 bits are rarely; is it quantized?"
    }


def test_the_latest_run_judges_a_cell_and_the_first_bad_commit_is_told() -> None:
    def at(sha: str, end: float, began: float) -> Run:
        return run(replace(INT8, sha=sha), falling(end), began=began)

    runs = [at("new", 6.99, 30.0), at("old", 3.0, 10.0), at("middle", 6.98, 20.0)]

    (result,) = judge_fleet(runs, Asked(), bits_named=True).results

    assert result.evidence["sha"] == "new"
    assert result.evidence["because"].endswith("The first bad commit is middle; old was good.")


def test_a_cell_that_never_learned_has_no_bad_commit() -> None:
    runs = [
        run(replace(INT8, sha=sha), falling(6.99), began=began) for sha, began in (("a", 1.0), ("b", 2.0))
    ]

    (result,) = judge_fleet(runs, Asked(), bits_named=True).results

    assert result.evidence["because"].endswith("None of its 2 runs learned.")


def test_runs_whose_order_is_not_known_are_not_put_in_one() -> None:
    unordered = [
        Run(r.key, tuple(replace(s, begins=None, ends=None) for s in r.stretches))
        for r in (run(replace(INT8, sha=sha), falling(end)) for sha, end in (("a", 2.6), ("b", 6.99)))
    ]

    (result,) = judge_fleet(unordered, Asked(), bits_named=True).results

    assert result.evidence["because"].endswith("2 runs, and nothing says which came first.")
