"""The optimizers: each lowers a loss, holds every parameter and has a rate for every width."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from quantgate.training.lion import Lion
from quantgate.training.model import ModelConfig, build_model
from quantgate.training.optimizers import OPTIMIZERS, OptimizerSpec


def built(spec: OptimizerSpec, model: nn.Module, lr: float) -> list[Optimizer]:
    made = spec.build(model, lr)
    return made if isinstance(made, list) else [made]


def held(optimizers: list[Optimizer]) -> Iterator[Tensor]:
    for each in optimizers:
        for group in each.param_groups:
            yield from group["params"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def model() -> nn.Module:
    return build_model(ModelConfig(width=32), torch.Generator().manual_seed(47))


@pytest.fixture(params=OPTIMIZERS.values(), ids=lambda spec: spec.name)
def spec(request: pytest.FixtureRequest) -> OptimizerSpec:
    found: OptimizerSpec = request.param
    return found


def test_names_are_their_keys() -> None:
    assert list(OPTIMIZERS) == ["adamw", "muon", "sgd", "lion", "rmsprop", "adafactor"]
    assert all(name == spec.name for name, spec in OPTIMIZERS.items())


def test_every_parameter_is_held_once(spec: OptimizerSpec, model: nn.Module) -> None:
    found = [id(p) for p in held(built(spec, model, 1e-3))]

    assert sorted(found) == sorted(id(p) for p in model.parameters())


def test_every_parameter_moves_and_the_loss_falls(spec: OptimizerSpec) -> None:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16, bias=False), nn.Tanh(), nn.Linear(16, 4))
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.3, generator=generator)
    x, y = torch.randn(64, 8, generator=generator), torch.randn(64, 4, generator=generator)
    before = [p.detach().clone() for p in model.parameters()]
    optimizers = built(spec, model, spec.rate(64) * 10)
    losses = []
    for _ in range(15):
        loss = (model(x) - y).square().mean()
        losses.append(loss.item())
        for each in optimizers:
            each.zero_grad()
        loss.backward()
        for each in optimizers:
            each.step()

    assert losses[-1] < losses[0]
    assert all(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))


def test_a_parameter_without_a_gradient_stays(spec: OptimizerSpec, model: nn.Module) -> None:
    before = [p.detach().clone() for p in model.parameters()]
    first = next(model.parameters())
    first.grad = torch.ones_like(first)
    for each in built(spec, model, 1e-3):
        each.step()

    moved = [not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True)]
    assert moved == [True] + [False] * (len(before) - 1)


def test_muon_takes_matrices_and_leaves_the_rest_to_adamw() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Conv1d(4, 4, 3))
    muon, adamw = built(OPTIMIZERS["muon"], model, 0.5)

    assert isinstance(muon, torch.optim.Muon)
    assert isinstance(adamw, torch.optim.AdamW)
    assert {p.ndim for p in held([muon])} == {2}
    assert 2 not in {p.ndim for p in held([adamw])}
    assert len(list(held([muon, adamw]))) == len(list(model.parameters()))
    assert muon.param_groups[0]["lr"] == 0.5
    assert adamw.param_groups[0]["lr"] == OPTIMIZERS["adamw"].lr


def test_muon_leaves_scales_of_groups_to_adamw_wherever_they_lie() -> None:
    first, second, quantizer = nn.Linear(8, 6, bias=False), nn.Linear(6, 4, bias=False), nn.Module()
    first.register_parameter("groups", nn.Parameter(torch.ones(6, 2)))  # beside the weight, by any name
    quantizer.register_parameter("step", nn.Parameter(torch.ones(4, 3)))
    second.add_module("quantizer", quantizer)
    model = nn.Sequential(first, second)
    muon, adamw = built(OPTIMIZERS["muon"], model, 0.5)

    assert {p.shape for p in held([muon])} == {(6, 8), (4, 6)}
    assert {p.shape for p in held([adamw])} == {(6, 2), (4, 3)}


def test_muon_alone_serves_the_gates_model(model: nn.Module) -> None:
    (muon,) = built(OPTIMIZERS["muon"], model, 0.5)

    assert isinstance(muon, torch.optim.Muon)


def test_muon_works_where_there_is_no_matrix() -> None:
    (adamw,) = built(OPTIMIZERS["muon"], nn.LayerNorm(4), 0.5)

    assert isinstance(adamw, torch.optim.AdamW)


def test_the_rate_is_the_callers(spec: OptimizerSpec, model: nn.Module) -> None:
    assert {group["lr"] for group in built(spec, model, 0.125)[0].param_groups} == {0.125}


def test_no_weight_decays(spec: OptimizerSpec, model: nn.Module) -> None:
    for each in built(spec, model, 1e-3):
        assert {group.get("weight_decay", 0.0) for group in each.param_groups} == {0.0}


def test_rates_fall_with_the_width_where_steps_have_a_fixed_size_an_element() -> None:
    assert {name for name, spec in OPTIMIZERS.items() if spec.per_width} == {"adamw", "lion", "rmsprop"}
    for spec in OPTIMIZERS.values():
        assert spec.rate(64) == spec.lr
        assert spec.rate(128) == (spec.lr / 2 if spec.per_width else spec.lr)
        assert spec.rate(32) == (spec.lr * 2 if spec.per_width else spec.lr)


def test_rates_of_the_long_lane_are_peaks_at_width_128() -> None:
    adamw, muon, lion = (OPTIMIZERS[name] for name in ("adamw", "muon", "lion"))

    assert (adamw.rate(128, "long"), adamw.rate(64, "long")) == (3e-3, 6e-3)
    assert muon.rate(128, "long") == muon.rate(64, "long") == 1e-2
    assert lion.rate(128, "long") == lion.rate(128)


def test_rates_are_production_like() -> None:
    assert OPTIMIZERS["adamw"].lr <= 2e-4


def lion_reference(p: Tensor, gradients: list[Tensor], lr: float, beta1: float, beta2: float) -> Tensor:
    momentum = torch.zeros_like(p)
    for g in gradients:
        p = p - lr * torch.sign(beta1 * momentum + (1 - beta1) * g)
        momentum = beta2 * momentum + (1 - beta2) * g
    return p


@pytest.mark.parametrize("betas", [(0.9, 0.99), (0.5, 0.8)])
def test_lion_is_its_papers_algorithm(betas: tuple[float, float]) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(5, 7, dtype=torch.float64, generator=generator)
    gradients = [torch.randn(5, 7, dtype=torch.float64, generator=generator) for _ in range(20)]
    p = nn.Parameter(start.clone())
    lion = Lion([p], 0.01, betas)
    for gradient in gradients:
        p.grad = gradient.clone()
        lion.step()

    torch.testing.assert_close(p.detach(), lion_reference(start, gradients, 0.01, *betas))


def test_lions_first_step_is_the_gradients_sign() -> None:
    p = nn.Parameter(torch.zeros(3))
    p.grad = torch.tensor([2.0, 0.0, -1e-30])
    Lion([p], 0.5).step()

    assert p.tolist() == [-0.5, 0.0, 0.5]


def test_lion_gives_back_its_closures_loss() -> None:
    p = nn.Parameter(torch.ones(1))
    lion = Lion([p], 0.5)

    def closure() -> float:
        lion.zero_grad()
        loss = p.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    assert lion.step(closure) == 1.0
    assert p.item() == 0.5
