"""Chance and the unit, as the first scores of runs say them."""

from __future__ import annotations

import math

import pytest

from quantgate import judge
from quantgate.logs.judging.fleet import Asked, Judged, judge_fleet
from quantgate.logs.names import Key
from quantgate.records.verdict import Verdict
from tests.logs.samples import Samples, falling
from tests.logs.test_fleet import NATS, run


def judged(*curves: Samples, factor: float = 1.0, bits: bool = False, chance: float | None = None) -> Judged:
    runs = [run(Key(f"run{place}"), curve, factor) for place, curve in enumerate(curves)]
    return judge_fleet(runs, Asked(chance), bits_named=bits)


@pytest.mark.parametrize(
    ("start", "chance"),
    [
        (8.02, "chance 8.00 bits (256 symbols: the runs start at 8.02)"),
        (6.05, "chance 6.02 bits (65 symbols: the runs start at 6.05)"),
        (15.62, "chance 15.62 bits (50,257 symbols: the runs start at 15.62)"),
        # nanoGPT's, of loss 10.98.
        (15.84, "chance 15.62 bits (50,257 symbols: the runs start at 15.84)"),
        (14.98, "chance 14.97 bits (32,000 symbols: the runs start at 14.98)"),
        (17.0, "chance 16.97 bits (128,256 symbols: the runs start at 17.00)"),
    ],
)
@pytest.mark.parametrize("unit", ["bits", "nats"])
def test_the_runs_say_what_chance_is(start: float, chance: str, unit: str) -> None:
    curves = (falling(start / 3, start=start), falling(start, start=start))

    found = judged(*curves, factor=1.0 if unit == "bits" else NATS, bits=unit == "bits")

    assert found.said[1] == chance
    assert [(str(r.verdict), r.evidence["shape"]) for r in found.results] == [
        ("learns", "learns"),
        ("dead", "flat"),
    ]


def test_a_loss_in_bits_of_bytes_is_told() -> None:
    assert judged(falling(2.6, start=8.02)).said[:2] == (
        "unit bits (the first scores, 8.02, are chance in bits)",
        "chance 8.00 bits (256 symbols: the runs start at 8.02)",
    )


def test_bits_that_are_nats_of_bytes_are_refused() -> None:
    (result,) = judged(falling(2.6, start=8.02), factor=NATS, bits=True).results

    assert result.evidence["because"] == (
        "the unit cannot be right: the first score is 5.56, which is chance (8.00 bits) in nats. Say --unit nats."
    )


@pytest.mark.parametrize("factor", [1.0, NATS])
def test_a_start_that_is_chance_of_nothing_known_is_refused(factor: float) -> None:
    found = judged(falling(2.6, start=9.5), falling(9.4, start=9.5), factor=factor, bits=factor == 1)

    assert found.said[1] == (
        "chance 7.00 bits (128 symbols, assumed: the runs start at 9.50, chance of no known vocabulary; --vocabulary "
        "or --chance say it)"
    )
    assert {(str(r.verdict), r.evidence["because"][:58]) for r in found.results} == {
        ("unjudged", "the first score, 9.50 bits, is not near chance (7.00, assu")
    }


def test_runs_of_another_vocabulary_than_most_are_refused() -> None:
    found = judged(falling(2.6, start=8.02), falling(2.7, start=8.02), falling(5.0, start=15.6), bits=True)

    assert [str(r.verdict) for r in found.results] == ["learns", "learns", "unjudged"]
    assert found.results[2].evidence["because"] == (
        "the first score, 15.60 bits, is not near chance (8.00). Say --vocabulary (49833 symbols would fit), --chance "
        "or --unit."
    )


def test_runs_that_were_first_logged_later_do_not_say_what_chance_is() -> None:
    found = judged(falling(2.6, start=15.62), falling(2.6, start=15.62)[20:], bits=True)

    assert found.said[1] == "chance 15.62 bits (50,257 symbols: the runs start at 15.62)"
    assert [str(r.verdict) for r in found.results] == ["learns", "learns"]


def test_what_is_given_stands() -> None:
    found = judged(falling(7.5, start=15.6), bits=True, chance=7.0)

    assert found.said[1] == "chance 7.00 bits (128 symbols)"
    assert found.results[0].evidence["because"] == "fell from 15.61 to 7.50 in 2,000 steps; chance is 7.00."
    assert found.results[0].evidence["shape"] == "fell-to-chance"


def test_a_curve_in_memory_that_fell_is_not_called_flat() -> None:
    assert judge([(0, 15.6), (1000, 9.0), (2000, 8.0)]) is Verdict.DEAD
    assert judge([(0, 15.6), (1000, 9.0), (2000, 8.0)], chance=math.log2(50257)) is Verdict.LEARNS
