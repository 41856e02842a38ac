"""How an optimizer's update agrees with that of the algorithm which it claims to be."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence
from quantgate.faults.optimizers import adam_with, half, keep, linear_map
from quantgate.probes.optimizers import Agreement, agreement
from quantgate.training.optimizers import Build

pytestmark = pytest.mark.slow


def measured(build: Build, reference: str | None = None) -> Agreement:
    found = agreement(build, reference)
    assert isinstance(found, Agreement)
    return found


def test_the_same_algorithm_agrees_and_is_found() -> None:
    found = measured(adam_with(keep))

    assert found.algorithm in {"adamw", "adafactor"}
    assert min(found.large, found.small) > 0.99
    assert measured(adam_with(keep), "adamw").small == pytest.approx(found.small, abs=0.01)


def test_state_that_loses_small_values_disagrees_where_gradients_are_small() -> None:
    assert measured(adam_with(linear_map)).small < 0.1
    assert measured(adam_with(half, 0.0)).small == 0.0


def test_an_update_of_another_algorithm_is_held_against_the_claim() -> None:
    def sgd(model: nn.Module, lr: float) -> Optimizer:
        return torch.optim.SGD(model.parameters(), lr)

    found = measured(sgd, "adamw")
    (said,) = diagnose(
        Evidence(
            optimizer_cosine=found.small, optimizer_agreement=found.large, optimizer_algorithm=found.algorithm
        ),
        bits=8,
    )

    assert found.large < 0.5
    assert said.cause == "optimizer-state"
    assert said.because.endswith("with that of adamw, which it claims to be; 1 is agreement.")


def test_what_cannot_be_asked_says_why() -> None:
    def raises(model: nn.Module, lr: float) -> Optimizer:
        raise ValueError("no such model")

    def drops(model: nn.Module, lr: float) -> Optimizer:
        return torch.optim.Rprop(model.parameters(), lr)

    assert str(agreement(raises)).startswith("ValueError: no such model")
    assert agreement(drops) == (
        "no built-in optimizer has its algorithm; name one with register_optimizer(..., reference=...)"
    )
