"""One training: its curve, its rate, what it tells, and what of it is kept where it ends early."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from quantgate.formats import BUILTIN
from quantgate.gate.experiment import train_cell
from quantgate.records.schedule import Schedule
from quantgate.subjects.kinds import Recipe
from quantgate.training.fakequant import straight_through
from quantgate.training.optimizers import OPTIMIZERS, OptimizerSpec
from tests.training.cells import (
    CELL,
    CONFIG,
    SCORES,
    SHAPES,
    STEPS,
    LearnedStep,
    Spy,
    grid,
    subject,
    train,
)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_parameters_of_a_quantizer_are_trained(optimizer: str) -> None:
    made: list[LearnedStep] = []

    def factory() -> LearnedStep:
        made.append(LearnedStep())
        return made[-1]

    spy = Spy(optimizer)
    run = train(subject(factory=factory), replace(CELL, optimizer=optimizer), optimizer=spy.spec())
    trained = [quantizer for quantizer in made if quantizer in set(spy.trainee.modules())]

    assert run.evidence.crash is None
    assert len(trained) == 7
    assert all(each.step is not None and each.step.item() != each.first for each in trained)
    assert run.evidence.frozen == ()


@pytest.mark.parametrize(
    ("steps", "points"),
    [(1, [0, 1]), (3, [0, 1, 2, 3]), (10, [0, 2, 4, 6, 8, 10]), (7, [0, 1, 2, 3, 4, 5, 6, 7])],
)
def test_the_curve_starts_at_0_and_ends_at_the_last_step(steps: int, points: list[int]) -> None:
    run = train(BUILTIN["int8"], config=replace(CONFIG, steps=steps))

    assert [step for step, _ in run.curve] == points


def test_the_rate_is_the_optimizers_unless_one_is_given() -> None:
    assert train(BUILTIN["int8"]).lr == OPTIMIZERS["adamw"].rate(32)
    assert train(BUILTIN["int8"], config=replace(CONFIG, lr=0.5)).lr == 0.5


def test_the_rate_follows_the_schedule_and_stands_still_without_one() -> None:
    seen: list[float] = []

    def build(trainee: nn.Module, lr: float) -> Optimizer:
        made = torch.optim.SGD(trainee.parameters(), lr)
        made.register_step_pre_hook(lambda *_: seen.append(made.param_groups[0]["lr"]))
        return made

    optimizer = OptimizerSpec("watched", build, 0.1, reference="sgd")
    config = replace(CONFIG, steps=5, schedule=Schedule(warmup=2, floor=0.1))
    train(BUILTIN["int8"], config=config, optimizer=optimizer)
    assert seen[-5:] == pytest.approx([0.05, 0.1, 0.0775, 0.0325, 0.01])

    train(BUILTIN["int8"], config=replace(config, schedule=None), optimizer=optimizer)
    assert seen[-5:] == [0.1] * 5


def test_the_first_tensor_that_is_not_finite_ends_the_curve() -> None:
    def overflow(x: Tensor) -> Tensor:  # once a weight has grown
        return grid(x) * (math.inf if x.detach().abs().amax() > 20 else 1.0)

    run = train(subject(overflow), config=replace(CONFIG, lr=5.0))

    assert run.evidence.non_finite is not None
    assert run.evidence.non_finite.tensor.startswith("quantized weight ")
    assert run.evidence.non_finite.step > 0
    assert run.curve[-1][0] == run.evidence.non_finite.step + 1
    assert math.isnan(run.curve[-1][1])


def test_a_recipe_trains_what_it_returns() -> None:
    def halve(model: nn.Module) -> nn.Module:
        with torch.no_grad():
            for p in model.parameters():
                p.zero_()
        return model

    cell = replace(CELL, kind="recipe")
    dead = train(Recipe("mine", halve, 8), cell)

    assert [score for _, score in dead.curve] == pytest.approx([7.0] * SCORES)
    assert (
        train(Recipe("mine", lambda model: model, 8), cell).curve
        == train(BUILTIN["fp32"], CELL.control).curve
    )


def test_an_optimizer_that_leaves_a_parameter_out_is_seen() -> None:
    def build(trainee: nn.Module, lr: float) -> Optimizer:
        return torch.optim.SGD([p for name, p in trainee.named_parameters() if "head" not in name], lr)

    run = train(BUILTIN["int8"], optimizer=OptimizerSpec("partial", build, 1e-3))

    assert [name.rpartition("head")[1:] for name in run.evidence.frozen] == [("head", ".weight")]


def test_an_exception_is_the_cells_result_with_the_curve_so_far() -> None:
    calls = 0

    def raises(x: Tensor) -> Tensor:
        nonlocal calls
        calls += tuple(x.shape) in SHAPES
        if calls > 60:
            raise RuntimeError("out of range\nsecond line")
        return grid(x)

    run = train(subject(raises))

    assert run.evidence.crash is not None
    assert run.evidence.crash.startswith("RuntimeError: out of range (at test_trainer.py:")
    assert 1 <= len(run.curve) < SCORES


def test_every_step_and_score_is_told_to_the_watch() -> None:
    told: list[tuple[int, float | None]] = []
    run = train_cell(
        CELL, BUILTIN["int8"], OPTIMIZERS["adamw"], CONFIG, lambda step, bpb: told.append((step, bpb))
    )

    assert [(step, bpb) for step, bpb in told if bpb is not None] == list(run.curve)
    assert [step for step, bpb in told if bpb is None] == list(range(1, STEPS + 1))


def test_the_straight_through_estimator_is_added_where_a_codec_is_given() -> None:
    ours = train(subject(encode=lambda x: (x * 32).round(), decode=lambda codes: codes / 32))
    theirs = train(subject(straight_through(lambda x: (x * 32).round() / 32)))

    assert ours.curve == theirs.curve
    assert ours.curve[-1][1] < ours.curve[0][1]
