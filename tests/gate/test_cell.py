"""A cell from training to verdict: real small ones, and scripted ones for what is judged of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from quantgate import CellResult, Config, get_format, run_cell
from quantgate.corpus import CorpusError
from quantgate.diagnosis.evidence import Evidence, NonFinite
from quantgate.formats import Format
from quantgate.gate.experiment import Run
from quantgate.gate.negative import NEGATIVE_CONTROLS
from quantgate.gate.run import Gate
from quantgate.records.cell import SEEDS, Cell
from quantgate.records.verdict import Curve, Verdict
from quantgate.subjects.kinds import Recipe
from quantgate.subjects.names import UnknownNameError
from quantgate.subjects.registry import Registry

CONFIG = Config(width=32)


def subject(function: Any, bits: float | None = 8, **given: Any) -> Format:
    return Registry().register_format("mine", function, bits=bits, **given)


def int8(x: Tensor) -> Tensor:
    scale = (x.detach().abs().amax() / 127).clamp_min(1e-12)
    return x + ((x / scale).round() * scale - x).detach()


# real ones


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
    assert result.canon_name == "IGLA-GATE-int8-h32-LR0.0004-rng47-adamw"
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
        run_cell(subject(lambda x: x * 1.0, lossless=True), "adamw", config=CONFIG).verdict is Verdict.LEARNS
    )


def test_a_fault_that_the_curve_hides_lags() -> None:
    def misscaled(x: Tensor) -> Tensor:
        scale = (x.detach().abs().amax() / 127).clamp_min(1e-12)
        return ((x / scale).round() - x / scale).detach() * scale + x * scale + (x - x * scale).detach()

    result = run_cell(subject(misscaled), "adamw", config=CONFIG)

    assert result.bpb is not None
    assert result.bpb < 6.0
    assert (result.verdict, result.cause) == (Verdict.LAGS, "gradient-misscaled")


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


# scripted ones


@dataclass(frozen=True)
class Scripted(Gate):
    """Trains nothing: each seed's last score is given."""

    scores: Mapping[int, float] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)
    asked: list[int] = field(default_factory=list)

    def train(self, cell: Cell) -> Run:
        self.asked.append(cell.seed)
        return Run(curve(self.scores[cell.seed]), self.evidence, 1e-3, 0.5)


def curve(last: float, first: float = 7.1) -> tuple[tuple[int, float], ...]:
    return ((0, first), (100, last))


def scripted(scores: Mapping[int, float], **given: Any) -> Scripted:
    registry = Registry()
    registry.register_format("mine", int8, bits=8, gap_tolerance=1.0)
    return Scripted(Config(), registry, scores=scores, **given)


CELL = Cell("mine", "format", "adamw", 47)
FIRST, SECOND, THIRD = SEEDS[:3]


def run(gate: Scripted, control: float = 6.2) -> CellResult:
    return gate.run(CELL, lambda cell: curve(control))


@pytest.mark.parametrize(
    ("score", "control", "seeds"),
    [
        (6.39, 6.2, 1), (6.4, 6.2, 3), (6.6, 6.2, 3), (6.61, 6.2, 1),
        (5.0, 4.22, 1), (5.0, 4.19, 3), (5.0, 3.81, 3), (5.0, 3.78, 1),
    ],
)  # fmt: skip
def test_close_calls_ask_two_more_seeds(score: float, control: float, seeds: int) -> None:
    gate = scripted(dict.fromkeys(SEEDS, score))
    run(gate, control)

    assert gate.asked == list(SEEDS[:seeds])


def test_the_median_judges_and_every_seed_is_reported() -> None:
    result = run(scripted({FIRST: 6.55, SECOND: 6.3, THIRD: 6.45}))

    assert (result.verdict, result.bpb, result.seed) == (Verdict.LEARNS, 6.45, FIRST)
    assert result.seeds == {str(FIRST): 6.55, str(SECOND): 6.3, str(THIRD): 6.45}
    assert result.seconds == 1.5
    assert result.canon_name == "IGLA-GATE-mine-h64-LR0.001-rng47-adamw"
    assert (
        "judged by the median of its seeds: seed 47: 6.55, seed 89: 6.30, seed 123: 6.45." in result.message()
    )


def test_the_median_may_fail_what_the_first_seed_passed() -> None:
    result = run(scripted({FIRST: 6.45, SECOND: 6.7, THIRD: 6.6}))

    assert (result.verdict, result.bpb) == (Verdict.PARTIAL, 6.6)


def test_a_seed_that_diverged_is_the_worst_of_three() -> None:
    result = run(scripted({FIRST: 6.45, SECOND: math.nan, THIRD: 6.4}))

    assert (result.verdict, result.bpb) == (Verdict.LEARNS, 6.45)


def test_another_first_seed_asks_the_first_two_of_the_others() -> None:
    gate = scripted(dict.fromkeys(SEEDS, 6.5))
    gate.run(replace(CELL, seed=SECOND), lambda cell: curve(6.2))

    assert gate.asked == [SECOND, FIRST, THIRD]


@pytest.mark.parametrize("score", [7.0, math.nan])
def test_what_is_dead_or_diverged_is_no_close_call(score: float) -> None:
    gate = scripted({FIRST: score})
    run(gate, 6.0)

    assert gate.asked == [FIRST]


@pytest.mark.parametrize(
    ("evidence", "verdict", "cause"),
    [
        (Evidence(contract="returns shape (1,) for (2,)."), Verdict.REJECTED, "contract"),
        (Evidence(crash="ValueError: no"), Verdict.CRASHED, None),
        (Evidence(non_finite=NonFinite("the loss", 3)), Verdict.DIVERGED, "non-finite"),
        (Evidence(frozen=("head.weight",)), Verdict.LAGS, "orphaned-parameter"),
        (Evidence(update_survival=0.1), Verdict.LAGS, "update-swallowed"),
        (Evidence(), Verdict.LEARNS, None),
    ],
)
def test_evidence_outranks_a_good_curve(evidence: Evidence, verdict: Verdict, cause: str | None) -> None:
    result = run(scripted({FIRST: 5.0}, evidence=evidence), 5.0 - 1e-9)

    assert (result.verdict, result.cause) == (verdict, cause)


def test_a_curve_that_no_probe_explains_is_unexplained() -> None:
    result = run(scripted({FIRST: 6.95}))

    assert (result.verdict, result.cause, result.evidence["because"]) == (
        Verdict.DEAD, "unexplained", "every probe is in order.",
    )  # fmt: skip


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


def test_a_format_may_state_its_tolerance() -> None:
    result = run(scripted({FIRST: 5.0, SECOND: 5.0, THIRD: 5.0}), 3.0)

    assert (result.verdict, result.gap, result.evidence["tolerance"]) == (Verdict.LAGS, 2.0, 1.0)
