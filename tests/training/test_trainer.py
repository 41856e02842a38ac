"""Training: seeded, bitwise repeatable, in both storages, and leaving torch as it was."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from quantgate.formats import BUILTIN, Format
from quantgate.gate.experiment import Run, train_cell
from quantgate.records.cell import CONTROL_FORMAT, Cell, Config
from quantgate.subjects.kinds import Recipe
from quantgate.subjects.registry import Registry
from quantgate.training.fakequant import Quantizer, straight_through
from quantgate.training.model import ModelConfig, build_model
from quantgate.training.optimizers import OPTIMIZERS, OptimizerSpec

STEPS = 10
CONFIG = Config(width=32, steps=STEPS)
CELL = Cell("mine", "format", "adamw", 47, 32)
SHAPES = {tuple(p.shape) for p in build_model(ModelConfig(width=32), torch.Generator()).parameters()}
#: Scores: before the first step and at five even distances.
SCORES = 6


def subject(quantize: Quantizer | None = None, **given: Any) -> Format:
    """A registered format of 8 bits."""
    return Registry().register_format("mine", quantize, bits=8, **given)


def train(
    what: Format | Recipe, cell: Cell = CELL, config: Config = CONFIG, optimizer: OptimizerSpec | None = None
) -> Run:
    return train_cell(cell, what, optimizer or OPTIMIZERS[cell.optimizer], config)


def grid(x: Tensor) -> Tensor:
    """Multiples of 1/32, with a straight-through backward."""
    return x + ((x * 32).round() / 32 - x).detach()


def stochastic(x: Tensor) -> Tensor:
    """int8 with stochastic rounding from torch's generator."""
    scale = x.detach().abs().amax() / 127
    return x + (((x / scale) + torch.rand_like(x)).floor() * scale - x).detach()


class LearnedStep(nn.Module):
    """LSQ-like: a learnable step, made at the first call from the values that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.step: nn.Parameter | None = None
        self.first = math.nan

    def forward(self, x: Tensor) -> Tensor:
        if self.step is None:
            self.first = float(x.detach().abs().mean()) / 8
            self.step = nn.Parameter(torch.tensor(self.first))
        scaled = x / self.step
        return (scaled + (scaled.round() - scaled).detach()) * self.step


@dataclass
class Spy:
    """An optimizer that tells what it was given: the model, its first weights, and every batch."""

    name: str = "adamw"

    def spec(self) -> OptimizerSpec:
        real = OPTIMIZERS[self.name]

        def build(trainee: nn.Module, lr: float) -> Optimizer | list[Optimizer]:
            self.first = {name: p.detach().clone() for name, p in trainee.named_parameters()}
            self.batches: list[Tensor] = []
            trainee.register_forward_pre_hook(lambda module, inputs: self.batches.append(inputs[0].clone()))
            self.trainee = trainee
            return real.build(trainee, lr)

        return replace(real, build=build)

    @property
    def training_batches(self) -> Tensor:
        return torch.stack([batch for batch in self.batches if len(batch) == 16])


# calls of the quantizer


class Counting:
    """A factory of quantizers that count their calls on tensors of the model's parameter shapes."""

    def __init__(self) -> None:
        self.calls: list[Counter[tuple[int, ...]]] = []

    def __call__(self) -> Quantizer:
        seen: Counter[tuple[int, ...]] = Counter()
        self.calls.append(seen)

        def quantizer(x: Tensor) -> Tensor:
            seen[tuple(x.shape)] += 1
            return grid(x)

        return quantizer

    def of_parameters(self) -> list[tuple[tuple[int, ...], int]]:
        """(shape, calls) of the quantizers that served one parameter and nothing else."""
        return [next(iter(seen.items())) for seen in self.calls if len(seen) == 1 and set(seen) <= SHAPES]


def test_each_parameters_quantizer_is_called_once_a_step_and_once_a_score() -> None:
    counting = Counting()
    run = train(subject(factory=counting))

    assert run.evidence.crash is None
    assert sorted(counting.of_parameters()) == sorted(
        (shape, STEPS + SCORES)
        for shape in [(128, 32), (64, 32), (96, 32), (32, 32), (64, 32), (32, 64), (128, 32)]
    )


def test_in_place_it_is_called_once_a_step_and_once_before() -> None:
    counting = Counting()
    train(subject(factory=counting), replace(CELL, storage="inplace"))

    assert [calls for _, calls in counting.of_parameters()] == [1 + STEPS] * 7


def test_the_scope_of_activations_reaches_every_linear_layer() -> None:
    shapes: Counter[tuple[int, ...]] = Counter()

    def quantize(x: Tensor) -> Tensor:
        shapes[tuple(x.shape)] += 1
        return grid(x)

    train(subject(quantize), replace(CELL, scope="weights+activations"))
    batches = {shape: calls for shape, calls in shapes.items() if len(shape) == 3 and shape[0] == 16}

    assert batches == {(16, 64, 32): 4 * STEPS, (16, 64, 64): STEPS}  # qkv, proj, up and head; down


def test_the_scope_of_weights_leaves_activations_alone() -> None:
    seen: set[int] = set()

    def quantize(x: Tensor) -> Tensor:
        seen.add(len(x) if x.ndim == 3 else 0)
        return grid(x)

    train(subject(quantize))

    assert 16 not in seen


# quantizers that learn


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


# storage


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


# determinism


@pytest.mark.parametrize("storage", ["master", "inplace"])
@pytest.mark.parametrize("name", ["int4", "mxfp8"])
def test_the_same_cell_twice_is_the_same_to_the_last_bit(name: str, storage: Any) -> None:
    cell = replace(CELL, storage=storage)

    first = train(BUILTIN[name], cell)
    torch.rand(7)
    second = train(BUILTIN[name], cell)

    assert first.curve == second.curve
    assert repr(first.evidence) == repr(second.evidence)


def test_a_stochastic_quantizer_repeats() -> None:
    first, second = train(subject(stochastic)), train(subject(stochastic))

    assert first.evidence.contract is None
    assert first.curve == second.curve
    assert first.curve != train(subject(stochastic), replace(CELL, seed=89)).curve


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [("gf64", "adamw"), ("fp64", "adamw"), ("gf256", "adamw"), ("gf256", "muon"), ("gf256", "sgd")],
)
def test_a_lossless_formats_curve_is_its_controls(name: str, optimizer: str) -> None:
    cell = replace(CELL, optimizer=optimizer)

    assert train(BUILTIN[name], cell).curve == train(BUILTIN[CONTROL_FORMAT], cell.control).curve


def test_a_users_identity_has_the_controls_curve() -> None:
    assert train(subject(lambda x: x * 1.0)).curve == train(BUILTIN[CONTROL_FORMAT], CELL.control).curve


def test_first_weights_and_batches_depend_on_the_seed_alone() -> None:
    spies = [Spy() for _ in range(4)]
    train(BUILTIN[CONTROL_FORMAT], CELL.control, optimizer=spies[0].spec())
    train(subject(stochastic), optimizer=spies[1].spec())
    train(subject(factory=LearnedStep), replace(CELL, scope="weights+activations"), optimizer=spies[2].spec())
    train(BUILTIN["int8"], replace(CELL, seed=89), optimizer=spies[3].spec())
    control, noisy, learned, other = spies

    for name, p in control.first.items():
        assert torch.equal(p, noisy.first[name])
        assert torch.equal(p, learned.first[name])
        assert not torch.equal(p, other.first[name])
    assert len(control.training_batches) == STEPS
    assert torch.equal(control.training_batches, noisy.training_batches)
    assert torch.equal(control.training_batches, learned.training_batches)
    assert not torch.equal(control.training_batches, other.training_batches)


def test_batches_do_not_repeat() -> None:
    spy = Spy()
    train(BUILTIN["int8"], optimizer=spy.spec())

    assert len({tuple(row.tolist()) for row in spy.training_batches.flatten(0, 1)}) == 16 * STEPS


# the curve


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


def test_the_first_tensor_that_is_not_finite_ends_the_curve() -> None:
    def overflow(x: Tensor) -> Tensor:  # once a weight has grown
        return grid(x) * (math.inf if x.detach().abs().amax() > 20 else 1.0)

    run = train(subject(overflow), config=replace(CONFIG, lr=5.0))

    assert run.evidence.non_finite is not None
    assert run.evidence.non_finite.tensor.startswith("quantized weight ")
    assert run.evidence.non_finite.step > 0
    assert run.curve[-1][0] == run.evidence.non_finite.step + 1
    assert math.isnan(run.curve[-1][1])


# recipes


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


# what is left behind


@pytest.fixture(params=["healthy", "raises", "spoils"])
def guest(request: pytest.FixtureRequest) -> Iterator[Callable[[Tensor], Tensor]]:
    """A quantizer that behaves, one that raises in mid-training, and one that leaves torch's state changed."""
    calls = 0

    def raises(x: Tensor) -> Tensor:
        nonlocal calls
        calls += tuple(x.shape) in SHAPES
        if calls > 40:
            raise RuntimeError("out of range")
        return grid(x)

    def spoils(x: Tensor) -> Tensor:
        torch.manual_seed(1)
        torch.set_num_threads(1)
        return grid(x)

    yield {"healthy": grid, "raises": raises, "spoils": spoils}[request.param]
    assert calls in {0, 41}


@pytest.mark.parametrize("storage", ["master", "inplace"])
def test_torch_is_left_as_it_was(guest: Quantizer, storage: Any) -> None:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        torch.set_num_threads(2)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.manual_seed(5)
        state = torch.get_rng_state()
        with torch.no_grad():
            run = train(subject(guest), replace(CELL, storage=storage))
            assert not torch.is_grad_enabled()

        assert torch.is_grad_enabled()
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert len(run.curve) >= 1
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


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


def test_a_caller_without_gradients_trains_all_the_same() -> None:
    with torch.no_grad():
        inside = train(BUILTIN["int8"]).curve

    assert inside == train(BUILTIN["int8"]).curve


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
