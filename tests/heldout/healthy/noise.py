"""Random rounding, and noise in its place."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.heldout.parts import Grid, amax, groups, ste, symmetric


def bf16_stochastic(x: Tensor) -> Tensor:
    """bfloat16, rounded at random: noise is added to the bits that go, as for weights without a master copy."""

    def grid(v: Tensor) -> Tensor:
        bits = v.float().contiguous().view(torch.int32)
        noise = torch.randint(0, 1 << 16, v.shape, dtype=torch.int32, device=v.device)
        return ((bits + noise) & -(1 << 16)).view(torch.float32).to(v.dtype)

    return ste(grid)(x)


def stochastic(qmax: int) -> Grid:
    def grid(v: Tensor) -> Tensor:
        scale = amax(v, -1) / qmax
        return torch.floor(v / scale + torch.rand_like(v)).clamp(-qmax, qmax) * scale

    return ste(grid)


def int8_noise(x: Tensor) -> Tensor:
    """DiffQ (arXiv 2104.09987): noise as wide as a step in the place of rounding."""
    step = amax(x.detach()) / 127
    return x + step * (torch.rand_like(x) - 0.5)


def quant_noise_int4(x: Tensor) -> Tensor:
    """Quant-Noise (arXiv 2004.07320): each call rounds a random half of the values, the other half stays."""
    quantized = ste(groups(32, symmetric(7, -1)))(x)
    return torch.where(torch.rand_like(x) < 0.5, quantized, x)
