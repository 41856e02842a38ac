"""A package's quantizer as shipped learns; one that is broken as users break it does not, and the cause is named.

`pip install -e .[integrations]` brings the packages. What is not installed is skipped with its name.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from quantgate.faults.power import run_setup
from quantgate.faults.setups import Fault, Setup
from quantgate.gate.run import Gate
from quantgate.records.cell import SEEDS, Cell, Config
from quantgate.records.result import CellResult
from quantgate.records.verdict import Curve, Verdict
from quantgate.subjects.registry import REGISTRY
from tests.integration.library import PACKAGES, subjects
from tests.integration.parts import installed

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CONFIG = Config()


def _parameters(kind: type) -> list[Any]:
    """(package, subject) of each kind; those of a missing package are skipped."""
    found = []
    for module in PACKAGES:
        missing = pytest.mark.skipif(
            not installed(module.PACKAGE), reason=f"{module.PACKAGE} is not installed"
        )
        for name, subject in subjects(module).items():
            if isinstance(subject, kind):
                found.append(pytest.param(subject, marks=missing, id=name))
    return found


def _judged(setup: Setup) -> CellResult:
    def control(cell: Cell) -> Curve:
        own = setup.optimizer
        registry = REGISTRY if own is None else REGISTRY.with_optimizer(own)
        return Gate(CONFIG, registry).train(cell.control).curve

    return run_setup(setup, "adamw", SEEDS[0], CONFIG, control)


@pytest.mark.parametrize("setup", _parameters(Setup))
def test_what_is_shipped_healthy_learns(setup: Setup) -> None:
    result = _judged(setup)

    assert result.verdict == Verdict.LEARNS, f"{result.cause}: {result.evidence}"


@pytest.mark.parametrize("fault", _parameters(Fault))
def test_what_is_broken_is_named(fault: Fault) -> None:
    result = _judged(fault.broken)

    assert result.verdict != Verdict.LEARNS
    assert result.cause in {fault.cause, *fault.also_right}, result.evidence.get("because")


@pytest.mark.parametrize("module", PACKAGES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_fault_has_a_cause_of_the_catalogue_and_a_healthy_twin(module: ModuleType) -> None:
    from quantgate.diagnosis.causes import CAUSES

    healthy = module.healthy().values()
    for fault in module.broken().values():
        assert {fault.cause, *fault.also_right} <= set(CAUSES)
        assert any(fault.healthy.subject.name == each.subject.name for each in healthy)


def test_names_are_unique() -> None:
    names = [name for module in PACKAGES for name in subjects(module)]

    assert len(names) == len(set(names))
