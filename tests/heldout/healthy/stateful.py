"""Quantizers that learn, or remember what they saw."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.heldout.parts import TINY, amax, element, fraction, rounded, ste, symmetric


class Pact(nn.Module):
    """PACT (arXiv 1805.06085), symmetric: clips at a learned alpha, which gets the gradient of what is clipped."""

    def __init__(self, qmax: int) -> None:
        super().__init__()
        self.qmax = qmax
        self.alpha: nn.Parameter | None
        self.register_parameter("alpha", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.alpha is None:
            self.alpha = nn.Parameter((3 * x.detach().std(correction=0)).clamp(min=1e-6))
        clipped = torch.minimum(torch.maximum(x, -self.alpha), self.alpha)
        return rounded(clipped * self.qmax / self.alpha) * self.alpha / self.qmax


class LearnedLevels(nn.Module):
    """Non-uniform to uniform, after N2UQ: levels are uniform, a learned exponent bends where they are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.bend = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        top = amax(x.detach())
        unit = x / top
        bent = unit + 0.1 * torch.tanh(self.bend) * unit * (1 - unit.abs())
        return rounded(bent * 15) / 15 * top


class DelayedScaling(nn.Module):
    """e4m3 by the largest amax of the last 16 calls, with one spare power of two (TransformerEngine)."""

    history: Tensor

    def __init__(self, margin: int, length: int = 16) -> None:
        super().__init__()
        self.register_buffer("history", torch.zeros(length), persistent=False)
        self.margin = margin

    def forward(self, x: Tensor) -> Tensor:
        top = self.history.to(x.device).amax()
        found = x.detach().abs().amax()
        self.history = torch.cat([found.reshape(1), self.history.to(x.device)[:-1]])
        if top == 0:
            top = found
        scale = top.clamp(min=TINY) * 2.0**self.margin / 448
        return ste(lambda v: element("fp8_e4m3")((v / scale).clamp(-448, 448)) * scale)(x)


class LearnedRowSteps(nn.Module):
    """LSQ with a positive step for each row, learned as its logarithm."""

    def __init__(self, qmax: int) -> None:
        super().__init__()
        self.qmax = qmax
        self.log: nn.Parameter | None
        self.register_parameter("log", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.log is None:
            mean = x.detach().abs().mean(-1, keepdim=True)
            self.log = nn.Parameter((2 * mean / self.qmax**0.5).clamp(min=1e-6).log())
        step = fraction(self.log, (x.shape[-1] * self.qmax) ** -0.5).exp()
        return rounded((x / step).clamp(-self.qmax, self.qmax)) * step


class MovingAmax(nn.Module):
    """int8 by a moving average of amax, clipped there (PyTorch's moving-average observer)."""

    def __init__(self) -> None:
        super().__init__()
        self.average: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        found = amax(x.detach())
        self.average = found if self.average is None else self.average.lerp(found, 0.1)
        scale = self.average / 127
        return ste(lambda v: (v / scale).round().clamp(-127, 127) * scale)(x)


class Delayed(nn.Module):
    """Quantizes from the 20th call on (TensorFlow's `quant_delay`)."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return ste(symmetric(127, -1))(x) if self.calls >= 20 else x
