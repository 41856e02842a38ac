"""Scales of unusual size or shape."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.heldout.parts import TINY, Grid, amax, element, groups, hadamard, ste, symmetric


def uint4_rows(x: Tensor) -> Tensor:
    """Row by row, asymmetric, with an integer zero point."""

    def grid(v: Tensor) -> Tensor:
        low, high = v.amin(-1, keepdim=True).clamp(max=0), v.amax(-1, keepdim=True).clamp(min=0)
        scale = (high - low).clamp(min=TINY) / 15
        zero = (-low / scale).round()
        return ((v / scale).round() + zero).clamp(0, 15).sub(zero) * scale

    return ste(grid)(x)


def hqq_int4(x: Tensor) -> Tensor:
    """Groups of 64 with a scale and a real zero, which a few half-quadratic steps improve (HQQ)."""

    def grid(v: Tensor) -> Tensor:
        low, high = v.amin(-1, keepdim=True), v.amax(-1, keepdim=True)
        scale = (high - low).clamp(min=TINY) / 15
        zero = -low / scale
        beta = 10.0
        for _ in range(3):
            q = (v / scale + zero).round().clamp(0, 15)
            error = (v - (q - zero) * scale) / scale
            error = error.sign() * (error.abs() - error.abs().clamp(min=1e-3).pow(-0.3) / beta).clamp(min=0)
            zero = (q - (v / scale - error)).mean(-1, keepdim=True)
            beta *= 1.01
        return ((v / scale + zero).round().clamp(0, 15) - zero) * scale

    return ste(groups(64, grid))(x)


def int8_half_scale(x: Tensor) -> Tensor:
    """int8 by rows; scales are stored in half precision, rounded up so that nothing saturates by much."""

    def grid(v: Tensor) -> Tensor:
        scale = (amax(v, -1) / 127).clamp(min=6.2e-5).half().float()
        return (v / scale).round().clamp(-128, 127) * scale

    return ste(grid)(x)


def fp8_margin(x: Tensor) -> Tensor:
    """e4m3 whose scale is a power of two that leaves half of the range free."""

    def grid(v: Tensor) -> Tensor:
        scale = 2.0 ** torch.ceil(torch.log2(amax(v) / 224))
        return element("fp8_e4m3")(v / scale) * scale

    return ste(grid)(x)


def fp8_tiles(x: Tensor) -> Tensor:
    """e4m3 in tiles of 32 x 32, as DeepSeek-V3 has it with 128 x 128."""

    def grid(v: Tensor) -> Tensor:
        rows, columns = math.prod(v.shape[:-1]), v.shape[-1]
        flat = F.pad(v.reshape(rows, columns), (0, -columns % 32, 0, -rows % 32))
        tiles = flat.reshape(flat.shape[0] // 32, 32, flat.shape[1] // 32, 32)
        scale = tiles.abs().amax((1, 3), keepdim=True).clamp(min=TINY) / 448
        q = (element("fp8_e4m3")(tiles / scale) * scale).reshape(flat.shape)
        return q[:rows, :columns].reshape(v.shape)

    return ste(grid)(x)


def int4_hadamard(x: Tensor) -> Tensor:
    """Turns groups of 32 with a Hadamard matrix, rounds there and turns back (QuaRot)."""

    def grid(v: Tensor) -> Tensor:
        turn = hadamard(32).to(v.device)
        return symmetric(7, -1)(v @ turn) @ turn.T

    return ste(groups(32, grid))(x)


def mx_ceil(name: str, largest: float) -> Grid:
    """Blocks of 32 by the least power of two with which nothing saturates."""

    def grid(v: Tensor) -> Tensor:
        scale = 2.0 ** torch.ceil(torch.log2(amax(v, -1) / largest)).clamp(min=-126)
        return element(name)(v / scale) * scale

    return ste(groups(32, grid))


def int8_centred_rows(x: Tensor) -> Tensor:
    """int8 of what is left when the mean of the row is taken out; the mean stays in float32."""

    def grid(v: Tensor) -> Tensor:
        mean = v.mean(-1, keepdim=True)
        return symmetric(127, -1)(v - mean) + mean

    return ste(grid)(x)


def int4_best_clip(x: Tensor) -> Tensor:
    """int4 by rows, clipped at the normal distribution's best 2.6 deviations; the clamp passes the gradient."""

    def grid(v: Tensor) -> Tensor:
        scale = (2.6 * v.square().mean(-1, keepdim=True).sqrt()).clamp(min=TINY) / 7
        return (v / scale).round().clamp(-7, 7) * scale

    return ste(grid)(x)


def int8_int4_outliers(x: Tensor) -> Tensor:
    """int8 for what is beyond 2.5 deviations, int4 for the rest (after LLM.int8)."""

    def grid(v: Tensor) -> Tensor:
        outlier = v.abs() > 2.5 * v.std(correction=0)
        return symmetric(127)(v * outlier) + symmetric(7)(v * ~outlier)

    return ste(grid)(x)


def int3_groups_fp8_scale(x: Tensor) -> Tensor:
    """int3 in groups of 16 whose scales are stored in e4m3 under a scale of the tensor (after nvfp4)."""

    def grid(v: Tensor) -> Tensor:
        rows = F.pad(v, (0, -v.shape[-1] % 16)).reshape(-1, 16)
        top = amax(rows) / 448
        scale = element("fp8_e4m3")((amax(rows, -1) / top).clamp(min=2.0**-6)) * top / 3
        q = (rows / scale).round().clamp(-3, 3) * scale
        return q.reshape(*v.shape[:-1], -1)[..., : v.shape[-1]].contiguous()

    return ste(grid)(x)


def int8_columns(x: Tensor) -> Tensor:
    """int8 with a scale for each column."""
    return ste(lambda v: symmetric(127, 0)(v.reshape(-1, v.shape[-1])).reshape(v.shape))(x)


def int4_signed_peak(x: Tensor) -> Tensor:
    """llama.cpp's Q4_0: blocks of 32 by the peak with its sign over -8, codes -8 .. 7."""

    def grid(v: Tensor) -> Tensor:
        peak = v.gather(-1, v.abs().argmax(-1, keepdim=True))
        scale = peak / -8
        scale = torch.where(scale == 0, TINY, scale)
        return (v / scale).round().clamp(-8, 7) * scale

    return ste(groups(32, grid))(x)
