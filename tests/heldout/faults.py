"""Faults as authors make them, none of which is in `quantgate.faults`, each with a twin that differs in it alone.

`ALSO_RIGHT` names, for the faults where an author would be helped as well by another cause, that other cause;
it was written with the faults, before any verdict was seen.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from quantgate.faults import Fault, Setup
from quantgate.formats import BUILTIN
from quantgate.records.cell import Scope, Storage
from quantgate.subjects.codecs import PairCodec
from quantgate.subjects.kinds import Recipe
from quantgate.training.optimizers import OPTIMIZERS, Build
from tests.heldout.parts import (
    TINY,
    Grid,
    QuantizedLinear,
    Rule,
    amax,
    element,
    fraction,
    grid_of,
    groups,
    hadamard,
    nearest,
    rounded,
    ste,
    swap_linears,
    symmetric,
    user_format,
)

Prepare = Callable[[nn.Module], nn.Module]
Factory = Callable[[], Grid]

_NF4 = torch.tensor(BUILTIN["nf4"].values)


# Gradients


def _outliers_apart(outliers: Grid, rest: Grid) -> Grid:
    """What is beyond 2.5 standard deviations on a grid of its own."""

    def quantize(x: Tensor) -> Tensor:
        outlier = x.detach().abs() > 2.5 * x.detach().std(correction=0)
        return torch.where(outlier, outliers(x * outlier), rest(x * ~outlier))

    return quantize


def _ternary_by_mean(x: Tensor) -> Tensor:
    scale = x.abs().mean().clamp(min=TINY)
    return (x / scale).round().clamp(-1, 1) * scale


def _posit8_in_numpy(x: Tensor) -> Tensor:
    """Through numpy, which knows no graph."""
    values = np.asarray(BUILTIN["posit8"].values, dtype=np.float32)
    places = np.searchsorted((values[1:] + values[:-1]) / 2, x.detach().cpu().numpy())
    return torch.from_numpy(values[places]).to(x.device)


class _FreezesLater(nn.Module):
    """Trains through the estimator, then on a cached path that somebody meant for inference."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls

    def forward(self, x: Tensor) -> Tensor:
        if self.left == 0:
            with torch.no_grad():
                return grid_of("fp6_e3m2")(x)
        self.left -= 1
        return ste(grid_of("fp6_e3m2"))(x)


class _ReadsData(QuantizedLinear):
    """Reads `weight.data`, which has no graph."""

    def read(self) -> Tensor:
        return self.quantize_weight(self.weight.data)


def _blocks_transposed(gradient: Tensor, x: Tensor, q: Tensor) -> Tensor:
    """Blocks of 32 put back with their two axes exchanged."""
    if x.shape[-1] % 32:
        return gradient
    blocks = gradient.reshape(*x.shape[:-1], -1, 32).transpose(-1, -2)
    return blocks.reshape(x.shape)


def _clip3(x: Tensor) -> Tensor:
    return (3 * x.std(correction=0)).clamp(min=TINY)


def _int8_clipped(x: Tensor) -> Tensor:
    scale = _clip3(x) / 127
    return (x / scale).round().clamp(-127, 127) * scale


def _activations(rule: Rule) -> Rule:
    """The rule for (batch, time, channels), the identity for weights."""
    return lambda gradient, x, q: rule(gradient, x, q) if x.ndim == 3 else gradient


def _over_groups(gradient: Tensor, x: Tensor, q: Tensor) -> Tensor:
    """The mean over groups where their sum was meant."""
    return gradient / max(1, x.numel() // 32)


class _LearnedStep(nn.Module):
    """LSQ with what can go wrong in it.

    Args:
        qmax: Largest code.
        share_weight: The gradient share of the step is put on the weight as well.
        start: The first step; None takes it from the first tensor.
    """

    def __init__(self, qmax: int, *, share_weight: bool = False, start: float | None = None) -> None:
        super().__init__()
        self.qmax, self.share_weight = qmax, share_weight
        self.ready = start is not None
        self.step = nn.Parameter(torch.tensor(0.0 if start is None else start))

    def forward(self, x: Tensor) -> Tensor:
        if not self.ready:
            with torch.no_grad():
                self.step.copy_((2 * x.abs().mean() / self.qmax**0.5).clamp(min=1e-6))
            self.ready = True
        share = (x.numel() * self.qmax) ** -0.5
        step = fraction(self.step, share)
        if self.share_weight:
            x = fraction(x, share)
        return rounded((x / step).clamp(-self.qmax, self.qmax)) * step


def _rotated(x: Tensor) -> Tensor:
    turn = hadamard(32).to(x.device)
    return groups(32, lambda v: symmetric(7, -1)(v @ turn) @ turn.T)(x)


def _rotated_gradient(norm: float) -> Rule:
    """Turns the gradient there and back, with a matrix that is orthogonal up to a factor."""

    def rule(gradient: Tensor, x: Tensor, q: Tensor) -> Tensor:
        turn = hadamard(32).to(x.device)
        return groups(32, lambda v: (v @ (turn * norm)) @ turn.T)(gradient)

    return rule


def _estimated_twice(grid: Grid) -> Grid:
    """The wrapper adds an estimator to a function that has one."""
    inner = ste(grid)
    return lambda x: inner(x) + (x - x.detach())


def _affine_rows(x: Tensor, levels: int = 15) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, scale and lowest value of each row."""
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    scale = (high - low).clamp(min=TINY) / levels
    return ((x - low) / scale).round().clamp(0, levels), scale, low


def _uint4_rows(x: Tensor) -> Tensor:
    codes, scale, low = _affine_rows(x)
    return codes * scale + low


def _uint4_mask(strict: bool) -> Rule:
    def rule(gradient: Tensor, x: Tensor, q: Tensor) -> Tensor:
        codes = _affine_rows(x)[0]
        inside = (codes > 0) & (codes < 15) if strict else (codes >= 0) & (codes <= 15)
        return gradient * inside

    return rule


def _int4_group_mask(strict: bool) -> Rule:
    def mask(x: Tensor) -> Tensor:
        codes = (x / (amax(x, -1) / 7)).round()
        return ((codes.abs() < 7) if strict else (codes.abs() <= 7)).to(x.dtype)

    return lambda gradient, x, q: gradient * groups(32, mask)(x)


def _absmax_mask(strict: bool) -> Rule:
    def mask(x: Tensor) -> Tensor:
        return ((x.abs() < amax(x, -1)) if strict else (x.abs() <= amax(x, -1))).to(x.dtype)

    return lambda gradient, x, q: gradient * groups(64, mask)(x)


def _cast_gradient(cast: Grid) -> Rule:
    return lambda gradient, x, q: cast(gradient)


def _int4_gradient(gradient: Tensor) -> Tensor:
    return symmetric(7)(gradient)


def _half_after_unscaling(gradient: Tensor) -> Tensor:
    """A loss scale of 1024 that is divided out before the cast instead of multiplied in."""
    return (gradient / 1024).half().float() * 1024


# Scales and grids


def _lookup(values: Tensor, x: Tensor, decode: Tensor | None = None) -> Tensor:
    """The nearest value of a table, by absmax of each row; `decode` is the table for the way back."""
    scale = amax(x, -1)
    entries = (values if decode is None else decode).to(x.device)
    return entries[nearest(values, x / scale)] * scale


def _nf4_double(with_super_scale: bool) -> Grid:
    """NF4 whose block scales are stored as 8-bit codes of one scale of the tensor."""

    def grid(x: Tensor) -> Tensor:
        rows = F.pad(x, (0, -x.shape[-1] % 32)).reshape(-1, 32)
        scales = amax(rows, -1)
        super_scale = scales.amax() / 255
        codes = (scales / super_scale).round().clamp(1, 255)
        known = codes * super_scale
        q = _NF4.to(x.device)[nearest(_NF4, rows / known)] * (known if with_super_scale else codes)
        return q.reshape(*x.shape[:-1], -1)[..., : x.shape[-1]].contiguous()

    return grid


def _fp8_by_factor(inverted: bool) -> Grid:
    """e4m3 with a factor to multiply by, and the factor again where its inverse is due."""

    def grid(x: Tensor) -> Tensor:
        factor = 448 / amax(x)
        q = element("fp8_e4m3")((x * factor).clamp(-448, 448))
        return q / factor if inverted else q * factor

    return grid


def _shared_exponent(x: Tensor) -> Tensor:
    return torch.floor(torch.log2(amax(x, -1))).clamp(min=-100)


def _mx(name: str, emax: int, *, out: int = 0, sign: int = -1) -> Grid:
    """Blocks of 32 with a power of two; `out` is added to the exponent on the way back."""

    def grid(x: Tensor) -> Tensor:
        exponent = _shared_exponent(x) + sign * emax
        return element(name)(x * 2.0**-exponent) * 2.0 ** (exponent + out)

    return groups(32, grid)


def _int8_rows_then(columns: bool) -> Grid:
    """Divides by the scale of the row, and multiplies by that of the column."""

    def grid(x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        scale = amax(flat, 1) / 127
        codes = (flat / scale).round().clamp(-127, 127)
        return (codes * (amax(flat, 0) / 127 if columns else scale)).reshape(x.shape)

    return grid


def _int4_over(scale: float) -> Grid:
    return lambda x: (x / scale).round().clamp(-7, 7) * scale


def _int8_least_scale(least: float) -> Grid:
    def grid(x: Tensor) -> Tensor:
        scale = (x.abs().amax() / 127).clamp(min=least)
        return (x / scale).round().clamp(-127, 127) * scale

    return grid


def _uint8_affine(sign: int) -> Grid:
    """The zero point is -low / scale; with the other sign it is clamped to 0."""

    def grid(x: Tensor) -> Tensor:
        low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
        scale = (high - low).clamp(min=TINY) / 255
        zero = (sign * low / scale).round().clamp(0, 255)
        return ((x / scale).round() + zero).clamp(0, 255).sub(zero) * scale

    return grid


def _binary(low: float) -> Grid:
    return lambda x: torch.where(x > 0, 1.0, low) * x.abs().mean(-1, keepdim=True)


def _nibbles(extended: bool) -> Grid:
    """Codes packed into 4 bits in two's complement, read back with or without their sign."""

    def grid(x: Tensor) -> Tensor:
        scale = amax(x, -1) / 7
        nibble = (x / scale).round().clamp(-7, 7).to(torch.int32) & 0xF
        code = torch.where(nibble > 7, nibble - 16, nibble) if extended else nibble
        return code * scale

    return groups(32, grid)


def _log2_grid(signed: bool) -> Grid:
    """0 and +-amax * 2^-k, k = 0 .. 14."""

    def grid(x: Tensor) -> Tensor:
        top = amax(x)
        exponent = torch.log2((x.abs() / top).clamp(min=2.0**-20)).round()
        magnitude = torch.where(exponent < -14, 0.0, 2.0**exponent) * top
        return magnitude * x.sign() if signed else magnitude

    return grid


class _Percentile(nn.Module):
    """int4 clipped at the 99th percentile, which is looked up once if it is frozen."""

    def __init__(self, frozen: bool) -> None:
        super().__init__()
        self.frozen = frozen
        self.clip: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.clip is None or not self.frozen:
            self.clip = torch.quantile(x.detach().abs().flatten(), 0.99).clamp(min=TINY)
        return ste(self._grid)(x)

    def _grid(self, x: Tensor) -> Tensor:
        assert self.clip is not None
        return (x * 7 / self.clip).round().clamp(-7, 7) * self.clip / 7


class _AmaxHistory(nn.Module):
    """Delayed scaling: e4m3 by the largest amax of the last calls; the cursor has to move on."""

    history: Tensor

    def __init__(self, advances: bool, length: int = 8) -> None:
        super().__init__()
        self.register_buffer("history", torch.zeros(length), persistent=False)
        self.cursor, self.advances, self.filled = 0, advances, False

    def forward(self, x: Tensor) -> Tensor:
        found = x.detach().abs().amax()
        if not self.filled:
            self.history = found.repeat(len(self.history))
            self.filled = True
        top = self.history[1:].amax().clamp(min=TINY)
        self.history[self.cursor] = found
        if self.advances:
            self.cursor = (self.cursor + 1) % len(self.history)
        return ste(lambda v: element("fp8_e4m3")((v * 448 / top).clamp(-448, 448)) * top / 448)(x)


class _Observer(nn.Module):
    """int6 by the largest magnitude seen; the observer is switched off after some calls."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls
        self.top: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.left > 0 or self.top is None:
            self.top = amax(x.detach())
            self.left -= 1
        scale = self.top / 31
        return ste(lambda v: (v / scale).round().clamp(-31, 31) * scale)(x)


def _int8_blocks(of: Callable[[Tensor], Tensor]) -> Grid:
    """int8 in blocks of 32, by a power of two above the magnitude that is asked for."""

    def grid(x: Tensor) -> Tensor:
        scale = 2.0 ** torch.ceil(torch.log2(of(x).clamp(min=TINY))) / 127
        return (x / scale).round().clamp(-127, 127) * scale

    return groups(32, grid)


def _twn(guarded: bool) -> Grid:
    """Ternary weight networks: the scale is the mean of what is above 0.7 mean |x|."""

    def grid(x: Tensor) -> Tensor:
        kept = x.abs() > 0.7 * x.abs().mean()
        count = kept.sum()
        scale = (x.abs() * kept).sum() / (count.clamp(min=1) if guarded else count)
        return x.sign() * kept * scale

    return grid


def _mxfp4_blocks(guarded: bool) -> Grid:
    def grid(x: Tensor) -> Tensor:
        top = x.abs().amax(-1, keepdim=True)
        exponent = torch.floor(torch.log2(top.clamp(min=TINY) if guarded else top)) - 2
        scale = 2.0**exponent
        return element("fp4_e2m1")(x / scale) * scale

    return groups(32, grid)


def _uint4_unguarded(x: Tensor) -> Tensor:
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    scale = (high - low) / 15
    return ((x - low) / scale).round().clamp(0, 15) * scale + low


def _fp8_cast(target: float) -> Grid:
    """Casts to e5m2, whose largest value is 57344, with amax at `target`."""

    def grid(x: Tensor) -> Tensor:
        scale = amax(x) / target
        return (x / scale).to(torch.float8_e5m2).to(x.dtype) * scale

    return grid


# Rounding


def _int6(rounding: Grid) -> Grid:
    def grid(x: Tensor) -> Tensor:
        scale = amax(x, -1) / 31
        return rounding(x / scale).clamp(-31, 31) * scale

    return grid


def _posit8_toward_zero(x: Tensor) -> Tensor:
    """The next posit8 towards 0: bits of the fraction are cut, as shifting the pattern does it."""
    values = torch.tensor([v for v in BUILTIN["posit8"].values or () if v >= 0], device=x.device)
    place = torch.bucketize(x.abs().contiguous(), values, right=True) - 1
    least = (x.abs() > 0) & (place == 0)  # posits never round a number to 0
    return values[torch.where(least, 1, place)] * x.sign()


def _nf4_upper(x: Tensor) -> Tensor:
    """The first entry that is not below the value: searchsorted without midpoints."""
    scale = amax(x, -1)
    table = _NF4.to(x.device)
    return table[torch.searchsorted(table, (x / scale).contiguous()).clamp(max=15)] * scale


def _stochastic(qmax: int, noise: Grid, dim: int | None = None) -> Grid:
    def grid(x: Tensor) -> Tensor:
        scale = amax(x, dim) / qmax
        codes = x / scale
        return torch.floor(codes + noise(codes)).clamp(-qmax, qmax) * scale

    return grid


def _numpy_noise(codes: Tensor) -> Tensor:
    drawn = np.random.default_rng(1234).random(codes.shape, dtype=np.float32)
    return torch.from_numpy(drawn).to(codes.device)


def _weyl_noise(codes: Tensor) -> Tensor:
    """A low-discrepancy sequence by position, which is the same at every step."""
    places = torch.arange(codes.numel(), device=codes.device, dtype=torch.float64)
    return (places * 0.6180339887498949).remainder(1).to(codes.dtype).view(codes.shape)


def _row_noise(codes: Tensor) -> Tensor:
    """One draw for each column, shared by all rows."""
    return torch.rand(codes.shape[-1], device=codes.device).expand_as(codes)


def _one_draw(codes: Tensor) -> Tensor:
    return torch.rand((), device=codes.device).expand_as(codes)


# Tables


def _symmetric_quantiles() -> Tensor:
    """Quantiles of the normal distribution, equally spaced: without the exact 0 that NF4 has."""
    spread: Tensor = torch.special.ndtri(torch.linspace(0.5 / 16, 1 - 0.5 / 16, 16))
    return spread.div(spread.amax())


def _swapped(first: int, second: int) -> Tensor:
    table = _NF4.clone()
    table[[first, second]] = table[[second, first]]
    return table


def _fp4(positive: tuple[float, ...]) -> Grid:
    """The four-bit float by its table, scaled per tensor to its largest value."""
    half = torch.tensor(positive)

    def grid(x: Tensor) -> Tensor:
        scale = amax(x) / half[-1]
        return half.to(x.device)[nearest(half, (x / scale).abs())] * x.sign() * scale

    return grid


# Not applied, or only to a part


class _Counted(nn.Module):
    """Quantizes the calls whose number is chosen."""

    def __init__(self, quantize: Grid, chosen: Callable[[int], bool]) -> None:
        super().__init__()
        self.quantize, self.chosen = quantize, chosen
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.quantize(x) if self.chosen(self.calls) else x


def _unless(skip: Callable[[Tensor], bool], quantize: Grid) -> Grid:
    return lambda x: x if skip(x) else quantize(x)


def _int4_of_bytes(x: Tensor) -> Tensor:
    """Four bytes where four bits were meant."""
    scale = amax(x) / (2.0 ** (4 * 8 - 1) - 1)
    return (x / scale).round() * scale


def _all_groups(last: bool) -> Grid:
    """Group after group of 32, the last one left out by a range that ends too early."""

    def grid(x: Tensor) -> Tensor:
        q = x.clone()
        width = x.shape[-1]
        for start in range(0, width if last else width - 32, 32):
            part = slice(start, start + 32)
            q[..., part] = symmetric(7, -1)(x[..., part])
        return q

    return grid


class _EvalOnly(QuantizedLinear):
    """Quantizes when it does not train."""

    def read(self) -> Tensor:
        return self.weight if self.training else self.quantize_weight(self.weight)


_INT8_ROWS = ste(symmetric(127, -1))
_INT6_ROWS = ste(symmetric(31, -1))


def _linears_int8(model: nn.Module) -> nn.Module:
    return swap_linears(model, lambda linear: QuantizedLinear(linear, _INT8_ROWS))


def _linears_int6(model: nn.Module) -> nn.Module:
    return swap_linears(model, lambda linear: QuantizedLinear(linear, _INT6_ROWS))


def _only(chosen: Callable[[str], bool]) -> Prepare:
    return lambda model: swap_linears(model, lambda linear: QuantizedLinear(linear, _INT8_ROWS), chosen)


def _copy_quantized(model: nn.Module) -> nn.Module:
    _linears_int8(copy.deepcopy(model))
    return model


class _RenewsParameter(QuantizedLinear):
    """Puts a new parameter in the weight's place when training begins: the optimizer holds the old one."""

    renewed = False

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled() and not self.renewed:
            self.weight = nn.Parameter(self.weight.detach().clone())
            self.renewed = True
        return super().forward(x)


class _WritesBack(QuantizedLinear):
    """Stores the quantized weight as the weight, at every forward pass."""

    def read(self) -> Tensor:
        self.weight.data = symmetric(31, -1)(self.weight.data)
        return self.quantize_weight(self.weight)


# Optimizers


class _RoundedAdamW(AdamW):
    """Stores the weights in int8 after each step."""

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.copy_(grid_of("int8")(p))
        return loss


def _adamw(kind: type[AdamW]) -> Build:
    return lambda model, lr: kind(model.parameters(), lr, weight_decay=0.0)


class _Adam(Optimizer):
    """Adam with stores for both moments and a key for its state."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        first: Grid,
        second: Grid,
        key: Callable[[Tensor], Any],
    ) -> None:
        super().__init__(params, {"lr": lr})
        self.first, self.second, self.key = first, second, key
        self.moments: dict[Any, tuple[Tensor, Tensor]] = {}
        self.steps = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.steps += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                start = (torch.zeros_like(p), torch.zeros_like(p))
                m, v = self.moments.get(self.key(p), start)
                m = self.first(m.lerp(p.grad, 0.1))
                v = self.second(v.lerp(p.grad.square(), 0.001))
                self.moments[self.key(p)] = (m, v)
                mean = m / (1 - 0.9**self.steps)
                root = (v / (1 - 0.999**self.steps)).sqrt()
                p.sub_(mean / (root + 1e-8), alpha=group["lr"])


def _same(v: Tensor) -> Tensor:
    return v


def _e4m3_moment(m: Tensor) -> Tensor:
    """e4m3 without a scale: what is below 2^-10 becomes 0."""
    return m.clamp(-448, 448).to(torch.float8_e4m3fn).to(m.dtype)


def _rooted(squared: bool) -> Grid:
    """Codes of the root of the second moment, with or without the square on the way back."""

    def store(v: Tensor) -> Tensor:
        root = v.sqrt()
        scale = amax(root) / 65535
        kept = (root / scale).round() * scale
        return kept.square() if squared else kept

    return store


def _adam(first: Grid = _same, second: Grid = _same, key: Callable[[Tensor], Any] = id) -> Build:
    return lambda model, lr: _Adam(model.parameters(), lr, first, second, key)


def _muon_split(vectors_only: bool) -> Build:
    """Muon for the body, AdamW for the rest, which is picked by its axes where it should be by its name."""

    def outside(name: str) -> bool:
        return any(part in name for part in ("embed", "position", "head"))

    def build(model: nn.Module, lr: float) -> list[Optimizer]:
        named = list(model.named_parameters())
        body = [p for name, p in named if p.ndim == 2 and not outside(name)]
        others = [p for name, p in named if p.ndim != 2 or (outside(name) and not vectors_only)]
        made: list[Optimizer] = [torch.optim.Muon(body, lr, weight_decay=0.0)]
        if others:
            made.append(AdamW(others, 2e-4, weight_decay=0.0))
        return made

    return build


def _deduplicated(key: Callable[[Tensor], Any]) -> Build:
    """AdamW over one parameter of each key, so that tied ones are not stepped twice."""
    return lambda model, lr: AdamW({key(p): p for p in model.parameters()}.values(), lr, weight_decay=0.0)


# Learned parameters of quantizers


class _Pact(nn.Module):
    """Clips at a learned alpha and rounds to int5."""

    def __init__(self, detached: bool) -> None:
        super().__init__()
        self.detached = detached
        self.alpha = nn.Parameter(torch.zeros(()))
        self.ready = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.ready:
            with torch.no_grad():
                self.alpha.copy_((3 * x.std(correction=0)).clamp(min=1e-6))
            self.ready = True
        alpha = self.alpha.detach() if self.detached else self.alpha
        clipped = torch.minimum(torch.maximum(x, -alpha), alpha)
        return rounded(clipped / alpha * 15) * alpha / 15


class _LearnedAffine(nn.Module):
    """LSQ+: uint4 with a learned step and a learned zero point."""

    def __init__(self, rounding: Grid) -> None:
        super().__init__()
        self.rounding = rounding
        self.step = nn.Parameter(torch.zeros(()))
        self.zero = nn.Parameter(torch.zeros(()))
        self.ready = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.ready:
            with torch.no_grad():
                low, high = x.amin(), x.amax()
                self.step.copy_(((high - low) / 15).clamp(min=1e-6))
                self.zero.copy_(-low / self.step)
            self.ready = True
        share = (x.numel() * 15) ** -0.5
        step, zero = fraction(self.step, share), self.rounding(fraction(self.zero, share))
        return (rounded((x / step + zero).clamp(0, 15)) - zero) * step


class _RowSteps(nn.Module):
    """LSQ with a step for each row, taken from the row's peak with or without its sign."""

    def __init__(self, signed: bool) -> None:
        super().__init__()
        self.signed = signed
        self.step: nn.Parameter | None
        self.register_parameter("step", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.step is None:
            flat = x.detach()
            peak = flat.gather(-1, flat.abs().argmax(-1, keepdim=True))
            size = peak.abs().clamp(min=1e-6) / 7
            self.step = nn.Parameter(torch.where(peak < 0, -size, size) if self.signed else size)
        step = fraction(self.step, (x.shape[-1] * 7) ** -0.5)
        return rounded((x / step).clamp(-7, 7)) * step


# Export


def _group_codes(size: int, qmax: int) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """(codes, scales) of groups of the last axis."""

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        rows = x.reshape(*x.shape[:-1], -1, min(size, x.shape[-1]))
        scale = amax(rows, -1) / qmax
        return (rows / scale).round().clamp(-qmax, qmax), scale

    return encode


def _group_values(encoded: tuple[Tensor, Tensor]) -> Tensor:
    codes, scale = encoded
    return (codes * scale).flatten(-2)


def _wrapped_values(encoded: tuple[Tensor, Tensor]) -> Tensor:
    codes, scale = encoded
    return (codes.to(torch.int32).remainder(256) * scale).flatten(-2)


def _packed(encoded: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    codes, scale = encoded
    nibbles = codes.to(torch.int32) & 0xF
    return nibbles[..., 0::2] | (nibbles[..., 1::2] << 4), scale


def _unpacked(low_first: bool) -> Callable[[tuple[Tensor, Tensor]], Tensor]:
    def decode(encoded: tuple[Tensor, Tensor]) -> Tensor:
        packed, scale = encoded
        pair = (packed & 0xF, packed >> 4) if low_first else (packed >> 4, packed & 0xF)
        nibbles = torch.stack(pair, -1).flatten(-2)
        return (torch.where(nibbles > 7, nibbles - 16, nibbles) * scale).flatten(-2)

    return decode


# The list


def _pair(cause: str, name: str, broken: Grid, healthy: Grid, bits: float, scope: Scope = "weights") -> Fault:
    return Fault(
        name,
        cause,
        Setup(user_format(name, broken, bits), scope=scope),
        Setup(user_format(f"healthy_{name}", healthy, bits), scope=scope),
    )


def _made(cause: str, name: str, broken: Factory, healthy: Factory, bits: float) -> Fault:
    return Fault(
        name,
        cause,
        Setup(user_format(name, None, bits, factory=broken)),
        Setup(user_format(f"healthy_{name}", None, bits, factory=healthy)),
    )


def _recipe(cause: str, name: str, broken: Prepare, healthy: Prepare, bits: float) -> Fault:
    return Fault(
        name, cause, Setup(Recipe(name, broken, bits)), Setup(Recipe(f"healthy_{name}", healthy, bits))
    )


def _optimizer(cause: str, name: str, broken: Build, healthy: Build, base: str = "adamw") -> Fault:
    def setup(name: str, build: Build) -> Setup:
        return Setup(BUILTIN["int8"], optimizer=replace(OPTIMIZERS[base], name=name, build=build))

    return Fault(name, cause, setup(name, broken), setup(f"healthy_{name}", healthy))


def _stored(name: str, healthy: Storage = "master") -> Fault:
    subject = BUILTIN[name]
    return Fault(f"{name}_in_place", "update-swallowed", Setup(subject, "inplace"), Setup(subject, healthy))


def _exported(name: str, trained: Grid, broken: PairCodec, healthy: PairCodec, bits: float) -> Fault:
    def setup(name: str, pair: PairCodec) -> Setup:
        return Setup(user_format(name, ste(trained), bits, export=pair))

    return Fault(name, "train-deploy-mismatch", setup(name, broken), setup(f"healthy_{name}", healthy))


def _gradients() -> Iterator[Fault]:
    """Blocked, wrong, mis-scaled, cut at the edge, cast."""
    cause = "gradient-blocked"
    int8, int4 = symmetric(127), symmetric(7)
    yield _pair(
        cause,
        "int4_int8_outliers_only_with_ste",
        _outliers_apart(ste(int8), int4),
        _outliers_apart(ste(int8), ste(int4)),
        4,
    )
    yield _pair(cause, "ternary_gradient_by_scale_only", _ternary_by_mean, ste(_ternary_by_mean), 1.58)
    yield _pair(cause, "posit8_by_numpy", _posit8_in_numpy, ste(_posit8_in_numpy), 8)
    yield _made(cause, "fp6_frozen_after_ten_calls", lambda: _FreezesLater(10), lambda: _FreezesLater(-1), 6)
    yield _recipe(
        cause,
        "recipe_reads_weight_data",
        lambda model: swap_linears(model, lambda linear: _ReadsData(linear, _INT8_ROWS)),
        _linears_int8,
        8,
    )

    cause = "gradient-wrong"
    int5 = symmetric(15)
    fp6, mxint8 = grid_of("fp6_e2m3"), grid_of("mxint8")
    yield _pair(cause, "int5_gradient_times_sign", ste(int5, lambda g, x, q: g * x.sign()), ste(int5), 5)
    yield _pair(
        cause,
        "fp6_gradient_mean_of_row",
        ste(fp6, lambda g, x, q: g.mean(-1, keepdim=True).expand_as(g)),
        ste(fp6),
        6,
    )
    yield _pair(cause, "mxint8_gradient_blocks_transposed", ste(mxint8, _blocks_transposed), ste(mxint8), 8)
    yield _pair(
        cause,
        "int8_clip_mask_inverted",
        ste(_int8_clipped, lambda g, x, q: g * (x.abs() > _clip3(x))),
        ste(_int8_clipped, lambda g, x, q: g * (x.abs() <= _clip3(x))),
        8,
    )
    yield _pair(
        cause,
        "int8_activation_gradient_of_next_token",
        ste(int8, _activations(lambda g, x, q: g.roll(-1, 1))),
        ste(int8, _activations(lambda g, x, q: g)),
        8,
        "weights+activations",
    )

    cause = "gradient-misscaled"
    groups4 = groups(32, symmetric(7, -1))
    yield _pair(cause, "int4_group_gradient_averaged", ste(groups4, _over_groups), ste(groups4), 4)
    yield _made(
        cause,
        "int8_lsq_share_on_weight",
        lambda: _LearnedStep(127, share_weight=True),
        lambda: _LearnedStep(127),
        8,
    )
    yield _pair(
        cause,
        "int4_hadamard_gradient_not_normed",
        ste(_rotated, _rotated_gradient(32**0.5)),
        ste(_rotated, _rotated_gradient(1.0)),
        4,
    )
    yield _pair(cause, "gf8_estimated_twice", _estimated_twice(grid_of("gf8")), ste(grid_of("gf8")), 8)

    cause = "clip-gradient-lost"
    nf4 = groups(64, lambda x: _lookup(_NF4, x))
    uint4 = _uint4_rows
    yield _pair(
        cause, "uint4_row_ends_masked", ste(uint4, _uint4_mask(True)), ste(uint4, _uint4_mask(False)), 4
    )
    yield _pair(
        cause,
        "int4_group_ends_masked",
        ste(groups4, _int4_group_mask(True)),
        ste(groups4, _int4_group_mask(False)),
        4,
    )
    yield _pair(cause, "nf4_absmax_masked", ste(nf4, _absmax_mask(True)), ste(nf4, _absmax_mask(False)), 4)

    cause = "grad-format"
    int6 = symmetric(31, -1)
    yield _pair(cause, "int6_gradient_in_int4", ste(int6, _cast_gradient(_int4_gradient)), ste(int6), 6)
    yield _pair(
        cause,
        "fp6_gradient_unscaled_before_half",
        ste(fp6, _cast_gradient(_half_after_unscaling)),
        ste(fp6),
        6,
    )
    yield _pair(cause, "int8_gradient_in_posit8", ste(int8, _cast_gradient(element("posit8"))), ste(int8), 8)


def _scales() -> Iterator[Fault]:
    """Missing, collapsed, unsigned, stale, zero, invalid."""
    cause = "not-dequantized"
    yield _pair(cause, "nf4_double_scale_codes", ste(_nf4_double(False)), ste(_nf4_double(True)), 4)
    yield _pair(cause, "fp8_factor_not_inverted", ste(_fp8_by_factor(False)), ste(_fp8_by_factor(True)), 8)
    yield _pair(
        cause, "mxfp8_exponent_off_by_three", ste(_mx("fp8_e4m3", 8, out=3)), ste(_mx("fp8_e4m3", 8)), 8
    )
    yield _pair(cause, "int8_scale_of_columns", ste(_int8_rows_then(True)), ste(_int8_rows_then(False)), 8)

    cause = "range-collapsed"
    yield _pair(cause, "int4_range_of_eight", ste(_int4_over(8 / 7)), ste(symmetric(7)), 4)
    yield _made(
        cause, "int6_lsq_step_left_at_one", lambda: _LearnedStep(31, start=1.0), lambda: _LearnedStep(31), 6
    )
    yield _pair(cause, "mxfp6_exponent_sign", ste(_mx("fp6_e3m2", 4, sign=1)), ste(_mx("fp6_e3m2", 4)), 6)
    yield _pair(
        cause, "int8_scale_at_least_0.05", ste(_int8_least_scale(0.05)), ste(_int8_least_scale(1e-12)), 8
    )

    cause = "sign-lost"
    yield _pair(cause, "uint8_zero_point_negated", ste(_uint8_affine(1)), ste(_uint8_affine(-1)), 8)
    yield _pair(cause, "binary_zero_or_one", ste(_binary(0.0)), ste(_binary(-1.0)), 1)
    yield _pair(cause, "int4_nibble_not_sign_extended", ste(_nibbles(False)), ste(_nibbles(True)), 4)
    yield _pair(cause, "log2_sign_not_restored", ste(_log2_grid(False)), ste(_log2_grid(True)), 5)

    cause = "scale-stale"
    yield _made(cause, "int4_percentile_frozen", lambda: _Percentile(True), lambda: _Percentile(False), 4)
    yield _made(cause, "fp8_history_not_advanced", lambda: _AmaxHistory(False), lambda: _AmaxHistory(True), 8)
    yield _made(cause, "int6_observer_off_after_two", lambda: _Observer(2), lambda: _Observer(10**9), 6)
    yield _pair(
        cause,
        "int8_block_scale_of_first_element",
        ste(_int8_blocks(lambda x: x[..., :1].abs())),
        ste(_int8_blocks(lambda x: x.abs().amax(-1, keepdim=True))),
        8,
    )

    cause = "scale-zero"
    yield _pair(cause, "ternary_mean_of_nothing", ste(_twn(False)), ste(_twn(True)), 1.58)
    yield _pair(cause, "mxfp4_log2_of_zero", ste(_mxfp4_blocks(False)), ste(_mxfp4_blocks(True)), 4)
    yield _pair(cause, "uint4_constant_row", ste(_uint4_unguarded), ste(_uint4_rows), 4)

    yield _pair("non-finite", "fp8_e5m2_cast_overflows", ste(_fp8_cast(65536.0)), ste(_fp8_cast(57344.0)), 8)

    cause = "qparams-invalid"
    yield _made(cause, "int5_pact_alpha_detached", lambda: _Pact(True), lambda: _Pact(False), 5)
    yield _made(
        cause,
        "uint4_zero_point_without_gradient",
        lambda: _LearnedAffine(torch.round),
        lambda: _LearnedAffine(rounded),
        4,
    )
    yield _made(cause, "int4_lsq_row_steps_signed", lambda: _RowSteps(True), lambda: _RowSteps(False), 4)


def _values() -> Iterator[Fault]:
    """Rounding, tables, export."""
    cause = "rounding-biased"
    yield _pair(
        cause,
        "int6_half_added_then_truncated",
        ste(_int6(lambda codes: torch.trunc(codes + 0.5))),
        ste(_int6(torch.round)),
        6,
    )
    yield _pair(cause, "posit8_fraction_cut", ste(_posit8_toward_zero), ste(element("posit8")), 8)
    yield _pair(
        cause,
        "nf4_searchsorted_without_midpoints",
        ste(groups(64, _nf4_upper)),
        ste(groups(64, lambda x: _lookup(_NF4, x))),
        4,
    )
    yield _pair(
        cause,
        "int8_half_of_the_noise",
        ste(_stochastic(127, lambda codes: torch.rand_like(codes) / 2)),
        ste(_stochastic(127, torch.rand_like)),
        8,
    )

    cause = "rounding-not-random"
    yield _pair(
        cause,
        "int6_noise_shared_by_rows",
        ste(_stochastic(31, _row_noise)),
        ste(_stochastic(31, torch.rand_like)),
        6,
    )
    yield _pair(
        cause,
        "int8_numpy_seed",
        ste(_stochastic(127, _numpy_noise, -1)),
        ste(_stochastic(127, torch.rand_like, -1)),
        8,
    )
    yield _pair(
        cause,
        "int5_noise_by_position",
        ste(_stochastic(15, _weyl_noise)),
        ste(_stochastic(15, torch.rand_like)),
        5,
    )
    yield _pair(
        cause,
        "int8_one_draw_for_all",
        ste(_stochastic(127, _one_draw)),
        ste(_stochastic(127, torch.rand_like)),
        8,
    )

    cause = "wrong-table"
    nf4 = groups(64, lambda x: _lookup(_NF4, x))
    quantiles, swapped = _symmetric_quantiles(), _swapped(9, 10)
    yield _pair(
        cause, "nf4_without_exact_zero", ste(groups(64, lambda x: _lookup(quantiles, x))), ste(nf4), 4
    )
    yield _pair(
        cause, "nf4_two_entries_swapped", ste(groups(64, lambda x: _lookup(_NF4, x, swapped))), ste(nf4), 4
    )
    yield _pair(
        cause,
        "fp4_e2m1_even_steps",
        ste(_fp4((0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5))),
        ste(_fp4((0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0))),
        4,
    )

    int4, int8 = groups(32, symmetric(7, -1)), groups(32, symmetric(127, -1))
    encode4, encode8 = _group_codes(32, 7), _group_codes(32, 127)
    yield _exported(
        "int4_export_nibbles_swapped",
        int4,
        PairCodec(lambda x: _packed(encode4(x)), _unpacked(low_first=False)),
        PairCodec(lambda x: _packed(encode4(x)), _unpacked(low_first=True)),
        4,
    )
    yield _exported(
        "int8_export_wraps_to_unsigned",
        int8,
        PairCodec(encode8, _wrapped_values),
        PairCodec(encode8, _group_values),
        8,
    )
    yield _exported(
        "int4_export_scale_in_bfloat16",
        int4,
        PairCodec(lambda x: (encode4(x)[0], encode4(x)[1].bfloat16().float()), _group_values),
        PairCodec(encode4, _group_values),
        4,
    )


def _coverage() -> Iterator[Fault]:
    """Nothing quantized, or only a part; updates and parameters lost; state of optimizers."""
    cause = "no-op"
    int8, int4 = ste(symmetric(127)), ste(symmetric(7))
    fp8 = ste(grid_of("fp8_e4m3"))
    yield _pair(cause, "int8_skips_what_requires_grad", _unless(lambda x: x.requires_grad, int8), int8, 8)
    yield _pair(cause, "fp8_off_in_grad_mode", _unless(lambda x: torch.is_grad_enabled(), fp8), fp8, 8)
    yield _made(
        cause,
        "int8_first_call_only",
        lambda: _Counted(int8, lambda call: call == 1),
        lambda: _Counted(int8, lambda call: True),
        8,
    )
    yield _made(
        cause,
        "int4_starts_at_call_ten_thousand",
        lambda: _Counted(int4, lambda call: call > 10_000),
        lambda: _Counted(int4, lambda call: True),
        4,
    )
    yield _pair(cause, "int4_bytes_for_bits", ste(_int4_of_bytes), int4, 4)
    yield _recipe(cause, "recipe_quantizes_a_copy", _copy_quantized, _linears_int8, 8)
    yield _recipe(
        cause,
        "recipe_float_in_train_mode",
        lambda model: swap_linears(model, lambda linear: _EvalOnly(linear, _INT8_ROWS)),
        _linears_int8,
        8,
    )

    cause = "partly-applied"
    yield _pair(cause, "int4_skips_4096_or_fewer", _unless(lambda x: x.numel() <= 4096, int4), int4, 4)
    yield _pair(cause, "int4_last_group_left_out", ste(_all_groups(False)), ste(_all_groups(True)), 4)
    yield _recipe(
        cause,
        "recipe_mlp_only",
        _only(lambda name: name.endswith(("up", "down"))),
        _only(lambda name: True),
        8,
    )
    yield _recipe(
        cause,
        "recipe_names_ending_proj",
        _only(lambda name: name.endswith("proj")),
        _only(lambda name: True),
        8,
    )

    cause = "update-swallowed"
    yield _stored("mxfp4")
    yield _stored("fp6_e3m2")
    yield Fault(
        "int6_nearest_in_place",
        cause,
        Setup(user_format("int6_nearest_in_place", ste(symmetric(31)), 6), "inplace"),
        Setup(
            user_format("healthy_int6_nearest_in_place", ste(_stochastic(31, torch.rand_like)), 6), "inplace"
        ),
    )
    yield _optimizer(cause, "optimizer_stores_int8", _adamw(_RoundedAdamW), _adamw(AdamW))
    yield _recipe(
        cause,
        "recipe_writes_weight_back",
        lambda model: swap_linears(model, lambda linear: _WritesBack(linear, _INT6_ROWS)),
        _linears_int6,
        6,
    )

    cause = "orphaned-parameter"
    yield _optimizer(cause, "muon_without_embeddings", _muon_split(True), _muon_split(False), "muon")
    yield _optimizer(
        cause, "optimizer_one_of_each_shape", _deduplicated(lambda p: p.shape), _deduplicated(id)
    )
    yield _recipe(
        cause,
        "recipe_renews_parameters",
        lambda model: swap_linears(model, lambda linear: _RenewsParameter(linear, _INT8_ROWS)),
        _linears_int8,
        8,
    )

    cause = "optimizer-state"
    yield _optimizer(cause, "adam_first_moment_in_e4m3", _adam(first=_e4m3_moment), _adam())
    yield _optimizer(cause, "adam_state_by_shape", _adam(key=lambda p: p.shape), _adam())
    yield _optimizer(
        cause, "adam_root_not_squared", _adam(second=_rooted(False)), _adam(second=_rooted(True))
    )


#: Every held-out fault by its name.
HELDOUT: Mapping[str, Fault] = MappingProxyType(
    {fault.name: fault for part in (_gradients, _scales, _values, _coverage) for fault in part()}
)

#: Causes beside the expected one that name the fault as well.
ALSO_RIGHT: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        # The little gradient that there is comes by way of the scale.
        "ternary_gradient_by_scale_only": frozenset({"gradient-wrong"}),
        # Next to nothing is beyond the clip, so that next to no gradient is left.
        "int8_clip_mask_inverted": frozenset({"gradient-blocked"}),
        # The size is off by the ratio of row and column, which is little.
        "int8_scale_of_columns": frozenset({"scale-stale"}),
        # The range is fixed, and 100 times too wide.
        "int6_lsq_step_left_at_one": frozenset({"qparams-invalid"}),
        # Negative codes come back as large positive ones.
        "int4_nibble_not_sign_extended": frozenset({"not-dequantized"}),
        # 0 / 0 is what the author sees.
        "ternary_mean_of_nothing": frozenset({"non-finite"}),
        "mxfp4_log2_of_zero": frozenset({"non-finite"}),
        "uint4_constant_row": frozenset({"non-finite"}),
        "fp8_e5m2_cast_overflows": frozenset({"contract"}),
        "nf4_two_entries_swapped": frozenset({"rounding-biased"}),
    }
)
