"""`quantgate judge`: which column names the runs, and that none of them vanishes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantgate.logs.judging import fleet
from tests.cli.conftest import Command
from tests.logs.samples import falling, verdicts

duckdb = pytest.importorskip("duckdb", reason="logs are read by DuckDB: pip install 'quantgate[logs]'")

ENDS = {"a": 2.6, "b": 2.7, "c": 6.99, "d": 2.9, "e": 6.98, "f": 3.0}
FOUND = {run: "dead" if end > 6.9 else "learns" for run, end in ENDS.items()}


def table(path: Path, head: str, rows: str) -> None:
    """A table of six runs by turns; `rows` holds `{run}` and `{line}` for the columns before step and score."""
    samples = sorted((step, run, score) for run, end in ENDS.items() for step, score in falling(end))
    lines = (rows.format(run=run, line=n) + f",{s},{b}\n" for n, (s, run, b) in enumerate(samples))
    path.write_text(f"{head},iteration,bpb\n" + "".join(lines))


@pytest.mark.parametrize(
    "column",
    ["run_id", "run_name", "run", "Run", "id", "name", "exp_name", "experiment", "model", "trial", "job"],
)
def test_whatever_column_names_the_runs_each_is_judged(quantgate: Command, folder: Path, column: str) -> None:
    table(folder / "all.csv", column, "{run}")

    said = quantgate("judge", "all.csv", "--json")

    assert (said.status, verdicts(said.out)) == (1, FOUND)


@pytest.mark.parametrize(
    ("head", "rows", "name"),
    [
        ("run_name,run_id", "sweep,{run}", "sweep/{}"),
        ("experiment,trial", "sweep,{run}", "sweep/{}"),
        ("id,run_id", "{line},{run}", "{}"),
        ("name,sha,run_id", "sweep,abc,{run}", "sweep/{}"),
    ],
)
def test_runs_that_share_a_name_are_told_by_what_else_identifies_them(
    quantgate: Command, folder: Path, head: str, rows: str, name: str
) -> None:
    table(folder / "all.csv", head, rows)

    assert verdicts(quantgate("judge", "all.csv", "--json").out) == {
        name.format(run): verdict for run, verdict in FOUND.items()
    }


def test_two_models_of_the_same_formats_are_held_against_their_own_control(
    quantgate: Command, folder: Path
) -> None:
    with (folder / "a.csv").open("w") as file:
        file.write("model,format,step,bpb\n")
        for model, control in (("big", 2.6), ("small", 3.38)):
            for format, end in (("fp32", control), ("int8", 3.4)):
                file.writelines(f"{model},{format},{s},{b}\n" for s, b in falling(end))

    assert verdicts(quantgate("judge", "a.csv", "--json").out) == {
        "fp32/big": "learns",
        "int8/big": "lags",
        "fp32/small": "learns",
        "int8/small": "learns",
    }


@pytest.mark.parametrize(
    ("head", "rows", "message"),
    [
        (
            "job,model,trial",
            "1,m,{run}",
            "the columns model, trial, job may each name a run; say which does: --columns name=COLUMN, and with two of "
            "them name=COLUMN,run=COLUMN.",
        ),
        (
            "id",
            "{line}",
            "each of 606 runs has one score ('0' is the first): the column that names runs holds something else in "
            "each line. Say --columns name=COLUMN.",
        ),
    ],
)
def test_columns_that_may_name_a_run_or_not_are_refused(
    quantgate: Command, folder: Path, head: str, rows: str, message: str
) -> None:
    table(folder / "all.csv", head, rows)

    assert quantgate("judge", "all.csv") == (4, "", f"quantgate: {message}\n")


def test_files_that_differ_in_their_ending_alone_are_two_runs(quantgate: Command, folder: Path) -> None:
    for file, end in (("a.csv", 2.6), ("a.log", 6.99)):
        (folder / file).write_text("step,bpb\n" + "".join(f"{s},{b}\n" for s, b in falling(end)))

    assert verdicts(quantgate("judge", "a.csv", "a.log", "--json").out) == {
        "a.csv": "learns",
        "a.log": "dead",
    }


def test_earlier_commits_of_a_cell_are_counted(quantgate: Command, folder: Path) -> None:
    with (folder / "a.jsonl").open("w") as file:
        for sha, end in (("zz", 2.6), ("aa", 2.61), ("mm", 6.99)):
            file.writelines(
                json.dumps({"run": "int8", "sha": sha, "step": s, "bpb": b}) + "\n" for s, b in falling(end)
            )

    said = quantgate("judge", "a.jsonl")

    assert "  2 of 3 runs are earlier commits of a cell, which its latest run judges\n" in said.out
    assert "The first bad commit is mm; aa was good.\n" in said.out


def test_a_run_that_vanished_is_a_fault_that_is_said(
    quantgate: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(folder / "all.csv", "run_id", "{run}")
    monkeypatch.setattr(fleet, "_cells", lambda runs: {run.key.cell: [run] for run in runs[1:]})

    assert quantgate("judge", "all.csv") == (
        4,
        "",
        "quantgate: 6 runs were read, and 5 judged or refused, 0 of them earlier: a fault of quantgate's own, and no "
        "verdict can be trusted; please report it\n",
    )


@pytest.mark.parametrize("column", ["run", "Run"])
def test_json_lines_with_a_column_run(quantgate: Command, folder: Path, column: str) -> None:
    with (folder / "a.jsonl").open("w") as file:
        for run, end in ENDS.items():
            file.writelines(json.dumps({column: run, "step": s, "loss": b}) + "\n" for s, b in falling(end))

    assert verdicts(quantgate("judge", "a.jsonl", "--json").out) == FOUND


def test_a_table_whose_columns_differ_in_case_alone(quantgate: Command, folder: Path) -> None:
    (folder / "a.csv").write_text("step,Step,bpb\n" + "".join(f"{s},x,{b}\n" for s, b in falling(2.6)))

    assert verdicts(quantgate("judge", "a.csv", "--json").out) == {"a": "learns"}


def test_no_error_of_duckdbs_own_is_shown(quantgate: Command, folder: Path) -> None:
    (folder / "a.parquet").write_bytes(b"PAR1" + b"\x00" * 100)
    duckdb.sql("SELECT 1 AS step, 7.0 AS bpb").write_parquet(str(folder / "b.parquet"))

    assert quantgate("judge", "a.parquet", "b.parquet") == (
        4,
        "",
        "quantgate: 'a.parquet' and 1 more, read as parquet, cannot be read (InvalidInputException): a file is broken, "
        "or is not what its ending says. Judge each alone to find it, or say --columns or --pattern.\n",
    )
