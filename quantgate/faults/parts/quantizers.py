"""The parts that broken formats and their healthy twins are put together from.

A twin differs from its fault in one place; so both are built here from a grid (where values land) and a gradient
(what the backward makes of it), and the faults of `library.py` exchange the one or the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from quantgate.formats import BUILTIN

Grid = Callable[[Tensor], Tensor]
#: (gradient, x, q(x)) -> gradient.
Backward = Callable[[Tensor, Tensor, Tensor], Tensor]

#: Keeps a scale away from 0.
TINY = 1e-30


class _WithBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Grid, backward: Backward) -> Tensor:
        q = grid(x)
        ctx.save_for_backward(x, q)
        ctx.rule = backward
        return q

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        x, q = ctx.saved_tensors
        return ctx.rule(gradients[0], x, q), None, None


def with_backward(grid: Grid, backward: Backward) -> Grid:
    """A quantizer with the forward `grid` and the backward `backward`."""

    def quantize(x: Tensor) -> Tensor:
        q: Tensor = _WithBackward.apply(x, grid, backward)  # type: ignore[no-untyped-call]
        return q

    return quantize


def straight_through(grid: Grid) -> Grid:
    """`grid` with the gradient of the identity, in the idiom of most QAT code."""

    def quantize(x: Tensor) -> Tensor:
        return x + (grid(x.detach()) - x).detach()

    return quantize


def builtin(name: str) -> Grid:
    """The grid of a built-in format."""
    return BUILTIN[name].fake_quantize


def amax_scale(x: Tensor, qmax: float, *, rows: bool = False, floor: float = TINY) -> Tensor:
    """Max |x| / qmax, per tensor or per row."""
    amax = x.abs().amax(dim=-1, keepdim=True) if rows else x.abs().amax()
    return amax.clamp(min=floor) / qmax


def integers(
    qmax: int,
    *,
    rows: bool = False,
    rounding: Grid = torch.round,
    floor: float = TINY,
    shrink: float = 1.0,
    zero_point: bool = True,
    dequantize: Callable[[Tensor, Tensor], Tensor] = torch.mul,
) -> Grid:
    """The grid scale * {-qmax .. qmax}; each argument is a place in which it can break.

    Args:
        qmax: Largest code.
        rows: A scale for each row.
        rounding: Codes from quotients.
        floor: The least amax; 0 divides by zero.
        shrink: A factor of the scale.
        zero_point: Without it, codes run from 0 to 2 qmax + 1 and negatives are lost.
        dequantize: (codes, scale) -> values.
    """

    def grid(x: Tensor) -> Tensor:
        scale = amax_scale(x, qmax, rows=rows, floor=floor) * shrink
        low, high = (-qmax, qmax) if zero_point else (0, 2 * qmax + 1)
        return dequantize(rounding(x / scale).clamp(low, high), scale)

    return grid


def blocks(size: int, grid: Grid) -> Grid:
    """`grid`, which scales by rows, over blocks of the last axis."""

    def blocked(x: Tensor) -> Tensor:
        if x.shape[-1] % size:
            return grid(x)
        return grid(x.reshape(-1, size)).reshape(x.shape)

    return blocked


def table(values: tuple[float, ...], *, scaled: bool = True) -> Grid:
    """The nearest of `values` times the absolute maximum of each block of 32, or times nothing."""

    def grid(x: Tensor) -> Tensor:
        entries = torch.tensor(values, device=x.device)
        edges = (entries[1:] + entries[:-1]) / 2
        scale = amax_scale(x, 1.0, rows=True) if scaled else torch.ones((), device=x.device)
        return entries[torch.bucketize((x / scale).contiguous(), edges)] * scale

    return blocks(32, grid) if scaled else grid


def ternary(x: Tensor) -> Tensor:
    """{-1, 0, 1} times the mean magnitude (BitNet b1.58)."""
    scale = x.abs().mean().clamp(min=TINY)
    return (x / scale).round().clamp(-1, 1) * scale


def stochastic(qmax: int, noise: Grid) -> Grid:
    """The amax integer grid with `noise` in [0, 1) deciding which way each value goes."""
    return integers(qmax, rounding=lambda codes: torch.floor(codes + noise(codes)))


def truncate_bits(dropped: int) -> Grid:
    """float32 with its last bits cut off: bfloat16 without rounding for 16."""
    mask = -(1 << dropped)
    return lambda x: (x.contiguous().view(torch.int32) & mask).view(torch.float32)


def activations_only(broken: Grid, healthy: Grid) -> Grid:
    """`broken` for activations (batch, time, channels), `healthy` for weights (rows, columns)."""
    return lambda x: broken(x) if x.ndim == 3 else healthy(x)


class LearnedScaleQuantizer(nn.Module):
    """LSQ (arXiv 1902.08153): integer codes times a scale that is learned.

    Args:
        qmax: Largest code.
        sign: -1 starts with a negative scale.
        detached: Whether the scale gets no gradient.
    """

    def __init__(self, qmax: int, *, sign: float = 1.0, detached: bool = False) -> None:
        super().__init__()
        self.qmax, self.sign, self.detached = qmax, sign, detached
        self.scale = nn.Parameter(torch.zeros(()))
        self.ready = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.ready:
            with torch.no_grad():
                start = 2 * x.abs().mean() / self.qmax**0.5
                self.scale.copy_(self.sign * start.clamp(min=1e-6))
            self.ready = True
        share = 1 / (x.numel() * self.qmax) ** 0.5
        scale = (
            self.scale.detach() if self.detached else self.scale * share + (self.scale * (1 - share)).detach()
        )
        codes = x / scale
        clipped = codes.clamp(-self.qmax, self.qmax)
        return (clipped + (clipped.round() - clipped).detach()) * scale


class FrozenScale(nn.Module):
    """An integer grid whose scale is taken at the first call and kept."""

    def __init__(self, qmax: int, *, rows: bool = False) -> None:
        super().__init__()
        self.qmax, self.rows = qmax, rows
        self.scale: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.scale is None:
            self.scale = amax_scale(x.detach(), self.qmax, rows=self.rows)
        scale = self.scale
        return straight_through(lambda v: (v / scale).round().clamp(-self.qmax, self.qmax) * scale)(x)


def mx_without_scale(x: Tensor) -> Tensor:
    """e4m3 elements of mxfp8, their block scale left out."""
    amax = x.reshape(-1, x.shape[-1]).abs().amax(dim=-1, keepdim=True).clamp(min=TINY)
    scale = 2.0 ** (torch.floor(torch.log2(amax)) - 8)
    return BUILTIN["fp8_e4m3"].fake_quantize((x.reshape(-1, x.shape[-1]) / scale).reshape(x.shape), 1.0)


def wrapped(x: Tensor) -> Tensor:
    """int4 whose code 8, of the largest values, becomes -8."""
    scale = amax_scale(x, 8)
    return (((x / scale).round() + 8) % 16 - 8) * scale


def exchanged(x: Tensor) -> Tensor:
    """int4 with the codes 2 and 3 exchanged."""
    scale = amax_scale(x, 7)
    codes = (x / scale).round()
    return torch.where(codes == 2, 3.0, torch.where(codes == 3, 2.0, codes)) * scale


def all_but_the_last_columns(x: Tensor) -> Tensor:
    """int4, the last 16 columns as they were."""
    return torch.cat([integers(7)(x)[..., :-16], x[..., -16:]], dim=-1)


def neighbours_scale(x: Tensor) -> Tensor:
    """int8 in groups of 32, each with the scale of the group before."""
    groups = x.reshape(-1, 32)
    scale = amax_scale(groups, 127, rows=True).roll(1, 0)
    return ((groups / scale).round().clamp(-127, 127) * scale).reshape(x.shape)


def mx_exponent_too_small(x: Tensor) -> Tensor:
    """int8 in groups of 32 whose scale is the power of two below the largest value: up to half of it is clipped."""
    groups = x.reshape(-1, 32)
    scale = 2.0 ** torch.floor(torch.log2(amax_scale(groups, 1, rows=True))) / 128
    return ((groups / scale).round().clamp(-128, 127) * scale).reshape(x.shape)


def affine(x: Tensor, use_zero_point: bool) -> Tensor:
    """Affine int4, whose zero point may be forgotten."""
    low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
    scale = (high - low).clamp(min=TINY) / 15
    zero_point = -8 - (low / scale).round() if use_zero_point else 0
    return (((x / scale).round() + zero_point).clamp(-8, 7) - zero_point) * scale


def fp8_without_scale(x: Tensor) -> Tensor:
    """e4m3 of x over its scale, not multiplied by it."""
    return BUILTIN["fp8_e4m3"].fake_quantize(x / amax_scale(x, 448.0), 1.0)


def rows_reversed(x: Tensor) -> Tensor:
    """int8 whose scales of rows are in reverse order."""
    scale = amax_scale(x, 127, rows=True).flip(0)
    return (x / scale).round().clamp(-127, 127) * scale


def columns(x: Tensor) -> Tensor:
    """int8 with a scale for each column."""
    return integers(127, rows=True)(x.mT).mT
