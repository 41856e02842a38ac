"""Healthy quantizers of every sharing are blamed for nothing in a dump, and broken ones by their cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence
from quantgate.probes.tensors import tensor_evidence
from quantgate.trainers.dump import Moment
from quantgate.trainers.weights import evidence_of

RANDOM = np.random.default_rng(47)
#: With tails, and more values in a row than 8 bits have codes.
X = (RANDOM.standard_t(4, (128, 512)) * 0.05).astype(np.float32)
NORMAL = RANDOM.normal(0, 0.05, X.shape).astype(np.float32)


def grid(x: Any, codes: int, axis: int | None = None, rounded: Callable[[Any], Any] = np.round) -> Any:
    scale = np.abs(x).max(axis=axis, keepdims=axis is not None) / codes
    return np.clip(rounded(x / scale), -codes - 1, codes) * scale


def grouped(x: Any, codes: int, size: int) -> Any:
    return grid(x.reshape(-1, size), codes, 1).reshape(x.shape)


def asymmetric(x: Any, codes: int) -> Any:
    low, high = x.min(1, keepdims=True), x.max(1, keepdims=True)
    scale = (high - low) / codes
    return np.round((x - low) / scale) * scale + low


def float8(x: Any) -> Any:
    scale = np.abs(x).max() / 448
    exponent = np.maximum(np.floor(np.log2(np.maximum(np.abs(x / scale), 1e-30))), -6)
    return np.round(x / scale / 2.0 ** (exponent - 3)) * 2.0 ** (exponent - 3) * scale


def stochastic(x: Any) -> Any:
    return np.floor(x + np.random.default_rng(3).random(x.shape))


def findings(x: Any, q: Any, bits: float) -> dict[str, str]:
    moment = Moment(0, {"weights": {"w": x}, "quantized": {"w": np.asarray(q, dtype=np.float32)}})
    found = diagnose(evidence_of([moment], bits), bits=bits)
    return {each.cause: each.because for each in found if each.blames}


@pytest.mark.parametrize("x", [X, NORMAL], ids=["tails", "normal"])
@pytest.mark.parametrize(
    ("quantize", "bits"),
    [
        (lambda x: grid(x, 127), 8),
        (lambda x: grid(x, 127, 1), 8),
        (lambda x: grid(x, 127, 0), 8),
        (lambda x: grouped(x, 7, 32), 4),
        (lambda x: grouped(x, 7, 16), 4),
        (lambda x: grouped(x, 7, 128), 4),
        (lambda x: grid(x, 7, 1), 4),
        (lambda x: grouped(x, 3, 32), 3),
        (lambda x: asymmetric(x, 255), 8),
        (lambda x: asymmetric(x, 15), 4),
        (float8, 8),
        (lambda x: grid(x, 127, rounded=stochastic), 8),
        (lambda x: grid(x, 7, 1, stochastic), 4),
    ],
    ids=["tensor8", "row8", "column8", "group32", "group16",
        "group128", "row4", "int3", "asym8", "asym4",
        "fp8", "stoch8", "stoch4"],
)  # fmt: skip
def test_healthy(x: Any, quantize: Callable[[Any], Any], bits: float) -> None:
    assert findings(x, quantize(x), bits) == {}


def test_one_scale_for_a_tensor_with_tails_covers_its_range() -> None:
    assert findings(X, grid(X, 7), 4) == {}
    assert findings(NORMAL, grid(NORMAL, 7), 4) == {}


@pytest.mark.parametrize(("degrees", "codes", "bits"), [(2, 7, 4), (3, 7, 4), (1.5, 127, 8)])
def test_what_falls_to_0_beside_a_heavy_tail_is_the_formats_own_and_said(
    degrees: float, codes: int, bits: float
) -> None:
    x = (np.random.default_rng(5).standard_t(degrees, (128, 512)) * 0.05).astype(np.float32)
    q = grid(x, codes).astype(np.float32)
    (warning,) = diagnose(
        evidence_of([Moment(0, {"weights": {"w": x}, "quantized": {"w": q}})], bits), bits=bits
    )
    # A format that is registered is measured by the same probe.
    probed = tensor_evidence("w", 0, torch.from_numpy(x), torch.from_numpy(q), None, None)
    (same,) = diagnose(Evidence(weights=(probed,)), bits=bits)

    assert (warning.cause, warning.severity, warning.because) == (same.cause, same.severity, same.because)
    assert (warning.cause, warning.severity) == ("range-collapsed", "warning")
    assert warning.because == (
        f"{np.mean(q == 0):.1%} of w falls to 0 beside its largest elements, which the scale covers (1 of 1 weights); "
        "a scale for each row or group keeps more."
    )


def test_a_fixed_step_that_is_too_wide_is_a_fault_with_tails_too() -> None:
    x = (np.random.default_rng(5).standard_t(3, (128, 512)) * 0.05).astype(np.float32)

    step = np.abs(x).max() / 2
    assert "range-collapsed" in findings(x, np.round(x / step) * step, 4)
    assert "range-collapsed" in findings(NORMAL, np.round(NORMAL / 0.25) * 0.25, 4)


def test_a_range_that_ends_below_the_largest_element_is_a_fault_with_tails_too() -> None:
    x = (np.random.default_rng(5).standard_t(2, (128, 512)) * 0.05).astype(np.float32)
    step = np.abs(x).max() / 10

    assert "range-collapsed" in findings(x, np.clip(np.round(x / step), -7, 7) * step, 4)


@pytest.mark.parametrize("degrees", [3, 4, 30])
@pytest.mark.parametrize("axis", [None, 1, 0])
def test_more_values_than_codes_are_seen_behind_tails(degrees: int, axis: int | None) -> None:
    x = (np.random.default_rng(degrees).standard_t(degrees, (128, 256)) * 0.05).astype(np.float32)

    found = findings(x, grid(x, 127, axis), 4)

    assert "; 4 bits have 16 codes." in found["too-many-levels"]


FP4 = np.array([-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6])
_DRAWN = np.random.default_rng(4)
OUTLIERS = _DRAWN.normal(0, 0.05, (64, 256)).astype(np.float32)
ONE_SIGNED = np.abs(OUTLIERS) * np.where(np.arange(64) % 2, 1, -1)[:, None].astype(np.float32)
OUTLIERS.ravel()[_DRAWN.choice(OUTLIERS.size, 40)] *= 50


def in_groups(x: Any, size: int, largest: float, whole: bool, rounded: Callable[[Any, Any], Any]) -> Any:
    """Groups of a row with scales that are powers of 2, or whole numbers of the least one."""
    groups = np.ascontiguousarray(x).reshape(-1, size)
    scale = np.abs(groups).max(1, keepdims=True) / largest
    least = scale.max() / 15
    scale = np.ceil(scale / least) * least if whole else 2.0 ** np.ceil(np.log2(scale))
    return (rounded(groups, scale) * scale).reshape(x.shape)


def to_fp4(x: Any, scale: Any) -> Any:
    return FP4[np.abs((x / scale)[..., None] - FP4).argmin(-1)]


def with_zero_point(x: Any, scale: Any) -> Any:
    zero = np.round(np.maximum(-x.min(1, keepdims=True), 0) / scale)
    return np.clip(np.round(x / scale) + zero, 0, 15) - zero


@pytest.mark.parametrize("size", [8, 16, 32, 64])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("whole", [False, True], ids=["powers-of-2", "whole-numbers"])
@pytest.mark.parametrize(
    ("largest", "rounded"),
    [(7, lambda x, scale: np.round(x / scale)), (6, to_fp4), (15, with_zero_point)],
    ids=["int4", "fp4", "asym4"],
)
@pytest.mark.parametrize("x", [X[:64, :256], OUTLIERS, ONE_SIGNED], ids=["tails", "outliers", "one-signed"])
def test_groups_whose_scales_lie_on_one_grid_have_no_more_values_than_codes(
    x: Any, size: int, axis: int, whole: bool, largest: float, rounded: Callable[[Any, Any], Any]
) -> None:
    q = in_groups(x if axis else x.T, size, largest, whole, rounded)

    assert "too-many-levels" not in findings(x, q if axis else q.T, 4)
