"""Right linear layers with matrix products of their own: float8, int8 and NVFP4 training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.heldout.third.common import (
    float_grid,
    fp8,
    from_blocks,
    hadamard,
    int_codes,
    row_amax,
    tensor_amax,
    to_blocks,
)


def _flat(x: Tensor) -> Tensor:
    return x.flatten(0, -2)


class _HybridFloat8(torch.autograd.Function):
    """Transformer Engine's hybrid recipe: E4M3 forward, E5M2 gradients, current scaling, all three products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        sx, sw = tensor_amax(x) / 448, tensor_amax(w) / 448
        qx, qw = fp8(x / sx) * sx, fp8(w / sw) * sw
        ctx.save_for_backward(qx, qw)
        return qx @ qw.T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        qx, qw = ctx.saved_tensors
        scale = grads[0].abs().amax().clamp(min=1e-30) / 57344
        g = (grads[0] / scale).to(torch.float8_e5m2).to(scale.dtype) * scale
        return g @ qw, _flat(g).T @ _flat(qx)


class _Int8Everywhere(torch.autograd.Function):
    """torchao's int8 mixed-precision training: all three products of int8 codes, gradients rounded at random."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        sx, sw = row_amax(x) / 127, row_amax(w) / 127
        return (int_codes(x, sx, 8) @ int_codes(w, sw, 8).T) * sx * sw.T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x, w = ctx.saved_tensors
        g = grads[0]
        sg = g.abs().amax(-1, keepdim=True).clamp(min=1e-30) / 127
        gq = torch.floor(g / sg + torch.rand_like(g)).clamp(-127, 127)
        sw = w.abs().amax(0, keepdim=True).clamp(min=1e-12) / 127
        gx = (gq @ int_codes(w, sw, 8)) * sg * sw
        flat_g, flat_x = _flat(g), _flat(x)
        sgc = flat_g.abs().amax(0, keepdim=True).clamp(min=1e-30) / 127
        sxc = flat_x.abs().amax(0, keepdim=True).clamp(min=1e-12) / 127
        gqc = torch.floor(flat_g / sgc + torch.rand_like(flat_g)).clamp(-127, 127)
        return gx, (gqc.T @ int_codes(flat_x, sxc, 8)) * sgc.T * sxc


def _e2m1(x: Tensor, *, random: bool) -> Tensor:
    """Blocks of 16 along the last axis, with E4M3 scales below one of the tensor."""
    whole = x.abs().amax().clamp(min=1e-30) / (6 * 448)
    blocks = to_blocks(x, 16)
    scale = fp8(blocks.abs().amax(-1, keepdim=True) / 6 / whole).clamp(min=2.0**-9) * whole
    values = blocks / scale
    if random:
        step = torch.exp2(torch.floor(torch.log2(values.abs().clamp(min=1.0))).clamp(max=2) - 1)
        rounded = (torch.floor(values / step + torch.rand_like(values)) * step).clamp(-6, 6)
    else:
        rounded = float_grid(values, 1, 0, 6.0)
    return from_blocks(rounded * scale, x)


class _Nvfp4(torch.autograd.Function):
    """NVFP4 pretraining: random rounding of gradients, and a random Hadamard turn before the weight's product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        qw = _e2m1(w, random=False)
        ctx.save_for_backward(x, qw)
        return _e2m1(x, random=False) @ qw.T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x, qw = ctx.saved_tensors
        g = grads[0]
        gx = _e2m1(g, random=True) @ qw
        signs = torch.randint(0, 2, (16,), device=g.device).to(g.dtype) * 2 - 1
        turn = hadamard(16).to(g.device, g.dtype) * signs
        turned_g = from_blocks(to_blocks(_flat(g).T, 16) @ turn.T, _flat(g).T)
        turned_x = from_blocks(to_blocks(_flat(x).T, 16) @ turn.T, _flat(x).T)
        return gx, _e2m1(turned_g, random=True) @ _e2m1(turned_x, random=False).T


class ProductLinear(nn.Module):
    """A linear layer that multiplies by one of the functions above."""

    function: Any

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.function.apply(x, self.weight)
        return y


class HybridFloat8Linear(ProductLinear):
    function = _HybridFloat8


class Int8Linear(ProductLinear):
    function = _Int8Everywhere


class Nvfp4Linear(ProductLinear):
    function = _Nvfp4
