"""`quantgate judge` of a table of best scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command

pytest.importorskip("duckdb", reason="logs are read by DuckDB: pip install 'quantgate[logs]'")


def test_the_incidents_table_of_best_scores_tells_the_dead_and_what_it_cannot_tell(
    quantgate: Command, folder: Path
) -> None:
    from quantgate.faults.fleet import REPORT

    rows = "".join(f"{r.format},{r.optimizer},{r.bpb:.4f},{r.verdict}\n" for r in REPORT)
    (folder / "issue827.csv").write_text("format,optimizer,best_bpb,reported\n" + rows)

    said = quantgate("judge", "issue827.csv", "--json")
    found = {(r["format"], r["optimizer"]): r["verdict"] for r in map(json.loads, said.out.splitlines())}

    assert found == {(r.format, r.optimizer): r.verdict for r in REPORT}
    assert (
        "  a table of best scores has no curves: it cannot tell a run that never moved from one that fell and rose, or "
        "that ended early, nor whether a format is silently float32, nor which commit broke it\n"
    ) in quantgate("judge", "issue827.csv").out


def test_a_best_score_far_above_chance_is_refused_where_nothing_says_what_chance_is(
    quantgate: Command, folder: Path
) -> None:
    (folder / "best.csv").write_text("format,best_bpb\nint8,9.1\nint4,3.0\n")

    (refused, _) = (json.loads(line) for line in quantgate("judge", "best.csv", "--json").out.splitlines())

    assert (refused["verdict"], refused["evidence"]["because"]) == (
        "unjudged",
        "its best score, 9.10 bits, is far above chance (7.00, assumed). Say --vocabulary, --chance or --unit.",
    )
    assert '"dead"' in quantgate("judge", "best.csv", "--json", "--vocabulary", "256").out


def test_a_cell_that_has_no_finite_best_score_is_not_said_to_learn(quantgate: Command, folder: Path) -> None:
    (folder / "best.csv").write_text(
        "format,optimizer,best_bpb\nint8,adamw,2.6\nint4,adamw,nan\nnf4,adamw,N/A\nposit8,adamw,\n"
    )

    said = quantgate("judge", "best.csv")

    assert said.status == 1
    assert (
        "\ndiverged, best-of: 2 cells\n"
        "  int4-adamw: its best score is not finite.\n"
        "  nf4-adamw: its best score is not finite.\n"
        "\nunjudged, refused: 1 cell\n"
        "  posit8-adamw: no score in its row: pandas writes NaN as an empty field, and what was not trained has none "
        "either.\n"
        "\n4 cells / 1 learn / 2 do not / 1 unjudged\n"
    ) in said.out


def test_what_a_table_of_best_scores_does_not_state_is_null(quantgate: Command, folder: Path) -> None:
    (folder / "best.csv").write_text("format,best_bpb\nint8,7.0\n")
    unstated = ("optimizer", "seed", "width", "steps", "lr", "chance", "canon_name")

    said = quantgate("judge", "best.csv", "--report", "out", "--json")
    given = json.loads(quantgate("judge", "best.csv", "--json", "--vocabulary", "128").out)

    record = json.loads(said.out)
    assert [record[name] for name in unstated] == ["?", None, None, None, None, None, "int8"]
    assert (given["chance"], given["seed"]) == (7.0, None)
    assert (
        "  chance 7.00 bits, assumed: --vocabulary or --chance say it\n" in quantgate("judge", "best.csv").out
    )
    assert quantgate("report", "out").out.splitlines()[2] == (
        "BPB after steps that are not recorded: below 4.78 passes, 6.90 is dead, chance is not recorded"
    )
    assert json.loads(quantgate("report", "out", "--json").out)["failing"] == ["int8-?"]
