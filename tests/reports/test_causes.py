"""Causes and rules in words."""

from __future__ import annotations

import pytest

from quantgate.diagnosis.diagnose import RULES
from quantgate.reports.causes import cause_text, rules_table


def test_the_text_of_a_cause() -> None:
    assert cause_text("grad-format") == (
        "grad-format: Gradients are cast to a format in which they underflow.\n\n"
        "How it looks: It learns early and stops as gradients become small.\n\n"
        "How to mend it: scale the gradient before the cast and unscale it after, per tensor.\n\n"
        "What names it:\n"
        "- share of a gradient that passes at size 1 and is lost at size 2^-20\n"
        "  flagged: above 50%\n"
        "  measured: a cast of the gradient to float16 loses 3%, to E5M2 all\n"
        "- how far the gradient of a sum is from the sum of the gradients, as a share of it\n"
        "  flagged: as a warning: above 0.7%\n"
        "  measured: 1e-7 in float32, 0.002 in bfloat16; 0.015 where a gradient is rounded to 8 bits"
    )
    assert cause_text("partly-applied").endswith("\n\nSeen in: pytorch/ao issue 2241.")
    assert "How it looks" not in cause_text("unexplained")
    assert "What names it" not in cause_text("unexplained")


def test_a_line_that_depends_on_the_bits_is_written_out() -> None:
    assert "  flagged: above 99.9% to 2 bits, 90.0% to 4 bits, 60.0% beyond\n" in cause_text(
        "range-collapsed"
    )


def test_an_unknown_cause_has_no_text() -> None:
    with pytest.raises(KeyError):
        cause_text("no-such-cause")


def test_every_rule_has_a_line_of_the_table() -> None:
    lines = rules_table().splitlines()

    assert lines[0] == "| cause | what is measured | flagged when | the measurement behind the line |"
    assert [line.split("`")[1] for line in lines[2:]] == [rule.cause for rule in RULES]
