"""The rules at their thresholds, on numbers; and what the probes make of real ways to round and to mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence, LearnedScale, NonFinite, RoundingEvidence, TensorEvidence
from quantgate.diagnosis.rules import gradients, ranges, rounding, select, training
from quantgate.probes.quantizer.ramp import ROLL, ramp, rounding_evidence
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


def by_place(share: float) -> Evidence:
    """This share of values depends on where it stands."""
    return Evidence(rounding=RoundingEvidence(0.5, 0.5, share, 0.0))


def causes(evidence: Evidence, bits: float | None = 8) -> list[str]:
    return [finding.cause for finding in diagnose(evidence, bits=bits)]


# thresholds, from both sides


@pytest.mark.parametrize(
    ("just", "beyond", "bits", "cause"),
    [
        (of(gain=ranges.GAIN), of(gain=ranges.GAIN + 0.01), 8, "not-dequantized"),
        (of(gain=ranges.LOW_GAIN), of(gain=ranges.LOW_GAIN - 0.01), 8, "not-dequantized"),
        (of(zeros=0.6), of(zeros=0.601), 8, "range-collapsed"),
        (of(zeros=0.9), of(zeros=0.901), 4, "range-collapsed"),
        (of(zeros=0.999), of(zeros=0.9995), 2, "range-collapsed"),
        (of(snr=12.0), of(snr=11.9), 8, "range-collapsed"),
        (of(snr=5.0), of(snr=4.9), 5, "range-collapsed"),
        (of(snr=2.0), of(snr=1.9), 4, "range-collapsed"),
        (of(negatives_kept=0.5), of(negatives_kept=0.49), 8, "sign-lost"),
        (of(positives_kept=0.5), of(positives_kept=0.49), 8, "sign-lost"),
        (of(saturated=0.2), of(saturated=0.21), 8, "scale-stale"),
        (of(saturated=0.35), of(saturated=0.36), 3, "scale-stale"),
        (Evidence(scale_follows=2.0), Evidence(scale_follows=1.99), 8, "scale-stale"),
        (Evidence(scale_follows=0.0), Evidence(scale_follows=1.0), 8, "scale-stale"),
        (of(gradient_zeros=0.9 - 1e-9), of(gradient_zeros=0.9), 8, "gradient-blocked"),
        (of(gradient_cosine=0.5), of(gradient_cosine=0.49), 8, "gradient-wrong"),
        (of(gradient=1.79 * NORM), of(gradient=1.81 * NORM), 8, "gradient-misscaled"),
        (of(gradient=0.34 * NORM), of(gradient=0.33 * NORM), 8, "gradient-misscaled"),
        (edge(0.19), edge(0.2), 8, "clip-gradient-lost"),
        (Evidence(gradient_underflow=0.5), Evidence(gradient_underflow=0.51), 8, "grad-format"),
        (Evidence(update_survival=training.SURVIVAL), Evidence(update_survival=0.88), 8, "update-swallowed"),
        (Evidence(optimizer_cosine=training.OPTIMIZER), Evidence(optimizer_cosine=0.69), 8, "optimizer-state"),
        (Evidence(table_error=rounding.TABLE), Evidence(table_error=0.006), 4, "wrong-table"),
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
    coarse = replace(of(snr=7.0), fixed_grid=ranges.FIXED + 0.1)

    assert causes(of(snr=7.0), 4) == []
    assert causes(replace(coarse, fixed_grid=ranges.FIXED), 4) == []
    assert causes(coarse, 4) == ["range-collapsed"]


def test_a_lost_sign_is_not_called_coarse_too() -> None:
    assert causes(of(negatives_kept=0.0, snr=3.0)) == ["sign-lost"]


def test_what_falls_to_zero_is_not_called_off_scale() -> None:
    assert causes(of(gain=0.1, zeros=0.95), 4) == ["range-collapsed"]


def test_a_scale_that_is_stale_is_said_once() -> None:
    found = diagnose(replace(of(saturated=0.5), scale_follows=1.0), bits=8)

    assert [finding.because for finding in found] == [
        "the largest output grows 1-fold when the input grows fourfold."
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
    assert ranges.zeros_limit(bits) == share


def test_healthy_measurements_stay_clear_of_the_thresholds() -> None:
    assert INT8.gradient_cosine > select.WRONG_COSINE + 0.2
    assert ranges.LOW_GAIN * 2 < INT8.gain < ranges.GAIN / 2
    assert INT8.snr > ranges.LEAST_SNR[math.inf] + 10
    low, high = gradients.MISSCALED_RATIO
    assert low < 0.7 < 1.25 < high


# what stands first


def test_the_order_of_causes() -> None:
    everything = replace(
        of(gradient=None, gradient_zeros=1.0, zeros=0.99),
        zero_input="an all-zero row", optimizer_cosine=0.0, frozen=("head",), table_error=1.0,
        non_finite=NonFinite("the loss", 3), update_survival=0.0,
    )  # fmt: skip

    assert causes(everything) == [
        "scale-zero", "optimizer-state", "gradient-blocked", "orphaned-parameter", "range-collapsed",
        "update-swallowed", "non-finite", "wrong-table",
    ]  # fmt: skip


def test_what_is_seen_at_the_start_outranks_what_comes_of_it() -> None:
    late = replace(INT8, step=4, gradient=None, gradient_zeros=1.0)

    assert causes(Evidence(weights=(replace(INT8, gain=9.0), late))) == [
        "not-dequantized",
        "gradient-blocked",
    ]


def test_the_weights_are_asked_before_the_inputs() -> None:
    bad = replace(INT8, tensor="N(0, 1)", gain=9.0)

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
        (LearnedScale("s", 0.1, -0.2, True), "crossed 0"),
        (LearnedScale("s", 0.1, 0.0, True), "crossed 0"),
        (LearnedScale("s", -0.1, -0.2, True), "is negative"),
        (LearnedScale("log_s", -0.1, -0.2, True), None),
        (LearnedScale("s", 0.1, 0.1, False), "never got a gradient"),
        (LearnedScale("zero_point", 0.0, -0.1, True), None),
    ],
)
def test_learned_scales(learned: LearnedScale, said: str | None) -> None:
    found = [finding.because for finding in diagnose(Evidence(learned=(learned,)), bits=8)]

    assert found == ([] if said is None else [f"the learned parameter {learned.name} {said} (1 of 1)."])


# ways to round, measured


def measured(grid: Callable[[Tensor], Tensor]) -> RoundingEvidence:
    """What is measured of a quantizer on the ramp, as `examine_quantizer` asks for it."""

    def seeded(x: Tensor, seed: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return grid(x)

    x = ramp()
    return rounding_evidence(x, seeded(x, 1), seeded(x, 2), seeded(x.roll(ROLL, 0), 1).roll(-ROLL, 0))


def whole(rounds: Callable[[Tensor], Tensor], levels: int = 7) -> Callable[[Tensor], Tensor]:
    return lambda x: rounds(x * levels) / levels


def up(x: Tensor) -> Tensor:
    return torch.where(x < 0, x.floor(), x.ceil())


def same_noise(x: Tensor) -> Tensor:
    return torch.floor(x + torch.rand(x.shape, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("levels", [5, 7, 127, 32_767])
@pytest.mark.parametrize(
    ("rounds", "positive", "negative"),
    [
        (torch.round, 0.5, 0.5),
        (torch.trunc, 1.0, 0.0),
        (torch.floor, 1.0, 1.0),
        (torch.ceil, 0.0, 0.0),
        (up, 0.0, 1.0),
    ],
    ids=["nearest", "truncate", "floor", "ceil", "away from 0"],
)
def test_where_the_threshold_lies(
    rounds: Callable[[Tensor], Tensor], positive: float, negative: float, levels: int
) -> None:
    found = measured(whole(rounds, levels))

    assert found.threshold_positive == pytest.approx(positive, abs=0.1)
    assert found.threshold_negative == pytest.approx(negative, abs=0.1)
    assert (found.by_place, found.varies) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("rounds", "cause"),
    [
        (torch.round, []),
        (torch.trunc, ["rounding-biased"]),
        (torch.floor, ["rounding-biased"]),
        (torch.ceil, ["rounding-biased"]),
        (up, []),  # what a grid of more than x's range looks like
        (lambda x: torch.floor(x + torch.rand_like(x)), []),
        (same_noise, ["rounding-not-random"]),
        (torch.zeros_like, []),
    ],
    ids=["nearest", "truncate", "floor", "ceil", "away from 0", "random", "the same noise", "nothing"],
)
def test_how_it_rounds_is_named(rounds: Callable[[Tensor], Tensor], cause: list[str]) -> None:
    assert causes(Evidence(rounding=measured(whole(rounds)))) == cause


def test_noise_of_the_seed_varies_and_noise_of_the_place_does_not() -> None:
    drawn = measured(whole(lambda x: torch.floor(x + torch.rand_like(x))))
    fixed = measured(whole(same_noise))

    assert min(drawn.varies, drawn.by_place, fixed.by_place) > 0.1
    assert fixed.varies == 0.0
    assert Evidence(rounding=drawn).stochastic
    assert not Evidence(rounding=fixed).stochastic
    assert not Evidence().stochastic


def test_scales_of_rows_and_blocks_depend_on_no_place() -> None:
    for size in (16, 32, 192):

        def rows(x: Tensor, size: int = size) -> Tensor:
            parts = x.reshape(-1, size)
            scale = parts.abs().amax(-1, keepdim=True) / 7
            return ((parts / scale).round() * scale).reshape(x.shape)

        assert measured(rows).by_place == 0.0


def test_the_thresholds_are_said() -> None:
    (found,) = diagnose(Evidence(rounding=RoundingEvidence(1.0, 0.0, 0.0, 0.0)), bits=8)

    assert found.because == (
        "the rounding threshold lies at 1.00 of the bin for positive and 0.00 for negative values; "
        "round to nearest puts it at 0.50."
    )
    assert rounding.place(None) == "an unknown place"
    assert causes(Evidence(rounding=RoundingEvidence(None, 0.0, 0.0, 0.0))) == []


# ways to mask a gradient, measured


def masked(mask: Callable[[Tensor, Tensor, Tensor], Tensor], limit: float = 0.2) -> TensorEvidence:
    """An int4 grid that clips at `limit`, its gradient times mask(x, q, limit)."""
    step = limit / 7
    q = (X / step).round().clamp(-7, 7) * step
    upstream = torch.ones_like(X)
    return tensor_evidence("head", 0, X, q, upstream * mask(X, q, torch.tensor(limit)), upstream)


@pytest.mark.parametrize(
    ("mask", "limit", "cause"),
    [
        (lambda x, q, limit: torch.ones_like(x), 0.2, []),
        (lambda x, q, limit: x.abs() <= limit, 0.2, []),  # the usual clip mask
        (lambda x, q, limit: (x >= -limit) & (x < limit), 0.2, []),  # PACT's, open at one end
        (lambda x, q, limit: q.abs() < q.abs().amax(), 0.2, []),  # the edge of a range that clips
        (lambda x, q, limit: q.abs() < q.abs().amax(), 0.45, ["clip-gradient-lost"]),  # of one that does not
        (lambda x, q, limit: x > 0, 0.2, ["clip-gradient-lost"]),
        (lambda x, q, limit: torch.zeros_like(x), 0.2, ["gradient-blocked"]),
        (lambda x, q, limit: -torch.ones_like(x), 0.2, ["gradient-wrong"]),
        (lambda x, q, limit: limit * torch.ones_like(x), 0.2, ["gradient-misscaled"]),
    ],
    ids=["none", "clip", "PACT", "edge, clipping", "edge, wide", "half", "all", "negated", "scaled"],
)
def test_how_it_masks_is_named(mask: Any, limit: float, cause: list[str]) -> None:
    assert causes(Evidence(weights=(masked(mask, limit),)), 4) == cause
