"""What a terminal shows of a run: one line a failure, the verdict first, nothing within the dots."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

import pytest

from quantgate.plugin.published import progress
from quantgate.plugin.published.condensing import own_lines
from tests.plugin.conftest import Shared
from tests.plugin.project import BLOCKED, FAST, TEST_LEARNS, Outcome, Project

CONFTEST = BLOCKED + 'quantgate.register_format("fine", lambda w: w + ((w * 64).round() / 64 - w).detach())\n'
CELL = "blocked x adamw, width 32: 7."
MESSAGE = [
    "int4 x adamw: 7.09 BPB after 100 steps (limit 6.50, chance 7.00; control 5.22).",
    "Cause: gradient-blocked: the gradient is 0.",
    "Also: no-op: none.",
    "Hint: round() has no gradient. `quantgate explain gradient-blocked`",
]


def shows(*arguments: str) -> object:
    def run(project: Project) -> Outcome:
        project.write(conftest=CONFTEST, test_lowbit=TEST_LEARNS)
        return project.pytest(
            "-n0", *FAST, "-rf", *arguments, "--junitxml=junit.xml", environment={"COLUMNS": "80"}
        )

    return run


@pytest.fixture
def plain(shared_local: Shared) -> Outcome:
    return shared_local("shown-plain", shows())  # type: ignore[arg-type]


@pytest.fixture
def verbose(shared_local: Shared) -> Outcome:
    return shared_local("shown-verbose", shows("-v"))  # type: ignore[arg-type]


@pytest.fixture
def quiet(shared_local: Shared) -> Outcome:
    return shared_local("shown-quiet", shows("-q", "--no-header", "--tb=no"))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_failure_is_one_line_and_the_short_summary_begins_with_the_verdict(plain: Outcome) -> None:
    (said,) = [line for line in plain.lines if line.startswith(CELL)]

    assert said.endswith(" Cause: gradient-blocked.")
    assert plain.stdout.count("Hint: ") == plain.stdout.count("of 7 weights") == 1
    (short,) = [line for line in plain.lines if line.startswith("FAILED ")]
    assert short.startswith("FAILED test_lowbit.py::test_learns[blocked-adamw-s47-w32] - dead 7.")
    assert max(len(line) for line in plain.lines if "BPB after 20" in line or " w32 " in line) <= 120


@pytest.mark.slow
def test_junit_has_the_whole_message(plain: Outcome) -> None:
    (failure,) = ElementTree.parse(plain.folder / "junit.xml").iter("failure")

    assert (failure.get("message") or "").endswith(": gradient-blocked")
    assert "\nCause: gradient-blocked: the gradient is 0 for " in (failure.text or "")
    assert "\nHint: " in (failure.text or "")


@pytest.mark.slow
def test_a_verbose_line_has_the_score_and_the_cause(verbose: Outcome) -> None:
    text = " ".join(verbose.stdout.split())

    assert "test_learns[fine-adamw-s47-w32] PASSED " in text
    assert " learns [" in text
    assert "test_learns[blocked-adamw-s47-w32] FAILED 7." in text
    assert " dead: gradient-blocked [" in text


@pytest.mark.slow
def test_a_quiet_run_says_what_fails_why_and_what_to_do(quiet: Outcome) -> None:
    assert not any(line.startswith("BPB after") for line in quiet.lines)
    place = quiet.lines.index("gradient-blocked  1 cell")
    assert quiet.lines[place + 1].startswith("  blocked x adamw w32 7.")
    assert quiet.lines[place + 2].startswith("    the gradient is 0 for ")
    assert any(line.startswith("  Hint: ") for line in quiet.lines)
    assert any(line.startswith("2 planned / 2 ran") for line in quiet.lines)


@pytest.mark.parametrize(
    ("arguments", "said"), [((), True), (("-v",), False), (("-q",), False)], ids=["plain", "verbose", "quiet"]
)
@pytest.mark.slow
def test_progress_has_lines_of_its_own(
    local: Project, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str], said: bool
) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    local.write(conftest=CONFTEST + 'quantgate.register_format("more", lambda w: w * 1, bits=8)\n')
    local.write(test_lowbit=TEST_LEARNS)
    lines = local.pytest("-n0", *FAST, *arguments).lines
    shown = [line for line in lines if "cells judged" in line]

    assert [line.startswith("quantgate: 2 of 3 cells judged, 1 pass, about ") for line in shown] == [
        True
    ] * said
    if said:
        dots = [line for line in lines if line.startswith("test_lowbit.py ")]
        assert [line.split()[1] for line in dots] == ["F.", "F"]


def test_what_is_told_below_is_left_out_of_a_failure() -> None:
    assert own_lines(MESSAGE) == [f"{MESSAGE[0]} Cause: gradient-blocked."]
    assert own_lines(["int4 x adamw: unjudged: a control died."]) == ["int4 x adamw: unjudged."]
    assert own_lines(["a: regressed against the baseline: so.", "  step 1"]) == [
        "a: regressed against the baseline: so."
    ]
    trainers = [*MESSAGE, "Command: ./train"]
    assert own_lines(trainers) == trainers
