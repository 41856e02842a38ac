"""Right plain functions that look unusual: additive powers, DoReFa, binary, tiles, odd grids, other gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from quantgate.faults.setups import Setup
from quantgate.formats import Format
from quantgate.subjects.codecs import FunctionCodec
from tests.heldout.third.common import (
    float_grid,
    fp8,
    from_blocks,
    int_codes,
    nearest,
    row_amax,
    ste,
    tensor_amax,
    to_blocks,
)


def _setup(name: str, function: Callable[[Tensor], Tensor], bits: float, **options: Any) -> Setup:
    scope = options.pop("scope", "weights")
    return Setup(Format(name, FunctionCodec(function=function), bits, **options), scope=scope)


def _additive_table() -> Tensor:
    """APoT of 4 bits: sums of two powers of two with their signs, in [-1, 1]."""
    first, second = (0.0, 1.0, 0.25, 0.0625), (0.0, 0.5)
    sums = sorted({a + b for a, b in itertools.product(first, second)})
    positive = torch.tensor(sums) / max(sums)
    return torch.cat([-positive[1:].flip(0), positive])


_APOT = _additive_table()


def additive_powers(x: Tensor) -> Tensor:
    """APoT with its reparametrized clip: three deviations of the tensor."""
    level = 3 * x.detach().std(unbiased=False).clamp(min=1e-12)
    table = _APOT.to(x.device, x.dtype)
    q = table[nearest((x.detach() / level).clamp(-1, 1), table)] * level
    return ste(x, q)


def dorefa(x: Tensor) -> Tensor:
    """DoReFa's tanh transform in 3 bits; scaled back to the tensor's own size, as later code does."""
    bent = torch.tanh(x)
    top = bent.detach().abs().max().clamp(min=1e-12)
    unit = bent / (2 * top) + 0.5
    levels = unit + (torch.round(unit * 7) / 7 - unit).detach()
    return (2 * levels - 1) * top


def binary(x: Tensor) -> Tensor:
    """XNOR-Net by row: the sign times the mean size, with 1 for the sign of 0, clipped gradient left out."""
    size = x.detach().abs().mean(-1, keepdim=True)
    return ste(x, torch.where(x.detach() >= 0, size, -size))


def octav(x: Tensor) -> Tensor:
    """OCTAV: the clip that is best for the error by Newton's steps, and its gradient that fades beyond."""
    size = x.detach().abs()
    clip = size.mean() * 2
    for _ in range(8):
        beyond = size > clip
        inside = (size <= clip) & (size > 0)
        clip = (size * beyond).sum() / (4.0**-4 / 3 * inside.sum() + beyond.sum()).clamp(min=1e-12)
    clip = torch.where(clip > 0, torch.minimum(clip, size.max()), size.max()).clamp(min=1e-12)
    fading = torch.where(size <= clip, torch.ones_like(size), clip / size.clamp(min=1e-12))
    scale = clip / 7
    q = int_codes(x.detach(), scale, 4) * scale
    return ste(x * fading, q)


def two_level_fp4(x: Tensor) -> Tensor:
    """NVFP4-like, with blocks of 8 and the tensor's scale rounded up to a power of two."""
    whole = torch.exp2(torch.ceil(torch.log2(tensor_amax(x) / (6 * 448))))
    blocks = to_blocks(x.detach(), 8)
    scale = fp8(row_amax(blocks) / 6 / whole).clamp(min=2.0**-9) * whole
    return ste(x, from_blocks(float_grid(blocks / scale, 1, 0, 6.0) * scale, x))


def float8_rows(x: Tensor) -> Tensor:
    """E5M2 by row with a scale of bfloat16, rounded up so that nothing reaches infinity; for inputs too."""
    scale = (row_amax(x) / 57344 * 1.01).bfloat16().to(x.dtype)
    return ste(x, (x.detach() / scale).clamp(-57344, 57344).to(torch.float8_e5m2).to(x.dtype) * scale)


def tiles(x: Tensor) -> Tensor:
    """DeepSeek's square tiles, 16 by 16 here: a scale for each tile, so that the transpose is the same tensor."""
    if x.ndim < 2:
        return ste(x, int_codes(x.detach(), row_amax(x) / 31, 6) * (row_amax(x) / 31))
    rows, columns = x.shape[-2:]
    padded = torch.nn.functional.pad(x.detach(), (0, -columns % 16, 0, -rows % 16))
    tiled = padded.unflatten(-1, (-1, 16)).unflatten(-3, (-1, 16))  # type: ignore[no-untyped-call]
    scale = tiled.abs().amax((-3, -1), keepdim=True).clamp(min=1e-12) / 31
    q = (int_codes(tiled, scale, 6) * scale).flatten(-4, -3).flatten(-2)
    return ste(x, q[..., :rows, :columns])


class _Ewgs(torch.autograd.Function):
    """Element-wise gradient scaling (Lee et al., 2021): a gradient that points away from the code counts more."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, q: Tensor, step: Tensor) -> Tensor:
        ctx.save_for_backward((x - q) / step)
        return q.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (off,) = ctx.saved_tensors
        return grads[0] * (1 + 0.3 * grads[0].sign() * off), None, None


def scaled_gradient(x: Tensor) -> Tensor:
    scale = row_amax(x) / 15
    q = int_codes(x.detach(), scale, 5) * scale
    y: Tensor = _Ewgs.apply(x, q, scale)  # type: ignore[no-untyped-call]
    return y


def root_two_logarithm(x: Tensor) -> Tensor:
    """Logarithmic with base sqrt(2) in 5 bits, rounded in the linear domain: thresholds are arithmetic means."""
    scale = row_amax(x)
    powers = torch.exp2(-torch.arange(14, -1, -1, device=x.device, dtype=x.dtype) / 2)
    table = torch.cat([-powers.flip(0), torch.zeros_like(powers[:1]), powers])
    return ste(x, table[nearest(x.detach() / scale, table)] * scale)


def half_way_grid(x: Tensor) -> Tensor:
    """A mid-rise grid of four levels, -1.5 -0.5 0.5 1.5, without a zero, with SAWB's step from two moments."""
    mean = x.detach().abs().mean(-1, keepdim=True)
    root = x.detach().square().mean(-1, keepdim=True).sqrt()
    step = (0.5 * root + 0.62 * mean).clamp(min=1e-12)
    codes = (torch.floor(x.detach() / step) + 0.5).clamp(-1.5, 1.5)
    return ste(x, codes * step)


HEALTHY: dict[str, Setup] = {
    "additive_powers_4": _setup("additive_powers_4", additive_powers, 4),
    "tanh_transform_3": _setup("tanh_transform_3", dorefa, 3),
    "sign_by_row": _setup("sign_by_row", binary, 1),
    "newton_clip_int4": _setup("newton_clip_int4", octav, 4),
    "fp4_blocks_of_8": _setup("fp4_blocks_of_8", two_level_fp4, 4),
    "e5m2_rows_bf16_scale": _setup("e5m2_rows_bf16_scale", float8_rows, 8, scope="weights+activations"),
    "square_tiles_int6": _setup("square_tiles_int6", tiles, 6),
    "gradient_by_distance_int5": _setup("gradient_by_distance_int5", scaled_gradient, 5, granularity="row"),
    "root_two_logarithm_5": _setup("root_two_logarithm_5", root_two_logarithm, 5),
    "mid_rise_2": _setup("mid_rise_2", half_way_grid, 2),
}
