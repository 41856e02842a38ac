"""`quantgate explain`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from textwrap import dedent

import pytest

from quantgate.diagnosis.causes import CAUSES
from quantgate.diagnosis.diagnose import RULES
from quantgate.diagnosis.glossary import TERMS, VERDICTS
from quantgate.records.verdict import Verdict
from quantgate.reports.causes import rules_table
from tests.cli.conftest import Command


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes what is printed go to a screen of so many columns."""

    def made(columns: int) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    return made


def test_explain_lists_verdicts_causes_and_terms(quantgate: Command) -> None:
    said = quantgate("explain")
    blocks = [block.splitlines() for block in said.out.rstrip().split("\n\n")]
    names = {head: [line[2:28].strip() for line in lines if line[2] != " "] for head, *lines in blocks}

    assert (said.status, said.err) == (0, "")
    assert names == {
        "Verdicts": list(VERDICTS),
        "Causes": list(CAUSES),
        "Terms": list(TERMS),
        "More": ["rules", "power"],
    }
    assert max(map(len, said.out.splitlines())) <= 80
    assert "  gradient-blocked            No gradient reaches the weights behind the\n" in said.out


def test_every_verdict_is_explained(quantgate: Command) -> None:
    assert list(VERDICTS) == [str(each) for each in Verdict]
    for name in {*VERDICTS} - {*CAUSES}:
        assert quantgate("explain", name).out.startswith(f"{name} (verdict): ")


@pytest.mark.parametrize("name", TERMS)
def test_every_term_is_explained(quantgate: Command, name: str) -> None:
    said = quantgate("explain", *name.lower().split())

    assert (said.status, said.err) == (0, "")
    assert " ".join(said.out.split()) == f"{name} (term): {TERMS[name]}"


@pytest.mark.parametrize("name", ["foo", "loss", "learning rate"])
def test_a_word_that_is_like_none_leads_to_the_groups(quantgate: Command, name: str) -> None:
    assert quantgate("explain", name) == (
        4,
        "",
        f"quantgate: unknown cause, verdict or term {name!r}; there are {len(VERDICTS)} verdicts (learns, healthy, "
        f"faulty and more), {len(CAUSES)} causes (gradient-blocked, gradient-wrong, gradient-misscaled and more), "
        f"{len(TERMS)} terms (format, codec, fake-quantize and more), rules and power: `quantgate explain` lists all\n",
    )


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("gradient_blockd", "gradient-blocked"),
        ("noop", "no-op"),
        ("learn", "learns"),
        ("basline", "baseline"),
    ],
)
def test_a_word_nearly_right_is_suggested(quantgate: Command, name: str, near: str) -> None:
    assert quantgate("explain", name).err == (
        f"quantgate: unknown cause, verdict or term {name!r}; did you mean {near!r}?\n"
    )


@pytest.mark.parametrize("name", ["canon_name", "IGLA-TIER1-GATE-int8-h64-LR0.0002-rng47-adamw", "igla-x"])
def test_a_canonical_name_is_explained(quantgate: Command, name: str) -> None:
    said = quantgate("explain", name)

    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(
        "canonical name (term): The name that the fleet this gate was made for gives a\nrun, "
    )
    assert all(term in TERMS for term in ("lane", "ramp"))


def test_what_is_a_verdict_and_a_cause_is_both(quantgate: Command) -> None:
    said = quantgate("explain", "no-op").out

    assert said.startswith("no-op (verdict): Every tensor came back unchanged")
    assert "\n\nno-op: Nothing is quantized" in said


def test_a_lane_is_said_to_be_what_it_is_at_once(quantgate: Command) -> None:
    said = " ".join(quantgate("explain", "lane").out.split())

    assert said.startswith("lane (term): A group of trainings that are held against the same limits. ")


def test_a_program_that_reads_the_rules_gets_a_line_each(quantgate: Command) -> None:
    assert quantgate("explain", "rules") == (0, f"{rules_table()}\n", "")


@pytest.mark.parametrize("columns", [60, 80])
def test_a_person_who_reads_the_rules_gets_a_block_each(
    quantgate: Command, screen: Callable[[int], None], columns: int
) -> None:
    screen(columns)
    said = quantgate("explain", "rules").out
    head, *blocks = said.rstrip().split("\n\n")

    assert head.startswith(f"{len(RULES)} rules, in the order in which they are asked.")
    assert [block.splitlines()[0] for block in blocks] == [rule.cause for rule in RULES]
    assert all("\n  flagged: " in block and "\n  measured: " in block for block in blocks)
    assert max(map(len, said.splitlines())) <= columns
    assert (
        "gradient-blocked\n  share of elements whose gradient is 0 where the reference's is not\n"
        "  flagged: from 90%, or no gradient at all\n  measured: 0 for a straight-through estimator, "
    ) in said or columns < 80


def test_a_person_who_asks_for_the_power_gets_narrow_tables(
    quantgate: Command, screen: Callable[[int], None]
) -> None:
    screen(80)
    said = quantgate("explain", "power").out

    assert max(map(len, said.splitlines())) <= 80
    assert not {"**", "|", "# "} & {mark for mark in ("**", "|", "# ") if mark in said}
    assert "gradient-blocked       10  10 (100%)        0  10 (100%)  10 (100%)   9 (90%)\n" in said
    assert "What the gate catches, and the incident\n====" in said


def test_a_cause_is_folded_on_a_screen(quantgate: Command, screen: Callable[[int], None]) -> None:
    whole = quantgate("explain", "gradient-blocked").out
    screen(80)
    said = quantgate("explain", "gradient-blocked").out

    assert max(map(len, said.splitlines())) <= 80 < max(map(len, whole.splitlines()))
    assert said.split() == whole.split()


def test_explain_power_says_what_is_caught_and_missed(quantgate: Command) -> None:
    said = quantgate("explain", "power").out

    assert "What 100 steps and these probes do not see" in said
    assert "| **all** | 83 |" in said


def test_explain_says_what_a_cause_is_and_how_it_is_mended(quantgate: Command) -> None:
    assert quantgate("explain", "gradient-blocked") == (
        0,
        dedent(
            """\
            gradient-blocked: No gradient reaches the weights behind the quantizer.

            How it looks: The loss stays where it started, since the weights do not move; where the largest of them get a gradient through their scale, it falls a little, under optimizers that normalize (Muon, Adam) more.

            How to mend it: round() has no gradient; use x + (q(x) - x).detach().

            What names it:
            - share of elements whose gradient is 0 where the reference's is not
              flagged: from 90%, or no gradient at all
              measured: 0 for a straight-through estimator, at most 45% for a clip mask (ternary by absolute mean)
            - layers of a recipe's model none of whose parameters gets a gradient
              flagged: one does not
              measured: none in a recipe that trains

            Seen in: meta-pytorch/MSLK PR 348, NVIDIA/TransformerEngine PR 3281.
            """  # noqa: E501
        ),
        "",
    )


@pytest.mark.parametrize("cause", CAUSES)
def test_explain_knows_every_cause(quantgate: Command, cause: str) -> None:
    said = quantgate("explain", cause)

    assert said.status == 0
    assert CAUSES[cause].summary in said.out
    assert CAUSES[cause].hint in said.out
