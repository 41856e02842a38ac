"""Levels that are not even: companded, powers, clustered, from a table."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from quantgate.formats import BUILTIN
from tests.heldout.parts import TINY, Grid, amax, groups, nearest, rounded, ste

_NF4 = torch.tensor(BUILTIN["nf4"].values)


def dorefa_int4(x: Tensor) -> Tensor:
    """DoReFa (arXiv 1606.06160) on normed weights: by tanh to [0, 1], 15 steps, back to their range."""
    top = amax(x.detach())
    unit = torch.tanh(x / top) / (2 * math.tanh(1.0)) + 0.5
    return (2 * rounded(unit * 15) / 15 - 1) * top


def companded_int4(x: Tensor) -> Tensor:
    """mu-law: steps that grow with the magnitude."""
    mu = 15.0

    def grid(v: Tensor) -> Tensor:
        top = amax(v)
        bent = torch.log1p(mu * v.abs() / top) / math.log1p(mu)
        code = (bent * 7).round() / 7
        return v.sign() * torch.expm1(code * math.log1p(mu)) / mu * top

    return ste(grid)(x)


def by_table(positive: Tensor, size: int | None = None) -> Grid:
    """The nearest of +-`positive`, whose last entry is 1, by amax of the tensor or of groups."""

    def grid(v: Tensor) -> Tensor:
        scale = amax(v) if size is None else amax(v, -1)
        return positive.to(v.device)[nearest(positive, (v / scale).abs())] * v.sign() * scale

    return grid if size is None else groups(size, grid)


def _additive_powers() -> Tensor:
    """APoT (arXiv 1909.13144), 5 bits: sums of one of {0, 1, 1/4, 1/16} and one of {0, 1/2, 1/8, 1/32}."""
    coarse, fine = (0.0, 1.0, 0.25, 1 / 16), (0.0, 0.5, 0.125, 1 / 32)
    return torch.tensor(sorted({c + f for c in coarse for f in fine})) / 1.5


APOT = _additive_powers()
POWERS = torch.tensor([0.0, *(2.0**-k for k in range(14, -1, -1))])
HALF_POWERS = torch.tensor([0.0, *(2.0 ** (-k / 2) for k in range(14, -1, -1))])


def nf4_double(x: Tensor) -> Tensor:
    """NF4 in blocks of 64 with scales in 8 bits above their mean (QLoRA's double quantization)."""

    def grid(v: Tensor) -> Tensor:
        rows = F.pad(v, (0, -v.shape[-1] % 64)).reshape(-1, 64)
        scales = amax(rows, -1)
        mean = scales.mean()
        step = amax(scales - mean) / 127
        known = (((scales - mean) / step).round().clamp(-127, 127) * step + mean).clamp(min=TINY)
        table = _NF4.to(v.device)
        q = table[nearest(_NF4, rows / known)] * known
        return q.reshape(*v.shape[:-1], -1)[..., : v.shape[-1]].contiguous()

    return ste(grid)(x)


def kmeans16(x: Tensor) -> Tensor:
    """A codebook of 16 values from six rounds of Lloyd's, started at the quantiles, anew at each call."""

    def grid(v: Tensor) -> Tensor:
        flat = v.flatten()
        centres = torch.quantile(flat, torch.linspace(0.5 / 16, 1 - 0.5 / 16, 16, device=v.device))
        for _ in range(6):
            code = nearest(centres, flat)
            count = torch.bincount(code, minlength=16)
            total = torch.zeros_like(centres).index_add_(0, code, flat)
            centres = torch.where(count > 0, total / count.clamp(min=1), centres).sort().values
        return centres[nearest(centres, v)]

    return ste(grid)(x)
