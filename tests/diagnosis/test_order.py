"""Which cause comes first: what explains another, and faults before warnings."""

from __future__ import annotations

from graphlib import TopologicalSorter

from quantgate.diagnosis.causes import CAUSES
from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence, Finding, NonFinite
from quantgate.diagnosis.order import EXPLAINS, ordered


def order(*findings: Finding) -> list[str]:
    return [finding.cause for finding in ordered(findings)]


def test_what_explains_what_has_no_circle() -> None:
    explained = set(TopologicalSorter(EXPLAINS).static_order())  # raises CycleError

    assert explained <= set(CAUSES)


def test_what_is_explained_comes_after_what_explains_it() -> None:
    zeros, sign, table = (Finding(cause, "a.") for cause in ("range-collapsed", "sign-lost", "wrong-table"))

    assert order(zeros, sign) == ["sign-lost", "range-collapsed"]
    assert order(sign, table) == ["sign-lost", "wrong-table"]


def test_a_warning_comes_last_unless_it_explains_a_fault() -> None:
    zero = Finding("scale-zero", "a.", severity="warning")

    assert order(zero, Finding("gradient-blocked", "b.")) == ["gradient-blocked", "scale-zero"]
    assert order(Finding("non-finite", "b."), zero) == ["scale-zero", "non-finite"]


def test_a_waived_cause_blames_nobody() -> None:
    evidence = Evidence(frozen=("head",), non_finite=NonFinite("the loss", 3))
    waived, other = sorted(
        diagnose(evidence, bits=8, waive={"orphaned-parameter": "a frozen head"}),
        key=lambda each: each.blames,
    )

    assert (waived.cause, waived.waived, waived.blames) == ("orphaned-parameter", "a frozen head", False)
    assert (other.cause, other.waived, other.blames) == ("non-finite", None, True)


def test_what_is_there_at_the_start_does_not_follow_from_what_comes_later() -> None:
    clipped = Finding("scale-stale", "a.", step=0)

    assert order(clipped, Finding("qparams-invalid", "b.", step=1)) == ["scale-stale", "qparams-invalid"]
    assert order(clipped, Finding("qparams-invalid", "b.", step=0)) == ["qparams-invalid", "scale-stale"]
