"""`quantgate judge`: the table, the shapes and the records of a fleet, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import pytest

from quantgate.records.closing import Closing
from quantgate.records.result import CellResult
from quantgate.records.run import RunRecord
from quantgate.reports.results import ResultsFile
from tests.cli.conftest import Command
from tests.logs.samples import FLEET, falling, lines, name, verdicts, write

pytest.importorskip("duckdb", reason="logs are read by DuckDB: pip install 'quantgate[logs]'")

HEAD = """\
bits a symbol at the end of 9 runs, 829 samples
  1 file
  unit bits (the column says so)
  chance 7.00 bits (128 symbols: the runs start at 7.02)
  horizon 2,000 steps (the middle run's last step, or the control's)
  1 float32 control (IGLA-TIER1-fp32-h64-LR0.001-rng47-adamw)

                   adamw
(float32 control)  2.60 learns
bf16               3.20 unjudged
gf32               2.60 no-op
int4               5.00 partial
int8               2.62 learns
mxfp8              diverged
nf4                7.00 dead
posit8             6.99 dead
uint8              3.40 lags
"""


@pytest.fixture
def fleet(folder: Path) -> Path:
    path = folder / "fleet.jsonl"
    path.write_text("".join(lines(FLEET)))
    return path


def test_a_fleets_log_gives_the_table_of_a_run_and_who_failed_in_which_way(
    quantgate: Command, fleet: Path
) -> None:
    said = quantgate("judge", str(fleet))

    assert (said.status, said.err) == (1, "")
    table, _, rest = said.out.partition("\nunjudged, ended-early: 1 cell\n")
    assert table == HEAD
    assert rest.splitlines()[:2] == [
        f"  {name('bf16')}: ended early: at step 400 of 2,000, at 3.20; its control was at 3.20 by then.",
        "  Hint: look for why it stopped; judge what there is with --horizon.",
    ]
    shapes = [line for line in said.out.splitlines() if line.endswith(" cell")]
    assert shapes == [
        "unjudged, ended-early: 1 cell",
        "no-op, identical: 1 cell",
        "partial, plateau: 1 cell",
        "diverged: 1 cell",
        "dead, fell-then-rose: 1 cell",
        "dead, flat: 1 cell",
        "lags, plateau: 1 cell",
    ]
    assert said.out.splitlines()[-1] == (
        "8 cells / 1 learn / 6 do not / 1 unjudged, 1 of 1 float32 controls learn"
    )


@pytest.mark.parametrize(
    ("format", "because"),
    [
        ("gf32", "equal to its float32 control in all 4 decimals of the log, at 101 steps."),
        ("int4", "a plateau since step 720: 5.00 after 2,000 steps (limit 4.78; its control was at 2.60 by then)."),
        ("mxfp8", "not finite from step 920 on (55 of 101 scores); it was 2.65 before."),
        ("posit8", "flat from the start: 6.99 after 2,000 steps, 7.02 at first; its control was at 2.60 by then."),
    ],
)  # fmt: skip
def test_each_shape_is_said_with_its_numbers(
    quantgate: Command, fleet: Path, format: str, because: str
) -> None:
    records = map(json.loads, quantgate("judge", str(fleet), "--json").out.splitlines())

    assert next(r["evidence"]["because"] for r in records if r["format"] == format) == because


def test_a_report_that_cannot_be_written_is_said(
    quantgate: Command, fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: ResultsFile, result: CellResult) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ResultsFile, "append", full)
    said = quantgate("judge", str(fleet), "--report", "out")

    assert (said.status, said.err) == (
        4,
        "quantgate: the report folder 'out' cannot be written to: No space left on device\n",
    )


def test_the_records_are_a_runs(quantgate: Command, fleet: Path, folder: Path) -> None:
    said = quantgate("judge", str(fleet), "--report", "out")

    written = [
        CellResult.from_record(json.loads(line))
        for line in (folder / "out" / "results.jsonl").read_text("utf-8").splitlines()[:-1]
    ]
    assert said.status == 1
    assert [(r.kind, r.format) for r in written if r.format in ("fp32", "int8")] == [
        ("trainer", "int8"),
        ("control", "fp32"),
    ]
    int8 = next(result for result in written if result.format == "int8")
    assert (int8.optimizer, int8.seed, int8.width, int8.lr, int8.steps) == ("adamw", 47, 64, 0.001, 2000)
    assert int8.canon_name == name("int8")
    assert int8.evidence == {
        "shape": "learns",
        "best": min(s for _, s in int8.curve if s),
        "samples": 101,
        "control": name("fp32"),
        "sha": "abc123",
    }


def test_the_report_folder_is_a_finished_runs(quantgate: Command, fleet: Path, folder: Path) -> None:
    quantgate("judge", str(fleet), "--report", "out")

    run = RunRecord.from_record(json.loads((folder / "out" / "run.json").read_text("utf-8")))
    last = (folder / "out" / "results.jsonl").read_text("utf-8").splitlines()[-1]
    closing = Closing.from_record(json.loads(last))
    assert (run.state, run.exit_status, run.planned, run.ran, run.judged) == ("finished", 1, 8, 8, 7)
    assert (round(run.fail_bpb, 9), run.dead_bpb, run.optimizers) == (4.78, 6.9, ("adamw",))
    assert (closing.exit_status, len(closing.plan.cells), closing.judged) == (1, 8, 7)
    said = quantgate("report", "out")
    assert (said.status, said.err) == (1, "")
    assert "8 planned / 8 ran / 7 judged / 0 skipped, 1 of 1 controls learn\n" in said.out


def test_two_runs_in_one_log_are_told_and_not_judged(quantgate: Command, folder: Path) -> None:
    for file, curve in (
        ("twice.csv", falling(2.6) + falling(3.0)),
        ("back.csv", falling(2.6)[50:] + falling(2.6)[:50]),
    ):
        write(folder / file, curve, "step", "bpb")

    because = [
        json.loads(line)["evidence"]["because"]
        for line in quantgate("judge", "*.csv", "--json").out.splitlines()
    ]

    assert because == [
        "steps do not rise: step 1,000 is logged before step 980. Two runs in one log, or a restart? Tell them "
        "apart by a column (run=...), or cut the log.",
        "steps do not rise: 2 scores for 1 steps from 0 to 0. Two runs under one name, or a restart? Tell them "
        "apart by a column (run=...), or judge each file alone.",
    ]


def test_runs_that_were_first_logged_late_are_judged_where_others_confirm_the_unit(
    quantgate: Command, folder: Path
) -> None:
    late = {format: curve[20:] for format, curve in FLEET.items() if format in ("fp32", "int8", "posit8")}
    (folder / "a.jsonl").write_text("".join(lines(late)))
    (folder / "b.jsonl").write_text("".join(lines({"int8": late["int8"]})))

    assert verdicts(quantgate("judge", "a.jsonl", "--json").out) == {
        name("int8"): "learns",
        name("posit8"): "dead",
        name("fp32"): "learns",
    }
    assert verdicts(quantgate("judge", "b.jsonl", "--json").out) == {name("int8"): "unjudged"}


def test_cells_that_differ_in_their_rate_have_a_row_each(quantgate: Command, folder: Path) -> None:
    with (folder / "a.jsonl").open("w") as file:
        for lr, end in ((0.001, 3.0), (0.003, 6.99)):
            other = name("int8").replace("LR0.001", f"LR{lr}")
            file.writelines(
                json.dumps({"canon_name": other, "step": s, "bpb": b}) + "\n" for s, b in falling(end)
            )

    assert "int8 lr 0.001  3.00 learns\nint8 lr 0.003  6.99 dead\n" in quantgate("judge", "a.jsonl").out


def test_the_first_bad_commit_is_named_from_files_too(quantgate: Command, folder: Path) -> None:
    with (folder / "a.jsonl").open("w") as file:
        for sha, end in (("zz", 2.6), ("aa", 2.61), ("mm", 6.99)):
            for step, score in falling(end):
                file.write(
                    json.dumps({"canon_name": name("int8"), "sha": sha, "step": step, "bpb": score}) + "\n"
                )

    assert "The first bad commit is mm; aa was good.\n" in quantgate("judge", "a.jsonl").out


def test_a_control_that_does_not_learn_exits_70(quantgate: Command, folder: Path) -> None:
    (folder / "a.jsonl").write_text("".join(lines({"fp32": falling(6.98), "int8": falling(6.99)})))

    said = quantgate("judge", "a.jsonl")

    assert said.status == 70
    assert (
        f"  {name('int8')}: its float32 control, {name('fp32')}, does not learn (dead, 6.98): the format is not what "
        "fails here.\n"
    ) in said.out


def test_the_control_may_be_named(quantgate: Command, folder: Path) -> None:
    (folder / "a.jsonl").write_text("".join(lines({"ref": falling(2.6), "int8": falling(3.4)})))

    assert verdicts(quantgate("judge", "a.jsonl", "--json").out)[name("int8")] == "learns"
    for control in ("*-ref-*", "format=ref"):
        assert (
            verdicts(quantgate("judge", "a.jsonl", "--json", "--control", control).out)[name("int8")]
            == "lags"
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name files, or a table by --sql; such as quantgate judge 'logs/*.jsonl'"),
        (("none*.jsonl",), "no file 'none*.jsonl'; is the path right, and a glob in quotes?"),
        (("empty.log",), "the files are empty; is the trainer's output buffered, or the path another's?"),
        (("x.csv",), "'x.csv' has no column of scores; there are step, y. Say --columns bpb=COLUMN."),
        (("x.csv", "--columns", "bpb=z"), "no column 'z' for 'bpb'; there are step, y"),
        (("x.csv", "--chance", "7", "--vocabulary", "65"), "--chance and --vocabulary say the same; give one"),
        (("x.csv", "--chance", "-1"), "--chance -1: a positive number is needed"),
        (("x.csv", "--fail-bpb", "5"), "--fail-bpb and --dead-bpb go together"),
        (
            ("y.csv", "--since", "24h"),
            "'y.csv' has no column of times for --since; say --columns ts=COLUMN.",
        ),
        (
            ("y.csv", "--control", "fp64"),
            "--control 'fp64': no cell is it; there are y",
        ),
        (
            ("y.csv", "--like", "IGLA-%"),
            "no samples: nothing was read that has a step and a score; is it the right column or pattern?",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_exits_4_and_says_why(
    quantgate: Command, folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    (folder / "empty.log").touch()
    write(folder / "x.csv", falling(3.0), "step", "y")
    write(folder / "y.csv", falling(3.0), "step", "bpb")

    assert quantgate("judge", *arguments) == (4, "", f"quantgate: {message}\n")


@pytest.mark.parametrize(
    ("package", "arguments", "message"),
    [
        ("duckdb", ("x.csv",), "logs are read by DuckDB: pip install 'quantgate[logs]'"),
        (
            "sqlalchemy",
            ("--sql", "sqlite:///x.db"),
            "--sql: databases are reached through SQLAlchemy: pip install 'quantgate[logs]'",
        ),
        (
            "psycopg",
            ("--sql", "postgresql://localhost:1/x"),
            "PostgreSQL is reached by psycopg: pip install 'quantgate[logs]'",
        ),
    ],
)
def test_without_the_extra_what_to_install_is_said(
    quantgate: Command,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    pytest.importorskip("sqlalchemy", reason="tables are read by SQLAlchemy: pip install 'quantgate[logs]'")
    monkeypatch.setitem(sys.modules, package, None)
    write(folder / "x.csv", falling(3.0), "step", "bpb")

    assert quantgate("judge", *arguments) == (4, "", f"quantgate: {message}\n")
