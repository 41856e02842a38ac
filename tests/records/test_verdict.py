"""Verdicts on curves alone: every boundary, on both of its sides."""

from __future__ import annotations

import math

import pytest

from quantgate.records.verdict import (
    CHANCE_BPB,
    DEFAULT_LIMITS,
    Curve,
    Lane,
    Limits,
    Verdict,
    gap_tolerance,
    in_bits,
    is_close_call,
    judge,
    median_index,
)

BELOW = -math.inf


def curve(last: float, first: float = 7.1) -> Curve:
    return ((0, first), (50, (first + last) / 2), (100, last))


def just_below(value: float) -> float:
    return math.nextafter(value, BELOW)


def just_above(value: float) -> float:
    return math.nextafter(value, math.inf)


@pytest.mark.parametrize(
    ("last", "verdict"),
    [
        (just_below(6.5), Verdict.LEARNS),
        (6.5, Verdict.PARTIAL),
        (just_below(6.9), Verdict.PARTIAL),
        (6.9, Verdict.DEAD),
        (7.0, Verdict.DEAD),
        (7.6, Verdict.DEAD),
        (7.7, Verdict.DIVERGED),
    ],
)
def test_absolute_lines(last: float, verdict: Verdict) -> None:
    assert judge(curve(last)) is verdict


def test_half_a_bit_above_the_first_score_is_dead_and_more_is_diverged() -> None:
    assert judge(curve(7.5, first=7.0)) is Verdict.DEAD
    assert judge(curve(just_above(7.5), first=7.0)) is Verdict.DIVERGED


def test_a_low_score_that_climbed_has_diverged_too() -> None:
    assert judge(curve(4.6, first=4.0)) is Verdict.DIVERGED


def test_what_learns_far_better_than_its_control_is_faulty() -> None:
    control = curve(5.2)

    assert judge(curve(4.2), control) is Verdict.LEARNS
    assert judge(curve(just_below(4.2)), control) is Verdict.FAULTY
    assert judge(curve(2.5)) is Verdict.LEARNS


@pytest.mark.parametrize("bad", [math.nan, math.inf, BELOW])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_non_finite_score_anywhere_has_diverged(bad: float, place: int) -> None:
    scores = [7.1, 6.0, 5.0]
    scores[place] = bad

    assert (
        judge([(step, score) for step, score in zip((0, 50, 100), scores, strict=True)]) is Verdict.DIVERGED
    )


def test_the_lines_are_the_callers() -> None:
    limits = Limits(fail_bpb=5.0, dead_bpb=5.5)

    assert judge(curve(4.9), limits=limits) is Verdict.LEARNS
    assert judge(curve(5.0), limits=limits) is Verdict.PARTIAL
    assert judge(curve(5.5), limits=limits) is Verdict.DEAD


def test_the_default_lines() -> None:
    assert (DEFAULT_LIMITS.fail_bpb, DEFAULT_LIMITS.dead_bpb, CHANCE_BPB) == (6.5, 6.9, 7.0)


def test_a_gap_of_the_tolerance_learns_and_a_wider_one_lags() -> None:
    control = curve(5.0)

    assert judge(curve(5.25), control, tolerance=0.25) is Verdict.LEARNS
    assert judge(curve(just_above(5.25)), control, tolerance=0.25) is Verdict.LAGS


def test_a_subject_ahead_of_its_control_learns() -> None:
    assert judge(curve(4.0), curve(5.0), tolerance=0.0) is Verdict.LEARNS


def test_without_a_tolerance_the_widest_holds() -> None:
    widest = gap_tolerance(None, "")

    assert judge(curve(4.0 + widest), curve(4.0)) is Verdict.LEARNS
    assert judge(curve(4.0 + widest + 1e-6), curve(4.0)) is Verdict.LAGS


def test_the_absolute_line_comes_before_the_control() -> None:
    assert judge(curve(6.6), curve(6.6)) is Verdict.PARTIAL
    assert judge(curve(7.0), curve(7.0)) is Verdict.DEAD


def test_the_controls_own_curve_is_a_no_op_unless_lossless() -> None:
    assert judge(curve(5.0), curve(5.0)) is Verdict.NO_OP
    assert judge(list(curve(5.0)), curve(5.0)) is Verdict.NO_OP
    assert judge(curve(5.0), curve(5.0), lossless=True) is Verdict.LEARNS


def test_the_last_bit_tells_a_curve_from_its_control() -> None:
    assert judge(curve(just_above(5.0)), curve(5.0)) is Verdict.LEARNS


def test_a_curve_of_one_score_is_judged() -> None:
    assert judge([(0, 7.1)]) is Verdict.DEAD


def test_an_empty_curve_is_refused() -> None:
    with pytest.raises(ValueError, match="empty curve") as caught:
        judge([])

    assert (
        str(caught.value) == "an empty curve: at least the score at step 0 is needed; was the cell trained?"
    )


def test_only_learns_and_healthy_pass() -> None:
    assert [verdict for verdict in Verdict if verdict.passes] == [Verdict.LEARNS, Verdict.HEALTHY]


def test_the_words_are_designs() -> None:
    assert (
        " ".join(Verdict)
        == "learns healthy faulty lags partial dead diverged no-op rejected crashed timeout unjudged"
    )


@pytest.mark.parametrize("lane", [None, "long"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd", "lion", "rmsprop", "adafactor"])
def test_more_bits_never_get_a_wider_tolerance(optimizer: str, lane: Lane | None) -> None:
    tolerances = [gap_tolerance(bits, optimizer, lane) for bits in (1, 1.58, 2, 3, 4, 6, 8, 16, 32, 256)]

    assert tolerances == sorted(tolerances, reverse=True)
    assert tolerances[-1] > 0


@pytest.mark.parametrize("lane", [None, "long"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon", "somebodys_own"])
def test_unknown_bits_get_the_widest_tolerance(optimizer: str, lane: Lane | None) -> None:
    widest = max(gap_tolerance(bits, optimizer, lane) for bits in range(1, 33))

    assert gap_tolerance(None, optimizer, lane) == widest


@pytest.mark.parametrize(
    ("last", "verdict"),
    [
        (2.6, Verdict.LEARNS),
        (2.95, Verdict.LAGS),
        (3.0, Verdict.PARTIAL),
        (just_below(6.9), Verdict.PARTIAL),
        (6.9, Verdict.DEAD),
    ],
)
def test_the_lines_of_the_long_lane(last: float, verdict: Verdict) -> None:
    tolerance = gap_tolerance(8, "adamw", "long")

    assert judge(curve(last), curve(2.55), tolerance=tolerance, limits=Limits(3.0, 6.9)) is verdict


@pytest.mark.parametrize(
    ("bpb", "gap", "close"),
    [
        (6.4, None, True),
        (6.45, None, True),
        (6.55, None, True),
        (6.39, None, False),
        (6.61, None, False),
        (5.0, 0.8, True),
        (5.0, 1.0, True),
        (5.0, 1.2, True),
        (5.0, 0.79, False),
        (5.0, 1.21, False),
        (5.0, None, False),
    ],
)
def test_close_calls_lie_within_a_tenth_of_the_line_or_a_fifth_of_the_tolerance(
    bpb: float, gap: float | None, close: bool
) -> None:
    assert is_close_call(bpb, gap, 1.0, DEFAULT_LIMITS) is close


def test_close_calls_follow_the_callers_line() -> None:
    assert is_close_call(5.05, None, 1.0, Limits(fail_bpb=5.0))
    assert not is_close_call(6.5, None, 1.0, Limits(fail_bpb=5.0))


@pytest.mark.parametrize(
    ("scores", "place"),
    [([5.0], 0), ([5.0, 7.0, 6.0], 2), ([6.0, 6.0, 5.0], 0), ([5.0, math.inf, math.inf], 1)],
)
def test_the_median_judges(scores: list[float], place: int) -> None:
    assert median_index(scores) == place


@pytest.mark.parametrize(
    ("score", "text"),
    [(5.2249, "5.22"), (123456.7, "123456.70"), (1e30, "1.0e+30"), (-1e12, "-1.0e+12"), (math.inf, "inf")],
)
def test_a_score_is_short_however_large_it_is(score: float, text: str) -> None:
    assert in_bits(score) == text
