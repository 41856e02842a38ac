"""Small parts that the cases share: straight-through gradients, blocks, scales, grids, model changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class _Ste(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, q: Tensor, mask: Tensor | None) -> Tensor:
        ctx.mask = mask
        return q.to(x.dtype).clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        g = gradients[0]
        return (g if ctx.mask is None else g * ctx.mask), None, None


def ste(x: Tensor, q: Tensor, mask: Tensor | None = None) -> Tensor:
    """The value of q with the gradient of x, times a mask."""
    y: Tensor = _Ste.apply(x, q.detach(), mask)  # type: ignore[no-untyped-call]
    return y


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def round_ste(x: Tensor) -> Tensor:
    """Round to nearest, with the gradient of the identity."""
    y: Tensor = _Round.apply(x)  # type: ignore[no-untyped-call]
    return y


class _GradScale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def grad_scale(x: Tensor, factor: float) -> Tensor:
    """x, with its gradient times a factor (LSQ's g)."""
    y: Tensor = _GradScale.apply(x, factor)  # type: ignore[no-untyped-call]
    return y


def into_blocks(x: Tensor, size: int) -> Tensor:
    """(blocks, size) in float32, along the last axis, padded with zeros."""
    flat = x.detach().float().reshape(-1, x.shape[-1] if x.ndim else 1)
    pad = -flat.shape[1] % size
    return torch.nn.functional.pad(flat, (0, pad)).reshape(-1, size)


def from_blocks(blocks: Tensor, x: Tensor) -> Tensor:
    """Undo `into_blocks`, in the shape and dtype of x."""
    last = x.shape[-1] if x.ndim else 1
    rows = x.numel() // last
    return blocks.reshape(rows, -1)[:, :last].reshape(x.shape).to(x.dtype)


def safe(scale: Tensor) -> Tensor:
    """A scale with 1 in place of 0."""
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def tensor_scale(x: Tensor, top: float) -> Tensor:
    """One scale that maps the largest size to `top`."""
    return safe(x.detach().float().abs().amax() / top)


def row_scale(x: Tensor, top: float) -> Tensor:
    """A scale for each row, kept as a last axis of 1."""
    return safe(x.detach().float().abs().amax(-1, keepdim=True) / top)


def rms(x: Tensor) -> Tensor:
    """Root of the mean square, also of what is too large to be squared."""
    d = x.detach().float()
    largest = safe(d.abs().amax())
    return (d / largest).square().mean().sqrt() * largest


def grid(x: Tensor, scale: Tensor, top: int) -> Tensor:
    """X on a symmetric integer grid of that scale."""
    return (x.detach().float() / scale).round().clamp(-top, top) * scale


def nearest(x: Tensor, table: Tensor) -> Tensor:
    """Index of the nearest entry of an ascending table."""
    return torch.bucketize(x.contiguous(), (table[1:] + table[:-1]) / 2)


def linears(model: nn.Module) -> list[nn.Linear]:
    """Every linear layer of the model."""
    return [m for m in model.modules() if isinstance(m, nn.Linear)]


def parametrized(model: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    """The model with a parametrization of each linear layer's weight."""
    for layer in linears(model):
        parametrize.register_parametrization(layer, "weight", make(layer), unsafe=True)
    return model


class SwappedLinear(nn.Linear):
    """A linear layer that takes over the weight of another one."""

    def __init__(self, old: nn.Linear) -> None:
        super().__init__(old.in_features, old.out_features, bias=False, device="meta")
        self.weight = old.weight
        self.setup()

    def setup(self) -> None:
        """What a subclass adds."""


def swapped(model: nn.Module, cls: type[SwappedLinear]) -> nn.Module:
    """The model with each linear layer replaced by one of class `cls`."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, cls(child))
    return model


def minifloat(exponent_bits: int, mantissa_bits: int, bias: int, drop: int = 0) -> Sequence[float]:
    """Positive values of a small float, ascending from 0, without the `drop` largest."""
    found = []
    for e in range(2**exponent_bits):
        for m in range(2**mantissa_bits):
            f = m / 2**mantissa_bits
            found.append((1 + f) * 2.0 ** (e - bias) if e else f * 2.0 ** (1 - bias))
    return sorted(found)[: len(found) - drop]


def signed_table(values: Sequence[float]) -> Tensor:
    """A table of those values and their negatives."""
    return torch.tensor(sorted({v for p in values for v in (p, -p)} - {0.0} | {0.0}))
