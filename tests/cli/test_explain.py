"""`quantgate explain`."""

from __future__ import annotations

from textwrap import dedent

import pytest

from quantgate.diagnosis.causes import CAUSES
from tests.cli.conftest import Command


def test_explain_lists_every_cause_in_a_line(quantgate: Command) -> None:
    said = quantgate("explain")
    lines = said.out.splitlines()

    assert (said.status, said.err) == (0, "")
    assert [line.split()[0] for line in lines] == list(CAUSES)
    assert lines[0] == "gradient-blocked        No gradient reaches the weights behind the quantizer."


def test_explain_says_what_a_cause_is_and_how_it_is_mended(quantgate: Command) -> None:
    assert quantgate("explain", "gradient-blocked") == (
        0,
        dedent(
            """\
            gradient-blocked: No gradient reaches the weights behind the quantizer.

            How it looks: The loss stays where it started; under every optimizer the weights do not move.

            How to mend it: round() has no gradient; use x + (q(x) - x).detach().

            What names it:
            - share of elements whose gradient is 0 where the reference's is not
              flagged: from 90%, or no gradient at all
              measured: 0 for a straight-through estimator, at most 45% for a clip mask (ternary by absolute mean)
            - layers of a recipe's model none of whose parameters gets a gradient
              flagged: one does not
              measured: none in a recipe that trains

            Seen in: meta-pytorch/MSLK PR 348, NVIDIA/TransformerEngine PR 3281.
            """
        ),
        "",
    )


@pytest.mark.parametrize("cause", CAUSES)
def test_explain_knows_every_cause(quantgate: Command, cause: str) -> None:
    said = quantgate("explain", cause)

    assert said.status == 0
    assert CAUSES[cause].summary in said.out
    assert CAUSES[cause].hint in said.out
