"""A layer is measured in its own terms: codes with an epilogue, scales that moved, rotations, norms of its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.probes.recipe.layers import Swapped, examined, first, int8, swapping

pytestmark = pytest.mark.slow


def codes(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Integer codes with the straight-through estimator, and the scales of an axis."""
    scale = x.detach().abs().amax(axis, keepdim=True).clamp(min=1e-12) / 127
    ratio = x / scale
    return ratio + (ratio.round() - ratio).detach(), scale


class Epilogue(Swapped):
    """Multiplies codes, and scales the product by tokens and outputs."""

    scales_outputs = True

    def forward(self, x: Tensor) -> Tensor:
        x_codes, x_scale = codes(x, -1)
        w_codes, w_scale = codes(self.weight, 1)
        product = F.linear(x_codes, w_codes) * x_scale
        return product * w_scale.T if self.scales_outputs else product


class WithoutScale(Epilogue):
    scales_outputs = False


class Smoothed(Swapped):
    """Moves a scale of each channel from the inputs to the weight."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.register_buffer("moved", torch.linspace(0.2, 5.0, linear.in_features))

    def forward(self, x: Tensor) -> Tensor:
        moved = self.get_buffer("moved")
        return F.linear(int8(x / moved), int8(self.weight * moved))


class Rotated(Swapped):
    """Rotates inputs and weight before both are quantized."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        noise = torch.randn(
            linear.in_features, linear.in_features, generator=torch.Generator().manual_seed(0)
        )
        self.register_buffer("basis", torch.linalg.qr(noise).Q)

    def forward(self, x: Tensor) -> Tensor:
        basis = self.get_buffer("basis")
        return F.linear(int8(x @ basis), int8(self.weight @ basis))


class OwnNorm(Swapped):
    """Norms its input, as BitLinear does."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(int8(F.rms_norm(3 * x, x.shape[-1:])), int8(self.weight))


@pytest.mark.parametrize("layer", [Epilogue, Smoothed, Rotated, OwnNorm])
def test_other_terms_are_no_fault(layer: type[Swapped]) -> None:
    found = examined(swapping(layer))

    assert found.findings == ()
    assert first(found, "blocks.0.up.weight").snr > 20
    assert 0.9 < first(found, "blocks.0.up.weight").gain < 1.1


def test_a_scale_that_an_epilogue_forgets_is_named() -> None:
    assert examined(swapping(WithoutScale)).cause == "not-dequantized"


class OutOfSight(torch.autograd.Function):
    """A product of E4M3 inputs and weights, as of a kernel that nobody looks into."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        coarse = x.abs().amax(-1, keepdim=True) / 7
        return ((x / coarse).round() * coarse) @ int8(weight).T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return gradients[0] @ weight, gradients[0].flatten(0, -2).T @ x.flatten(0, -2)


class Kernel(Swapped):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = OutOfSight.apply(x, self.weight)  # type: ignore[no-untyped-call]
        return y


def test_the_noise_of_inputs_out_of_sight_is_not_the_weights() -> None:
    found = examined(swapping(Kernel))

    assert found.findings == ()
    assert dict(found.evidence.not_measured)["values of blocks.0.up.weight"] == (
        "its inputs are quantized out of sight"
    )
