"""Faults of quantizers with state: observers, histories, learned scales, learned tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from quantgate.faults.setups import Fault, Setup
from quantgate.formats import Format
from quantgate.subjects.codecs import FunctionCodec
from tests.heldout.third.common import (
    Quantizer,
    from_blocks,
    hadamard,
    int_codes,
    row_amax,
    ste,
    tensor_amax,
    to_blocks,
)
from tests.heldout.third.faults.ranges import (
    FirstStep,
    History,
    LearnedStep,
    MovingRange,
    PowerOfTwoThreshold,
    clipped,
)


def _setup(name: str, make: Callable[[], Quantizer], bits: float, **options: Any) -> Setup:
    return Setup(Format(name, FunctionCodec(factory=make), bits, **options))


class Dither(nn.Module):
    """Stochastic rounding; a buffer of noise that is drawn once saves time and averages nothing out."""

    def __init__(self, *, once: bool) -> None:
        super().__init__()
        self.once = once
        self.noise: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.noise is None or not self.once or self.noise.shape != x.shape:
            self.noise = torch.rand(x.shape, device=x.device, dtype=x.dtype)
        scale = row_amax(x) / 15
        codes = torch.floor(x.detach() / scale + self.noise).clamp(-15, 15)
        return ste(x, codes * scale)


class RandomRotation:
    """Rows turned by a Hadamard matrix with random signs; the signs must be those of every run."""

    def __init__(self, *, entropy: bool) -> None:
        self.generator = torch.Generator()
        if entropy:
            self.generator.seed()
        else:
            self.generator.manual_seed(1)
        self.signs = torch.randint(0, 2, (16,), generator=self.generator) * 2.0 - 1

    def __call__(self, x: Tensor) -> Tensor:
        turn = (hadamard(16) * self.signs).to(x.device, x.dtype)
        blocks = to_blocks(x.detach(), 16) @ turn.T
        scale = row_amax(blocks) / 7
        return ste(x, from_blocks((int_codes(blocks, scale, 4) * scale) @ turn, x))


class RunningRows(nn.Module):
    """A running range for every row: dim=0 takes it for every column."""

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.amax: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        now = x.detach().abs().amax(self.dim, keepdim=True).clamp(min=1e-12)
        if self.amax is None or self.amax.shape != now.shape:
            self.amax = now
        self.amax = torch.maximum(now, 0.9 * self.amax)
        return clipped(x, self.amax / 31, 6)


class ClipLevel(nn.Module):
    """PACT on weights: a learned clip level, whose mask must keep the values of the largest code."""

    def __init__(self, *, strict: bool) -> None:
        super().__init__()
        self.strict = strict
        self.factor = nn.Parameter(torch.ones(()))
        self.first: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.first is None:
            self.first = 2.5 * x.detach().std().clamp(min=1e-8)
        level = self.first * self.factor
        step = level.detach() / 7
        codes = torch.round(x.detach() / step)
        inside = codes.abs() < 7 if self.strict else x.detach().abs() <= level.detach()
        within = torch.where(inside, x, (x.detach() / level.detach()).clamp(-1, 1) * level)
        return within + (codes.clamp(-7, 7) * step - within).detach()


class WarmUp(nn.Module):
    """Observes for a few calls, then quantizes; the counter belongs before the early return."""

    def __init__(self, *, counted: bool) -> None:
        super().__init__()
        self.counted = counted
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.counted:
            self.calls += 1
        if self.calls < 1:
            return x.clone()
        self.calls += not self.counted
        scale = row_amax(x) / 3
        return ste(x, int_codes(x.detach(), scale, 3) * scale)


class ActOrder(nn.Module):
    """GPTQ's activation order: groups of columns sorted by size; codes are put back, scales must be too."""

    def __init__(self, *, restored: bool) -> None:
        super().__init__()
        self.restored = restored
        self.order: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.order is None or self.order.numel() != x.shape[-1]:
            self.order = x.detach().reshape(-1, x.shape[-1]).square().sum(0).argsort(descending=True)
        back = self.order.argsort()
        blocks = to_blocks(x.detach()[..., self.order], 16)
        scale = row_amax(blocks) / 7
        codes = from_blocks(int_codes(blocks, scale, 4), x)[..., back]
        scales = scale.expand_as(blocks).flatten(-2)[..., : x.shape[-1]]
        return ste(x, codes * (scales[..., back] if self.restored else scales))


class Centroids(nn.Module):
    """A table at the quantiles, refitted slowly, with an exact 0 added; it has to be sorted again after that."""

    def __init__(self, *, sorted_again: bool) -> None:
        super().__init__()
        self.sorted_again = sorted_again
        self.table: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        scale = tensor_amax(x)
        normed = x.detach() / scale
        ranks = torch.linspace(0.01, 0.99, 13, device=x.device, dtype=x.dtype)
        fit = torch.quantile(normed.flatten()[:100_000], ranks)
        fit = torch.cat([-torch.ones_like(fit[:1]), fit, torch.ones_like(fit[:1])])
        self.table = fit if self.table is None else 0.9 * self.table + 0.1 * fit
        entries = torch.cat([self.table, torch.zeros_like(fit[:1])])
        ascending = entries.sort().values
        middles = (ascending[1:] + ascending[:-1]) / 2
        codes = torch.bucketize(normed.contiguous(), middles)
        return ste(x, (ascending if self.sorted_again else entries)[codes] * scale)


def _pair(
    name: str, cause: str, bits: float, make: Callable[[bool], Quantizer], *also: str, **options: Any
) -> Fault:
    broken = _setup(f"{name}_fq", lambda: make(True), bits, **options)
    twin = _setup(f"{name}_twin", lambda: make(False), bits, **options)
    return Fault(name, cause, broken, twin, frozenset(also))


FAULTS = [
    _pair("moving_range_from_zero", "scale-stale", 8, lambda bad: MovingRange(from_zero=bad)),
    _pair("history_never_rolled", "scale-stale", 8, lambda bad: History(rolled=not bad)),
    _pair("step_factor_on_output", "gradient-misscaled", 4, lambda bad: LearnedStep(factor_on_all=bad)),
    _pair("threshold_ceil_blocks", "qparams-invalid", 6, lambda bad: PowerOfTwoThreshold(through=not bad)),
    # Half of the first steps are negative, and nearly all clip most of their row.
    _pair(
        "first_step_without_abs", "qparams-invalid", 3, lambda bad: FirstStep(sized=not bad), "scale-stale"
    ),
    _pair("dither_drawn_once", "rounding-not-random", 5, lambda bad: Dither(once=bad)),
    _pair("rotation_signs_unseeded", "not-reproducible", 4, lambda bad: RandomRotation(entropy=bad)),
    _pair(
        "running_rows_by_column",
        "wrong-axis",
        6,
        lambda bad: RunningRows(dim=0 if bad else -1),
        granularity="row",
    ),
    # A seventh of a clip level is inside of the range, and the strict mask freezes it.
    _pair("clip_mask_drops_last_code", "clip-gradient-lost", 4, lambda bad: ClipLevel(strict=bad)),
    _pair("warm_up_never_ends", "no-op", 3, lambda bad: WarmUp(counted=not bad)),
    _pair("act_order_scales_left", "scale-misplaced", 4, lambda bad: ActOrder(restored=not bad)),
    _pair("centroid_zero_unsorted", "not-monotonic", 4, lambda bad: Centroids(sorted_again=not bad)),
]
