"""Right quantizers with state: delayed scales, percentiles, learned steps and tables, hysteresis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from quantgate.faults.setups import Setup
from quantgate.formats import Format
from quantgate.subjects.codecs import FunctionCodec
from tests.heldout.third.common import (
    Quantizer,
    fp8,
    from_blocks,
    hadamard,
    int_codes,
    nearest,
    round_ste,
    row_amax,
    ste,
    tensor_amax,
    to_blocks,
)


def _setup(name: str, make: Callable[[], Quantizer], bits: float, **options: Any) -> Setup:
    scope = options.pop("scope", "weights")
    return Setup(Format(name, FunctionCodec(factory=make), bits, **options), scope=scope)


class DelayedScale(nn.Module):
    """Transformer Engine's delayed scaling: the largest of 16 earlier calls, as a power of two with a margin."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        now = tensor_amax(x)
        amax = torch.stack(self.history).amax() if self.history else now
        self.history = [*self.history[-15:], now]
        scale = torch.exp2(torch.ceil(torch.log2(amax / 448)) + 1).to(x.dtype)
        return ste(x, fp8(x.detach() / scale) * scale)


class RunningPercentile(nn.Module):
    """NNCF's range: a running 99.9th percentile, with the bias of the first calls taken out, as Adam does."""

    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(()))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        kept = max(1, x.numel() // 1000)
        now = x.detach().abs().flatten().topk(kept).values[-1].clamp(min=1e-12)
        self.calls += 1
        self.total = 0.9 * self.total.to(x.device, x.dtype) + 0.1 * now
        scale = self.total / (1 - 0.9**self.calls) / 31
        inside = (x.detach().abs() <= 31.5 * scale).to(x.dtype)
        return ste(x * inside, int_codes(x.detach(), scale, 6) * scale)


class _LsqRow(torch.autograd.Function):
    """LSQ's gradients as the paper writes them, the step's summed by row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
        ctx.save_for_backward(x, step)
        ctx.range = low, high
        return torch.round(x / step).clamp(low, high) * step

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, step = ctx.saved_tensors
        low, high = ctx.range
        ratio = x / step
        under, over = ratio < low, ratio > high
        inside = ~(under | over)
        of_step = torch.where(inside, torch.round(ratio) - ratio, ratio.clamp(low, high))
        share = (x.shape[-1] * high) ** -0.5
        return grads[0] * inside, (grads[0] * of_step).sum(-1, keepdim=True) * share, None, None


class RowStep(nn.Module):
    """LSQ with a step a row; it is learned in units of its first value."""

    def __init__(self) -> None:
        super().__init__()
        self.units: nn.Parameter | None = None
        self.unit: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.units is None:
            self.unit = 2 * x.detach().abs().mean(-1, keepdim=True).clamp(min=1e-8) / 3**0.5
            self.units = nn.Parameter(torch.ones_like(self.unit))
        assert self.unit is not None
        y: Tensor = _LsqRow.apply(x, (self.units * self.unit).abs().clamp(min=1e-8), -4, 3)  # type: ignore[no-untyped-call]
        return y


class LogThreshold(nn.Module):
    """TQT with a natural logarithm: a power-of-two step, straight through ceil and round alike."""

    def __init__(self) -> None:
        super().__init__()
        self.log_threshold: nn.Parameter | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.log_threshold is None:
            self.log_threshold = nn.Parameter(tensor_amax(x).log2())
        power = self.log_threshold + (torch.ceil(self.log_threshold) - self.log_threshold).detach()
        step = torch.exp2(power) / 128
        return round_ste((x / step).clamp(-128, 127)) * step


class SoftplusBounds(nn.Module):
    """Learned lower and upper bounds of a row, each a softplus of a free number; five affine bits with a zero."""

    def __init__(self) -> None:
        super().__init__()
        self.low: nn.Parameter | None = None
        self.high: nn.Parameter | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.low is None or self.high is None:
            least = torch.full_like(row_amax(x), 1e-3)
            low = torch.maximum(-x.detach().amin(-1, keepdim=True), least)
            high = torch.maximum(x.detach().amax(-1, keepdim=True), least)
            self.low, self.high = nn.Parameter(low.expm1().log()), nn.Parameter(high.expm1().log())
        low, high = nn.functional.softplus(self.low), nn.functional.softplus(self.high)
        step = (low + high) / 31
        zero = round_ste(low / step)
        return (round_ste(x / step + zero).clamp(0, 31) - zero) * step


class LearnedTable(nn.Module):
    """A codebook of 16 that is learned by gradient, from an even start; always sorted before it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.linspace(-1, 1, 16))

    def forward(self, x: Tensor) -> Tensor:
        table = self.table.sort().values.to(x.dtype)
        scale = row_amax(x)
        values = table[nearest(x.detach() / scale, table.detach())]
        return (values + (x / scale - (x / scale).detach())) * scale


class OwnDither:
    """Stochastic rounding from a generator of its own, seeded by torch's when it is made."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(int(torch.randint(0, 2**31, ())))

    def __call__(self, x: Tensor) -> Tensor:
        noise = torch.rand(x.shape, generator=self.generator).to(x.device, x.dtype)
        scale = row_amax(x) / 7
        return ste(x, torch.floor(x.detach() / scale + noise).clamp(-7, 7) * scale)


class TurnedRows:
    """QuIP's incoherence: signs from a fixed seed and a Hadamard matrix around int5 groups of 32."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(20)
        self.turn = hadamard(32) * (torch.randint(0, 2, (32,), generator=generator) * 2.0 - 1)

    def __call__(self, x: Tensor) -> Tensor:
        turn = self.turn.to(x.device, x.dtype)
        turned = to_blocks(x.detach(), 32) @ turn.T
        scale = row_amax(turned) / 15
        return ste(x, from_blocks((int_codes(turned, scale, 5) * scale) @ turn, x))


class Hysteresis(nn.Module):
    """Against oscillation: a weight keeps its code until it is 0.55 of a step away, not 0.5."""

    def __init__(self) -> None:
        super().__init__()
        self.codes: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        scale = row_amax(x) / 31
        ratio = x.detach() / scale
        codes = torch.round(ratio).clamp(-31, 31)
        if self.codes is not None and self.codes.shape == codes.shape:
            codes = torch.where((ratio - self.codes).abs() <= 0.55, self.codes, codes)
        self.codes = codes
        return ste(x, codes * scale)


class Annealed(nn.Module):
    """Progressive precision, in the spirit of annealed QAT: 8 bits for three calls, 6 for three, then 4."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        bits = (8, 6, 4)[min(self.calls // 3, 2)]
        self.calls += self.training
        blocks = to_blocks(x, 32)
        scale = row_amax(blocks) / (2 ** (bits - 1) - 1)
        return ste(x, from_blocks(int_codes(blocks.detach(), scale, bits) * scale, x))


HEALTHY: dict[str, Setup] = {
    "delayed_scale_margin": _setup("delayed_scale_margin", DelayedScale, 8, scope="weights+activations"),
    "running_percentile_debiased": _setup("running_percentile_debiased", RunningPercentile, 6),
    "row_step_int3": _setup("row_step_int3", RowStep, 3),
    "log_threshold_int8": _setup("log_threshold_int8", LogThreshold, 8),
    "softplus_bounds_uint5": _setup("softplus_bounds_uint5", SoftplusBounds, 5),
    "learned_table_16": _setup("learned_table_16", LearnedTable, 4),
    "own_generator_dither": _setup("own_generator_dither", OwnDither, 4),
    "turned_rows_int5": _setup("turned_rows_int5", TurnedRows, 5),
    "hysteresis_int6": _setup("hysteresis_int6", Hysteresis, 6),
    "bits_annealed_to_4": _setup("bits_annealed_to_4", Annealed, 8),
}
