"""A quantizer that behaves otherwise in the training than when it is asked: by mode, by shape, by who asks."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from quantgate.diagnosis.evidence import Evidence
from quantgate.formats import Format
from quantgate.gate.experiment import train_cell
from quantgate.records.cell import Cell, Config
from quantgate.subjects.registry import Registry
from quantgate.training.optimizers import OPTIMIZERS

CELL = Cell("mine", "format", "adamw", 47, 32)


def levels(x: Tensor, most: float) -> Tensor:
    scale = (x.detach().abs().amax() / most).clamp_min(1e-12)
    return x + ((x / scale).round() * scale - x).detach()


def evidence_of(subject: Format, storage: str = "master") -> Evidence:
    cell = Cell("mine", "format", "adamw", 47, 32, storage)  # type: ignore[arg-type]
    return train_cell(cell, subject, OPTIMIZERS["adamw"], Config(width=32, steps=4)).evidence


def four_bits(quantize: Callable[[Tensor], Tensor]) -> Format:
    return Registry().register_format("mine", quantize, bits=4)


def test_a_healthy_quantizer_is_alike_in_all_modes() -> None:
    found = evidence_of(four_bits(lambda x: levels(x, 7)))

    assert (found.mode_mismatch, found.relations.levels, found.not_measured) == (None, 15, ())


def test_nor_is_anything_said_of_stored_weights_that_are_on_the_grid() -> None:
    assert evidence_of(four_bits(lambda x: levels(x, 7)), "inplace").mode_mismatch is None


def test_noise_is_no_difference() -> None:
    def noisy(x: Tensor) -> Tensor:
        scale = (x.detach().abs().amax() / 7).clamp_min(1e-12)
        return x + (((x / scale) + torch.rand_like(x) - 0.5).round() * scale - x).detach()

    assert evidence_of(four_bits(noisy)).mode_mismatch is None


def test_one_that_rests_where_gradients_are_off() -> None:
    found = evidence_of(four_bits(lambda x: levels(x, 7) if torch.is_grad_enabled() else x))

    assert found.mode_mismatch is not None
    assert found.mode_mismatch.endswith(
        " of the weights' elements and none while gradients are off, as they are when it is scored and deployed."
    )


def test_one_that_rests_where_they_are_on() -> None:
    found = evidence_of(four_bits(lambda x: x * 1.0 if torch.is_grad_enabled() else levels(x, 7)))

    assert found.mode_mismatch is not None
    assert found.mode_mismatch.endswith(
        " of the weights' elements are changed, and none of them in the training."
    )


def test_a_module_that_rests_in_eval() -> None:
    class InTraining(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return levels(x, 7) if self.training else x

    found = evidence_of(Registry().register_format("mine", factory=InTraining, bits=4))

    assert found.mode_mismatch is not None
    assert found.mode_mismatch.endswith(" of the weights' elements and none in eval(), as it is deployed.")


def test_one_that_asks_who_calls() -> None:
    def by_caller(x: Tensor) -> Tensor:
        return levels(
            x, 7 if any("quantgate/probes" in frame.filename for frame in inspect.stack(0)) else 127
        )

    found = evidence_of(four_bits(by_caller))

    assert found.mode_mismatch is not None
    assert found.mode_mismatch.endswith(
        " came back otherwise in the training than when a probe asked for the same."
    )


@pytest.mark.parametrize(
    "quantize",
    [
        pytest.param(lambda x: levels(x, 7 if tuple(x.shape) == (32, 192) else 127), id="another shape"),
        pytest.param(lambda x: x + (x.half().float() - x).detach(), id="fp16"),
        pytest.param(lambda x: x + (x.bfloat16().float() - x).detach(), id="bf16"),
    ],
)
def test_more_levels_than_its_bits_in_the_models_own_shapes(quantize: Callable[[Tensor], Tensor]) -> None:
    found = evidence_of(four_bits(quantize))

    assert found.relations.levels is not None
    assert found.relations.levels > 200


def test_what_raises_afterwards_is_said_and_no_more() -> None:
    def raises(x: Tensor) -> Tensor:
        if not torch.is_grad_enabled() and not x.requires_grad and x.shape == (96, 32):
            raise RuntimeError("not now")
        return levels(x, 7)

    found = evidence_of(four_bits(raises))

    assert found.crash is None
    assert [what for what, _ in found.not_measured] == ["beside the training"]
