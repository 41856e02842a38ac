"""From evidence to cause, on numbers alone; `quantgate.faults` holds the broken formats themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from quantgate.diagnosis.causes import CAUSES
from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence, NonFinite, TensorEvidence
from quantgate.diagnosis.rules.zeros import ZEROS
from quantgate.probes.tensors import tensor_evidence


def healthy(name: str = "head.weight", step: int = 0) -> TensorEvidence:
    """A tensor at 8 bits with the straight-through estimator's gradient."""
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)) / 8
    scale = x.abs().amax() / 127
    return tensor_evidence(name, step, x, (x / scale).round() * scale, x, x)


HEALTHY = healthy()
WEIGHTS = tuple(replace(HEALTHY, tensor=name) for name in ("embed", "up", "head"))


def one_bad(**changes: Any) -> Evidence:
    """Three weights, the last of which differs in these measurements."""
    return Evidence(weights=(*WEIGHTS[:2], replace(WEIGHTS[2], **changes)))


def causes(evidence: Evidence, bits: float | None = 8, **given: Any) -> list[str]:
    return [finding.cause for finding in diagnose(evidence, bits=bits, **given)]


@pytest.mark.parametrize("bits", [None, 4, 8, 16, 32])
def test_healthy_weights_have_no_cause(bits: float | None) -> None:
    coarse = tuple(replace(each, snr=min(each.snr, 6.0 * (bits or 8)), line_snr=0.0) for each in WEIGHTS)
    assert causes(Evidence(inputs=coarse, weights=WEIGHTS), bits) == []
    assert causes(Evidence(), bits) == []


@pytest.mark.parametrize(
    ("evidence", "cause"),
    [
        (Evidence(contract="returns a list."), "contract"),
        (Evidence(non_finite=NonFinite("the loss", 7)), "non-finite"),
        (Evidence(weights=tuple(replace(each, changed=0.0) for each in WEIGHTS)), "no-op"),
        (Evidence(control_identical=True), "no-op"),
        (one_bad(changed=0.0), "partly-applied"),
        (one_bad(gradient=None, gradient_zeros=1.0), "gradient-blocked"),
        (one_bad(gradient=0.0, gradient_zeros=1.0, gradient_cosine=0.0), "gradient-blocked"),
        (Evidence(weights=WEIGHTS, frozen=("head",)), "orphaned-parameter"),
        (one_bad(gain=14.0, side_gain=14.0), "not-dequantized"),
        (one_bad(zeros=0.99), "range-collapsed"),
        (one_bad(negatives_kept=0.0), "sign-lost"),
        (one_bad(gradient_cosine=-1.0), "gradient-wrong"),
        (one_bad(gradient=HEALTHY.reference_gradient * 1e-3), "gradient-misscaled"),
        (Evidence(weights=WEIGHTS, update_survival=0.2), "update-swallowed"),
    ],
)
def test_each_measurement_names_its_cause(evidence: Evidence, cause: str) -> None:
    found = diagnose(evidence, bits=8)

    assert found
    assert found[0].cause == cause
    assert found[0].because.endswith(".")
    assert cause in CAUSES


def test_every_cause_has_a_summary_and_a_hint() -> None:
    for name, cause in CAUSES.items():
        assert name == cause.name
        assert cause.summary.endswith(".")
        assert cause.hint


@pytest.mark.parametrize(
    ("evidence", "because"),
    [
        (
            Evidence(non_finite=NonFinite("the loss", 7)),
            "the loss is the first tensor that is not finite, at step 7.",
        ),
        (
            Evidence(weights=tuple(replace(each, changed=0.0) for each in WEIGHTS)),
            "all 3 tensors came back unchanged, bit for bit.",
        ),
        (Evidence(control_identical=True), "the curve is the float32 control's, bit for bit."),
        (one_bad(changed=0.0), "1 of 3 weights came back unchanged: head."),
        (
            one_bad(gradient=None, gradient_zeros=1.0),
            "the gradient is 0 for 1 of 3 weights where the reference straight-through estimator's is not.",
        ),
        (
            Evidence(weights=tuple(replace(each, gradient_zeros=0.9844) for each in WEIGHTS)),
            "the gradient is 0 for 98.4% and more of the elements of 3 of 3 weights where the reference "
            "straight-through estimator's is not.",
        ),
        (
            one_bad(gradient_zeros=0.99999),
            "the gradient is 0 for 99.9% and more of the elements of 1 of 3 weights where the reference "
            "straight-through estimator's is not.",
        ),
        (
            one_bad(gain=1586.4, side_gain=1586.4),
            "head comes back 1,590 times its size (1 of 3 weights off scale).",
        ),
    ],
)
def test_the_sentence_holds_the_numbers(evidence: Evidence, because: str) -> None:
    assert diagnose(evidence, bits=8)[0].because == because


def test_a_lossless_format_may_change_nothing() -> None:
    unchanged = Evidence(
        weights=tuple(replace(each, changed=0.0) for each in WEIGHTS), control_identical=True
    )

    assert causes(unchanged, 32, lossless=True) == []


def test_a_crash_is_no_cause() -> None:
    assert causes(Evidence(crash="ValueError: no", non_finite=NonFinite("the loss", 1))) == []


def test_a_broken_contract_is_the_only_cause() -> None:
    assert causes(Evidence(contract="no.", weights=(replace(HEALTHY, gain=99.0),))) == ["contract"]


def test_causes_come_likeliest_first() -> None:
    bad = replace(HEALTHY, gradient=None, gradient_zeros=1.0)
    found = causes(Evidence(weights=(bad,), non_finite=NonFinite("the loss", 0), update_survival=0.0))

    assert found[:2] == ["non-finite", "gradient-blocked"]
    assert found[-1] == "update-swallowed"


def test_few_bits_may_send_much_to_zero() -> None:
    assert causes(one_bad(zeros=0.8), 8) == ["range-collapsed"]
    assert "range-collapsed" not in causes(one_bad(zeros=0.8), 4)
    assert "range-collapsed" not in causes(one_bad(zeros=0.95), 2)
    assert ZEROS.for_bits(None) >= ZEROS.for_bits(2) >= ZEROS.for_bits(4) >= ZEROS.for_bits(8)


def test_a_healthy_share_of_the_update_survives() -> None:
    assert causes(Evidence(weights=WEIGHTS, update_survival=0.97)) == []


def test_the_first_step_with_a_fault_speaks() -> None:
    later = tuple(replace(each, step=50, gradient=None, gradient_zeros=1.0) for each in WEIGHTS)
    (found,) = diagnose(Evidence(weights=(*WEIGHTS, *later)), bits=8)

    assert found.because.startswith("the gradient is 0 for 3 of 3 weights")


def test_inputs_speak_where_there_are_no_weights() -> None:
    bad = replace(HEALTHY, tensor="N(0, 1)", gradient=None, gradient_zeros=1.0)
    (found,) = diagnose(Evidence(inputs=(bad,)), bits=8)

    assert found.because.startswith("the gradient is 0 for 1 of 1 inputs")
