"""The scores in what a trainer prints."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest

from quantgate.trainers.scores import MOST, Scores


def read(pattern: str | None, *lines: str) -> Scores:
    scores = Scores(pattern)
    for line in lines:
        scores.take(line)
    return scores


def test_text_is_read_by_its_pattern() -> None:
    scores = read(
        "step={step} val_bpb={bpb}", "[w 3] step=1,000 val_bpb=6.5 (best)", "noise", "step=x val_bpb=2"
    )

    assert (scores.curve, scores.unit) == (((1000, 6.5),), "bits")
    assert read("step {step}: loss {loss}", "step 3: loss 4.85").unit == "nats"


@pytest.mark.parametrize(
    ("line", "curve", "unit"),
    [
        ('{"step": 3, "val_bpb": 6.5, "seed": 47}', ((3, 6.5),), "bits"),
        ('2026-11-25 INFO {"iter": "3", "loss": "4.5"}', ((3, 4.5),), "nats"),
        ('{"step": 3, "val_bpb": NaN}', None, "bits"),
        ('{"step": 3, "val_bpb": null}', None, "bits"),
    ],
)  # fmt: skip
def test_json_lines_are_read_by_the_usual_names(
    line: str, curve: tuple[tuple[int, float], ...] | None, unit: str
) -> None:
    scores = read(None, line)

    assert scores.unit == unit
    assert scores.curve == curve if curve is not None else math.isnan(scores.curve[0][1])


@pytest.mark.parametrize(
    "line",
    [
        "text", "{", "[1]", "{}", '{"step": 3}', '{"step": true, "bpb": 3}', '{"step": -1, "bpb": 3}',
        '{"step": [1], "bpb": 3}', '{"step": 1, "bpb": {"a": 1}}',
        '{"step": 1e400, "bpb": 3}', '{"step": NaN, "bpb": 3}',
        '{"a":' * 100_000, "9" * 10_000, '{"step": ' + "9" * 5000 + ', "bpb": 1}',
    ],
    ids=range(14),
)  # fmt: skip
def test_what_holds_no_score_is_passed_over(line: str) -> None:
    assert read(None, line).curve == ()


def test_a_held_out_score_is_taken_before_a_loss() -> None:
    lines = (
        '{"step": 0, "train_loss": 4.9}',
        '{"step": 0, "val_bpb": 7.0}',
        '{"step": 1, "train_loss": 4.8}',
    )

    assert read(None, *lines).curve == ((0, 7.0),)


def test_a_score_that_is_null_is_not_measured_and_one_that_stays_so_is_nan() -> None:
    def curve(*scores: object) -> list[int | str]:
        lines = (json.dumps({"step": step, "val_bpb": score}) for step, score in enumerate(scores))
        return [
            step if math.isfinite(score) else f"nan at {step}" for step, score in read(None, *lines).curve
        ]

    assert curve(7, None, None, 6, None, None, 5, None) == [0, 3, 6]
    assert curve(7, None, None, 6, None, None, None, None) == [0, 3, "nan at 4"]
    assert curve(7, 6, None, None) == [0, 1, "nan at 2"]
    assert curve(None, None) == ["nan at 0"]


@pytest.mark.parametrize("score", ["INF", "Nan", "-nan(ind)", "1.#QNAN", "None", "null", "N/A", "*******"])
def test_what_is_no_number_is_no_score_in_text_either(score: str) -> None:
    lines = [f"step={step} val_bpb={said}" for step, said in ((0, 7.0), (1, 6.0), (2, score), (3, score))]
    first, second, bad, *_ = read("step={step} val_bpb={bpb}", *lines).curve

    assert (first, second) == ((0, 7.0), (1, 6.0))
    assert (bad[0], math.isfinite(bad[1])) == (2, False)


def test_a_text_where_a_number_should_be_is_null() -> None:
    lines = ('{"step": 0, "val_bpb": 7.0}', '{"step": 1, "val_bpb": "N/A"}')

    assert [step for step, score in read(None, *lines).curve if math.isnan(score)] == [1]


def test_a_step_that_is_said_twice_in_a_row_is_taken_once() -> None:
    lines = [
        f"step={step} val_bpb={bpb}" for step, bpb in ((0, 7), (1, "nan"), (1, "nan"), (2, 6), (2, 6), (2, 5))
    ]

    assert [step for step, _ in read("step={step} val_bpb={bpb}", *lines).curve] == [0, 1, 2, 2]


def test_a_flood_of_scores_is_thinned_evenly_and_keeps_its_ends_and_its_first_nan() -> None:
    scores = Scores("{step} {bpb}")
    for step in range(100_001):
        scores.take(f"{step} {math.nan if step == 70_001 else 7 - step / 100_000}")
    curve = scores.curve

    assert MOST / 2 - 2 <= len(curve) <= MOST + 2
    assert (curve[0], curve[-1][0]) == ((0, 7.0), 100_000)
    assert [step for step, score in curve if math.isnan(score)] == [70_001]
    steps = [step for step, score in curve if not math.isnan(score)]
    assert {b - a for a, b in pairwise(steps[:-1])} == {32}


def test_why_there_is_no_score_says_what_the_lines_look_like() -> None:
    assert read(None, "hello").missing == (
        'no line of it is a JSON object with a step and a score, such as {"step": 20, "val_bpb": 5.2}'
    )
    assert read(None, "step 5: train loss 4.2, val loss 4.3").missing.endswith(
        '; they look like pattern = "step {step}: train loss {*}, val loss {loss}"'
    )
    assert read("s={step} b={bpb}").missing == "no line of it is of its pattern"
