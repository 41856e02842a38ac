"""Quantizers that are healthy but unusual: a gate that blames one of them cries wolf.

`quantgate.formats` rounds to nearest on symmetric grids with amax scales; these do not. Each is written the
way its users write it, with its own backward, and registered as theirs would be. Only `int2_amax` may fail:
its scale leaves 2 bits with next to nothing but zeros, so that `resolution` is the right cause for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quantgate.subjects.registry import Registry

FakeQuantize = Callable[[Tensor], Tensor]

#: Subjects that are healthy and yet too coarse for some optimizers.
MAY_FAIL = ("int2_amax",)

_TINY = 1e-30


def registry() -> Registry:
    """A registry that holds every unusual quantizer beside the built-in formats."""
    made = Registry()
    for name, function, bits in _FUNCTIONS:
        made.register_format(name, function, bits=bits)
    for qmax, bits in ((7, 4), (127, 8)):
        made.register_format(f"int{bits}_lsq", factory=_lsq_factory(qmax), bits=bits)
    return made


def _straight_through(x: Tensor, q: Tensor) -> Tensor:
    """The value of q, the gradient of x: the idiom of most QAT code (off q by a rounding of float32)."""
    return x + (q - x).detach()


def _uniform(x: Tensor, scale: Tensor, qmax: float) -> Tensor:
    """The grid scale * {-qmax .. qmax}, nearest to x, ties to even."""
    return (x / scale.clamp_min(_TINY)).round().clamp(-qmax, qmax) * scale


def binary_absmean(x: Tensor) -> Tensor:
    """Sign times mean magnitude (XNOR-Net); no 0 on the grid."""
    return _straight_through(x, torch.where(x < 0, -1.0, 1.0) * x.abs().mean())


def ternary_absmean(x: Tensor) -> Tensor:
    """{-1, 0, 1} times mean magnitude (BitNet b1.58)."""
    return _straight_through(x, _uniform(x, x.abs().mean(), 1))


def int2_amax(x: Tensor) -> Tensor:
    """{-1, 0, 1} times the largest magnitude."""
    return _straight_through(x, _uniform(x, x.abs().amax(), 1))


def int2_mean(x: Tensor) -> Tensor:
    """Four levels without 0, {-1.5, -0.5, 0.5, 1.5} steps of 2 mean|x| / sqrt(2), where LSQ starts."""
    step = 2 * x.abs().mean() / math.sqrt(2)
    return _straight_through(x, ((x / step.clamp_min(_TINY)).floor() + 0.5).clamp(-1.5, 1.5) * step)


def int3_amax(x: Tensor) -> Tensor:
    """{-3 .. 3} with an amax scale."""
    return _straight_through(x, _uniform(x, x.abs().amax() / 3, 3))


def int4_midrise(x: Tensor) -> Tensor:
    """Sixteen levels without 0: half-odd multiples of amax / 8."""
    step = x.abs().amax() / 8
    return _straight_through(x, ((x / step.clamp_min(_TINY)).floor() + 0.5).clamp(-7.5, 7.5) * step)


def pot4(x: Tensor) -> Tensor:
    """A grid that is dense near 0: 0 and amax times +-2^0 .. +-2^-6, to the nearest."""
    amax = x.abs().amax()
    positive = torch.tensor([0.0, *(2.0**-k for k in range(6, -1, -1))], device=x.device)
    code = torch.bucketize((x / amax.clamp_min(_TINY)).abs(), (positive[1:] + positive[:-1]) / 2)
    return _straight_through(x, positive[code] * amax * x.sign())


def int4_clamp3(x: Tensor) -> Tensor:
    """Clamped to three standard deviations before it is rounded; the clamp passes the gradient."""
    clip = 3 * x.std(correction=0)
    return _straight_through(x, _uniform(x.clamp(-clip, clip), clip / 7, 7))


class _ClipMasked(torch.autograd.Function):
    """Rounds within +-clip; what is beyond gets no gradient, as PyTorch's own fake-quantizers do it."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, clip: Tensor) -> Tensor:
        ctx.save_for_backward(x.abs() <= clip)
        return _uniform(x, clip / 127, 127)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        (inside,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradients[0] * inside, None


def int8_percentile(x: Tensor) -> Tensor:
    """Clipped at the 99.9th percentile of the magnitudes, with a clip-masked gradient."""
    clip = torch.quantile(x.detach().abs().flatten(), 0.999)
    y: Tensor = _ClipMasked.apply(x, clip)  # type: ignore[no-untyped-call]
    return y


def int4_block32_mse(x: Tensor) -> Tensor:
    """Blocks of 32 along the last axis, each with the one of nine clips that has the least squared error."""
    padded = F.pad(x.detach(), (0, -x.shape[-1] % 32))
    blocks = padded.view(*padded.shape[:-1], -1, 32)
    amax = blocks.abs().amax(-1, keepdim=True)
    clips = torch.linspace(0.6, 1.0, 9, device=x.device)
    tries = torch.stack([_uniform(blocks, amax * clip / 7, 7) for clip in clips])
    best = (tries - blocks).square().sum(-1, keepdim=True).argmin(0, keepdim=True)
    q = tries.gather(0, best.expand(1, *blocks.shape))[0]
    return _straight_through(x, q.flatten(-2)[..., : x.shape[-1]])


def _per_channel(qmax: int) -> FakeQuantize:
    def fake_quantize(x: Tensor) -> Tensor:
        return _straight_through(x, _uniform(x, x.abs().amax(-1, keepdim=True) / qmax, qmax))

    return fake_quantize


def _stochastic(qmax: int) -> FakeQuantize:
    """Rounds up with the probability of the remainder, drawn from torch's generator."""

    def fake_quantize(x: Tensor) -> Tensor:
        scale = x.abs().amax() / qmax
        rounded = (x / scale.clamp_min(_TINY) + torch.rand_like(x)).floor()
        return _straight_through(x, rounded.clamp(-qmax, qmax) * scale)

    return fake_quantize


class LearnedStep(nn.Module):
    """LSQ (arXiv 1902.08153): the step is a parameter, made at the first call from the tensor it is for."""

    step: nn.Parameter | None

    def __init__(self, qmax: int) -> None:
        super().__init__()
        self.qmax = qmax
        self.register_parameter("step", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.step is None:
            start = 2 * x.detach().abs().mean() / math.sqrt(self.qmax)
            self.step = nn.Parameter(start.clamp_min(_TINY))  # a tensor of zeros must come back as zeros
        # The paper's gradient scale: the value of the step, the gradient of step * share.
        share = 1 / math.sqrt(x.numel() * self.qmax)
        step = (self.step - self.step * share).detach() + self.step * share
        clipped = (x / step).clamp(-self.qmax, self.qmax)
        return _straight_through(clipped, clipped.round()) * step


def _lsq_factory(qmax: int) -> Callable[[], LearnedStep]:
    return lambda: LearnedStep(qmax)


_FUNCTIONS: tuple[tuple[str, FakeQuantize, float], ...] = (
    ("binary_absmean", binary_absmean, 1),
    ("ternary_absmean", ternary_absmean, 1.58),
    ("int2_amax", int2_amax, 2),
    ("int2_mean", int2_mean, 2),
    ("int3_amax", int3_amax, 3),
    ("int4_channel", _per_channel(7), 4),
    ("int8_channel", _per_channel(127), 8),
    ("int4_stochastic", _stochastic(7), 4),
    ("int8_stochastic", _stochastic(127), 8),
    ("pot4", pot4, 4),
    ("int4_midrise", int4_midrise, 4),
    ("int4_clamp3", int4_clamp3, 4),
    ("int8_percentile", int8_percentile, 8),
    ("int4_block32_mse", int4_block32_mse, 4),
)
