"""The same cell is the same to the last bit, and what differs depends on the seed alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from quantgate.formats import BUILTIN
from quantgate.records.cell import CONTROL_FORMAT
from tests.training.cells import (
    CELL,
    STEPS,
    LearnedStep,
    Spy,
    stochastic,
    subject,
    train,
)


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
