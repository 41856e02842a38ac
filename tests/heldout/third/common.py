"""Small tools that the cases share: straight-through, scales by row and block, float grids, layer swaps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Quantizer = Callable[[Tensor], Tensor]
TINY = 1e-12

NF4 = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, q: Tensor) -> Tensor:
        return q.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def ste(x: Tensor, q: Tensor) -> Tensor:
    """The value of q, exactly, with the gradient of x."""
    y: Tensor = _Pass.apply(x, q.detach().to(x.dtype))  # type: ignore[no-untyped-call]
    return y


def round_ste(x: Tensor) -> Tensor:
    return x + (torch.round(x) - x).detach()


def row_amax(x: Tensor) -> Tensor:
    return x.detach().abs().amax(-1, keepdim=True).clamp(min=TINY)


def tensor_amax(x: Tensor) -> Tensor:
    return x.detach().abs().amax().clamp(min=TINY)


def to_blocks(x: Tensor, size: int) -> Tensor:
    """(..., blocks, size): runs of the last axis, the last one filled up with zeros."""
    padded = F.pad(x, (0, -x.shape[-1] % size))
    blocks: Tensor = padded.unflatten(-1, (-1, size))  # type: ignore[no-untyped-call]
    return blocks


def from_blocks(blocks: Tensor, like: Tensor | int) -> Tensor:
    """The blocks as runs of the last axis again, cut to its length, or to that of a tensor like it."""
    return blocks.flatten(-2)[..., : like if isinstance(like, int) else like.shape[-1]]


def int_codes(x: Tensor, scale: Tensor, bits: int) -> Tensor:
    top = 2 ** (bits - 1) - 1
    return torch.round(x / scale).clamp(-top, top)


def int_rows(x: Tensor, bits: int) -> Tensor:
    scale: Tensor = row_amax(x) / (2 ** (bits - 1) - 1)
    return int_codes(x.detach(), scale, bits) * scale


def int_groups(x: Tensor, bits: int, size: int) -> Tensor:
    blocks = to_blocks(x.detach(), size)
    return from_blocks(int_rows(blocks, bits), x)


def exponent(x: Tensor) -> Tensor:
    """floor(log2 |x|), exactly, as a float; of zero, a very small one."""
    _, e = torch.frexp(x.abs().clamp(min=1e-38))
    return (e - 1).to(x.dtype)


def float_grid(x: Tensor, mantissa: int, least: int, top: float) -> Tensor:
    """Round to nearest even on a float grid with subnormals below 2**least, saturating at top."""
    step = torch.exp2(exponent(x).clamp(min=least) - mantissa)
    return (torch.round(x / step) * step).clamp(-top, top)


def fp8(x: Tensor) -> Tensor:
    return x.clamp(-448, 448).to(torch.float8_e4m3fn).to(x.dtype)


def nearest(x: Tensor, table: Tensor) -> Tensor:
    """Codes of the nearest entries of an ascending table."""
    return torch.bucketize(x.contiguous(), (table[1:] + table[:-1]) / 2)


def hadamard(size: int) -> Tensor:
    """Sylvester's matrix of that power of two, orthogonal."""
    h = torch.ones(1, 1)
    while h.shape[0] < size:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
    turn: Tensor = h / size**0.5
    return turn


def swap(model: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    """Replace each linear layer by what `make` gives for it."""
    for name, child in list(model.named_children()):
        if isinstance(child, nn.Linear):
            setattr(model, name, make(child))
        else:
            swap(child, make)
    return model


class QuantLinear(nn.Module):
    """A linear layer that reads its weight, and perhaps its input, through quantizers."""

    def __init__(self, linear: nn.Linear, weight: Quantizer, inputs: Quantizer | None = None) -> None:
        super().__init__()
        self.weight = linear.weight
        self.weight_quantizer = weight
        self.input_quantizer = inputs

    def forward(self, x: Tensor) -> Tensor:
        if self.input_quantizer is not None:
            x = self.input_quantizer(x)
        return F.linear(x, self.weight_quantizer(self.weight))
