"""Faults of recipes: module swaps, parametrizations, tensor subclasses and custom matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from quantgate.faults.setups import Fault, Setup
from quantgate.subjects.kinds import Recipe
from tests.heldout.third.common import (
    QuantLinear,
    int_codes,
    int_groups,
    int_rows,
    round_ste,
    ste,
    swap,
)
from tests.heldout.third.faults.products import Fp8Linear, IntegerLinear, SwitchBackLinear
from tests.heldout.third.faults.weights import Int6Weight, LearnedStep, TruncatedInt6Weight, subclassed


def _recipe(name: str, make: Callable[[nn.Linear], nn.Module], bits: float) -> Setup:
    return Setup(Recipe(name, lambda model: swap(model, make), bits))


class _RangeSetting(QuantLinear):
    """Cuts outliers off once, after a few steps, as range-setting passes in the middle of QAT do."""

    def __init__(self, linear: nn.Linear, *, replace: bool) -> None:
        super().__init__(linear, lambda w: ste(w, int_rows(w, 4)))
        self.replace = replace
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.calls += 1
            if self.calls == 8:
                cut = 3 * self.weight.detach().std()
                kept = self.weight.detach().clamp(-cut, cut)
                if self.replace:
                    self.weight = nn.Parameter(kept)  # the optimizer still holds the old one
                else:
                    self.weight.data.copy_(kept)
        return super().forward(x)


def _grouped(model: nn.Module, *, skip: bool) -> nn.Module:
    """Groups of 128; a filter that leaves out what they do not divide leaves out most of a small model."""

    def make(linear: nn.Linear) -> nn.Module:
        if skip and linear.in_features % 128:
            return linear
        size = 32 if linear.in_features % 128 else 128
        return QuantLinear(linear, lambda w: ste(w, int_groups(w, 4, size)))

    return swap(model, make)


class _BatchMean(nn.Module):
    """A running activation range; averaged over the batch before the maximum, it is several times too small."""

    amax: Tensor

    def __init__(self, *, average_first: bool) -> None:
        super().__init__()
        self.average_first = average_first
        self.register_buffer("amax", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        seen = x.detach().mean(0) if self.average_first else x.detach()
        now = seen.abs().amax().clamp(min=1e-6)
        with torch.no_grad():
            self.amax.copy_(torch.where(self.amax > 0, 0.9 * self.amax + 0.1 * now, now))
        scale = self.amax.clone() / 127
        q = int_codes(x.detach(), scale, 8) * scale
        inside = (x.detach().abs() <= 127.5 * scale).to(x.dtype)
        return ste(x * inside, q)


class _RowQuant(nn.Module):
    """A parametrization; plain round() leaves the gradient of the row's maximum alone."""

    def __init__(self, *, through: bool) -> None:
        super().__init__()
        self.through = through

    def forward(self, w: Tensor) -> Tensor:
        scale = w.abs().amax(1, keepdim=True).clamp(min=1e-8) / 31
        codes = round_ste(w / scale) if self.through else torch.round(w / scale)
        return codes * scale


def _parametrized(model: nn.Module, *, through: bool) -> nn.Module:
    for module in list(model.modules()):
        if isinstance(module, nn.Linear):
            parametrize.register_parametrization(module, "weight", _RowQuant(through=through))
    return model


class _WriteBack(QuantLinear):
    """A "memory saving" layer that writes the quantized weight over the master at each forward."""

    def __init__(self, linear: nn.Linear, *, write: bool) -> None:
        super().__init__(linear, lambda w: ste(w, int_rows(w, 5)))
        self.write = write

    def forward(self, x: Tensor) -> Tensor:
        if self.write:
            with torch.no_grad():
                self.weight.copy_(int_rows(self.weight, 5))
        return super().forward(x)


def _absmean(w: Tensor, *, clamp: bool) -> Tensor:
    """BitNet b1.58's weights; without the clamp the large ones become 2, 3, 4 and are not ternary."""
    scale = w.detach().abs().mean().clamp(min=1e-5)
    codes = torch.round(w.detach() / scale)
    return ste(w, (codes.clamp(-1, 1) if clamp else codes) * scale)


class _Switched(QuantLinear):
    """The train / eval switch of a QAT layer; turned around, training runs in float32."""

    def __init__(self, linear: nn.Linear, *, inverted: bool) -> None:
        super().__init__(linear, lambda w: ste(w, int_groups(w, 3, 16)))
        self.inverted = inverted

    def forward(self, x: Tensor) -> Tensor:
        if self.inverted and self.training:
            return F.linear(x, self.weight)
        return super().forward(x)


def _tokens(x: Tensor) -> Tensor:
    return ste(x, int_rows(x, 8))


def _fault(name: str, cause: str, broken: Setup, healthy: Setup, *also: str) -> Fault:
    return Fault(name, cause, broken, healthy, frozenset(also))


def _pair(
    name: str,
    cause: str,
    bits: float,
    bad: Callable[[nn.Linear], nn.Module],
    good: Callable[[nn.Linear], nn.Module],
) -> Fault:
    return _fault(name, cause, _recipe(f"{name}_recipe", bad, bits), _recipe(f"{name}_twin", good, bits))


def _whole(name: str, cause: str, bits: float, bad: Any, good: Any) -> Fault:
    twin = Setup(Recipe(f"{name}_twin", good, bits))
    return _fault(name, cause, Setup(Recipe(f"{name}_recipe", bad, bits)), twin)


FAULTS = [
    # A new Parameter in the middle of training: its gradient is right, and nobody applies it.
    _pair(
        "range_setting_new_parameter",
        "orphaned-parameter",
        4,
        lambda m: _RangeSetting(m, replace=True),
        lambda m: _RangeSetting(m, replace=False),
    ),
    # The gradient of the input leaves out the weight's scale: hundreds of times too large, layer upon layer.
    _pair(
        "switchback_input_gradient_unscaled",
        "gradient-misscaled",
        8,
        lambda m: SwitchBackLinear(m, unscaled=True),
        lambda m: SwitchBackLinear(m, unscaled=False),
    ),
    # float8 has nothing below 2**-9, and gradients of a mean loss lie there.
    _pair(
        "fp8_gradient_without_scale",
        "grad-format",
        8,
        lambda m: Fp8Linear(m, scaled=False),
        lambda m: Fp8Linear(m, scaled=True),
    ),
    _whole(
        "group_size_filter",
        "partly-applied",
        4,
        lambda model: _grouped(model, skip=True),
        lambda model: _grouped(model, skip=False),
    ),
    _pair(
        "observer_averages_batch",
        "scale-stale",
        8,
        lambda m: QuantLinear(m, lambda w: ste(w, int_rows(w, 8)), _BatchMean(average_first=True)),
        lambda m: QuantLinear(m, lambda w: ste(w, int_rows(w, 8)), _BatchMean(average_first=False)),
    ),
    _whole(
        "parametrization_plain_round",
        "gradient-blocked",
        6,
        lambda model: _parametrized(model, through=False),
        lambda model: _parametrized(model, through=True),
    ),
    # Steps of 2e-4 are far below half a code of 5 bits.
    _pair(
        "weight_written_back",
        "update-swallowed",
        5,
        lambda m: _WriteBack(m, write=True),
        lambda m: _WriteBack(m, write=False),
    ),
    _pair(
        "absmean_without_clamp",
        "too-many-levels",
        1.58,
        lambda m: QuantLinear(m, lambda w: _absmean(w, clamp=False), _tokens),
        lambda m: QuantLinear(m, lambda w: _absmean(w, clamp=True), _tokens),
    ),
    _pair(
        "training_switch_inverted",
        "no-op",
        3,
        lambda m: _Switched(m, inverted=True),
        lambda m: _Switched(m, inverted=False),
    ),
    _whole(
        "subclass_cast_truncates",
        "rounding-biased",
        6,
        lambda model: subclassed(model, TruncatedInt6Weight),
        lambda model: subclassed(model, Int6Weight),
    ),
    _pair(
        "learned_step_detached",
        "qparams-invalid",
        4,
        lambda m: QuantLinear(m, LearnedStep(m.weight, detached=True)),
        lambda m: QuantLinear(m, LearnedStep(m.weight, detached=False)),
    ),
    # The product of integer codes is multiplied by the weight's scale and not by the input's.
    _pair(
        "integer_product_one_scale",
        "not-dequantized",
        8,
        lambda m: IntegerLinear(m, both=False),
        lambda m: IntegerLinear(m, both=True),
    ),
]

__all__ = ["FAULTS"]
