"""Right recipes that look unusual: rotations, smoothing, low-rank branches, learned clips, subclasses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from quantgate.faults.setups import Setup
from quantgate.subjects.kinds import Recipe
from tests.heldout.third.common import (
    QuantLinear,
    hadamard,
    int_codes,
    int_groups,
    int_rows,
    round_ste,
    row_amax,
    ste,
    swap,
)
from tests.heldout.third.healthy.products import HybridFloat8Linear, Int8Linear, Nvfp4Linear


def _recipe(name: str, make: Callable[[nn.Linear], nn.Module], bits: float) -> Setup:
    return Setup(Recipe(name, lambda model: swap(model, make), bits))


class _Rotated(nn.Module):
    """QuaRot on the fly: inputs and weights turned by one Hadamard matrix, quantized there, then multiplied."""

    turn: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight
        columns = linear.in_features
        size = columns & -columns  # the largest power of two that divides it
        whole = torch.block_diag(*[hadamard(size)] * (columns // size))  # type: ignore[no-untyped-call]
        self.register_buffer("turn", whole.to(linear.weight.device))

    def forward(self, x: Tensor) -> Tensor:
        x, w = x @ self.turn, self.weight @ self.turn
        return F.linear(ste(x, int_rows(x, 6)), ste(w, int_rows(w, 4)))


class _Smoothed(nn.Module):
    """SmoothQuant during training: a running maximum of each channel moves half of it into the weight."""

    seen: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight
        self.register_buffer("seen", torch.ones(linear.in_features, device=linear.weight.device))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.seen.lerp_(x.flatten(0, -2).abs().amax(0).clamp(min=1e-5), 0.05)
        columns = self.weight.detach().abs().amax(0).clamp(min=1e-5)
        factor = (self.seen / columns).sqrt()
        x, w = x / factor, self.weight * factor
        return F.linear(ste(x, int_rows(x, 8)), ste(w, int_rows(w, 8)))


class _BitLinear(nn.Module):
    """BitNet b1.58: a norm of its own, ternary weights by the mean, int8 tokens."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight

    def forward(self, x: Tensor) -> Tensor:
        x = F.rms_norm(x, (x.shape[-1],))
        scale = self.weight.detach().abs().mean().clamp(min=1e-5)
        w = self.weight + (torch.round(self.weight / scale).clamp(-1, 1) * scale - self.weight).detach()
        return F.linear(x + (int_rows(x, 8) - x).detach(), w)


class _LsqPlus(nn.Module):
    """LSQ+ for inputs: a learned step as log2 and a learned offset, set by the first batch's range."""

    def __init__(self) -> None:
        super().__init__()
        self.log_step = nn.Parameter(torch.zeros(()))
        self.offset = nn.Parameter(torch.zeros(()))
        self.ready = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.ready:
            low, high = x.detach().amin(), x.detach().amax()
            with torch.no_grad():
                self.log_step.copy_(((high - low).clamp(min=1e-6) / 63).log2())
                self.offset.copy_(low)
            self.ready = True
        share = (x.shape[-1] * 63) ** -0.5
        step, offset = torch.exp2(self.log_step), self.offset
        step = step * share + (step * (1 - share)).detach()
        offset = offset * share + (offset * (1 - share)).detach()
        y: Tensor = round_ste(((x - offset) / step).clamp(0, 63)) * step + offset
        return y


class _Int4Weight(Tensor):
    """torchao's way: the parameter's own type says how linear layers read it."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear:
            w = args[1].as_subclass(Tensor)
            return F.linear(args[0], ste(w, int_groups(w, 4, 32)))
        return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        plain = self.detach().as_subclass(Tensor).clone()
        memo[id(self)] = nn.Parameter(plain.as_subclass(type(self)), self.requires_grad)
        return memo[id(self)]


def _subclassed(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.weight = nn.Parameter(module.weight.detach().as_subclass(_Int4Weight))
    return model


class _LowRankBeside(nn.Module):
    """SVDQuant: the largest singular directions stay in float, 4 bits hold the rest; all of it is trained."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        u, s, v = torch.linalg.svd(linear.weight.detach(), full_matrices=False)
        self.left = nn.Parameter((u[:, :4] * s[:4].sqrt()).contiguous())
        self.right = nn.Parameter((s[:4].sqrt()[:, None] * v[:4]).contiguous())
        self.weight = linear.weight
        with torch.no_grad():
            self.weight.sub_(self.left @ self.right)

    def forward(self, x: Tensor) -> Tensor:
        rest = F.linear(ste(x, int_rows(x, 8)), ste(self.weight, int_groups(self.weight, 4, 64)))
        return rest + F.linear(F.linear(x, self.right), self.left)


class _RowGain(nn.Module):
    """Int3 directions with a learned gain a row, by torch's parametrize; the grid follows the weight."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(weight.shape[0], 1))

    def forward(self, w: Tensor) -> Tensor:
        scale = 2.2 * w.detach().abs().mean(1, keepdim=True).clamp(min=1e-8) / 3
        inside = (w.detach().abs() <= 3.5 * scale).to(w.dtype)
        return ste(w * inside, int_codes(w.detach(), scale, 3) * scale) * self.gain


def _gained(model: nn.Module) -> nn.Module:
    for module in list(model.modules()):
        if isinstance(module, nn.Linear):
            parametrize.register_parametrization(module, "weight", _RowGain(module.weight))
    return model


def _row8(w: Tensor) -> Tensor:
    scale = row_amax(w) / 127
    return ste(w, int_codes(w.detach(), scale, 8) * scale)


HEALTHY: dict[str, Setup] = {
    "hadamard_w4a6": _recipe("hadamard_w4a6", _Rotated, 4),
    "smoothing_w8a8": _recipe("smoothing_w8a8", _Smoothed, 8),
    "bitlinear_inner_norm": _recipe("bitlinear_inner_norm", _BitLinear, 1.58),
    "hybrid_float8": _recipe("hybrid_float8", HybridFloat8Linear, 8),
    "int8_three_products": _recipe("int8_three_products", Int8Linear, 8),
    "nvfp4_turned_gradients": _recipe("nvfp4_turned_gradients", Nvfp4Linear, 4),
    "learned_offset_a6w8": _recipe("learned_offset_a6w8", lambda m: QuantLinear(m, _row8, _LsqPlus()), 8),
    "subclass_int4_groups": Setup(Recipe("subclass_int4_groups", _subclassed, 4)),
    "low_rank_beside_int4": _recipe("low_rank_beside_int4", _LowRankBeside, 4),
    "row_gain_int3": Setup(Recipe("row_gain_int3", _gained, 3)),
}
