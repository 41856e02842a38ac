"""The commands that accept what a run found."""

from __future__ import annotations

import pytest

from quantgate.records.run import RunRecord
from quantgate.reports.words.commands import Files, into_baseline, into_known, out_of_known

FILES = Files("a b/results.jsonl", "base.jsonl", "known.toml")


def test_they_name_the_files_of_the_run() -> None:
    files = {"results": "a b/results.jsonl", "baseline": "base.jsonl", "known_failures": "known.toml"}

    assert Files.of(RunRecord(files=files)) == FILES
    assert Files.of(RunRecord()) == Files()


def test_of_an_older_record_the_options_name_them() -> None:
    options = ("--quantgate-baseline=base.jsonl", "--quantgate-known-failures=known.toml")

    assert Files.of(RunRecord(options=options)) == Files(None, "base.jsonl", "known.toml")


def test_the_cells_are_named_and_no_other() -> None:
    command = into_known(["x-adamw-s47", "x[1]-sgd-s47"], FILES)

    assert into_baseline(["x-adamw-s47"], FILES) == (
        "quantgate baseline accept base.jsonl 'a b/results.jsonl' --only x-adamw-s47 --reason TEXT"
    )
    assert command == (
        "quantgate known accept 'a b/results.jsonl' --only x-adamw-s47 --only 'x[[]1]-sgd-s47' --reason TEXT "
        "-o known.toml"
    )
    assert "--only GLOB --reason" in into_known([f"{each}-adamw-s47" for each in range(9)], FILES)


def test_what_learns_is_taken_out_of_the_file_that_says_otherwise() -> None:
    assert out_of_known(FILES) == "quantgate known accept 'a b/results.jsonl' -o known.toml"
    assert out_of_known(Files("out/results.jsonl")) is None


@pytest.mark.parametrize("baseline", [None, "before/results.jsonl"])
def test_a_baseline_that_nobody_changes_has_no_command(baseline: str | None) -> None:
    assert into_baseline(["x-adamw-s47"], Files("out/results.jsonl", baseline)) is None


def test_a_path_is_no_option() -> None:
    assert out_of_known(Files("-out/results.jsonl", None, "-k.toml")) == (
        "quantgate known accept ./-out/results.jsonl -o ./-k.toml"
    )


@pytest.mark.parametrize(
    ("results", "said"),
    [("out/results.jsonl", "`do`"), (None, "run it with --quantgate-report out, then `do`")],
)
def test_where_the_run_left_no_results_what_leaves_them_comes_first(results: str | None, said: str) -> None:
    assert Files(results).then("do") == said
