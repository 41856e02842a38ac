"""`quantgate.judge`: verdicts on curves from elsewhere, and every refusal in its words."""

from __future__ import annotations

import math
from typing import Any

import pytest

from quantgate import judge
from quantgate.logs.judging.judge import CurveError
from quantgate.records.verdict import Curve, Limits, Verdict
from tests.logs.samples import falling, rising_again

NATS = math.log(2)


def curve(last: float, first: float = 7.1, steps: int = 100) -> Curve:
    return ((0, first), (steps // 2, (first + last) / 2), (steps, last))


@pytest.mark.parametrize(
    ("last", "steps", "verdict"),
    [
        (6.49, 100, Verdict.LEARNS),
        (6.5, 100, Verdict.PARTIAL),
        (6.9, 100, Verdict.DEAD),
        (7.59, 100, Verdict.DEAD),
        (7.7, 100, Verdict.DIVERGED),
        (6.4, 1999, Verdict.LEARNS),
        # 20,000 steps that end at 6.4 have learned next to nothing; counting symbols gives 4.78.
        (6.4, 20_000, Verdict.PARTIAL),
        (4.79, 20_000, Verdict.PARTIAL),
        (4.77, 20_000, Verdict.LEARNS),
    ],
)
def test_the_lines_are_stricter_for_longer_runs(last: float, steps: int, verdict: Verdict) -> None:
    assert judge(curve(last, steps=steps)) is verdict


def test_a_loss_in_nats_that_never_moved_is_dead() -> None:
    assert judge(curve(4.84, first=4.85), unit="nats") is Verdict.DEAD


def test_nats_are_not_taken_for_bits() -> None:
    with pytest.raises(CurveError) as caught:
        judge(curve(4.84, first=4.85))

    assert str(caught.value) == (
        "the unit cannot be right: the first score is 4.85, which is chance (7.00 bits) in nats. Say --unit nats."
    )


def test_bits_are_not_taken_for_nats() -> None:
    with pytest.raises(CurveError) as caught:
        judge(curve(6.9, first=7.0), unit="nats")

    assert str(caught.value) == (
        "the unit cannot be right: the first score is 7.00 as it is logged, which is chance (7.00) in bits, and not in "
        "nats. Say --unit bits."
    )


def test_a_curve_that_does_not_begin_at_chance_is_refused() -> None:
    with pytest.raises(CurveError) as caught:
        judge([(500, 6.0), (700, 5.5), (900, 5.2)])

    assert str(caught.value) == (
        "the first score, 6.00 bits, is not near chance (7.00). It is of step 500: was the start logged elsewhere, or "
        "the run resumed? Say --vocabulary (64 symbols would fit), --chance or --unit."
    )


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], "an empty curve: at least a first and a last score are needed; was it trained?"),
        ([(0, 7.1)], "too little to judge: one score; at least a first and a last one are needed."),
        ([(0, 7.1), (10, 7.0)], "too little to judge: 10 steps, and float32 would hardly have moved by then."),
        (
            [(0, 7.1), (50, 6.0), (40, 6.2), (60, 5.5)],
            "steps do not rise: step 40 comes after step 50. Two runs in one log, or a restart? Tell them apart by a "
            "column (run=...), or cut the log.",
        ),
        (
            [(0, 7.1), (50, 6.0), (50, 5.9)],
            "steps do not rise: step 50 comes after step 50. Two runs in one log, or a restart? Tell them apart by a "
            "column (run=...), or cut the log.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_refused(bad: Curve, message: str) -> None:
    with pytest.raises(CurveError) as caught:
        judge(bad)

    assert str(caught.value) == message


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_score_that_is_not_finite_has_diverged(bad: float, place: int) -> None:
    scores = [7.1, 6.0, 5.0]
    scores[place] = bad

    assert judge(list(zip((0, 50, 100), scores, strict=True))) is Verdict.DIVERGED


def test_a_run_that_fell_and_rose_is_not_one_that_learns() -> None:
    assert judge(rising_again(2.7)) is Verdict.DEAD
    assert judge([(0, 7.0), (1000, 2.6), (2000, 4.0)]) is Verdict.DIVERGED


def test_beside_its_control() -> None:
    control = falling(2.6)

    assert judge(falling(2.7), control) is Verdict.LEARNS
    assert judge(falling(3.4), control) is Verdict.LAGS
    assert judge(falling(3.4), control, tolerance=1.0) is Verdict.LEARNS
    assert judge(list(control), control) is Verdict.NO_OP
    assert judge(list(control), control, lossless=True) is Verdict.LEARNS


def test_two_dead_runs_that_are_equal_are_dead() -> None:
    flat = [(step, 7.0) for step in range(0, 2001, 100)]

    assert judge(flat, flat) is Verdict.DEAD


def test_a_run_that_ended_early_is_refused() -> None:
    with pytest.raises(CurveError) as caught:
        judge(falling(2.6, steps=400), falling(2.6))

    assert str(caught.value) == "ended early: at step 400 of 2,000, at 3.20; its control was at 3.20 by then."


def test_one_that_was_flat_where_its_control_had_learned_is_dead_for_all_that() -> None:
    assert judge(falling(7.0, steps=900), falling(2.6)) is Verdict.DEAD


def test_chance_is_the_vocabularys() -> None:
    gpt2 = [(0, 10.98), (1000, 7.0), (5000, 3.3)]

    assert judge(gpt2, unit="nats", chance=math.log2(50257)) is Verdict.LEARNS
    assert judge([(0, 10.98), (5000, 10.7)], unit="nats", chance=math.log2(50257)) is Verdict.DEAD


def test_the_lines_are_the_callers() -> None:
    assert judge(curve(5.2), limits=Limits(5.0, 5.5)) is Verdict.PARTIAL


@pytest.mark.parametrize("wrong", [{"unit": "bytes"}, {"chance": 0.0}, {"chance": math.nan}])
def test_a_unit_or_chance_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^unit is "):
        judge(curve(5.0), **wrong)
