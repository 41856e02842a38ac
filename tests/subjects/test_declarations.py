"""What a registration may declare beside its quantizer: calibration, inputs, waived causes, a rate, a reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quantgate import Config, examine, run_cell
from quantgate.formats import BUILTIN
from quantgate.records.verdict import Verdict
from quantgate.subjects.registry import Registry
from quantgate.training.optimizers import OPTIMIZERS
from tests.subjects.refusal import refused


def amax8(x: Tensor) -> Tensor:
    return x + (BUILTIN["int8"].fake_quantize(x.detach()) - x).detach()


class Static(nn.Module):
    """int8 with a range that somebody must set."""

    def __init__(self) -> None:
        super().__init__()
        self.range: float | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.range is None:
            raise RuntimeError("not calibrated")
        step = self.range / 127
        return x + ((x / step).round().clamp(-127, 127) * step - x).detach()


def calibrate(quantizer: Static, batches: list[Tensor]) -> None:
    quantizer.range = max(1e-12, *(1.5 * float(x.abs().max()) for x in batches))


@pytest.mark.slow
def test_a_static_quantizer_is_calibrated_before_it_is_judged() -> None:
    plain = Registry().register_format("mine", factory=Static, bits=8)
    made = Registry().register_format("mine", factory=Static, bits=8, calibrate=calibrate, activation=Static)

    assert examine(plain).evidence.crash is not None
    found = examine(made)
    assert (found.findings, found.evidence.crash) == ((), None)
    assert "input of linear 0" in {tensor.tensor for tensor in found.evidence.weights}


@pytest.mark.slow
def test_a_recipe_is_calibrated_on_tokens() -> None:
    given: list[Any] = []
    made = Registry().register_recipe(
        "mine", lambda model: model, bits=None, calibrate=lambda model, batches: given.extend(batches)
    )
    examine(made)

    assert [(tuple(x.shape), x.dtype) for x in given] == [((16, 64), torch.int64)] * 4


@pytest.mark.slow
def test_inputs_have_a_quantizer_of_their_own() -> None:
    def half(x: Tensor) -> Tensor:
        return x + (x.detach().clamp(min=0) - x).detach()

    made = Registry().register_format("mine", amax8, bits=8, activation=half)

    assert examine(made).cause == "sign-lost"
    assert examine(Registry().register_format("mine", amax8, bits=8)).cause is None


@pytest.mark.slow
def test_a_waived_cause_passes_and_its_reason_is_kept() -> None:
    def floored(x: Tensor) -> Tensor:
        scale = x.detach().abs().amax().clamp(min=1e-12) / 127
        return x + ((x / scale).floor() * scale - x).detach()

    reason = "the chip floors"
    made = Registry().register_format("mine", floored, bits=8, waive={"rounding-biased": reason})
    result = run_cell(made, "adamw", config=Config(width=32))

    assert result.verdict is Verdict.LEARNS
    assert result.evidence["waived"] == {"rounding-biased": reason}


def test_what_is_declared_wrongly_is_refused() -> None:
    registry = Registry()

    assert refused(lambda: registry.register_format("mine", amax8, waive={"sign-lst": "why"})) == (
        "format 'mine': waive: unknown cause 'sign-lst'; did you mean 'sign-lost' or 'clip-gradient-lost'?"
    )
    assert refused(lambda: registry.register_recipe("mine", lambda m: m, bits=8, waive={"no-op": " "})) == (
        "recipe 'mine': waive: 'no-op' needs a reason, which the report shows"
    )
    assert refused(lambda: registry.register_format("mine", amax8, calibrate=3)) == (  # type: ignore[arg-type]
        "format 'mine': calibrate is a int, not a function"
    )
    assert refused(lambda: registry.register_optimizer("mine", _build, lr=0.0)) == (
        "optimizer 'mine': lr is 0.0, not a positive number"
    )
    assert refused(lambda: registry.register_optimizer("mine", _build, reference="adamv")) == (
        "optimizer 'mine': unknown reference 'adamv'; did you mean 'adamw'?"
    )


def _build(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr)


@pytest.mark.parametrize(
    ("given", "lr", "per_width"),
    [
        ({}, OPTIMIZERS["adamw"].lr, True),
        ({"lr": 0.01}, 0.01, True),
        ({"reference": "sgd"}, OPTIMIZERS["sgd"].lr, False),
        ({"reference": "sgd", "lr": 0.5}, 0.5, False),
    ],
)
def test_an_optimizer_takes_its_references_rate(given: Any, lr: float, per_width: bool) -> None:
    made = Registry().register_optimizer("mine", _build, **given)

    assert (made.lr, made.per_width, made.reference) == (lr, per_width, given.get("reference"))


def test_scales_of_rows_are_no_matrices_for_muon() -> None:
    model = nn.Linear(8, 4, bias=False)
    model.register_parameter("scale", nn.Parameter(torch.ones(4, 1)))
    built: Callable[..., Any] = OPTIMIZERS["muon"].build
    held = [[tuple(p.shape) for p in each.param_groups[0]["params"]] for each in built(model, 1e-3)]

    assert held == [[(4, 8)], [(4, 1)]]


def test_a_declared_format_is_held_against_the_builtin_one() -> None:
    conforms = Registry().register_format("ours", amax8, bits=8, conforms="int8")
    found = examine(conforms)
    assert found.healthy
    assert found.evidence.conformity is not None
    assert (found.evidence.conformity.differ, found.evidence.same_as) == (0, "int8")

    differs = examine(Registry().register_format("ours", amax8, bits=8, conforms="posit8"))
    assert differs.cause == "nonconforming"
    assert "values are not posit8's: " in differs.findings[0].because


def test_only_a_builtin_format_can_be_conformed_to() -> None:
    said = refused(lambda: Registry().register_format("ours", amax8, conforms="posit9"))
    assert said == (
        "format 'ours': conforms: unknown built-in format 'posit9'; did you mean 'posit8' or 'posit32' or 'posit16'?"
    )


@pytest.mark.parametrize(
    ("given", "seen"),
    [(amax8, "needs x"), (Static(), "is a Static that is made already")],
    ids=["f", "module"],
)
def test_inputs_quantizers_beside_a_factory_are_made_too(given: object, seen: str) -> None:
    made: Any = given
    assert refused(lambda: Registry().register_format("mine", factory=Static, activation=made)) == (
        f"format 'mine': activation {seen}; beside factory= it is called without an argument, and makes the quantizer "
        "of one layer's inputs: a class, or `lambda: function`"
    )


@pytest.mark.parametrize(
    ("given", "meant"),
    [("per_channel", "row"), ("Per-Tensor", "tensor"), ("group", "group:32"), ("blockwise", "group:32")],
)
def test_what_libraries_call_a_granularity_is_told_its_name_here(given: str, meant: str) -> None:
    said = refused(lambda: Registry().register_format("mine", amax8, granularity=given))

    assert said == (
        f"format 'mine': granularity is {given!r}; it must be 'tensor', 'row' or 'group:N' with N from 2 to 9999, such "
        f"as 'group:32'; did you mean {meant!r}?"
    )


@pytest.mark.parametrize(
    ("given", "kind", "first"),
    [
        (["sign-lost"], "list", "sign-lost"),
        ("sign-lost", "str", "sign-lost"),
        ((), "tuple", "scale-zero"),
        ([["x"], 3], "list", "scale-zero"),
        (7, "int", "scale-zero"),
    ],
)
def test_waived_causes_without_reasons_are_refused(given: Any, kind: str, first: str) -> None:
    assert refused(lambda: Registry().register_format("mine", amax8, waive=given)) == (
        f"format 'mine': waive is a {kind}; it must be a dict of causes, each with the reason, which the report shows: "
        f"waive={{{first!r}: 'why it is meant'}}"
    )


def zeros_refused(quantizer: Static, batches: list[Tensor]) -> None:
    if not any(x.any() for x in batches):
        raise ValueError("no range")
    calibrate(quantizer, batches)


def test_a_calibration_that_zeros_break_is_told_so() -> None:
    made = Registry().register_format("mine", factory=Static, bits=8, calibrate=zeros_refused)

    assert (examine(made).evidence.crash or "").endswith(
        "for calibrate on zeros of shape (48, 96): layers may start at 0, so clamp the range away from it"
    )
