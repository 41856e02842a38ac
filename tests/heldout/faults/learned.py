"""Parameters of quantizers that are not learned as they should be."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from quantgate.faults import Fault
from tests.heldout.faults.entries import made
from tests.heldout.parts import Grid, fraction, rounded


class _Pact(nn.Module):
    """Clips at a learned alpha and rounds to int5."""

    def __init__(self, detached: bool) -> None:
        super().__init__()
        self.detached = detached
        self.alpha = nn.Parameter(torch.zeros(()))
        self.ready = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.ready:
            with torch.no_grad():
                self.alpha.copy_((3 * x.std(correction=0)).clamp(min=1e-6))
            self.ready = True
        alpha = self.alpha.detach() if self.detached else self.alpha
        clipped = torch.minimum(torch.maximum(x, -alpha), alpha)
        return rounded(clipped / alpha * 15) * alpha / 15


class _LearnedAffine(nn.Module):
    """LSQ+: uint4 with a learned step and a learned zero point."""

    def __init__(self, rounding: Grid) -> None:
        super().__init__()
        self.rounding = rounding
        self.step = nn.Parameter(torch.zeros(()))
        self.zero = nn.Parameter(torch.zeros(()))
        self.ready = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.ready:
            with torch.no_grad():
                low, high = x.amin(), x.amax()
                self.step.copy_(((high - low) / 15).clamp(min=1e-6))
                self.zero.copy_(-low / self.step)
            self.ready = True
        share = (x.numel() * 15) ** -0.5
        step, zero = fraction(self.step, share), self.rounding(fraction(self.zero, share))
        return (rounded((x / step + zero).clamp(0, 15)) - zero) * step


class _RowSteps(nn.Module):
    """LSQ with a step for each row, taken from the row's peak with or without its sign."""

    def __init__(self, signed: bool) -> None:
        super().__init__()
        self.signed = signed
        self.step: nn.Parameter | None
        self.register_parameter("step", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.step is None:
            flat = x.detach()
            peak = flat.gather(-1, flat.abs().argmax(-1, keepdim=True))
            size = peak.abs().clamp(min=1e-6) / 7
            self.step = nn.Parameter(torch.where(peak < 0, -size, size) if self.signed else size)
        step = fraction(self.step, (x.shape[-1] * 7) ** -0.5)
        return rounded((x / step).clamp(-7, 7)) * step


def faults() -> Iterator[Fault]:
    """The faults of this class."""
    cause = "qparams-invalid"
    yield made(cause, "int5_pact_alpha_detached", lambda: _Pact(True), lambda: _Pact(False), 5)
    yield made(
        cause,
        "uint4_zero_point_without_gradient",
        lambda: _LearnedAffine(torch.round),
        lambda: _LearnedAffine(rounded),
        4,
    )
    yield made(cause, "int4_lsq_row_steps_signed", lambda: _RowSteps(True), lambda: _RowSteps(False), 4)
