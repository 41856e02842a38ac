"""The quantizer inside a layer is asked what a format's is, on a copy of the layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from quantgate.subjects.registry import Registry
from tests.probes.recipe.layers import Prepare, Swapped, examined, first, int8, swapping

pytestmark = pytest.mark.slow
Grid = Callable[[Tensor], Tensor]


def ste(x: Tensor, q: Tensor) -> Tensor:
    return x + (q - x).detach()


class OnGrid(nn.Module):
    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, weight: Tensor) -> Tensor:
        return ste(weight, self.grid(weight.detach()))


def parametrized(grid: Grid) -> Prepare:
    def prepare(model: nn.Module) -> nn.Module:
        for module in list(model.modules()):
            if isinstance(module, nn.Linear):
                parametrize.register_parametrization(module, "weight", OnGrid(grid))
        return model

    return prepare


def truncated(w: Tensor) -> Tensor:
    scale = w.abs().amax() / 7
    return (w / scale).trunc() * scale


def nine_levels(w: Tensor) -> Tensor:
    scale = w.abs().amax(1, keepdim=True) / 4
    return (w / scale).round() * scale


def scales_in_turns(w: Tensor) -> Tensor:
    """A scale for each of four blocks of rows, laid out by `repeat`."""
    scales = w.reshape(4, -1).abs().amax(1) / 63
    each = scales.repeat(len(w) // 4)[:, None]
    return (w / each).round().clamp(-63, 63) * each


@pytest.mark.parametrize(
    ("grid", "bits", "cause"),
    [
        (truncated, 4, "rounding-biased"),
        (nine_levels, 3, "too-many-levels"),
        (scales_in_turns, 7, "scale-misplaced"),
        (lambda w: w.half().float(), 4, "too-many-levels"),
    ],
)
def test_a_relation_that_a_recipes_weights_break_is_named(grid: Grid, bits: float, cause: str) -> None:
    assert cause in {each.cause for each in examined(parametrized(grid), bits).findings}


def test_healthy_weights_are_asked_and_keep_every_relation() -> None:
    found = examined(parametrized(int8))

    assert found.findings == ()
    assert found.evidence.rounding is not None
    assert found.evidence.relations.reach == "tensor"
    assert found.evidence.relations.levels == 255
    assert found.evidence.scale_follows == pytest.approx(4.0, abs=0.01)
    assert found.evidence.not_measured == ()


class Frozen(Swapped):
    """The scale of the first weights, for ever."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.register_buffer("scale", linear.weight.detach().abs().amax() / 127)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.get_buffer("scale")
        return F.linear(x, ste(self.weight, (self.weight.detach() / scale).round().clamp(-127, 127) * scale))


def test_a_scale_that_was_set_once_is_stale() -> None:
    found = examined(swapping(Frozen))

    assert found.cause == "scale-stale"
    assert found.evidence.scale_follows == pytest.approx(1.0, abs=0.01)


class Learned(Swapped):
    """A learned step, which `.data` cuts off."""

    cut = False

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.step = nn.Parameter(linear.weight.detach().abs().amax() / 127)

    def forward(self, x: Tensor) -> Tensor:
        step = self.step.data if self.cut else self.step
        ratio = (self.weight / step).clamp(-127, 127)
        return F.linear(x, ste(ratio, ratio.detach().round()) * step)


class CutOff(Learned):
    cut = True


def test_a_learned_step_without_a_gradient_is_named() -> None:
    assert examined(swapping(Learned)).cause is None
    assert examined(swapping(CutOff)).cause == "qparams-invalid"


class Truncated(Tensor):
    """A float32 weight of a kind of its own, which truncates itself in a linear map."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func is F.linear:
            with torch._C.DisableTorchFunctionSubclass():
                weight = args[1].as_subclass(Tensor)
                return F.linear(args[0], ste(weight, truncated(weight.detach())))
        return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]


def subclassed(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.weight = nn.Parameter(module.weight.detach().as_subclass(Truncated))
    return model


def test_a_weight_of_a_kind_of_its_own_is_seen() -> None:
    found = examined(subclassed, 4)

    assert first(found, "blocks.0.up.weight").gradient_cosine > 0.99
    assert found.cause == "rounding-biased"


class HalvedGradient(torch.autograd.Function):
    """A linear map whose gradient of the input lost a factor of 8."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.linear(x, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return gradients[0] @ weight / 8, gradients[0].flatten(0, -2).T @ x.flatten(0, -2)


class Backward(Swapped):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = HalvedGradient.apply(x, int8(self.weight))  # type: ignore[no-untyped-call]
        return y


def test_the_gradient_of_a_layers_input_is_measured() -> None:
    found = examined(swapping(Backward))

    assert found.cause == "gradient-misscaled"
    assert "input of" in found.findings[0].because


def test_what_cannot_be_copied_is_said() -> None:
    class Fresh(Swapped):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("one of its kind")

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, int8(self.weight))

    found = examined(swapping(Fresh))

    assert found.findings == ()
    assert dict(found.evidence.not_measured) == {
        "rounding and relations of weights": "a copy of the layer cannot be asked (TypeError)"
    }


def test_formats_and_recipes_are_asked_alike() -> None:
    from quantgate import examine

    of_format = examine(Registry().register_format("mine", int8, bits=8)).evidence
    of_recipe = examined(parametrized(int8)).evidence

    assert of_format.rounding is not None
    assert of_recipe.rounding is not None
    assert of_format.rounding.uniform
    assert of_recipe.rounding.uniform
    assert of_format.relations.reach == of_recipe.relations.reach
