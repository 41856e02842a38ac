"""Models as people train them: frozen, shared, called twice, under autocast, with dropout, a teacher, a mask."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from tests.probes.recipe.layers import Prepare, Swapped, examined, first, int8, swapping

pytestmark = pytest.mark.slow


class Quantized(Swapped):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, int8(self.weight))


class Lora(Quantized):
    """A frozen weight, on the grid at each call, and a low rank beside it."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.weight.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(4, linear.in_features) / 8)
        self.up = nn.Parameter(torch.zeros(linear.out_features, 4))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x @ self.down.T @ self.up.T


class Stored(Lora):
    """The same, put on the grid once and for all."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.weight.data = int8(self.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight) + x @ self.down.T @ self.up.T


class Dropped(Quantized):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(int8(F.dropout(x, 0.1)), int8(self.weight))


class Transposed(nn.Module):
    """As GPT-2 keeps them: inputs by outputs."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().T.clone())

    def forward(self, x: Tensor) -> Tensor:
        return x @ int8(self.weight)


class Masked(Quantized):
    """A mask of the weight's shape beside it."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.mask = nn.Parameter(torch.ones_like(linear.weight), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, int8(self.weight.clamp(min=0) * self.mask))


class Around(nn.Module):
    """A model inside another one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.student = swapping(Quantized)(model)


class Teacher(Around):
    """An average of the weights in float32, with the shorter name, which runs along."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.ema = copy.deepcopy(model).requires_grad_(False)

    def forward(self, tokens: Tensor) -> Tensor:
        self.ema(tokens)
        found: Tensor = self.student(tokens)
        return found


class Autocast(Around):
    def forward(self, tokens: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            found: Tensor = self.student(tokens)
        return found.float()


class Halves(Around):
    """Half of the batch at a time."""

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.cat([self.student(half) for half in tokens.chunk(2)])


def frozen_embeddings(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.requires_grad_(False)
    return swapping(Quantized)(model)


def tied(model: nn.Module) -> nn.Module:
    swapping(Quantized)(model)
    model.get_submodule("head").weight = model.get_submodule("embed").weight
    return model


def normed(model: nn.Module) -> nn.Module:
    """Rows of norm 1 times a learned length, before they are quantized."""
    for module in list(model.modules()):
        if isinstance(module, nn.Linear):
            parametrizations.weight_norm(module)
            nn.utils.parametrize.register_parametrization(module, "weight", OnGrid())
    return model


class OnGrid(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return int8(weight)


@pytest.mark.parametrize(
    "prepare",
    [
        swapping(Lora), swapping(Stored), swapping(Dropped), swapping(Transposed), Teacher, Autocast, Halves,
        frozen_embeddings, tied, normed,
    ],
    ids=["LoRA", "QLoRA", "dropout", "transposed", "teacher", "autocast", "halves", "frozen", "tied", "normed"],
)  # fmt: skip
def test_what_people_train_is_no_fault(prepare: Prepare) -> None:
    assert examined(prepare).findings == ()


def test_what_is_not_there_to_be_measured_is_said() -> None:
    missing = dict(examined(swapping(Transposed)).evidence.not_measured)

    assert missing["blocks.0.proj.weight"] == "no float32 weight behind it"


def test_a_mask_beside_a_weight_does_not_hide_it() -> None:
    found = examined(swapping(Masked))

    assert first(found, "blocks.0.proj.weight").negatives_kept == 0
    assert found.cause == "sign-lost"


class ByMode(Quantized):
    """Quantizes where gradients are computed, and nowhere else."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, int8(self.weight) if torch.is_grad_enabled() else self.weight)


class FlooredInputs(Quantized):
    def forward(self, x: Tensor) -> Tensor:
        scale = x.detach().abs().amax() / 127
        return F.linear(x + ((x / scale).floor() * scale - x).detach(), int8(self.weight))


class HalfTheCodes(Quantized):
    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight.detach().abs().amax() / 60
        codes = (self.weight.detach() / scale).round()
        return F.linear(x, self.weight + (codes * scale - self.weight).detach())


@pytest.mark.parametrize(
    ("layer", "cause"),
    [
        (ByMode, "train-deploy-mismatch"),
        (FlooredInputs, "rounding-biased"),
        (HalfTheCodes, "range-collapsed"),
    ],
)
def test_what_a_layer_gets_wrong_is_named(layer: type[Quantized], cause: str) -> None:
    assert cause in {each.cause for each in examined(swapping(layer)).findings}


def square_by_mode(linear: nn.Linear) -> nn.Module:
    """A healthy layer, but in the place of the smallest one of the body."""
    return (ByMode if linear.in_features == linear.out_features else Quantized)(linear)


def test_a_mode_in_which_one_layer_of_many_does_not_quantize_is_named() -> None:
    assert examined(swapping(square_by_mode)).evidence.mode_mismatch == (
        "blocks.0.proj changes other shares of its weight: 100% in the training, 0% in the scoring, 0% in a deployed "
        "model."
    )


def nothing(model: nn.Module) -> Any:
    swapping(Quantized)(model)


def test_a_recipe_that_returns_nothing_is_told_what_to_return() -> None:
    crash = examined(nothing).evidence.crash

    assert crash is not None
    assert crash.startswith(
        "TypeError: prepare returned NoneType, not a module: return the model, also where it was prepared in place"
    )
