"""A rule as a record: its limits, what it asks, and the function that runs it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from quantgate.diagnosis.causes import CAUSES
from quantgate.diagnosis.diagnose import RULES
from quantgate.diagnosis.evidence import Evidence, TensorEvidence
from quantgate.diagnosis.rule import (
    Case,
    Limit,
    LimitByBits,
    Rule,
    Seen,
    at_first_step,
    names,
    quantity,
    run,
    tensors,
)

TENSOR = TensorEvidence(
    tensor="head", step=0, rms=0.125, changed=1.0, gain=1.0, snr=40.0, zeros=0.01, negatives_kept=1.0,
    positives_kept=1.0, saturated=0.0, reference_gradient=1.0, gradient=1.0, gradient_cosine=1.0,
    gradient_zeros=0.0, blocked_unclipped=0.0,
)  # fmt: skip
#: Flags tensors that are more than a tenth zeros.
EMPTY = tensors(lambda tensor, case: tensor.zeros > 0.1, worst=lambda tensor: tensor.zeros)
#: Causes that no rule names: a contract is broken before, the other two are what is left.
WITHOUT_RULE = {"implausible", "contract", "resolution", "unexplained"}


def zeros(share: float, name: str = "head", step: int = 0) -> TensorEvidence:
    return replace(TENSOR, zeros=share, tensor=name, step=step)


def seen(
    *weights: TensorEvidence, inputs: tuple[TensorEvidence, ...] = (), ask: object = EMPTY
) -> Seen | None:
    assert callable(ask)
    found: Seen | None = ask(Case(Evidence(weights=weights, inputs=inputs)))
    return found


# limits


def test_a_limit_by_bits_holds_up_to_its_bits() -> None:
    limit = LimitByBits({2: 0.9, 4: 0.5, math.inf: 0.1}, "measured", "{:.0%}")

    assert [limit.for_bits(bits) for bits in (1.58, 2, 3, 4, 4.5, 64)] == [0.9, 0.9, 0.5, 0.5, 0.1, 0.1]
    assert limit.for_bits(None) == 0.9
    assert str(limit) == "90% to 2 bits, 50% to 4 bits, 10% beyond"


def test_a_limit_is_written_in_its_form() -> None:
    assert str(Limit(0.5, "measured", "{:.0%}")) == "50%"
    assert str(Limit(4.0, "measured")) == "4"


# what is asked


def test_nothing_bad_is_nothing_seen() -> None:
    assert seen(zeros(0.1), zeros(0.0)) is None
    assert seen() is None


def test_the_worst_is_said_and_all_bad_ones_are_counted() -> None:
    found = seen(zeros(0.2, "embed"), zeros(0.0, "up"), zeros(0.9, "head"), zeros(0.3, "down"))

    assert found is not None
    assert (found.values["tensor"], found.values["zeros"]) == ("head", 0.9)
    assert (found.values["bad"], found.values["of"], found.values["kind"]) == (3, 4, "weights")


def test_the_first_step_that_has_a_bad_one_speaks() -> None:
    found = seen(zeros(0.0), zeros(0.2, step=4), zeros(0.9, step=7), zeros(0.0, step=4))

    assert found is not None
    assert (found.step, found.values["zeros"], found.values["of"]) == (4, 0.2, 2)


def test_inputs_are_asked_where_there_are_no_weights_or_both_are_asked() -> None:
    bad = (zeros(0.5, "N(0, 1)"),)
    both = tensors(lambda tensor, case: tensor.zeros > 0.1, worst=lambda tensor: tensor.zeros, both=True)

    assert seen(zeros(0.0), inputs=bad) is None
    for found in (seen(inputs=bad), seen(zeros(0.0), inputs=bad, ask=both)):
        assert found is not None
        assert found.values["kind"] == "inputs"


def test_a_share_of_the_tensors_may_be_asked_for() -> None:
    half = tensors(
        lambda tensor, case: tensor.zeros > 0.1, worst=lambda tensor: tensor.zeros, least_share=0.5
    )

    assert seen(zeros(0.2), zeros(0.0), zeros(0.0), ask=half) is None
    assert seen(zeros(0.2), zeros(0.0), ask=half) is not None


def test_a_rule_may_not_apply() -> None:
    few = tensors(lambda tensor, case: True, worst=lambda tensor: 0.0, applies=lambda case: case.bits == 4)
    evidence = Evidence(weights=(TENSOR,))

    assert few(Case(evidence, 8)) is None
    assert few(Case(evidence, 4)) is not None


def test_what_was_not_measured_is_not_bad() -> None:
    ask = quantity(lambda evidence: evidence.table_error, lambda value: True)

    assert ask(Case(Evidence(table_error=None))) is None
    assert ask(Case(Evidence(table_error=0.0))) == Seen({"value": 0.0})


def test_names_are_four_at_most() -> None:
    assert names([zeros(0, name) for name in "abcd"]) == "a, b, c, d"
    assert names([zeros(0, name) for name in "abcde"]) == "a, b, c, d and more"


def test_the_first_step_is_the_first_probed_one() -> None:
    weights = (zeros(0, "a", 3), zeros(0, "b", 3), zeros(0, "a", 9))

    assert at_first_step(Evidence(weights=weights)) == list(weights[:2])
    assert at_first_step(Evidence()) == []


# the runner


def test_a_finding_has_the_sentence_the_numbers_and_the_step() -> None:
    rule = Rule("range-collapsed", "", "", "{tensor}: {zeros:.0%}.", EMPTY, record=(("share", "zeros"), "of"))
    found = run(rule, Case(Evidence(weights=(zeros(0.5, step=4),))))

    assert found is not None
    assert (found.cause, found.because, found.step) == ("range-collapsed", "head: 50%.", 4)
    assert list(found.numbers.items()) == [("share", 0.5), ("of", 1)]
    assert run(rule, Case(Evidence())) is None


def test_a_sentence_has_its_numbers_as_people_write_them() -> None:
    rule = Rule(
        "not-dequantized",
        "rms",
        "never",
        "comes back {value:.2g} times its size ({value:.0f}).",
        quantity(lambda evidence: evidence.late_gain, bool),
    )
    found = run(rule, Case(Evidence(late_gain=1623.0)))

    assert found is not None
    assert found.because == "comes back 1,600 times its size (1623)."


# the table


def test_every_cause_has_a_rule_and_every_rule_a_cause() -> None:
    assert {rule.cause for rule in RULES} == set(CAUSES) - WITHOUT_RULE


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.measures)
def test_every_rule_says_what_set_its_line(rule: Rule) -> None:
    assert all(limit.measured for limit in rule.limits)
    assert bool(rule.limits) != bool(rule.measured)
    assert rule.measures
    assert rule.flagged
    assert rule.says.endswith((".", "{value}"))


def test_no_two_rules_measure_the_same_for_one_cause() -> None:
    lines = [(rule.cause, rule.measures, rule.severity) for rule in RULES]

    assert len(set(lines)) == len(lines)
