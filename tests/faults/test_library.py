"""The library of faults is whole, and its parts do what they say."""

from __future__ import annotations

import pytest
import torch

from quantgate.diagnosis.causes import CAUSES
from quantgate.faults import FAULTS
from quantgate.faults.parts.optimizers import half, keep, linear_map, root_map
from quantgate.faults.parts.quantizers import activations_only, blocks, integers, table, truncate_bits
from quantgate.formats import BUILTIN
from quantgate.gate.controls.negative import NEGATIVE_CONTROLS
from quantgate.subjects.names import NAME
from quantgate.training.optimizers import OPTIMIZERS

#: What no fault is a case of: breaches of the contract, what they lead to, and the lack of any other cause.
WITHOUT_A_FAULT = {"contract", "non-finite", "resolution", "unexplained", "not-reproducible", "implausible"}


def test_it_holds_every_class_and_enough_of_them() -> None:
    assert len(FAULTS) >= 45
    assert {fault.cause for fault in FAULTS.values()} == set(CAUSES) - WITHOUT_A_FAULT
    assert len(set(CAUSES) - WITHOUT_A_FAULT) == 26


@pytest.mark.parametrize("name", FAULTS)
def test_names_are_names_and_shadow_no_format(name: str) -> None:
    assert FAULTS[name].name == name
    assert NAME.fullmatch(name)
    assert name not in BUILTIN
    assert all(NAME.fullmatch(setup.subject.name) for setup in (FAULTS[name].broken, FAULTS[name].healthy))


def test_subjects_of_the_library_have_names_of_their_own() -> None:
    setups = [setup for fault in FAULTS.values() for setup in (fault.broken, fault.healthy)]
    own = [setup.subject.name for setup in setups if setup.subject.name not in BUILTIN]
    optimizers = [setup.optimizer.name for setup in setups if setup.optimizer is not None]

    assert len(set(own)) == len(own)
    assert len(set(optimizers)) == len(optimizers)
    assert set(optimizers).isdisjoint(OPTIMIZERS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_twin_differs_in_nothing_but_the_fault(name: str) -> None:
    broken, healthy = FAULTS[name].broken, FAULTS[name].healthy

    assert broken != healthy
    assert broken.scope == healthy.scope
    assert broken.subject.bits == healthy.subject.bits
    assert not broken.subject.lossless
    assert broken.subject.gap_tolerance is healthy.subject.gap_tolerance is None
    assert (broken.storage == healthy.storage) == (FAULTS[name].cause != "update-swallowed")
    assert (broken.optimizer is None) == (healthy.optimizer is None)


def test_the_library_is_read_only() -> None:
    with pytest.raises(TypeError):
        FAULTS["mine"] = FAULTS["int8_in_place"]  # type: ignore[index]
    with pytest.raises(TypeError):
        NEGATIVE_CONTROLS["mine"] = BUILTIN["int8"]  # type: ignore[index]


def test_the_negative_controls_are_three() -> None:
    assert tuple(NEGATIVE_CONTROLS) == ("dead-body", "zero-gradient", "negated-gradient")


X = torch.tensor([[-1.0, -0.3, 0.0, 0.3, 0.5, 1.0]])


def test_the_integer_grid_and_the_places_where_it_breaks() -> None:
    def codes(**given: object) -> list[float]:
        grid = integers(4, **given)  # type: ignore[arg-type]
        return [round(value * 4, 4) for value in grid(X)[0].tolist()]

    assert codes() == [-4, -1, 0, 1, 2, 4]
    assert codes(rounding=torch.floor) == [-4, -2, 0, 1, 2, 4]
    assert codes(zero_point=False) == [0, 0, 0, 1, 2, 4]
    assert codes(shrink=0.5) == [-2, -1, 0, 1, 2, 2]
    assert codes(dequantize=lambda codes, scale: codes / 4) == codes()
    assert integers(4)(torch.zeros(2, 3)).equal(torch.zeros(2, 3))
    assert integers(4, floor=0.0)(torch.zeros(2, 3)).isnan().all()


def test_rows_and_blocks_have_their_own_scale() -> None:
    x = torch.tensor([[1.0, 0.5, 10.0, 5.0], [100.0, 50.0, 1000.0, 500.0]])
    rows = integers(2, rows=True)

    assert blocks(2, rows)(x).equal(x)
    assert rows(x).tolist() == [[0.0, 0.0, 10.0, 5.0], [0.0, 0.0, 1000.0, 500.0]]
    assert integers(2)(x).tolist() == [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1000.0, 500.0]]
    assert blocks(3, rows)(x).equal(rows(x))


def test_a_table_takes_the_nearest_value() -> None:
    grid = table((-1.0, 0.0, 0.25, 1.0))

    assert grid(2 * X).tolist() == [[-2.0, 0.0, 0.0, 0.5, 0.5, 2.0]]
    assert table((0.0, 1.0), scaled=False)(torch.tensor([0.4, 0.6, 9.0])).tolist() == [0.0, 1.0, 1.0]


def test_bits_are_cut_off_towards_zero() -> None:
    x = torch.tensor([1.0, 1.999, -1.999, 3.14159])

    assert truncate_bits(16)(x).equal(x.view(torch.int32).bitwise_and(-65536).view(torch.float32))
    assert (truncate_bits(16)(x).abs() <= x.abs()).all()
    assert truncate_bits(16)(x).to(torch.bfloat16).float().equal(truncate_bits(16)(x))


def test_activations_are_told_from_weights_by_their_rank() -> None:
    grid = activations_only(torch.zeros_like, torch.ones_like)

    assert not grid(torch.ones(2, 3, 4)).any()
    assert grid(torch.zeros(3, 4)).all()


def test_what_optimizer_states_keep() -> None:
    v = torch.tensor([1e-9, 1e-6, 1e-3])

    assert linear_map(v).tolist() == pytest.approx([0.0, 0.0, 1e-3])
    assert root_map(v) == pytest.approx(v, rel=1e-2)
    assert half(v).tolist() == pytest.approx([0.0, 1e-6, 1e-3], rel=0.1)
    assert keep(v) is v
