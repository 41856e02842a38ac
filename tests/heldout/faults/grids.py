"""Quantizers that faults of several classes are made from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quantgate.formats import BUILTIN
from tests.heldout.parts import (
    TINY,
    Grid,
    QuantizedLinear,
    amax,
    fraction,
    nearest,
    rounded,
    ste,
    swap_linears,
    symmetric,
)

NF4 = torch.tensor(BUILTIN["nf4"].values)


class LearnedStep(nn.Module):
    """LSQ with what can go wrong in it.

    Args:
        qmax: Largest code.
        share_weight: The gradient share of the step is put on the weight as well.
        start: The first step; None takes it from the first tensor.
    """

    def __init__(self, qmax: int, *, share_weight: bool = False, start: float | None = None) -> None:
        super().__init__()
        self.qmax, self.share_weight = qmax, share_weight
        self.ready = start is not None
        self.step = nn.Parameter(torch.tensor(0.0 if start is None else start))

    def forward(self, x: Tensor) -> Tensor:
        if not self.ready:
            with torch.no_grad():
                self.step.copy_((2 * x.abs().mean() / self.qmax**0.5).clamp(min=1e-6))
            self.ready = True
        share = (x.numel() * self.qmax) ** -0.5
        step = fraction(self.step, share)
        if self.share_weight:
            x = fraction(x, share)
        return rounded((x / step).clamp(-self.qmax, self.qmax)) * step


def affine_rows(x: Tensor, levels: int = 15) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, scale and lowest value of each row."""
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    scale = (high - low).clamp(min=TINY) / levels
    return ((x - low) / scale).round().clamp(0, levels), scale, low


def uint4_rows(x: Tensor) -> Tensor:
    codes, scale, low = affine_rows(x)
    return codes * scale + low


def lookup(values: Tensor, x: Tensor, decode: Tensor | None = None) -> Tensor:
    """The nearest value of a table, by absmax of each row; `decode` is the table for the way back."""
    scale = amax(x, -1)
    entries = (values if decode is None else decode).to(x.device)
    return entries[nearest(values, x / scale)] * scale


def stochastic(qmax: int, noise: Grid, dim: int | None = None) -> Grid:
    def grid(x: Tensor) -> Tensor:
        scale = amax(x, dim) / qmax
        codes = x / scale
        return torch.floor(codes + noise(codes)).clamp(-qmax, qmax) * scale

    return grid


INT8_ROWS = ste(symmetric(127, -1))


def linears_int8(model: nn.Module) -> nn.Module:
    return swap_linears(model, lambda linear: QuantizedLinear(linear, INT8_ROWS))
