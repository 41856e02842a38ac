"""Unusual but right stateful quantizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from quantgate.faults.setups import Setup
from quantgate.formats import Format
from quantgate.subjects.codecs import FunctionCodec
from tests.heldout.second.faults.stateful_a import e4m3
from tests.heldout.second.ops import (
    from_blocks,
    grad_scale,
    grid,
    into_blocks,
    nearest,
    rms,
    round_ste,
    row_scale,
    safe,
    ste,
)


class DelayedWithMargin:
    """FP8 delayed scaling: the largest of the last 4 calls, a power of two as scale, a margin of one bit."""

    def __init__(self) -> None:
        self.history: list[float] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.history = [float(x.detach().float().abs().amax()), *self.history][:4]
        largest = max(self.history)
        s = 2.0 ** torch.tensor(largest / 448).log2().ceil().add(1).item() if largest > 0 else 1.0
        return ste(x, e4m3(x.detach().float() / s) * s)


class LogClip(nn.Module):
    """PACT with the logarithm of the bound learned by row at 6 bits, from the largest value on."""

    log_bound: nn.Parameter | None

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("log_bound", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.log_bound is None:
            start = safe(x.detach().float().abs().amax(-1, keepdim=True)).log()
            self.log_bound = nn.Parameter(start)
        bound = self.log_bound.exp().to(x.dtype)
        clipped = torch.maximum(torch.minimum(x, bound), -bound)
        return round_ste(clipped / bound * 31) * (bound / 31)


class ClassicStep(nn.Module):
    """LSQ as published, 5 bits, -16 to 15, gradient times 1 / sqrt(numel Qp); the step stays above 0."""

    started: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.ones(()))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        if not self.started:
            self.step.data.copy_(safe(2 * x.detach().float().abs().mean() / 15**0.5))
            self.started.fill_(True)
        s = grad_scale(self.step, (x.numel() * 15) ** -0.5).clamp_min(1e-8)
        return round_ste((x / s).clamp(-16, 15)) * s


class PercentileAverage:
    """Int8, range a moving average of the 99.9th percentile, from the first call's on."""

    def __init__(self) -> None:
        self.range: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        sizes = x.detach().float().abs().flatten()
        rank = max(1, int(0.999 * sizes.numel() + 0.5))
        now = sizes.kthvalue(rank).values
        now = torch.where(now > 0, now, sizes.amax())
        self.range = now if self.range is None else 0.8 * self.range + 0.2 * now
        s = safe(self.range / 127)
        return ste(x, grid(x, s, 127), x.detach().abs() <= self.range.clamp_min(0) + s / 2)


class LearnedOffset(nn.Module):
    """LSQ+ at 4 bits: a learned step (its softplus) and a learned offset, from the range on."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(()))
        self.offset = nn.Parameter(torch.zeros(()))
        self.started = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.started:
            lo, hi = x.detach().float().aminmax()
            step = safe((hi - lo) / 15)
            self.raw.data = torch.where(step > 20, step, step.clamp(max=20).expm1().log())
            self.offset.data = lo.clone()
            self.started = True
        s = nn.functional.softplus(grad_scale(self.raw, (x.numel() * 15) ** -0.5))
        offset = grad_scale(self.offset, (x.numel() * 15) ** -0.5)
        return round_ste(((x - offset) / s).clamp(0, 15)) * s + offset


class LearnedCodebook:
    """3 bits per tensor: a codebook of 8 in units of rms, moved by a step of Lloyd's a call."""

    def __init__(self) -> None:
        self.table = torch.tensor([-2.15, -1.34, -0.76, -0.25, 0.25, 0.76, 1.34, 2.15])

    def __call__(self, x: Tensor) -> Tensor:
        d = x.detach().float()
        size = rms(x)
        y = (d / safe(size)).flatten()
        self.table = self.table.to(d.device)
        i = nearest(y, self.table)
        count = torch.zeros_like(self.table).index_add_(0, i, torch.ones_like(y))
        total = torch.zeros_like(self.table).index_add_(0, i, y)
        moved = torch.where(count > 0, total / count.clamp_min(1), self.table)
        self.table = (0.9 * self.table + 0.1 * moved).sort().values
        return ste(x, (self.table[nearest(y, self.table)] * size).reshape(x.shape))


class SearchedRatio:
    """Int4 per row with a clip ratio by least squares (OMSE); the search runs on every eighth call."""

    def __init__(self) -> None:
        self.calls = 0
        self.ratio: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        s = row_scale(x, 7)
        if self.ratio is None or self.calls % 8 == 0 or self.ratio.shape != s.shape:
            tried = torch.linspace(0.6, 1.0, 9)
            errors = [(grid(x, s * r, 7) - x.detach()).square().sum(-1, keepdim=True) for r in tried.tolist()]
            self.ratio = tried.to(x.device)[torch.stack(errors).argmin(0)]
        self.calls += 1
        s = s * self.ratio
        return ste(x, grid(x, s, 7))


class FeedbackScale:
    """Int7 in groups of 32: scales grow at once and fall by 5% a call at most, so codes do not flicker."""

    def __init__(self) -> None:
        self.scale: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        b = into_blocks(x, 32)
        now = b.abs().amax(1, keepdim=True) / 63
        fits = self.scale is not None and self.scale.shape == now.shape
        self.scale = torch.maximum(now, 0.95 * self.scale) if fits else now  # type: ignore[arg-type, operator]
        s = safe(self.scale)
        return ste(x, from_blocks((b / s).round().clamp(-63, 63) * s, x))


_CASES: tuple[tuple[str, Callable[[], Any], float], ...] = (
    ("delayed_power_of_two_margin", DelayedWithMargin, 8),
    ("learned_log_bound_rows", LogClip, 6),
    ("lsq_as_published_int5", ClassicStep, 5),
    ("percentile_average_int8", PercentileAverage, 8),
    ("learned_step_and_offset", LearnedOffset, 4),
    ("lloyd_codebook_of_eight", LearnedCodebook, 3),
    ("searched_clip_ratio_int4", SearchedRatio, 4),
    ("slow_falling_group_scale", FeedbackScale, 7),
)

HEALTHY = {name: Setup(Format(name, FunctionCodec(factory=make), bits)) for name, make, bits in _CASES}
