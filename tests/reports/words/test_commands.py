"""The commands that accept what a run found."""

from __future__ import annotations

import shlex

import pytest

from quantgate.records.run import RunRecord
from quantgate.reports.words.commands import Files, into_baseline, into_known, out_of_known

FILES = Files("a b/results.jsonl", "base.jsonl", "known.toml")


def test_they_name_the_files_of_the_run() -> None:
    options = (
        "--quantgate-steps=20",
        "--quantgate-baseline=base.jsonl",
        "--quantgate-known-failures=known.toml",
    )

    assert Files.of(RunRecord(results="a b/results.jsonl", options=options)) == FILES
    assert Files.of(RunRecord()) == Files()


def test_one_cell_is_named_and_several_by_what_their_names_begin_with() -> None:
    one, several = into_baseline(["x-adamw-s47"], FILES), into_known(["x-adamw-s47", "x-sgd-s47"], FILES)

    assert shlex.split(one) == [
        *["quantgate", "baseline", "accept", "base.jsonl"],
        "a b/results.jsonl",
        *["--only", "x-adamw-s47", "--reason", "TEXT"],
    ]
    assert shlex.split(several) == (
        [
            "quantgate",
            "known",
            "accept",
            "a b/results.jsonl",
            "--only",
            "x-*",
            "--reason",
            "TEXT",
            "-o",
            "known.toml",
        ]
    )
    assert "--only" not in into_known(["x-adamw-s47", "y-adamw-s47"], FILES)


def test_what_learns_is_taken_out() -> None:
    assert out_of_known(FILES) == "quantgate known accept 'a b/results.jsonl' -o known.toml"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (Files("out/results.jsonl"), "`quantgate known accept out/results.jsonl -o known.toml`"),
        (
            Files(),
            "run it with --quantgate-report out, then `quantgate known accept out/results.jsonl -o known.toml`",
        ),
    ],
)
def test_where_the_run_left_no_results_what_leaves_them_comes_first(files: Files, said: str) -> None:
    assert files.then(out_of_known(files)) == said
