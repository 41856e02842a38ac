"""What the held-out quantizers share: their own straight-through estimator, groups and grids."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quantgate.formats import BUILTIN, Format
from quantgate.subjects.codecs import FunctionCodec

Grid = Callable[[Tensor], Tensor]
#: (gradient, x, q(x)) -> gradient.
Rule = Callable[[Tensor, Tensor, Tensor], Tensor]

TINY = 1e-20


class _Ruled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Grid, rule: Rule | None) -> Tensor:
        q = grid(x.detach())
        ctx.rule = rule
        if rule is not None:
            ctx.save_for_backward(x, q)
        return q.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient = gradients[0]
        if ctx.rule is None:
            return gradient, None, None
        x, q = ctx.saved_tensors
        return ctx.rule(gradient, x, q), None, None


def ste(grid: Grid, rule: Rule | None = None) -> Grid:
    """`grid` forwards; backwards the gradient as it is, or what `rule` makes of it."""

    def quantize(x: Tensor) -> Tensor:
        y: Tensor = _Ruled.apply(x, grid, rule)  # type: ignore[no-untyped-call]
        return y

    return quantize


def user_format(
    name: str,
    function: Grid | None,
    bits: float,
    *,
    factory: Callable[[], Grid] | None = None,
    **more: Any,
) -> Format:
    """A format as `register_format` makes it."""
    return Format(name=name, codec=FunctionCodec(function, factory, **more), bits=bits)


def rounded(x: Tensor) -> Tensor:
    """round(), with the gradient of the identity."""
    return x + (x.round() - x).detach()


def fraction(x: Tensor, share: float) -> Tensor:
    """The value of x, the gradient of share * x."""
    return x * share + (x * (1 - share)).detach()


def amax(x: Tensor, dim: int | None = None) -> Tensor:
    """The largest magnitude, guarded against 0."""
    found = x.abs().amax() if dim is None else x.abs().amax(dim, keepdim=True)
    return found.clamp(min=TINY)


def symmetric(qmax: int, dim: int | None = None) -> Grid:
    """{-qmax .. qmax} times amax / qmax, per tensor or along a dimension."""

    def grid(x: Tensor) -> Tensor:
        scale = amax(x, dim) / qmax
        return (x / scale).round().clamp(-qmax, qmax) * scale

    return grid


def groups(size: int, grid: Grid) -> Grid:
    """`grid`, which works by rows, on groups of the last axis, the last one padded with 0."""

    def grouped(x: Tensor) -> Tensor:
        padded = F.pad(x, (0, -x.shape[-1] % size))
        return grid(padded.reshape(-1, size)).reshape(padded.shape)[..., : x.shape[-1]].contiguous()

    return grouped


def grid_of(name: str) -> Grid:
    """The grid of a built-in format."""
    return BUILTIN[name].fake_quantize


def element(name: str) -> Grid:
    """The grid of a built-in format without its scale."""
    return lambda x: BUILTIN[name].fake_quantize(x, 1.0)


def nearest(values: Tensor, x: Tensor) -> Tensor:
    """Index of the nearest of the ascending values."""
    return torch.bucketize(x.contiguous(), ((values[1:] + values[:-1]) / 2).to(x.device))


def hadamard(size: int) -> Tensor:
    """The orthonormal Hadamard matrix of a power of two."""
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix / math.sqrt(size)


class QuantizedLinear(nn.Module):
    """A linear layer that reads its weight, and if asked its input, through a quantizer."""

    def __init__(self, linear: nn.Linear, weight: Grid, inputs: Grid | None = None) -> None:
        super().__init__()
        self.weight = linear.weight
        self.quantize_weight = weight
        self.quantize_input = inputs

    def forward(self, x: Tensor) -> Tensor:
        if self.quantize_input is not None:
            x = self.quantize_input(x)
        return F.linear(x, self.read())

    def read(self) -> Tensor:
        """The weight that the layer computes with."""
        return self.quantize_weight(self.weight)


def swap_linears(
    model: nn.Module,
    make: Callable[[nn.Linear], nn.Module],
    chosen: Callable[[str], bool] = lambda name: True,
) -> nn.Module:
    """Replaces the linear layers whose name is chosen, in the model itself."""
    named = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    for name, module in named:
        if chosen(name):
            model.set_submodule(name, make(module))
    return model
