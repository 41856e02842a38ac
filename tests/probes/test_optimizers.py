"""How an optimizer's update agrees with that of the algorithm which it claims to be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence
from quantgate.faults.parts.optimizers import adam_with, e4m3, half, keep, linear_map
from quantgate.probes.optimizers import Agreement, Independence, agreement, independence
from quantgate.training.optimizers import OPTIMIZERS, Build

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
            optimizer_cosine=found.small, optimizer_agreement=found.large, optimizer_algorithm=found.algorithm,
            optimizer_direction=found.cosine, optimizer_size=found.size,
        ),
        bits=8,
    )  # fmt: skip

    assert found.large < 0.5
    assert said.cause == "optimizer-state"
    assert said.because.endswith("with that of adamw, which it claims to be; 1 is agreement.")


def adamw_times(factor: float) -> Build:
    class Times(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            held = [p for group in self.param_groups for p in group["params"]]
            before = [p.detach().clone() for p in held]
            super().step(closure)
            with torch.no_grad():
                for p, old in zip(held, before, strict=True):
                    p.copy_(old + factor * (p - old))

    return lambda model, lr: Times(model.parameters(), lr)


@pytest.mark.parametrize(
    ("factor", "because"),
    [
        (
            -1,
            "the sign of the update is flipped: to that of adamw, which it claims to be, it has a cosine of -1.00.",
        ),
        (0, "the update is 0 where that of adamw, which it claims to be, is not."),
        (
            1e-4,
            "the update has the direction of that of adamw, which it claims to be, and 0.0001 times the size.",
        ),
        (
            1600,
            "the update has the direction of that of adamw, which it claims to be, and 1,600 times the size.",
        ),
    ],
)
def test_how_an_update_differs_from_the_claim_is_said(factor: float, because: str) -> None:
    found = measured(adamw_times(factor), "adamw")
    evidence = Evidence(
        optimizer_agreement=found.large,
        optimizer_algorithm=found.algorithm,
        optimizer_direction=found.cosine,
        optimizer_size=found.size,
    )

    assert diagnose(evidence, bits=8)[0].because == because


def test_what_cannot_be_asked_says_why() -> None:
    def raises(model: nn.Module, lr: float) -> Optimizer:
        raise ValueError("no such model")

    def drops(model: nn.Module, lr: float) -> Optimizer:
        return torch.optim.Rprop(model.parameters(), lr)

    assert str(agreement(raises)).startswith("ValueError: no such model")
    assert agreement(drops) == (
        "no built-in optimizer has its algorithm; name one with register_optimizer(..., reference=...)"
    )


def alone(build: Build) -> Independence:
    found = independence(build)
    assert found is not None
    return found


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_algorithm_moves_what_has_a_gradient_and_keeps_tensors_apart(name: str) -> None:
    found = alone(OPTIMIZERS[name].build)

    assert found.still == 0
    assert found.alone > 0.999


def test_what_a_first_moment_loses_is_not_moved() -> None:
    assert alone(adam_with(keep, store_first=e4m3)).still > 0.9


def test_state_that_is_shared_by_shape_turns_with_another_tensor() -> None:
    found = alone(adam_with(keep, key=lambda p: p.shape))

    assert found.alone < 0.5
    assert found.tensor in {"embed.weight", "head.weight"}


def test_an_optimizer_that_cannot_be_built_is_not_asked() -> None:
    def raises(model: nn.Module, lr: float) -> Optimizer:
        raise ValueError("no such model")

    assert independence(raises) is None


class StochasticWrites(torch.optim.SGD):
    """SGD whose steps are rounded stochastically to bfloat16."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                bits = (p - group["lr"] * p.grad).view(torch.int32)
                p.copy_(((bits + torch.randint_like(bits, 0, 1 << 16)) & -(1 << 16)).view(torch.float32))


def test_an_optimizer_that_draws_is_compared_under_one_seed_and_leaves_the_generator() -> None:
    before = torch.get_rng_state()
    found = alone(lambda model, lr: StochasticWrites(model.parameters(), 10 * lr))

    assert found.alone == pytest.approx(1.0, abs=1e-6)
    assert torch.equal(torch.get_rng_state(), before)


def test_scales_of_a_state_that_lie_elsewhere_show_where_regions_differ() -> None:
    def in_blocks(turns: bool) -> Build:
        def store(state: torch.Tensor) -> torch.Tensor:
            if state.numel() % 1024:
                return state
            blocks = state.reshape(-1, 256)
            scales = blocks.abs().amax(1) / 127 + 1e-30
            count = len(scales)
            each = scales.repeat(256).view(count, 256) if turns else scales[:, None]
            return ((blocks / each).round().clamp(-127, 127) * each).view_as(state)

        return adam_with(keep, store_first=store)

    right, wrong = (measured(in_blocks(turns=turns), "adamw").regions for turns in (False, True))
    assert right is not None
    assert wrong is not None
    assert right > 0.9
    assert wrong < 0.35


def test_decay_groups_of_rates_and_a_larger_eps_are_no_lost_state() -> None:
    def with_groups(model: nn.Module, lr: float) -> Optimizer:
        first, *others = model.parameters()
        groups: list[dict[str, Any]] = [{"params": [first], "lr": 0.1 * lr}, {"params": others}]
        return torch.optim.AdamW(groups, lr, weight_decay=0.1, eps=1e-4)

    found = measured(with_groups, "adamw")

    assert min(found.large, found.small) > 0.9
    assert found.regions is None
