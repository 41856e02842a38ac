"""Faults of stateful factories, second half: learned steps, zero points and clipping bounds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.heldout.second.faults.stateful_a import stateful
from tests.heldout.second.ops import from_blocks, grad_scale, into_blocks, round_ste, safe, ste


class LearnedAffine(nn.Module):
    """LSQ+ at 4 bits: a learned step and offset, first set from the range.

    Bug: the step is (low - high) / 15: it starts below 0, and stays there.
    """

    def __init__(self, sign: int) -> None:
        super().__init__()
        self.sign = sign
        self.step = nn.Parameter(torch.ones(()))
        self.low = nn.Parameter(torch.zeros(()))
        self.started = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.started:
            lo, hi = x.detach().float().aminmax()
            self.step.data = self.sign * safe(hi - lo) / 15
            self.low.data = (lo if self.sign > 0 else hi).clone()
            self.started = True
        g = (x.numel() * 15) ** -0.5
        step, low = grad_scale(self.step, g), grad_scale(self.low, g)
        codes = round_ste(((x - low) / step).clamp(0, 15))
        return codes * step + low


class ZeroPoint:
    """8 bits, affine, with an average of the lowest and the highest value.

    Bug: the zero point is kept for the export and never added: a tensor of one sign has half of the range.
    """

    def __init__(self, used: bool) -> None:
        self.used = used
        self.ends: Tensor | None = None
        self.zero = torch.zeros(())

    def __call__(self, x: Tensor) -> Tensor:
        d = x.detach().float()
        now = torch.stack([d.amin().clamp(max=0), d.amax().clamp(min=0)])
        self.ends = now if self.ends is None else 0.5 * self.ends + 0.5 * now
        lo, hi = self.ends
        s = safe((hi - lo) / 255)
        self.zero = (-128 - lo / s).round()
        z = self.zero if self.used else torch.zeros_like(self.zero)
        q = ((d / s).round() + z).clamp(-128, 127)
        return ste(x, (q - z) * s)


class _Tiles(torch.autograd.Function):
    """Blocks of 32 along the columns, each with its learned gain; the gradient is laid back as x was.

    Bug: the backward reshapes the blocks without turning them back: gradients go to other weights.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, turned: bool) -> Tensor:
        t = x.detach().float().reshape(-1, x.shape[-1]).t().contiguous()
        b = into_blocks(t, 32)
        s = safe(b.abs().amax(1, keepdim=True) / 31) * gain.detach()
        codes = (b / s).round()
        blocks = codes.clamp(-31, 31) * s
        slope = torch.where(codes.abs() <= 31, blocks - b, blocks) / gain.detach()
        q = from_blocks(blocks, t)
        ctx.shape, ctx.turned = x.shape, turned
        ctx.save_for_backward(from_blocks(slope, t).t().reshape(x.shape))
        return q.t().reshape(x.shape).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        g = gradients[0]
        (slope,) = ctx.saved_tensors
        gain = (g * slope).sum() / (g.numel() * 31) ** 0.5
        if ctx.turned:
            return g, gain, None
        t = g.reshape(-1, g.shape[-1]).t().contiguous()
        return t.reshape(ctx.shape), gain, None


class LearnedTiles(nn.Module):
    """6 bits in tiles of a column, with a learned gain."""

    def __init__(self, turned: bool) -> None:
        super().__init__()
        self.turned = turned
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _Tiles.apply(x, self.gain, self.turned)  # type: ignore[no-untyped-call]
        return y


class LearnedStep(nn.Module):
    """LSQ at 6 bits, set from the largest value at the first call.

    Bug: the step starts at the largest value itself, not at a 31st of it: one weight in twenty is not 0.
    """

    def __init__(self, top: int) -> None:
        super().__init__()
        self.top = top
        self.step = nn.Parameter(torch.ones(()))
        self.started = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.started:
            self.step.data = safe(x.detach().float().abs().amax() / self.top)
            self.started = True
        g: float = (x.numel() * 31) ** -0.5
        s = self.step * g + self.step.detach() * (1 - g)
        return round_ste((x / s).clamp(-31, 31)) * s


class _Clip(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, inverted: bool) -> Tensor:
        inside = x.abs() <= alpha
        ctx.inverted = inverted
        ctx.save_for_backward(inside, x.sign())
        return torch.maximum(torch.minimum(x, alpha), -alpha)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        inside, sign = ctx.saved_tensors
        g = gradients[0]
        passed = ~inside if ctx.inverted else inside
        return g * passed, (g * sign * ~inside).sum(), None


class LearnedClip(nn.Module):
    """PACT at 5 bits with a learned bound, from 0.9 of the largest value on.

    Bug: the mask of the backward is inverted: only what was clipped gets a gradient.
    """

    def __init__(self, inverted: bool) -> None:
        super().__init__()
        self.inverted = inverted
        self.log_alpha = nn.Parameter(torch.zeros(()))
        self.started = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.started:
            self.log_alpha.data = safe(0.9 * x.detach().float().abs().amax()).log()
            self.started = True
        alpha = self.log_alpha.exp()
        clipped: Tensor = _Clip.apply(x, alpha, self.inverted)  # type: ignore[no-untyped-call]
        return round_ste(clipped / alpha * 15) * (alpha / 15)


_CASES = (
    stateful(
        "learned_step_starts_negative",
        "qparams-invalid",
        4,
        lambda: LearnedAffine(-1),
        lambda: LearnedAffine(1),
    ),
    stateful(
        "zero_point_never_added", "qparams-invalid", 8, lambda: ZeroPoint(False), lambda: ZeroPoint(True)
    ),
    stateful(
        "tile_gradient_not_turned_back",
        "gradient-wrong",
        6,
        lambda: LearnedTiles(False),
        lambda: LearnedTiles(True),
    ),
    stateful(
        "learned_step_starts_at_largest",
        "range-collapsed",
        6,
        lambda: LearnedStep(1),
        lambda: LearnedStep(31),
    ),
    stateful(
        "learned_clip_mask_inverted",
        "gradient-blocked",
        5,
        lambda: LearnedClip(True),
        lambda: LearnedClip(False),
        frozenset({"gradient-wrong"}),
    ),
)

FAULTS = {fault.name: fault for fault in _CASES}
