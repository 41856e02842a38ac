"""Which tensors the quantizer is given, and how often."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from torch import Tensor

from quantgate.training.fakequant import Quantizer
from tests.training.cells import (
    CELL,
    SCORES,
    SHAPES,
    STEPS,
    grid,
    subject,
    train,
)


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


#: When the training is over, each is asked once as in training, at the scoring and deployed.
AFTERWARDS = 3


def test_each_parameters_quantizer_is_called_once_a_step_and_once_a_score() -> None:
    counting = Counting()
    run = train(subject(factory=counting))

    assert run.evidence.crash is None
    assert sorted(counting.of_parameters()) == sorted(
        (shape, STEPS + SCORES + AFTERWARDS)
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
