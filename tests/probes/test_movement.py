"""Weights that storage holds in place are told from weights that move."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quantgate.formats import BUILTIN
from quantgate.gate.experiment import train_cell
from quantgate.probes.movement import Movement
from quantgate.records.cell import Cell, Config
from quantgate.subjects.kinds import Recipe
from quantgate.training.optimizers import OPTIMIZERS


def parameter(values: Tensor, gradient: Tensor | float = 1.0) -> nn.Parameter:
    p = nn.Parameter(values)
    p.grad = torch.as_tensor(gradient).expand_as(values).clone()
    return p


def unmoved(before: nn.Parameter, after: Tensor) -> float | None:
    movement = Movement()
    movement.note([("w", before)])
    return movement.unmoved([("w", nn.Parameter(after))])


CODES = torch.arange(-8.0, 8.0).view(2, 8)


def test_what_moved_and_what_did_not_is_counted() -> None:
    after = CODES.clone()
    after[0, :4] += 1e-3

    assert unmoved(parameter(CODES.clone()), after) == pytest.approx(12 / 16)
    assert unmoved(parameter(CODES.clone()), CODES + 1e-3 * torch.randn(2, 8)) == 0
    assert unmoved(parameter(CODES.clone()), CODES) == 1


def test_codes_that_keep_while_their_rows_scale_changes_have_not_moved() -> None:
    assert unmoved(parameter(CODES * 0.01), CODES * torch.tensor([[0.0101], [0.0099]])) == 1


def test_what_has_no_gradient_is_not_asked() -> None:
    gradient = torch.ones(2, 8)
    gradient[0] = 0
    after = CODES.clone()
    after[1] += torch.randn(8)

    assert unmoved(parameter(CODES.clone(), gradient), after) == 0
    assert unmoved(parameter(CODES.clone(), 0.0), CODES) is None
    assert Movement().unmoved([("w", nn.Parameter(CODES))]) is None


class Written(nn.Module):
    """Keeps no master: its weight is put on the grid whenever it is used."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.weight.copy_(BUILTIN["int8"].fake_quantize(self.weight))
        return x @ self.weight.T


def written(model: nn.Module) -> nn.Module:
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            model.set_submodule(name, Written(module))
    return model


class Renewed(nn.Module):
    """Makes its parameter anew each time, behind the optimizer's back."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight

    def forward(self, x: Tensor) -> Tensor:
        self.weight = nn.Parameter(self.weight.detach().clone())
        return (
            x @ (self.weight + (BUILTIN["int8"].fake_quantize(self.weight.detach()) - self.weight).detach()).T
        )


def renewed(model: nn.Module) -> nn.Module:
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            model.set_submodule(name, Renewed(module))
    return model


@pytest.mark.slow
@pytest.mark.parametrize(("prepare", "unmoved", "orphans"), [(written, 0.5, 0), (renewed, 0.5, 5)])
def test_a_training_shows_it(prepare: Any, unmoved: float, orphans: int) -> None:
    recipe = Recipe("mine", prepare, 8)
    run = train_cell(Cell("mine", "recipe", "adamw", 47, 64), recipe, OPTIMIZERS["adamw"], Config())

    assert run.evidence.unmoved is not None
    assert run.evidence.unmoved > unmoved
    assert len(run.evidence.frozen) == orphans
