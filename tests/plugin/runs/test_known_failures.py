"""The file of known failures: strict in every direction."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Shared
from tests.plugin.project import BLOCKED, FAST, TEST_LEARNS, Outcome, Project
from tests.plugin.test_options_collected import collected

FILE = """
["blocked-*"]
reason = "no estimator yet,\\u001b[31m see issue 12"
cause = "gradient-blocked"
link = "https://example.org/12"
until = 2999-12-31

["nf4-*"]
reason = "was coarse"
cause = "resolution"

["old_blocked-adamw-s47-w32"]
reason = "in spring"
cause = "gradient-blocked"
until = 2020-03-31

["int4-adamw-s47-w32"]
reason = "was coarse"
cause = "range-collapsed"

["also_blocked-adamw-s47-w32"]
reason = "was coarse"
cause = "range-collapsed"

["bf16-sgd-s47-w32"]
reason = "of an optimizer that this run leaves out"
cause = "no-op"
"""


@pytest.fixture
def outcome(shared_local: Shared) -> Outcome:
    def run(project: Project) -> Outcome:
        last = BLOCKED.splitlines()[-1]
        again = "\n".join(last.replace("blocked", f"{name}_blocked") for name in ("also", "old"))
        project.write(conftest=f"{BLOCKED}\n{again}\n", test_lowbit=TEST_LEARNS)
        (project.folder / "known.toml").write_text(FILE, encoding="utf-8")
        options = ["--quantgate-known-failures=known.toml", "--quantgate-report=out"]
        formats = "--quantgate-formats=blocked,also_blocked,old_blocked,int4,nf4"
        return project.pytest("-n0", "-rx", *FAST, *options, formats)

    return shared_local("known-failures", run)


def test_the_exit_status_and_the_counts(outcome: Outcome) -> None:
    assert outcome.exit_status == 1
    assert outcome.lines[-1].strip("= ").startswith("4 failed, 1 xfailed in ")
    assert (
        "5 planned / 5 ran / 5 judged / 0 skipped, 1 of 1 controls learn, 3 of 3 negative controls fail"
        in outcome.lines
    )


def test_one_that_fails_as_it_is_known_to_is_an_expected_failure(outcome: Outcome) -> None:
    assert "\x1b" not in outcome.stdout
    text = " ".join(outcome.lines)
    # pytest 8.2 begins it with "reason: ".
    _, _, said = text.partition("XFAIL test_lowbit.py::test_learns[blocked-adamw-s47-w32] - ")
    assert said.removeprefix("reason: ").startswith("gradient-blocked: no estimator")
    assert outcome.cells["blocked"]["verdict"] == "dead"


def test_it_is_marked_in_the_table_and_in_its_record(outcome: Outcome) -> None:
    assert "blocked w32            7.04 dead (known)" in outcome.lines
    assert "also_blocked w32       7.04 dead" in outcome.lines
    place = outcome.lines.index("  blocked x adamw w32 7.04 dead")
    assert outcome.lines[place - 1] == (
        "  A known failure: no estimator yet,\\x1b[31m see issue 12, https://example.org/12, until 2999-12-31"
    )
    assert outcome.cells["blocked"]["known"] == {
        "pattern": "blocked-*",
        "reason": "no estimator yet,\x1b[31m see issue 12",
        "cause": "gradient-blocked",
        "until": "2999-12-31",
        "link": "https://example.org/12",
    }
    assert [cell["known"] for name, cell in outcome.cells.items() if name != "blocked"] == [None] * 4
    unexcused = {name: cell["unexcused"] for name, cell in outcome.cells.items()}
    assert unexcused.pop("blocked") is None
    assert {name: entry["why"] for name, entry in unexcused.items()} == {
        "also_blocked": "cause", "old_blocked": "over", "int4": "learns", "nf4": "learns",
    }  # fmt: skip
    assert unexcused["nf4"]["pattern"] == "nf4-*"


def test_the_summary_says_what_is_red(outcome: Outcome) -> None:
    first, *rest = (outcome.folder / "out" / "summary.md").read_text("utf-8").splitlines()

    assert first == (
        "## ❌ 2 formats fail (also\\_blocked, old\\_blocked): 2 of 5 cells, gradient-blocked; 2 known failures learn "
        "now (int4, nf4)"
    )
    assert "quantgate known accept out/results.jsonl -o known.toml" in rest


def test_one_of_a_pattern_that_learns_is_red(outcome: Outcome) -> None:
    assert (
        "nf4 x adamw, width 32: a known failure (was coarse) that learns now; narrow the pattern 'nf4-*' in the file "
        "of known failures, or take it out."
    ) in outcome.lines


def test_one_whose_day_has_passed_is_red(outcome: Outcome) -> None:
    (said,) = outcome.after(
        "a known failure until 2020-03-31, which has passed (in spring): mend it, or give the entry "
        "'old_blocked-adamw-s47-w32' another date."
    )
    assert said.startswith("old_blocked x adamw, width 32: 7.0")


def test_one_that_learns_now_is_red(outcome: Outcome) -> None:
    assert (
        "int4 x adamw, width 32: a known failure (was coarse) that learns now; take 'int4-adamw-s47-w32' out of the "
        "file of known failures: `quantgate known accept out/results.jsonl -o known.toml`."
    ) in outcome.lines
    *cells, hint = outcome.after("known-failure-learns  2 cells", 3)
    assert [line.split()[0] for line in cells] == ["int4", "nf4"]
    assert (
        hint == "  Hint: take its entry out of the file of known failures; narrow it, where it is a pattern."
    )


def test_one_that_fails_for_another_cause_is_red(outcome: Outcome) -> None:
    (said,) = outcome.after("a known failure by another cause than 'range-collapsed'.")
    assert said.startswith("also_blocked x adamw, width 32: 7.0")
    assert said.endswith(" Cause: gradient-blocked.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is not TOML: Invalid initial character for a key part (at end of document)"),
        ("\udcff", "is not TOML: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        ("x = 3", ": 'x' needs a reason and a cause, and takes no more than until (a date) and a link"),
        (
            '["int4-adamw-s47"]\nreason = "r"',
            ": 'int4-adamw-s47' needs a reason and a cause, and takes no more than until (a date) and a link",
        ),
        (
            '["int4-adamw-s47"]\nreason = " "\ncause = "no-op"',
            ": 'int4-adamw-s47' needs a reason and a cause, and takes no more than until (a date) and a link",
        ),
        (
            '["int4-adamw-s47"]\nreason = "r"\ncause = "no-op"\nuntil = 3',
            ": 'int4-adamw-s47': until is '3', and no date; write until = 2026-12-31",
        ),
        (
            '["int4-adamw-s47"]\nreason = "r"\ncause = "gradient-block"',
            ": 'int4-adamw-s47' has the unknown cause 'gradient-block'; did you mean 'gradient-blocked'?",
        ),
        (
            '["int4-adamw-s48"]\nreason = "r"\ncause = "no-op"',
            ": 'int4-adamw-s48' matches no cell; did you mean 'int4-adamw-s47'?",
        ),
        (
            '["int5-adamw-s47"]\nreason = "r"\ncause = "no-op"',
            ": 'int5-adamw-s47' matches no cell; did you mean 'int4-adamw-s47'?",
        ),
        ('["zzz"]\nreason = "r"\ncause = "no-op"', ": 'zzz' matches no cell"),
    ],
)
def test_a_file_that_cannot_stand(
    pytester: pytest.Pytester, mode: tuple[str, ...], text: str, message: str
) -> None:
    pytester.makepyfile(TEST_LEARNS)
    pytester.path.joinpath("known.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    result = pytester.runpytest_inprocess(
        "--collect-only", *mode, "--quantgate-known-failures=known.toml", "--quantgate-formats=int4"
    )
    assert result.ret == 4
    separator = "" if message.startswith(":") else " "
    assert f"ERROR: quantgate: known failures 'known.toml'{separator}{message}" in result.errlines


def test_a_cell_of_another_shard_or_of_a_format_left_out_matches(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    pytester.makepyfile(TEST_LEARNS)
    entries = [f'["{name}"]\nreason = "r"\ncause = "no-op"\n' for name in ("int4-sgd-s47", "bf16-adamw-s47")]
    pytester.path.joinpath("known.toml").write_text("".join(entries))
    options = ["--quantgate-formats=int4", "--quantgate-optimizers=adamw,sgd", "--quantgate-shard=1/2"]
    known = "--quantgate-known-failures=known.toml"
    result = pytester.runpytest_inprocess("--collect-only", "-q", *mode, *options, known)
    assert result.ret == 0
    assert collected(result) == ["int4-adamw-s47"]
