"""Cells from training to verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from quantgate import CellResult, Config, get_format, run_cell
from quantgate.corpus import CorpusError
from quantgate.formats import Format
from quantgate.gate.controls.negative import NEGATIVE_CONTROLS
from quantgate.gate.run import Gate
from quantgate.records.cell import Cell
from quantgate.records.verdict import Curve, Verdict
from quantgate.subjects.kinds import Recipe
from quantgate.subjects.names import UnknownNameError
from quantgate.subjects.registry import REGISTRY, Registry
from quantgate.training.optimizers import OptimizerSpec

pytestmark = pytest.mark.slow

CONFIG = Config(width=32)


def subject(function: Any, bits: float | None = 8, **given: Any) -> Format:
    return Registry().register_format("mine", function, bits=bits, **given)


def test_a_healthy_format_learns() -> None:
    result = run_cell("int8", "adamw", config=CONFIG)

    assert result.verdict is Verdict.LEARNS
    assert (result.cause, result.hint) == (None, None)
    assert result.bpb is not None
    assert result.bpb < 6.0
    assert result.bpb_control is not None
    assert result.gap == result.bpb - result.bpb_control
    assert abs(result.gap) < 0.05
    assert result.curve[-1] == (100, result.bpb)
    assert result.cell == Cell("int8", "format", "adamw", 47, 32)
    assert (result.format, result.steps, result.lr, result.evidence["bits"]) == ("int8", 100, 4e-4, 8)
    assert result.canon_name == "IGLA-TIER1-GATE-int8-h32-LR0.0004-rng47-adamw"
    assert result.corpus["name"] == "builtin"
    assert len(result.corpus["sha256"]) == 64
    assert result.environment["torch"] == torch.__version__
    assert (result.environment["threads"], result.environment["device"]) == (1, "cpu")
    assert result.shard is None
    assert not result.seeds


def test_its_record_reads_back() -> None:
    result = run_cell("int8", "adamw", config=replace(CONFIG, steps=5))

    assert CellResult.from_record(result.to_record()).to_record() == result.to_record()


def test_a_format_object_is_its_name() -> None:
    config = replace(CONFIG, steps=5)
    named, given = (run_cell(each, "sgd", config=config) for each in ("int8", get_format("int8")))

    assert named.curve == given.curve
    assert named.cell == given.cell


def test_an_alias_runs_under_its_formats_name() -> None:
    assert run_cell("mxfp8_e4m3", "sgd", config=replace(CONFIG, steps=5)).subject == "mxfp8"


def test_a_no_op_is_found_however_well_it_learns() -> None:
    result = run_cell(subject(lambda x: x * 1.0), "adamw", config=CONFIG)

    assert (result.verdict, result.cause, result.gap) == (Verdict.NO_OP, "no-op", 0.0)


def test_a_declared_lossless_identity_learns() -> None:
    assert (
        run_cell(subject(lambda x: x * 1.0, bits=32, lossless=True), "adamw", config=CONFIG).verdict
        is Verdict.LEARNS
    )


def test_a_fault_that_the_curve_hides_is_faulty() -> None:
    def misscaled(x: Tensor) -> Tensor:
        scale = (x.detach().abs().amax() / 127).clamp_min(1e-12)
        return ((x / scale).round() - x / scale).detach() * scale + x * scale + (x - x * scale).detach()

    result = run_cell(subject(misscaled), "adamw", config=CONFIG)

    assert result.bpb is not None
    assert result.bpb < 6.0
    assert (result.verdict, result.cause) == (Verdict.FAULTY, "gradient-misscaled")


def test_rounding_without_an_estimator_is_dead_and_explained() -> None:
    result = run_cell(subject(lambda x: (x * 64).round() / 64), "sgd", config=CONFIG)

    assert (result.verdict, result.cause) == (Verdict.DEAD, "gradient-blocked")
    assert result.message().splitlines()[1] == (
        "Cause: gradient-blocked: the gradient is 0 for 7 of 7 weights where the reference straight-through "
        "estimator's is not."
    )


def test_in_place_int4_is_swallowed() -> None:
    result = run_cell("int4", "adamw", storage="inplace", config=CONFIG)

    assert (result.verdict, result.cause, result.storage) == (Verdict.DEAD, "update-swallowed", "inplace")


def test_a_broken_contract_is_rejected() -> None:
    result = run_cell(subject(lambda x: x.half()), "adamw", config=CONFIG)

    assert (result.verdict, result.cause, result.bpb, result.curve) == (
        Verdict.REJECTED,
        "contract",
        None,
        (),
    )
    assert result.message().splitlines()[0] == "mine x adamw, width 32: rejected."


def test_an_exception_is_a_crash_that_names_it() -> None:
    def fails(x: Tensor) -> Tensor:
        raise ZeroDivisionError("scale is 0")

    result = run_cell(subject(fails), "adamw", config=CONFIG)

    assert (result.verdict, result.cause) == (Verdict.CRASHED, None)
    assert result.evidence["because"].startswith("ZeroDivisionError: scale is 0 (at test_cell.py:")


def test_a_recipe_is_judged() -> None:
    result = run_cell(Recipe("theirs", lambda model: model, bits=8), "adamw", config=CONFIG)

    assert (result.kind, result.format) == ("recipe", "")
    assert result.verdict is Verdict.NO_OP


def test_unknown_names_and_a_missing_corpus_are_errors() -> None:
    with pytest.raises(UnknownNameError, match="unknown format 'int9'"):
        run_cell("int9", "adamw", config=CONFIG)
    with pytest.raises(UnknownNameError, match="unknown optimizer 'adam'"):
        run_cell("int8", "adam", config=CONFIG)
    with pytest.raises(CorpusError):
        run_cell("int8", "adamw", config=replace(CONFIG, corpus="no/such/file.txt"))


@pytest.fixture(scope="module")
def control() -> Curve:
    return Gate(CONFIG).train(Cell("fp32", "control", "adamw", 47, 32)).curve


@pytest.mark.parametrize("name", sorted(NEGATIVE_CONTROLS))
def test_negative_controls_do_not_learn(name: str, control: Curve) -> None:
    gate = Gate(CONFIG)
    cell = Cell(name, "negative-control", "adamw", 47, 32)

    assert not gate.assess(cell, gate.train(cell), control).verdict.passes


def test_a_control_is_judged_by_itself() -> None:
    result = Gate(CONFIG).control(Cell("int8", "format", "adamw", 47, 32, "inplace"))

    assert (result.kind, result.subject, result.storage, result.width) == ("control", "fp32", "master", 32)
    assert result.verdict is Verdict.LEARNS
    assert (result.bpb_control, result.gap) == (None, None)


def test_what_is_wrong_with_an_optimizer_is_said_of_its_cells_and_not_of_its_control() -> None:
    def slow(model: nn.Module, lr: float) -> Optimizer:
        return torch.optim.SGD(model.parameters(), 5 * lr, momentum=0.9)

    registry = REGISTRY.with_optimizer(OptimizerSpec("mine", slow, 2e-3, reference="adamw"))
    gate, cell = Gate(CONFIG, registry), Cell("int8", "format", "mine", 47, 32)
    curve = gate.train(cell.control).curve
    result = gate.run(cell, lambda each: curve)

    assert gate.control(cell).verdict is Verdict.LEARNS
    assert (result.verdict, result.cause) == (Verdict.FAULTY, "optimizer-state")


def test_whoever_watches_is_told_of_steps_and_scores() -> None:
    told: list[tuple[int, float | None]] = []
    config = replace(CONFIG, width=16, steps=3)
    result = run_cell("int8", "sgd", config=config, watch=lambda step, score: told.append((step, score)))

    assert told[0] == result.curve[0]
    assert [step for step, score in told if score is None] == [1, 2, 3]
    assert [each for each in told if each[1] is not None] == list(result.curve)


@pytest.mark.parametrize("given", [{"storage": "inplace"}, {"config": Config(scope="weights+activations")}])
def test_a_recipe_takes_no_storage_or_scope(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^recipe 'theirs' says itself what is quantized and stored"):
        run_cell(Recipe("theirs", lambda model: model, bits=8), "sgd", **given)
