"""`quantgate judge` of logs whose scores stop while the steps go on, beside those of loggers that score at times."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.logs.samples import falling

pytest.importorskip("duckdb", reason="logs are read by DuckDB: pip install 'quantgate[logs]'")

#: (step, score); None where the row has none.
Rows = list[tuple[int, float | None]]
Writer = Callable[[Path, Rows], None]

CURVE = falling(2.6, steps=1000, every=1)
HINT = (
    "pandas writes NaN as an empty field, JSON as null: it may have diverged there. Log NaN as a word; where scores "
    "were switched off, judge the log up to the last one."
)


def rows(*, score_every: int = 1, row_every: int = 1, until: int = 1000, steps: int = 1000) -> Rows:
    """A row every so many steps, a score at every so many of them up to a step."""
    return [
        (step, score if step % score_every == 0 and step <= until else None)
        for step, score in CURVE[: steps + 1 : row_every]
    ]


def table(path: Path, rows: Rows) -> None:
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "val_bpb", "lr"])
        writer.writerows((step, score, 0.1) for step, score in rows)


def null(path: Path, rows: Rows) -> None:
    lines = (json.dumps({"step": step, "val_bpb": score}) + "\n" for step, score in rows)
    path.with_suffix(".jsonl").write_text("".join(lines))


def absent(path: Path, rows: Rows) -> None:
    entries = ({"step": step, **({} if score is None else {"val_bpb": score})} for step, score in rows)
    path.with_suffix(".jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))


@pytest.mark.parametrize("write", [table, null, absent])
@pytest.mark.parametrize(
    ("logged", "because"),
    [
        (
            rows(until=700),
            "no score after step 700 (2.74), while its steps go on to 1,000; until then, scores were at most 1 step "
            "apart.",
        ),
        (
            rows(score_every=50, row_every=10, until=600),
            "no score after step 600 (2.82), while its steps go on to 1,000; until then, scores were at most 50 steps "
            "apart.",
        ),
        (
            # Seldom at first, often later.
            [
                (step, score if step in (0, 300) or (step % 10 == 0 and 500 <= step <= 700) else None)
                for step, score in CURVE
            ],
            "no score after step 700 (2.74), while its steps go on to 1,000; until then, the last 10 scores were at "
            "most 10 steps apart.",
        ),
    ],
)
def test_a_run_whose_scores_stop_is_not_said_to_learn(
    quantgate: Command, folder: Path, write: Writer, logged: Rows, because: str
) -> None:
    write(folder / "int8-adamw", logged)

    said = quantgate("judge", str(folder))

    assert said.status == 1
    assert said.out.endswith(
        f"\nunjudged, scores-stop: 1 cell\n  int8-adamw: {because}\n  Hint: {HINT}\n\n"
        "1 cells / 0 learn / 0 do not / 1 unjudged\n"
        "no cell was compared with a float32 control, so each verdict is of its curve alone; --control names one\n"
    )


@pytest.mark.parametrize("untrained", [[], [(0, None)]], ids=["scored", "not scored"])
def test_a_table_that_ends_in_its_first_row_without_a_score_is_not_said_to_learn(
    quantgate: Command, folder: Path, untrained: Rows
) -> None:
    table(folder / "int8-adamw", untrained + rows(until=999)[len(untrained) :])

    said = quantgate("judge", str(folder))

    assert said.status == 1
    assert (
        "  int8-adamw: no score after step 999 (2.63), while its steps go on to 1,000; until then,"
        in said.out
    )


@pytest.mark.parametrize("write", [table, null, absent])
@pytest.mark.parametrize(
    "logged",
    [
        rows(score_every=50, row_every=10),
        # The next score would be due: the loop ended before it, or was stopped while it was taken.
        rows(score_every=100, row_every=10, until=800, steps=1000),
        # Steps 1, 2, 4, 8 and so on.
        [(step, score if step & (step - 1) == 0 else None) for step, score in CURVE],
        # Steps 1, 4, 16 and so on.
        [(step, score if step in (1, 4, 16, 64, 256) else None) for step, score in CURVE],
        # An entry of the end of the training whose steps are of something else.
        [*rows(score_every=50, row_every=10), (9000, None)],
        # An entry of the end of the training, as Hugging Face's.
        [*rows(row_every=10), (1005, None)],
    ],
)
def test_rows_without_a_score_between_scores_and_a_usual_tail_are_a_loggers(
    quantgate: Command, folder: Path, write: Writer, logged: Rows
) -> None:
    write(folder / "int8-adamw", logged)

    said = quantgate("judge", str(folder))

    assert "1 cells / 1 learn / 0 do not / 0 unjudged\n" in said.out
    assert said.status == 0


def test_an_entry_of_something_else_after_the_last_score_is_no_sign(quantgate: Command, folder: Path) -> None:
    absent(folder / "int8-adamw", [*rows(), (1001, None)])

    assert quantgate("judge", str(folder)).status == 0


def test_a_run_that_is_dead_anyway_is_said_to_be(quantgate: Command, folder: Path) -> None:
    table(folder / "int8-adamw", [(step, 7.0 if step < 500 else None) for step in range(1000)])

    assert "dead, flat: 1 cell\n" in quantgate("judge", str(folder)).out


def test_a_run_of_a_fleet_that_never_had_a_score_does_not_vanish(quantgate: Command, folder: Path) -> None:
    table(folder / "int8-adamw", rows())
    table(folder / "int4-adamw", rows(until=-1))

    said = quantgate("judge", str(folder))

    assert said.status == 1
    assert said.out.startswith("bits a symbol at the end of 2 runs, 1,001 samples\n")
    assert (
        "\nunjudged, refused: 1 cell\n  int4-adamw: no score in any of its 1,001 rows: NaN from the first step on, as "
        "pandas writes it, or the wrong column; --columns bpb=COLUMN names another.\n"
    ) in said.out


def test_a_run_of_an_exported_chart_that_is_over_before_the_others_is_a_whole_one(
    quantgate: Command, folder: Path
) -> None:
    lines = ["Step,int8 - val_bpb,int4 - val_bpb"]
    lines += [f"{step},{score},{score if step <= 700 else ''}" for step, score in CURVE]
    (folder / "chart.csv").write_text("\n".join([*lines, ""]))

    said = quantgate("judge", str(folder))

    assert "2 cells / 2 learn / 0 do not / 0 unjudged" in said.out
