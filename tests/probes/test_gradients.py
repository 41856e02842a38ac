"""The gradient beside the reference: what rounds it is a warning, what a scale or a norm adds to it is no fault."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from quantgate import examine
from quantgate.faults.parts.quantizers import integers
from quantgate.gate.examination import Examination
from quantgate.probes.tensors import tensor_evidence
from quantgate.subjects.registry import Registry

pytestmark = pytest.mark.slow
int8 = integers(127)


class RoundsGradient(torch.autograd.Function):
    """The gradient of the straight-through estimator in E4M3, scaled to its range."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return int8(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        scale = gradients[0].abs().amax().clamp(min=1e-30) / 448
        return (gradients[0] / scale).to(torch.float8_e4m3fn).float() * scale


def rounds_gradient(x: Tensor) -> Tensor:
    y: Tensor = RoundsGradient.apply(x)  # type: ignore[no-untyped-call]
    return y


def by_way_of_the_scale(x: Tensor) -> Tensor:
    """int8 with a scale that is not detached: the largest element gets all that passes through it."""
    scale = x.abs().amax().clamp(min=1e-12) / 127
    codes = x / scale
    return (codes + (codes.round() - codes).detach()) * scale


def examined(function: Any) -> Examination:
    return examine(Registry().register_format("mine", function, bits=8))


def test_a_gradient_that_is_rounded_is_a_warning() -> None:
    found = examined(rounds_gradient)

    assert found.healthy
    assert [(each.cause, each.severity) for each in found.findings] == [("grad-format", "warning")]
    assert found.evidence.gradient_additive == pytest.approx(0.037, abs=0.01)


def test_a_gradient_through_the_scale_is_healthy() -> None:
    found = examined(by_way_of_the_scale)

    assert found.findings == ()
    assert found.evidence.gradient_additive is not None
    assert found.evidence.gradient_additive < 1e-5


def test_a_norm_of_the_rows_takes_their_part_out_of_the_gradient() -> None:
    """As of a weight that is read as its direction, times a learned length."""
    x = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(32, 64, generator=torch.Generator().manual_seed(1))
    reference = noise + 3 * x
    normed = reference - x * (reference * x).sum(1, keepdim=True) / x.square().sum(1, keepdim=True)

    assert tensor_evidence("w", 0, x, x.round(), normed, reference).gradient_cosine > 0.99
    assert tensor_evidence("w", 0, x, x.round(), noise.roll(1), reference).gradient_cosine < 0.5
