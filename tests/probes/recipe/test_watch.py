"""The layers of prepared models are measured however the library put its quantizer there."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from quantgate.gate.examination import Examination
from tests.probes.recipe.layers import examined, first, int8, swapping

pytestmark = pytest.mark.slow


class Swapped(nn.Module):
    """A layer of a library's own, with a factor on the weight that it computes with."""

    def __init__(self, linear: nn.Linear, factor: float = 1.0) -> None:
        super().__init__()
        self.weight, self.factor = linear.weight, factor

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, int8(self.weight)) * self.factor


class Fused(torch.autograd.Function):
    """A linear map of codes, whose weight no call of F.linear reads."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, int8(weight))
        return x @ int8(weight).T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, q = ctx.saved_tensors
        return gradients[0] @ q, gradients[0].flatten(0, -2).T @ x.flatten(0, -2)


class FusedLinear(Swapped):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = Fused.apply(x, self.weight)  # type: ignore[no-untyped-call]
        return y


class Quantize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return int8(x)


def parametrized(model: nn.Module) -> nn.Module:
    for module in list(model.modules()):
        if isinstance(module, nn.Linear):
            parametrize.register_parametrization(module, "weight", Quantize())
    return model


def embeddings(model: nn.Module) -> nn.Module:
    for module in list(model.modules()):
        if isinstance(module, nn.Embedding):
            parametrize.register_parametrization(module, "weight", Quantize())
    return model


@pytest.mark.parametrize(
    "prepare", [swapping(Swapped), parametrized, swapping(FusedLinear), embeddings],
    ids=["modules", "parametrizations", "function", "embeddings"],
)  # fmt: skip
def test_a_healthy_recipe_is_measured_and_not_blamed(prepare: Callable[[nn.Module], nn.Module]) -> None:
    found = examined(prepare)
    seen = {tensor.tensor: tensor for tensor in found.evidence.weights}

    assert found.findings == ()
    assert len(seen) == 12  # seven weights, and the inputs of five linear layers
    assert dict(found.evidence.not_measured).keys() <= {"rounding and relations of weights"}
    assert all(tensor.gradient_cosine > 0.99 for tensor in seen.values())


def test_a_fused_layer_is_fitted() -> None:
    (tensor,) = [
        each
        for each in examined(swapping(FusedLinear)).evidence.weights
        if each.tensor == "blocks.0.qkv.weight" and each.step == 0
    ]

    assert tensor.snr == pytest.approx(40, abs=3)


def test_a_weight_that_is_too_large_is_named() -> None:
    found = examined(swapping(lambda linear: Swapped(linear, 45.0)), bits=1)

    assert found.cause == "not-dequantized"
    assert "comes back 45 times its size" in found.findings[0].because


def test_a_layer_that_was_left_in_float32_is_counted() -> None:
    def but_one(linear: nn.Linear) -> nn.Module:
        return linear if linear.out_features == 192 else Swapped(linear)

    assert examined(lambda model: model).cause == "no-op"
    assert examined(swapping(but_one)).evidence.uncovered == (1, 4)
    assert examined(swapping(but_one)).cause == "partly-applied"


def test_what_has_no_gradient_is_blocked_and_said_to_be_unmeasured() -> None:
    class Frozen(nn.Module):
        def __init__(self, linear: nn.Linear) -> None:
            super().__init__()
            self.register_buffer("codes", int8(linear.weight).detach())

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.get_buffer("codes"))

    found = examined(swapping(Frozen))

    assert found.cause == "gradient-blocked"
    assert (
        found.findings[0].because
        == "4 of 6 layers of the prepared model have no parameter that gets a gradient."
    )
    assert dict(found.evidence.not_measured)["head.weight"] == "no float32 weight behind it"


class OutputQuantized(Swapped):
    """Its output goes through a quantizer, as with PyTorch's observers."""

    def __init__(self, linear: nn.Linear, quantize: Callable[[Tensor], Tensor]) -> None:
        super().__init__(linear)
        self.quantize = quantize

    def forward(self, x: Tensor) -> Tensor:
        return self.quantize(F.linear(x, int8(self.weight)))


def clipped(x: Tensor) -> Tensor:
    """int8 with a range that ends at a tenth of what it should hold."""
    end = float(x.detach().abs().max()) / 10
    return int8(x.clamp(-end, end))


def unsigned(x: Tensor) -> Tensor:
    return int8(x.clamp(min=0))


def output_quantized(quantize: Callable[[Tensor], Tensor]) -> Examination:
    return examined(swapping(lambda linear: OutputQuantized(linear, quantize)))


def test_the_output_of_a_layer_is_measured_apart_from_its_weight() -> None:
    found = output_quantized(clipped)

    assert first(found, "blocks.0.up.weight").snr > 30
    assert first(found, "output of blocks.0.up").saturated > 0.3
    assert found.cause == "scale-stale"


def test_an_output_without_its_sign_is_told_from_a_coarse_weight() -> None:
    assert output_quantized(unsigned).cause == "sign-lost"


def test_a_healthy_output_quantizer_is_healthy() -> None:
    found = output_quantized(int8)

    assert found.healthy
    assert first(found, "output of blocks.0.up").snr > 30


class Values(NamedTuple):
    """What libraries hand from quantizer to layer: the values first, then how they were quantized."""

    value: Tensor
    scale: float

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        plain = (each.value if isinstance(each, Values) else each for each in args)
        return func(*plain, **(kwargs or {}))


class Unsigned(Swapped):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(Values(unsigned(x), 1.0), Values(int8(self.weight), 1.0))  # type: ignore[arg-type]


def test_inputs_are_seen_in_a_tuple_of_a_librarys_own() -> None:
    found = examined(swapping(Unsigned))

    assert first(found, "blocks.0.up.weight").snr > 30
    assert first(found, "input of blocks.0.up").negatives_kept == 0
    assert found.cause == "sign-lost"


class Learned(Swapped):
    """A step for each row, which training can take below 0."""

    def __init__(self, linear: nn.Linear, start: float) -> None:
        super().__init__(linear)
        rows = linear.weight.detach().abs().amax(1, keepdim=True) / 127
        self.step = nn.Parameter(rows.clone())
        self.shift = nn.Parameter(torch.full((1,), start))  # no scale, whatever its sign

    def forward(self, x: Tensor) -> Tensor:
        codes = (self.weight / self.step).clamp(-127, 127)
        weight = (codes + (codes.round() - codes).detach()) * self.step
        return F.linear(x, weight) + 0 * self.shift


def pushed(below: str) -> Callable[[nn.Module], nn.Module]:
    """Learned steps, one parameter of which is below 0 from the third forward pass on."""

    def prepare(model: nn.Module) -> nn.Module:
        swapping(lambda linear: Learned(linear, 1.0))(model)
        calls = itertools.count()

        def push(module: nn.Module, inputs: Any) -> None:
            if next(calls) < 2:
                return
            with torch.no_grad():
                getattr(model.get_submodule("blocks.0.up"), below).abs_().neg_()

        model.register_forward_pre_hook(push)
        return model

    return prepare


def test_a_learned_scale_that_crosses_0_is_told_from_what_may_be_negative() -> None:
    crossed = examined(pushed("step"))

    assert "qparams-invalid" in {finding.cause for finding in crossed.findings}
    assert "blocks.0.up.step" in {learned.name for learned in crossed.evidence.learned}
    assert "blocks.0.up.shift" not in {learned.name for learned in examined(pushed("shift")).evidence.learned}
