"""The rules at their limits, from both sides, on numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import (
    Evidence,
    LearnedScale,
    NonFinite,
    RelationEvidence,
    RoundingEvidence,
)
from quantgate.diagnosis.rules import gradients, rounding, updates, values, zeros
from quantgate.probes.tensors import tensor_evidence

X = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)) / 8
SCALE = X.abs().amax() / 127
INT8 = tensor_evidence("head", 0, X, (X / SCALE).round() * SCALE, X, X)
NORM = INT8.reference_gradient


def of(**changes: Any) -> Evidence:
    """Three weights that all differ from int8 in these measurements."""
    return Evidence(weights=tuple(replace(INT8, tensor=name, **changes) for name in ("embed", "up", "head")))


def edge(unclipped: float) -> Evidence:
    """A tenth of each weight gets no gradient, and of that, this share was not clipped."""
    return of(gradient_zeros=0.1, blocked_unclipped=unclipped)


def drawn(tensor: float = 0.0, line: float = 0.0) -> Evidence:
    """A Gaussian that keeps so many bits more than the 8 declared ones, as a whole or in its best line."""
    whole, best = 6.0206 * (8 + tensor), 6.0206 * (8 + line)
    return Evidence(inputs=(replace(INT8, tensor="N(0, 1)", snr=whole, line_snr=best),))


def outliers(kept: float) -> Evidence:
    return replace(drawn(), relations=RelationEvidence(outliers_kept=kept))


def plain(snr: float) -> Evidence:
    """A Gaussian that keeps so many decibels, of a grid whose levels come back as they are."""
    rounding = RoundingEvidence(0.5, 0.5, 0.0, 0.0, levels_kept=1.0)
    return Evidence(
        inputs=(replace(INT8, tensor="N(0, 1)", snr=snr, line_snr=snr),), weights=(INT8,), rounding=rounding
    )


def trained(**changes: Any) -> Evidence:
    """A recipe's weights."""
    return replace(of(**changes), uncovered=(0, 4))


def by_place(share: float) -> Evidence:
    """This share of values depends on where it stands."""
    return Evidence(rounding=RoundingEvidence(0.5, 0.5, share, 0.0))


def causes(evidence: Evidence, bits: float | None = 8) -> list[str]:
    return [finding.cause for finding in diagnose(evidence, bits=bits)]


# thresholds, from both sides


@pytest.mark.parametrize(
    ("just", "beyond", "bits", "cause"),
    [
        (of(gain=4.0, side_gain=4.0), of(gain=4.01, side_gain=4.01), 8, "not-dequantized"),
        (of(gain=9.0, side_gain=1.5), of(gain=9.0, side_gain=1.51), 8, "not-dequantized"),
        (Evidence(late_gain=0.51), Evidence(late_gain=0.5), 8, "not-dequantized"),
        (Evidence(late_gain=1.99), Evidence(late_gain=2.0), 8, "not-dequantized"),
        (of(gain=values.LOW_GAIN.at), of(gain=values.LOW_GAIN.at - 0.01), 8, "not-dequantized"),
        (of(zeros=0.6), of(zeros=0.601), 8, "range-collapsed"),
        (of(zeros=0.9), of(zeros=0.901), 4, "range-collapsed"),
        (of(zeros=0.999), of(zeros=0.9995), 2, "range-collapsed"),
        (of(snr=12.0), of(snr=11.9), 8, "range-collapsed"),
        (of(snr=5.0), of(snr=4.9), 5, "range-collapsed"),
        (of(snr=2.0), of(snr=1.9), 4, "range-collapsed"),
        (of(negatives_kept=0.5), of(negatives_kept=0.49), 8, "sign-lost"),
        (of(positives_kept=0.5), of(positives_kept=0.49), 8, "sign-lost"),
        (of(saturated=0.3), of(saturated=0.31), 8, "scale-stale"),
        (of(saturated=0.35), of(saturated=0.36), 3, "scale-stale"),
        (of(snr=12.0, clip_noise=0.6), of(snr=11.9, clip_noise=0.6), 8, "scale-stale"),
        (of(peak=0.85), of(peak=0.84), 8, "scale-stale"),
        (of(peak=0.8), of(peak=0.79), 3, "scale-stale"),
        (Evidence(one_sided_peak=0.65), Evidence(one_sided_peak=0.64), 4, "qparams-invalid"),
        (Evidence(scale_follows=1.5), Evidence(scale_follows=1.49), 8, "scale-stale"),
        (Evidence(scale_follows=0.0), Evidence(scale_follows=1.0), 8, "scale-stale"),
        (of(gradient_zeros=0.9 - 1e-9), of(gradient_zeros=0.9), 8, "gradient-blocked"),
        (of(gradient_cosine=0.5), of(gradient_cosine=0.49, saturated=0.0), 8, "gradient-wrong"),
        (of(gradient=1.79 * NORM), of(gradient=1.81 * NORM), 8, "gradient-misscaled"),
        (of(gradient=0.34 * NORM), of(gradient=0.33 * NORM), 8, "gradient-misscaled"),
        (edge(0.19), edge(0.2), 8, "clip-gradient-lost"),
        (Evidence(gradient_underflow=0.5), Evidence(gradient_underflow=0.51), 8, "grad-format"),
        (Evidence(update_survival=updates.SURVIVAL.at), Evidence(update_survival=0.88), 8, "update-swallowed"),
        (Evidence(optimizer_regions=0.35), Evidence(optimizer_regions=0.34), 8, "optimizer-state"),
        (drawn(tensor=0.99), drawn(tensor=1.01), 8, "too-many-levels"),
        (drawn(line=2.9), drawn(line=3.1), 8, "partly-applied"),
        (outliers(0.09), outliers(0.1), 8, "partly-applied"),
        (Evidence(codes_used=141.0), Evidence(codes_used=140.0), 8, "range-collapsed"),
        (plain(21.0), plain(20.9), 8, "range-collapsed"),
        (plain(7.0), plain(6.9), 4, "range-collapsed"),
        (trained(shrinks=-0.8), trained(shrinks=-0.81), 8, "rounding-biased"),
        (Evidence(optimizer_still=0.19), Evidence(optimizer_still=0.2), 8, "optimizer-state"),
        (Evidence(optimizer_alone=0.9), Evidence(optimizer_alone=0.89, optimizer_follows="head"), 8, "optimizer-state"),
        (Evidence(unmoved=0.19), Evidence(unmoved=0.2), 8, "update-swallowed"),
        (Evidence(optimizer_cosine=updates.STATE_COSINE.at), Evidence(optimizer_cosine=0.34), 8, "optimizer-state"),
        (Evidence(table_error=rounding.TABLE.at), Evidence(table_error=0.006), 4, "wrong-table"),
        (Evidence(export_differs=0.0), Evidence(export_differs=0.001), 8, "train-deploy-mismatch"),
        (Evidence(zero_input=None), Evidence(zero_input="an all-zero row"), 8, "scale-zero"),
        (Evidence(uncovered=(0, 4)), Evidence(uncovered=(1, 4)), 8, "partly-applied"),
        (Evidence(uncovered=None), Evidence(uncovered=(4, 4)), 8, "no-op"),
        (Evidence(unreached=(0, 7)), Evidence(unreached=(1, 7)), 8, "gradient-blocked"),
        (Evidence(frozen=()), Evidence(frozen=("head",)), 8, "orphaned-parameter"),
        (by_place(0.009), by_place(0.01), 8, "rounding-not-random"),
    ],
)  # fmt: skip
def test_a_threshold_is_kept_on_one_side_and_crossed_on_the_other(
    just: Evidence, beyond: Evidence, bits: float, cause: str
) -> None:
    assert causes(just, bits) == []
    assert causes(beyond, bits) == [cause]


@pytest.mark.parametrize(
    ("evidence", "bits"),
    [
        (of(saturated=0.9, zeros=0.0), 2),  # a ternary grid has little else
        (of(saturated=0.9), None),
        (of(gradient_zeros=1.0, saturated=0.95), 2),  # a clip mask where all is clipped
        (of(gradient=0.0, gradient_zeros=1.0, gradient_cosine=0.0, saturated=1.0), 2),
        (of(gradient_cosine=0.3, saturated=0.7), 2),
        (of(peak=0.6), 2),
        (of(snr=1.0), 3),
        (of(snr=1.0), None),
        (of(gradient_zeros=0.3, blocked_unclipped=0.1), 8),  # a mask at the edge of the range
        (of(gradient_zeros=0.0, blocked_unclipped=1.0), 8),
        (of(reference_gradient=0.0, gradient=None, gradient_zeros=1.0, gradient_cosine=0.0), 8),
        (Evidence(scale_follows=None, table_error=None, export_differs=None), 8),
        (Evidence(optimizer_cosine=None, update_survival=1.03), 8),
        (Evidence(rounding=None), 8),
    ],
)
def test_what_is_healthy_in_its_place(evidence: Evidence, bits: float | None) -> None:
    assert causes(evidence, bits) == []


def test_a_grid_without_a_scale_is_held_to_more() -> None:
    coarse = replace(of(snr=7.0), fixed_grid=values.FIXED_GRID.at + 0.1)

    assert causes(of(snr=7.0), 4) == []
    assert causes(replace(coarse, fixed_grid=values.FIXED_GRID.at), 4) == []
    assert causes(coarse, 4) == ["range-collapsed"]


@pytest.mark.parametrize("changes", [{"saturated": 0.4}, {"snr": 8.0}, {"snr": 8.0, "clip_noise": 1.0}])
def test_what_training_clips_with_a_learned_range_is_a_warning(changes: dict[str, Any]) -> None:
    first = of()
    later = replace(first.weights[0], step=50, **changes)
    moved = replace(first, weights=(*first.weights, later), range_moved=True)
    (finding,) = diagnose(moved, bits=8)
    assert (finding.cause, finding.severity) == ("scale-stale", "warning")

    (finding,) = diagnose(replace(moved, range_moved=False), bits=8)
    assert finding.blames

    (finding,) = diagnose(replace(of(**changes), range_moved=True), bits=8)
    assert finding.blames, "so it was before training moved anything"


def test_no_sign_is_lost_where_nothing_is_kept() -> None:
    assert causes(of(negatives_kept=0.0, positives_kept=0.02, zeros=0.99)) == ["range-collapsed"]
    assert causes(of(negatives_kept=0.0, positives_kept=0.03, zeros=0.98))[0] == "sign-lost"


def test_a_lost_sign_is_not_called_coarse_too() -> None:
    assert causes(of(negatives_kept=0.0, snr=3.0)) == ["sign-lost"]


def test_what_falls_to_zero_is_not_called_off_scale() -> None:
    assert causes(of(gain=0.1, zeros=0.95), 4) == ["range-collapsed"]


def test_a_scale_that_is_stale_is_said_once() -> None:
    found = diagnose(replace(of(saturated=0.5), scale_follows=1.0), bits=8)

    assert [finding.because for finding in found] == [
        "the largest output becomes 1 times as large when the input becomes four times as large."
    ]


def test_an_underflowing_gradient_is_no_edge_that_got_none() -> None:
    assert causes(replace(of(gradient_zeros=0.1, blocked_unclipped=1.0), gradient_underflow=0.9)) == [
        "grad-format"
    ]


def test_one_tensor_in_three_that_loses_its_edge_is_no_mask() -> None:
    lossy = replace(INT8, gradient_zeros=0.1, blocked_unclipped=1.0)

    assert causes(Evidence(weights=(INT8, INT8, lossy))) == []
    assert causes(Evidence(weights=(INT8, lossy))) == ["clip-gradient-lost"]


@pytest.mark.parametrize(
    ("bits", "share"), [(None, 0.999), (1.58, 0.999), (2, 0.999), (3, 0.9), (4, 0.9), (5, 0.6), (32, 0.6)]
)
def test_the_share_of_zeros_by_bits(bits: float | None, share: float) -> None:
    assert zeros.ZEROS.for_bits(bits) == share


def test_healthy_measurements_stay_clear_of_the_thresholds() -> None:
    assert INT8.gradient_cosine > gradients.COSINE.at + 0.2
    assert values.LOW_GAIN.at * 2 < INT8.gain < values.GAIN.at / 2
    assert INT8.snr > values.LEAST_SNR.for_bits(8) + 10
    assert gradients.RATIO_LOW.at < 0.7 < 1.25 < gradients.RATIO_HIGH.at


# what stands first


def test_the_order_of_causes() -> None:
    everything = replace(
        of(gradient=None, gradient_zeros=1.0, zeros=0.99),
        zero_input="an all-zero row", optimizer_cosine=0.0, frozen=("head",), table_error=1.0,
        non_finite=NonFinite("the loss", 3), update_survival=0.0,
    )  # fmt: skip

    assert causes(everything) == [
        "scale-zero", "optimizer-state", "orphaned-parameter", "range-collapsed", "gradient-blocked",
        "update-swallowed", "non-finite", "wrong-table",
    ]  # fmt: skip


def test_what_is_seen_at_the_start_outranks_what_comes_of_it() -> None:
    late = replace(INT8, step=4, gradient=None, gradient_zeros=1.0)

    assert causes(Evidence(weights=(replace(INT8, gain=9.0, side_gain=9.0), late))) == [
        "not-dequantized",
        "gradient-blocked",
    ]


def test_the_weights_are_asked_before_the_inputs() -> None:
    bad = replace(INT8, tensor="N(0, 1)", gain=9.0, side_gain=9.0)

    assert causes(Evidence(inputs=(bad,))) == ["not-dequantized"]
    assert causes(Evidence(inputs=(bad,), weights=(INT8,))) == []
    assert causes(Evidence(inputs=(replace(bad, gain=1.0, gradient=None),), weights=(INT8,))) == [
        "gradient-blocked"
    ]


# learned scales


@pytest.mark.parametrize(
    ("learned", "said"),
    [
        (LearnedScale("s", 0.1, 0.2, True), None),
        (LearnedScale("s", 0.1, -0.2, True), "scales the output and crossed 0"),
        (LearnedScale("s", 0.1, 0.0, True), "scales the output and crossed 0"),
        (LearnedScale("s", -0.1, -0.2, True), "scales the output and is negative"),
        (LearnedScale("lower_bound", -0.1, -0.2, True, is_scale=False), None),
        (LearnedScale("s", 0.1, 0.1, False), "never got a gradient"),
        (LearnedScale("zero_point", 0.1, -0.1, True, is_scale=False), None),
        (LearnedScale("s", 0.1, 0.1, False, learns_clipped=True), None),
        (LearnedScale("s", 0.1, 0.1, False, used=False), None),
        (LearnedScale("s", 0.1, 0.1, False, reached=False, is_scale=False), "never got a gradient"),
    ],
)
def test_learned_scales(learned: LearnedScale, said: str | None) -> None:
    found = [finding.because for finding in diagnose(Evidence(learned=(learned,)), bits=8)]

    assert found == ([] if said is None else [f"the learned parameter {learned.name} {said} (1 of 1)."])


def test_the_thresholds_are_said() -> None:
    (found,) = diagnose(Evidence(rounding=RoundingEvidence(1.0, 0.0, 0.0, 0.0)), bits=8)

    assert found.because == (
        "the rounding threshold lies at 1.00 of the bin for positive and 0.00 for negative values; "
        "round to nearest puts it at 0.50."
    )
    assert causes(Evidence(rounding=RoundingEvidence(None, 0.0, 0.0, 0.0))) == []
