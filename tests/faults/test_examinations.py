"""Every fault of the library is named by the probes, and its healthy twin by none."""

from __future__ import annotations

from functools import cache

import pytest

from quantgate.diagnosis.evidence import Evidence
from quantgate.faults import FAULTS, Setup
from quantgate.formats import Format
from quantgate.gate.controls.negative import NEGATIVE_CONTROLS
from quantgate.gate.examination import Examination, examine_subject
from quantgate.records.cell import Config
from quantgate.training.optimizers import OPTIMIZERS

pytestmark = pytest.mark.slow

#: Said, and passing: a NaN for zeros alone, and an edge of 0.2% of the elements.
MILD = {
    "int8_amax_unguarded",
    "int8_rows_unguarded",
    "int4_blocks_unguarded",
    "int4_edge_without_gradient",
}


def examined(setup: Setup) -> Examination:
    return examine_subject(
        setup.subject,
        optimizer=setup.optimizer or OPTIMIZERS["adamw"],
        storage=setup.storage,
        config=Config(width=32, scope=setup.scope),
    )


@cache
def broken(name: str) -> Examination:
    """The examination of a fault, which some are asked more than once."""
    return examined(FAULTS[name].broken)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_first(name: str) -> None:
    found = broken(name)

    assert (found.findings[0].cause, found.evidence.crash) == (FAULTS[name].cause, None)
    assert found.healthy == (name in MILD)


@pytest.mark.parametrize("name", FAULTS)
def test_its_twin_shows_nothing(name: str) -> None:
    found = examined(FAULTS[name].healthy)

    assert (found.findings, found.evidence.crash) == ((), None)
    assert found.healthy


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("dead-body", "range-collapsed"),
        ("zero-gradient", "gradient-blocked"),
        ("negated-gradient", "gradient-wrong"),
    ],
)
def test_a_negative_control_has_its_cause(name: str, cause: str) -> None:
    made: Format = NEGATIVE_CONTROLS[name]

    assert (made.name, examined(Setup(made)).cause) == (name, cause)


@pytest.mark.parametrize(
    "name", [name for name, fault in FAULTS.items() if fault.cause == "orphaned-parameter"]
)
def test_an_orphans_gradient_is_not_called_misscaled(name: str) -> None:
    assert [finding.cause for finding in broken(name).findings] == ["orphaned-parameter"]


def evidence(name: str) -> Evidence:
    return broken(name).evidence


def test_the_evidence_is_what_the_fault_says() -> None:
    assert evidence("int8_codes_returned").inputs[0].gain == pytest.approx(127 / 4, rel=0.3)
    assert evidence("nf4_gradient_times_16").inputs[0].gradient == pytest.approx(
        16 * evidence("nf4_gradient_times_16").inputs[0].reference_gradient
    )
    assert evidence("int4_gradient_negated").inputs[0].gradient_cosine == pytest.approx(-1.0)
    assert evidence("int8_scale_frozen").scale_follows == pytest.approx(1.0)
    assert evidence("int8_amax_unguarded").zero_input == "an all-zero tensor"
    assert evidence("int8_rows_unguarded").zero_input == "an all-zero tensor"
    assert evidence("recipe_first_linear_only").uncovered == (3, 4)
    assert evidence("recipe_that_forgets").uncovered == (4, 4)
