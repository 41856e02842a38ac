"""What the names in a record's evidence mean."""

from __future__ import annotations

from dataclasses import fields

import pytest

from quantgate.diagnosis.diagnose import RULES
from quantgate.diagnosis.evidence import TensorEvidence
from quantgate.diagnosis.measures import COLUMNS, FACTS
from quantgate.diagnosis.rule import Rule


def test_every_column_of_the_evidence_is_explained() -> None:
    assert list(COLUMNS) == [field.name for field in fields(TensorEvidence)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.measures)
def test_what_a_rule_records_is_explained(rule: Rule) -> None:
    names = {each if isinstance(each, str) else each[0] for each in rule.record}

    assert names <= {*COLUMNS, *FACTS}


@pytest.mark.parametrize("name", [*COLUMNS, *FACTS])
def test_an_explanation_is_short(name: str) -> None:
    text = {**COLUMNS, **FACTS}[name]

    assert 10 < len(text) <= 120
    assert not text.endswith(".")
    assert text[0].islower()


def test_no_name_has_two_explanations() -> None:
    assert not set(COLUMNS) & set(FACTS)
