"""What is judged of a training, and where the call is close of three: nothing is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from quantgate import CellResult, Config
from quantgate.diagnosis.evidence import Evidence, NonFinite
from quantgate.gate.experiment import Run
from quantgate.gate.run import Gate
from quantgate.plan.matrices import LONG
from quantgate.probes.tensors import tensor_evidence
from quantgate.records.cell import SEEDS, Cell
from quantgate.records.schedule import Schedule
from quantgate.records.verdict import Verdict
from quantgate.subjects.registry import Registry


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
    registry.register_format("mine", lambda x: x, bits=8, gap_tolerance=1.0)
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
    result = run(scripted({FIRST: 6.55, SECOND: 6.45, THIRD: 6.3}))

    assert (result.verdict, result.bpb, result.seed) == (Verdict.LEARNS, 6.45, FIRST)
    assert result.seeds == {str(FIRST): 6.55, str(SECOND): 6.45, str(THIRD): 6.3}
    assert result.seconds == 1.5
    assert result.canon_name == "IGLA-TIER1-GATE-mine-h64-LR0.001-rng47-adamw"
    assert (
        "judged by the median of its seeds: seed 47: 6.55, seed 89: 6.45, seed 123: 6.30." in result.message()
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
        (Evidence(frozen=("head.weight",)), Verdict.FAULTY, "orphaned-parameter"),
        (Evidence(update_survival=0.1), Verdict.FAULTY, "update-swallowed"),
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


def test_a_warning_is_the_cause_of_a_curve_that_it_explains() -> None:
    rounded = Evidence(gradient_additive=0.04, zero_input="an all-zero row")

    assert run(scripted({FIRST: 5.0}, evidence=rounded), 5.0 - 1e-9).cause is None
    assert run(scripted({FIRST: 6.95}, evidence=rounded)).cause == "grad-format"
    assert (
        run(scripted({FIRST: 6.95}, evidence=replace(rounded, gradient_additive=None))).cause == "unexplained"
    )


def test_a_curve_beside_much_that_is_clipped_has_a_stale_scale() -> None:
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    narrow = replace(
        tensor_evidence("head.weight", 0, x, (x * 32).round() / 32, x, x), clip_noise=0.6, saturated=0.13
    )
    result = run(scripted({FIRST: 6.95}, evidence=Evidence(weights=(narrow,))))

    assert result.cause == "scale-stale"
    assert result.evidence["because"] == (
        "most of the noise of head.weight is that of the 13% that are clipped."
    )


def test_the_long_lane_is_diagnosed_by_its_first_step_where_it_learns() -> None:
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    first = tensor_evidence("head.weight", 0, x, (x * 32).round() / 32, x, x)
    grown = replace(first, step=1999, peak=0.48)
    gate = scripted({FIRST: 2.7}, evidence=Evidence(weights=(first, grown)))
    long = replace(gate, config=replace(LONG, corpus="builtin"))

    assert run(gate, 2.6).cause == "scale-stale"
    found = long.run(replace(CELL, lane="long"), lambda cell: curve(2.6))
    assert (found.verdict, found.lane) == (Verdict.LEARNS, "long")
    assert found.canon_name == "IGLA-TIER1-GATE-LONG-mine-h64-LR0.001-rng47-adamw"
    assert long.run(replace(CELL, lane="long"), lambda cell: curve(1.2)).verdict is Verdict.LAGS


def test_the_probes_alone_see_no_warm_up() -> None:
    seen: list[Schedule | None] = []

    @dataclass(frozen=True)
    class Noted(Scripted):
        def train(self, cell: Cell) -> Run:
            seen.append(self.config.schedule)
            return super().train(cell)

    gate = scripted({FIRST: 2.7})
    Noted(replace(LONG, corpus="builtin"), gate.registry, scores=gate.scores).examine(CELL)

    assert seen == [None]


def test_a_format_may_state_its_tolerance() -> None:
    result = run(scripted({FIRST: 5.0, SECOND: 5.0, THIRD: 5.0}), 3.0)

    assert (result.verdict, result.gap, result.evidence["tolerance"]) == (Verdict.LAGS, 2.0, 1.0)


def test_a_lead_that_numbers_do_not_give_is_implausible() -> None:
    result = run(scripted({FIRST: 2.5}), control=5.2)

    assert (result.verdict, result.cause) == (Verdict.FAULTY, "implausible")
    assert result.evidence["because"] == (
        "it ends 2.70 BPB below its float32 control (at most 1.00): numbers of fewer bits learn no better."
    )
