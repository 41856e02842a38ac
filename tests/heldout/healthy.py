"""Healthy quantizers that are unusual, none of which is in `tests.benchmarks.unusual`: none may be blamed.

Each is written the way its users write it, with its own backward, and guarded against tensors, rows and blocks
of zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from quantgate.faults import Setup
from quantgate.formats import BUILTIN
from quantgate.subjects.codecs import PairCodec
from quantgate.subjects.kinds import Recipe
from quantgate.training.optimizers import OPTIMIZERS
from tests.heldout.parts import (
    TINY,
    Grid,
    QuantizedLinear,
    amax,
    element,
    fraction,
    groups,
    hadamard,
    nearest,
    rounded,
    ste,
    swap_linears,
    symmetric,
    user_format,
)

_NF4 = torch.tensor(BUILTIN["nf4"].values)


class Pact(nn.Module):
    """PACT (arXiv 1805.06085), symmetric: clips at a learned alpha, which gets the gradient of what is clipped."""

    def __init__(self, qmax: int) -> None:
        super().__init__()
        self.qmax = qmax
        self.alpha: nn.Parameter | None
        self.register_parameter("alpha", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.alpha is None:
            self.alpha = nn.Parameter((3 * x.detach().std(correction=0)).clamp(min=1e-6))
        clipped = torch.minimum(torch.maximum(x, -self.alpha), self.alpha)
        return rounded(clipped * self.qmax / self.alpha) * self.alpha / self.qmax


def dorefa_int4(x: Tensor) -> Tensor:
    """DoReFa (arXiv 1606.06160) on normed weights: by tanh to [0, 1], 15 steps, back to their range."""
    top = amax(x.detach())
    unit = torch.tanh(x / top) / (2 * math.tanh(1.0)) + 0.5
    return (2 * rounded(unit * 15) / 15 - 1) * top


def companded_int4(x: Tensor) -> Tensor:
    """mu-law: steps that grow with the magnitude."""
    mu = 15.0

    def grid(v: Tensor) -> Tensor:
        top = amax(v)
        bent = torch.log1p(mu * v.abs() / top) / math.log1p(mu)
        code = (bent * 7).round() / 7
        return v.sign() * torch.expm1(code * math.log1p(mu)) / mu * top

    return ste(grid)(x)


class LearnedLevels(nn.Module):
    """Non-uniform to uniform, after N2UQ: levels are uniform, a learned exponent bends where they are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.bend = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        top = amax(x.detach())
        unit = x / top
        bent = unit + 0.1 * torch.tanh(self.bend) * unit * (1 - unit.abs())
        return rounded(bent * 15) / 15 * top


def uint4_rows(x: Tensor) -> Tensor:
    """Row by row, asymmetric, with an integer zero point."""

    def grid(v: Tensor) -> Tensor:
        low, high = v.amin(-1, keepdim=True).clamp(max=0), v.amax(-1, keepdim=True).clamp(min=0)
        scale = (high - low).clamp(min=TINY) / 15
        zero = (-low / scale).round()
        return ((v / scale).round() + zero).clamp(0, 15).sub(zero) * scale

    return ste(grid)(x)


def hqq_int4(x: Tensor) -> Tensor:
    """Groups of 64 with a scale and a real zero, which a few half-quadratic steps improve (HQQ)."""

    def grid(v: Tensor) -> Tensor:
        low, high = v.amin(-1, keepdim=True), v.amax(-1, keepdim=True)
        scale = (high - low).clamp(min=TINY) / 15
        zero = -low / scale
        beta = 10.0
        for _ in range(3):
            q = (v / scale + zero).round().clamp(0, 15)
            error = (v - (q - zero) * scale) / scale
            error = error.sign() * (error.abs() - error.abs().clamp(min=1e-3).pow(-0.3) / beta).clamp(min=0)
            zero = (q - (v / scale - error)).mean(-1, keepdim=True)
            beta *= 1.01
        return ((v / scale + zero).round().clamp(0, 15) - zero) * scale

    return ste(groups(64, grid))(x)


def _by_table(positive: Tensor, size: int | None = None) -> Grid:
    """The nearest of +-`positive`, whose last entry is 1, by amax of the tensor or of groups."""

    def grid(v: Tensor) -> Tensor:
        scale = amax(v) if size is None else amax(v, -1)
        return positive.to(v.device)[nearest(positive, (v / scale).abs())] * v.sign() * scale

    return grid if size is None else groups(size, grid)


def _additive_powers() -> Tensor:
    """APoT (arXiv 1909.13144), 5 bits: sums of one of {0, 1, 1/4, 1/16} and one of {0, 1/2, 1/8, 1/32}."""
    coarse, fine = (0.0, 1.0, 0.25, 1 / 16), (0.0, 0.5, 0.125, 1 / 32)
    return torch.tensor(sorted({c + f for c in coarse for f in fine})) / 1.5


_APOT = _additive_powers()
_POWERS = torch.tensor([0.0, *(2.0**-k for k in range(14, -1, -1))])
_HALF_POWERS = torch.tensor([0.0, *(2.0 ** (-k / 2) for k in range(14, -1, -1))])


def int8_half_scale(x: Tensor) -> Tensor:
    """int8 by rows; scales are stored in half precision, rounded up so that nothing saturates by much."""

    def grid(v: Tensor) -> Tensor:
        scale = (amax(v, -1) / 127).clamp(min=6.2e-5).half().float()
        return (v / scale).round().clamp(-128, 127) * scale

    return ste(grid)(x)


def nf4_double(x: Tensor) -> Tensor:
    """NF4 in blocks of 64 with scales in 8 bits above their mean (QLoRA's double quantization)."""

    def grid(v: Tensor) -> Tensor:
        rows = F.pad(v, (0, -v.shape[-1] % 64)).reshape(-1, 64)
        scales = amax(rows, -1)
        mean = scales.mean()
        step = amax(scales - mean) / 127
        known = (((scales - mean) / step).round().clamp(-127, 127) * step + mean).clamp(min=TINY)
        table = _NF4.to(v.device)
        q = table[nearest(_NF4, rows / known)] * known
        return q.reshape(*v.shape[:-1], -1)[..., : v.shape[-1]].contiguous()

    return ste(grid)(x)


class DelayedScaling(nn.Module):
    """e4m3 by the largest amax of the last 16 calls, with one spare power of two (TransformerEngine)."""

    history: Tensor

    def __init__(self, margin: int, length: int = 16) -> None:
        super().__init__()
        self.register_buffer("history", torch.zeros(length), persistent=False)
        self.margin = margin

    def forward(self, x: Tensor) -> Tensor:
        top = self.history.to(x.device).amax()
        found = x.detach().abs().amax()
        self.history = torch.cat([found.reshape(1), self.history.to(x.device)[:-1]])
        if top == 0:
            top = found
        scale = top.clamp(min=TINY) * 2.0**self.margin / 448
        return ste(lambda v: element("fp8_e4m3")((v / scale).clamp(-448, 448)) * scale)(x)


def fp8_margin(x: Tensor) -> Tensor:
    """e4m3 whose scale is a power of two that leaves half of the range free."""

    def grid(v: Tensor) -> Tensor:
        scale = 2.0 ** torch.ceil(torch.log2(amax(v) / 224))
        return element("fp8_e4m3")(v / scale) * scale

    return ste(grid)(x)


def fp8_tiles(x: Tensor) -> Tensor:
    """e4m3 in tiles of 32 x 32, as DeepSeek-V3 has it with 128 x 128."""

    def grid(v: Tensor) -> Tensor:
        rows, columns = math.prod(v.shape[:-1]), v.shape[-1]
        flat = F.pad(v.reshape(rows, columns), (0, -columns % 32, 0, -rows % 32))
        tiles = flat.reshape(flat.shape[0] // 32, 32, flat.shape[1] // 32, 32)
        scale = tiles.abs().amax((1, 3), keepdim=True).clamp(min=TINY) / 448
        q = (element("fp8_e4m3")(tiles / scale) * scale).reshape(flat.shape)
        return q[:rows, :columns].reshape(v.shape)

    return ste(grid)(x)


def int4_hadamard(x: Tensor) -> Tensor:
    """Turns groups of 32 with a Hadamard matrix, rounds there and turns back (QuaRot)."""

    def grid(v: Tensor) -> Tensor:
        turn = hadamard(32).to(v.device)
        return symmetric(7, -1)(v @ turn) @ turn.T

    return ste(groups(32, grid))(x)


def _mx_ceil(name: str, largest: float) -> Grid:
    """Blocks of 32 by the least power of two with which nothing saturates."""

    def grid(v: Tensor) -> Tensor:
        scale = 2.0 ** torch.ceil(torch.log2(amax(v, -1) / largest)).clamp(min=-126)
        return element(name)(v / scale) * scale

    return ste(groups(32, grid))


def ternary_twn(x: Tensor) -> Tensor:
    """Ternary weight networks (arXiv 1605.04711), by rows: 0 below 0.7 mean |w|, the mean of the rest above."""

    def grid(v: Tensor) -> Tensor:
        kept = v.abs() > 0.7 * v.abs().mean(-1, keepdim=True)
        count = kept.sum(-1, keepdim=True).clamp(min=1)
        return v.sign() * kept * ((v.abs() * kept).sum(-1, keepdim=True) / count)

    return ste(grid)(x)


def binary_rows(x: Tensor) -> Tensor:
    """XNOR-Net by rows."""
    return ste(lambda v: torch.where(v < 0, -1.0, 1.0) * v.abs().mean(-1, keepdim=True))(x)


class LearnedRowSteps(nn.Module):
    """LSQ with a positive step for each row, learned as its logarithm."""

    def __init__(self, qmax: int) -> None:
        super().__init__()
        self.qmax = qmax
        self.log: nn.Parameter | None
        self.register_parameter("log", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.log is None:
            mean = x.detach().abs().mean(-1, keepdim=True)
            self.log = nn.Parameter((2 * mean / self.qmax**0.5).clamp(min=1e-6).log())
        step = fraction(self.log, (x.shape[-1] * self.qmax) ** -0.5).exp()
        return rounded((x / step).clamp(-self.qmax, self.qmax)) * step


def bf16_stochastic(x: Tensor) -> Tensor:
    """bfloat16, rounded at random: noise is added to the bits that go, as for weights without a master copy."""

    def grid(v: Tensor) -> Tensor:
        bits = v.float().contiguous().view(torch.int32)
        noise = torch.randint(0, 1 << 16, v.shape, dtype=torch.int32, device=v.device)
        return ((bits + noise) & -(1 << 16)).view(torch.float32).to(v.dtype)

    return ste(grid)(x)


def _stochastic(qmax: int) -> Grid:
    def grid(v: Tensor) -> Tensor:
        scale = amax(v, -1) / qmax
        return torch.floor(v / scale + torch.rand_like(v)).clamp(-qmax, qmax) * scale

    return ste(grid)


def int8_centred_rows(x: Tensor) -> Tensor:
    """int8 of what is left when the mean of the row is taken out; the mean stays in float32."""

    def grid(v: Tensor) -> Tensor:
        mean = v.mean(-1, keepdim=True)
        return symmetric(127, -1)(v - mean) + mean

    return ste(grid)(x)


def kmeans16(x: Tensor) -> Tensor:
    """A codebook of 16 values from six rounds of Lloyd's, started at the quantiles, anew at each call."""

    def grid(v: Tensor) -> Tensor:
        flat = v.flatten()
        centres = torch.quantile(flat, torch.linspace(0.5 / 16, 1 - 0.5 / 16, 16, device=v.device))
        for _ in range(6):
            code = nearest(centres, flat)
            count = torch.bincount(code, minlength=16)
            total = torch.zeros_like(centres).index_add_(0, code, flat)
            centres = torch.where(count > 0, total / count.clamp(min=1), centres).sort().values
        return centres[nearest(centres, v)]

    return ste(grid)(x)


def int4_best_clip(x: Tensor) -> Tensor:
    """int4 by rows, clipped at the normal distribution's best 2.6 deviations; the clamp passes the gradient."""

    def grid(v: Tensor) -> Tensor:
        scale = (2.6 * v.square().mean(-1, keepdim=True).sqrt()).clamp(min=TINY) / 7
        return (v / scale).round().clamp(-7, 7) * scale

    return ste(grid)(x)


def int8_hardtanh_gradient(x: Tensor) -> Tensor:
    """The gradient of hardtanh at four times the clip-free range: |x| beyond 1 and beyond amax gets none."""
    return ste(symmetric(127), lambda g, v, q: g * (v.abs() <= amax(v).clamp(min=1.0)))(x)


def int4_soft_backward(x: Tensor) -> Tensor:
    """Hard steps forwards, the derivative of gentle ones backwards (after DSQ, arXiv 1908.05033)."""

    def slope(gradient: Tensor, v: Tensor, q: Tensor) -> Tensor:
        place = v * 7 / amax(v)
        return gradient * (1 - 0.4 * torch.cos(2 * math.pi * place))

    return ste(symmetric(7), slope)(x)


def int6_soft_steps(x: Tensor) -> Tensor:
    """Nearly hard steps that autograd goes through: half hard, half the identity in its gradient."""
    scale = amax(x.detach()) / 31
    codes = x / scale
    soft = codes - 0.3 * torch.sin(2 * math.pi * codes) / (2 * math.pi)
    return (soft + (codes.round() - soft).detach()) * scale


def int8_noise(x: Tensor) -> Tensor:
    """DiffQ (arXiv 2104.09987): noise as wide as a step in the place of rounding."""
    step = amax(x.detach()) / 127
    return x + step * (torch.rand_like(x) - 0.5)


def int8_int4_outliers(x: Tensor) -> Tensor:
    """int8 for what is beyond 2.5 deviations, int4 for the rest (after LLM.int8)."""

    def grid(v: Tensor) -> Tensor:
        outlier = v.abs() > 2.5 * v.std(correction=0)
        return symmetric(127)(v * outlier) + symmetric(7)(v * ~outlier)

    return ste(grid)(x)


class MovingAmax(nn.Module):
    """int8 by a moving average of amax, clipped there (PyTorch's moving-average observer)."""

    def __init__(self) -> None:
        super().__init__()
        self.average: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        found = amax(x.detach())
        self.average = found if self.average is None else self.average.lerp(found, 0.1)
        scale = self.average / 127
        return ste(lambda v: (v / scale).round().clamp(-127, 127) * scale)(x)


def quant_noise_int4(x: Tensor) -> Tensor:
    """Quant-Noise (arXiv 2004.07320): each call rounds a random half of the values, the other half stays."""
    quantized = ste(groups(32, symmetric(7, -1)))(x)
    return torch.where(torch.rand_like(x) < 0.5, quantized, x)


class Delayed(nn.Module):
    """Quantizes from the 20th call on (TensorFlow's `quant_delay`)."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return ste(symmetric(127, -1))(x) if self.calls >= 20 else x


def int3_groups_fp8_scale(x: Tensor) -> Tensor:
    """int3 in groups of 16 whose scales are stored in e4m3 under a scale of the tensor (after nvfp4)."""

    def grid(v: Tensor) -> Tensor:
        rows = F.pad(v, (0, -v.shape[-1] % 16)).reshape(-1, 16)
        top = amax(rows) / 448
        scale = element("fp8_e4m3")((amax(rows, -1) / top).clamp(min=2.0**-6)) * top / 3
        q = (rows / scale).round().clamp(-3, 3) * scale
        return q.reshape(*v.shape[:-1], -1)[..., : v.shape[-1]].contiguous()

    return ste(grid)(x)


def int8_columns(x: Tensor) -> Tensor:
    """int8 with a scale for each column."""
    return ste(lambda v: symmetric(127, 0)(v.reshape(-1, v.shape[-1])).reshape(v.shape))(x)


def int4_signed_peak(x: Tensor) -> Tensor:
    """llama.cpp's Q4_0: blocks of 32 by the peak with its sign over -8, codes -8 .. 7."""

    def grid(v: Tensor) -> Tensor:
        peak = v.gather(-1, v.abs().argmax(-1, keepdim=True))
        scale = peak / -8
        scale = torch.where(scale == 0, TINY, scale)
        return (v / scale).round().clamp(-8, 7) * scale

    return ste(groups(32, grid))(x)


def ternary_median(x: Tensor) -> Tensor:
    """{-1, 0, 1} times the mean of the upper half of the magnitudes, which alone are kept."""

    def grid(v: Tensor) -> Tensor:
        kept = v.abs() >= v.abs().median()
        return v.sign() * kept * (v.abs() * kept).sum() / kept.sum().clamp(min=1)

    return ste(grid)(x)


def residual_binary(x: Tensor) -> Tensor:
    """Two binary grids, the second for what the first leaves (ABC-Net): four values by rows."""

    def sign_mean(v: Tensor) -> Tensor:
        return torch.where(v < 0, -1.0, 1.0) * v.abs().mean(-1, keepdim=True)

    return ste(lambda v: sign_mean(v) + sign_mean(v - sign_mean(v)))(x)


def _encode_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    scale = amax(x, -1) / 127
    return (x / scale).round().clamp(-127, 127).to(torch.int8), scale


def _decode_rows(encoded: tuple[Tensor, Tensor]) -> Tensor:
    codes, scale = encoded
    return codes * scale


class _BlockwiseAdam(Optimizer):
    """Adam with 8-bit moments in blocks of 64: the first linear, the second by its fourth root, rounded up."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(step=0, first=torch.zeros_like(p), second=torch.zeros_like(p))
                state["step"] += 1
                first = state["first"].lerp(p.grad, 0.1)
                second = state["second"].lerp(p.grad.square(), 0.001)
                mean = first / (1 - 0.9 ** state["step"])
                root = (second / (1 - 0.999 ** state["step"])).sqrt()
                p.sub_(mean / (root + 1e-8), alpha=group["lr"])
                state["first"] = groups(64, _signed_root)(first)
                state["second"] = groups(64, _fourth_root)(second)


def _signed_root(m: Tensor) -> Tensor:
    root = m.abs().sqrt() * m.sign()
    return symmetric(127, -1)(root).square() * m.sign()


def _fourth_root(v: Tensor) -> Tensor:
    root = v.sqrt().sqrt()
    scale = amax(root, -1) / 255
    return ((root / scale).ceil() * scale) ** 4


def _int8_linears(model: nn.Module) -> nn.Module:
    """Every linear layer; the embeddings stay."""
    return swap_linears(model, lambda linear: QuantizedLinear(linear, ste(symmetric(127, -1))))


def _int8_both(model: nn.Module) -> nn.Module:
    """Weights by rows and inputs by tokens in int8; the head stays, as in most recipes."""
    rows = ste(symmetric(127, -1))
    return swap_linears(
        model, lambda linear: QuantizedLinear(linear, rows, rows), lambda name: name != "head"
    )


class _Parametrized(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return hqq_int4(weight)


def _int4_parametrized(model: nn.Module) -> nn.Module:
    """Linear layers and embeddings, by parametrization."""
    for module in list(model.modules()):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.utils.parametrize.register_parametrization(module, "weight", _Parametrized())
    return model


_FUNCTIONS: tuple[tuple[Callable[[Tensor], Tensor], float], ...] = (
    (dorefa_int4, 4),
    (companded_int4, 4),
    (uint4_rows, 4),
    (hqq_int4, 4),
    (int8_half_scale, 8),
    (nf4_double, 4),
    (fp8_margin, 8),
    (fp8_tiles, 8),
    (int4_hadamard, 4),
    (ternary_twn, 1.58),
    (binary_rows, 1),
    (int8_centred_rows, 8),
    (kmeans16, 4),
    (int4_best_clip, 4),
    (int8_hardtanh_gradient, 8),
    (int4_soft_backward, 4),
    (int6_soft_steps, 6),
    (int8_noise, 8),
    (int8_int4_outliers, 4),
    (quant_noise_int4, 4),
    (int3_groups_fp8_scale, 3),
    (int8_columns, 8),
    (int4_signed_peak, 4),
    (ternary_median, 1.58),
    (residual_binary, 2),
)

_NAMED: tuple[tuple[str, Grid, float], ...] = (
    ("apot5", ste(_by_table(_APOT)), 5),
    ("log2_5", ste(_by_table(_POWERS)), 5),
    ("half_powers5_groups", ste(_by_table(_HALF_POWERS, 32)), 5),
    ("mxfp4_ceil", _mx_ceil("fp4_e2m1", 6.0), 4),
    ("mxfp8_ceil", _mx_ceil("fp8_e4m3", 448.0), 8),
    ("int6_tensor", ste(symmetric(31)), 6),
    ("int5_rows", ste(symmetric(15, -1)), 5),
    ("int6_stochastic_rows", _stochastic(31), 6),
)

_FACTORIES: tuple[tuple[str, Callable[[], Grid], float], ...] = (
    ("pact_int4", lambda: Pact(7), 4),
    ("learned_levels_int5", LearnedLevels, 5),
    ("fp8_delayed_scaling", lambda: DelayedScaling(0), 8),
    ("fp8_delayed_scaling_margin", lambda: DelayedScaling(1), 8),
    ("lsq_rows_int4", lambda: LearnedRowSteps(7), 4),
    ("int8_moving_amax", MovingAmax, 8),
    ("int8_from_call_20", Delayed, 8),
)


def _setups() -> Iterator[tuple[str, Setup]]:
    for function, bits in _FUNCTIONS:
        yield function.__name__, Setup(user_format(function.__name__, function, bits))
    for name, function, bits in _NAMED:
        yield name, Setup(user_format(name, function, bits))
    for name, factory, bits in _FACTORIES:
        yield name, Setup(user_format(name, None, bits, factory=factory))
    exported = user_format(
        "int8_rows_exported", ste(symmetric(127, -1)), 8, export=PairCodec(_encode_rows, _decode_rows)
    )
    yield exported.name, Setup(exported)
    yield (
        "bf16_stochastic_inplace",
        Setup(user_format("bf16_stochastic_inplace", bf16_stochastic, 16), "inplace"),
    )
    yield (
        "int8_stochastic_inplace",
        Setup(user_format("int8_stochastic_inplace", _stochastic(127), 8), "inplace"),
    )
    for name in ("bf16", "fp16", "posit16"):
        yield f"{name}_inplace", Setup(BUILTIN[name], "inplace")
    for function, bits in ((uint4_rows, 4), (fp8_margin, 8), (int4_hadamard, 4)):
        name = f"{function.__name__}_activations"
        yield name, Setup(user_format(name, function, bits), scope="weights+activations")
    for name, prepare, width in (
        ("recipe_int8_linears", _int8_linears, 8),
        ("recipe_w8a8_but_head", _int8_both, 8),
        ("recipe_hqq_parametrized", _int4_parametrized, 4),
    ):
        yield name, Setup(Recipe(name, prepare, width))
    adam8 = replace(
        OPTIMIZERS["adamw"],
        name="adam_8bit_blockwise",
        build=lambda model, lr: _BlockwiseAdam(model.parameters(), {"lr": lr}),
    )
    yield adam8.name, Setup(BUILTIN["int8"], optimizer=adam8)


#: Every healthy setup by its name.
HEALTHY: Mapping[str, Setup] = MappingProxyType(dict(_setups()))
