"""Where the weights are kept: in float32, or on the grid."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from quantgate.formats import BUILTIN
from quantgate.training.optimizers import OPTIMIZERS
from tests.training.cells import (
    CELL,
    Spy,
    grid,
    subject,
    train,
)


def test_master_weights_stay_off_the_grid() -> None:
    spy = Spy()
    train(subject(grid), optimizer=spy.spec())

    assert not any(torch.equal(p, grid(p)) for p in spy.trainee.parameters())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_in_place_weights_are_on_the_grid_before_every_step_and_after_the_last(optimizer: str) -> None:
    off_grid: list[str] = []
    spy = Spy(optimizer)

    def build(trainee: nn.Module, lr: float) -> Optimizer | list[Optimizer]:
        made = spy.spec().build(trainee, 0.05)
        assert isinstance(made, Optimizer)
        made.register_step_pre_hook(
            lambda *_: off_grid.extend(
                n for n, p in trainee.named_parameters() if not torch.equal(p, grid(p))
            )
        )
        return made

    spec = replace(OPTIMIZERS[optimizer], build=build)
    run = train(subject(grid), replace(CELL, storage="inplace", optimizer=optimizer), optimizer=spec)

    assert run.evidence.crash is None
    assert off_grid == []
    assert all(torch.equal(p, grid(p)) for p in spy.trainee.parameters())
    assert any(not torch.equal(p, spy.first[name]) for name, p in spy.trainee.named_parameters())


def test_in_place_storage_measures_how_much_of_the_update_survives() -> None:
    in_place = replace(CELL, storage="inplace")
    swallowed, kept = train(BUILTIN["int4"], in_place), train(BUILTIN["fp16"], in_place)

    assert train(BUILTIN["int4"]).evidence.update_survival is None
    assert swallowed.evidence.update_survival is not None
    assert swallowed.evidence.update_survival < 0.1
    assert kept.evidence.update_survival is not None
    assert kept.evidence.update_survival > 0.9
