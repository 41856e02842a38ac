"""Faulty quantizers whose state is a range, a threshold or a step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.heldout.third.common import fp8, int_codes, round_ste, ste, tensor_amax


def clipped(x: Tensor, scale: Tensor, bits: int) -> Tensor:
    """Integers with the gradient of what is not clipped."""
    top = 2 ** (bits - 1) - 1
    inside = (x.detach().abs() <= (top + 0.5) * scale).to(x.dtype)
    return ste(x * inside, int_codes(x.detach(), scale, bits) * scale)


class MovingRange(nn.Module):
    """A moving average of the range; from zero and without a correction it is far too small for hundreds of calls."""

    amax: Tensor

    def __init__(self, *, from_zero: bool) -> None:
        super().__init__()
        self.from_zero = from_zero
        self.calls = 0
        self.register_buffer("amax", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        now = tensor_amax(x)
        first = self.calls == 0 and not self.from_zero
        self.calls += 1
        with torch.no_grad():
            self.amax = now if first else 0.99 * self.amax.to(x.device) + 0.01 * now
        return clipped(x, (self.amax / 127).to(x.dtype), 8)


class History(nn.Module):
    """Delayed scaling with a history of 8; where it is not rolled on, the oldest place keeps the first value."""

    def __init__(self, *, rolled: bool) -> None:
        super().__init__()
        self.rolled = rolled
        self.history: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        now = tensor_amax(x)
        if self.history is None:
            self.history = now.repeat(8)
        if self.rolled:
            self.history = torch.cat([now[None], self.history[:-1]])
            amax = self.history.max()
        else:
            self.history[0] = now
            amax = self.history[-1]
        scale = (amax / 448).to(x.dtype)
        return ste(x, fp8(x.detach() / scale) * scale)


class LearnedStep(nn.Module):
    """LSQ by tensor, relative to the first step; the gradient's factor belongs to the step alone."""

    def __init__(self, *, factor_on_all: bool) -> None:
        super().__init__()
        self.factor_on_all = factor_on_all
        self.factor = nn.Parameter(torch.ones(()))
        self.first: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.first is None:
            self.first = 2 * x.detach().abs().mean().clamp(min=1e-8) / 7**0.5
        share = (x.numel() * 7) ** -0.5
        step = self.first * self.factor
        if not self.factor_on_all:
            step = step * share + (step * (1 - share)).detach()
        q = round_ste((x / step).clamp(-8, 7)) * step
        return q * share + (q * (1 - share)).detach() if self.factor_on_all else q


class PowerOfTwoThreshold(nn.Module):
    """TQT: log2 of the threshold is learned, through a ceil that must pass the gradient."""

    def __init__(self, *, through: bool) -> None:
        super().__init__()
        self.through = through
        self.log_threshold: nn.Parameter | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.log_threshold is None:
            self.log_threshold = nn.Parameter((3 * x.detach().std().clamp(min=1e-8)).log2())
        raised = torch.ceil(self.log_threshold)
        if self.through:
            raised = self.log_threshold + (raised - self.log_threshold).detach()
        scale = torch.exp2(raised) / 32
        return round_ste((x / scale).clamp(-32, 31)) * scale


class FirstStep(nn.Module):
    """A learned step a row, first twice the mean size of its weights; without abs() it is near 0 or below."""

    def __init__(self, *, sized: bool) -> None:
        super().__init__()
        self.sized = sized
        self.step: nn.Parameter | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.step is None:
            w = x.detach().abs() if self.sized else x.detach()
            first = 2 * w.mean(-1, keepdim=True) / 3**0.5
            self.step = nn.Parameter(torch.where(first == 0, torch.full_like(first, 1e-6), first))
        step: Tensor = self.step
        share: float = (x.shape[-1] * 3) ** -0.5
        step = step * share + (step * (1 - share)).detach()
        return round_ste((x / step).clamp(-4, 3)) * step
