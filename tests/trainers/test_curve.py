"""The verdict on what a foreign trainer printed: lines, controls, equality, and what cannot be judged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from quantgate.logs.judging.judge import Judgement
from quantgate.records.cell import Cell, Config
from quantgate.records.verdict import Limits
from quantgate.subjects.registry import Registry
from quantgate.trainers.curve import Training, judged
from quantgate.trainers.process import Ended
from quantgate.trainers.scores import Scores

CONTROL = [(step, 7.0 - step / 50) for step in range(0, 101, 10)]


def judge(
    lines: list[str],
    format: str = "int8",
    *,
    control: Any = CONTROL,
    limits: Limits | None = None,
    **declared: Any,
) -> Judgement:
    trainer = Registry().register_trainer(
        "t", ["t", "{format}", "{steps}"], formats=[format], optimizers=["adamw"],
        **{"pattern": "{step} {bpb}", **declared},
    )  # fmt: skip
    scores = Scores(trainer.pattern)
    for line in lines:
        scores.take(line)
    training = Training(("t",), Ended(0, 1.0, 60.0, "", len(lines)), scores, None, None, None)
    config = Config() if limits is None else Config(limits=limits)
    return judged(Cell(f"t:{format}", "trainer", "adamw", 47), trainer, training, control, config)


def curve(end: float = 5.0, start: float = 7.0, form: str = "{:.5f}") -> list[str]:
    return [f"{step} {form.format(start + (end - start) * step / 100)}" for step in range(0, 101, 10)]


def test_equal_in_enough_decimals_is_no_op() -> None:
    found = judge(
        [f"{step} {score:.4f}1" for step, score in CONTROL], control=[(s, b + 1e-5) for s, b in CONTROL]
    )

    assert (found.verdict, found.because) == (
        "no-op", "equal to its float32 control in all 5 decimals that it prints, at 11 steps.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("format", "form", "more"),
    [
        ("int8", "{:.2f}", " Print more decimals: so few do not tell them apart."),
        ("int8", "{:.2f}1", " Print more decimals: so few do not tell them apart."),
        ("gf32", "{:.4f}1", ""),
    ],
)
def test_equal_in_few_decimals_or_with_many_bits_is_a_warning(format: str, form: str, more: str) -> None:
    lines = [f"{step} {form.format(score)}" for step, score in CONTROL]
    found = judge(lines, format, control=[(s, float(form.format(b))) for s, b in CONTROL])

    assert (found.verdict, list(found.warnings)) == ("learns", ["no-op"])
    assert found.warnings["no-op"].startswith("equal to its float32 control in all ")
    assert found.warnings["no-op"].endswith(f"at 11 steps.{more}")


def test_a_lossless_format_may_equal_its_control() -> None:
    found = judge(
        [f"{step} {score:.4f}1" for step, score in CONTROL],
        "fp64",
        control=[(s, b + 1e-5) for s, b in CONTROL],
    )

    assert (found.verdict, dict(found.warnings)) == ("learns", {})


def test_a_first_score_on_another_scale_is_said() -> None:
    found = judge(curve(500.0, 1200.0))

    assert found.verdict == "dead"
    assert (found.hint or "").startswith(
        "its first score is 1200.00 where float32 starts at 7.00: what it computes with"
    )


def test_lines_are_in_proportion_to_its_chance_unless_the_run_has_its_own() -> None:
    lines = curve(7.2, 8.0)

    assert judge(lines, control=None, chance=8.0).verdict == "learns"
    assert judge(lines, control=None).verdict == "dead"
    assert judge(lines, control=None, chance=8.0, limits=Limits(7.1, 7.9)).verdict == "partial"


@pytest.mark.parametrize("steps", [(0, 50), (0, 1, 2, 5, 10, 20, 50), range(0, 81, 10), range(1, 100)])
def test_the_last_score_may_be_an_interval_before_the_end(steps: Iterable[int]) -> None:
    assert judge([f"{step} {7 - step / 45:.5f}" for step in steps]).verdict == "learns"


def test_a_loss_is_in_nats_and_its_control_in_bits() -> None:
    found = judge(curve(3.4657, 4.852, "{:.4f}"), pattern="{step} {loss}")

    assert found.verdict == "learns"
    assert found.final == pytest.approx(5.0, abs=1e-3)
    assert found.gap == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize(
    ("lines", "verdict", "said"),
    [
        (curve(5.5), "lags", "still falling: 5.50 after 100 steps, 0.50 above its control (5.00; tolerance 0.08)."),
        (curve()[:3], "rejected", "ended early: at step 20 of 100, at 6.60; its control was at 6.60 by then."),
        (curve(1.0)[:7], "rejected", "its scores end at step 60 of 100, far less than that apart before."),
        (curve(3.9), "faulty", "it ends 1.10 below its float32 control: numbers of fewer bits learn no better."),
        (curve()[5:], "rejected", "is not near chance (7.00). It is of step 50: was the start logged elsewhere, or the "
         "run resumed? Declare its chance (64 symbols would fit)."),
        (curve(3.4, 4.85), "rejected", "the unit cannot be right: the first score is 4.85, which is chance (7.00 bits) "
         "in nats. Call it loss in what is printed."),
        ([*curve(), *curve()], "rejected", "steps do not rise: step 0 comes after step 100. Two runs in one log, or a "
         "restart? Print each step once."),
        (["0 7.0"], "rejected", "too little to judge: one score; at least a first and a last one are needed."),
        ([], "rejected", "it printed no score: no line of it is of its pattern (0 lines)."),
        ([*curve()[:5], "50 inf", "60 nan"], "diverged", "not finite from step 50 on (2 of 7 scores); it was 6.20 "),
    ],
)  # fmt: skip
def test_what_its_curve_is(lines: list[str], verdict: str, said: str) -> None:
    found = judge(lines)

    assert found.verdict == verdict
    assert said in found.because
