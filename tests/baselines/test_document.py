"""The file of a baseline: what is kept, and every way in which a file is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from quantgate.baselines.document import Baseline, BaselineError, MissingBaselineError, read, write
from quantgate.records.cell import Config
from quantgate.records.closing import Closing, Plan
from quantgate.records.result import CellResult, to_line, unmeasured
from quantgate.records.verdict import Verdict
from tests.examples import CELL, learning, make_cell, make_result

HEADER = '{"quantgate_baseline": 1}'


def of(*results: CellResult) -> Baseline:
    return Baseline({}).updated(results)


def written(folder: Path, *lines: str) -> Path:
    path = folder / "base.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def refused(path: Path) -> str:
    with pytest.raises(BaselineError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"baseline {str(path)!r}")
    return message.removeprefix(f"baseline {str(path)!r}")


# what is kept


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "base.jsonl"
    baseline = of(make_result(), learning(make_cell(optimizer="muon")))
    write(path, baseline)

    assert read(path) == baseline
    assert [path.name for path in path.parent.iterdir()] == ["base.jsonl"]


def test_a_line_is_a_cell_in_the_order_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "base.jsonl"
    write(path, of(*(make_result(make_cell(optimizer=name)) for name in ("sgd", "adamw", "muon"))))
    header, *lines = path.read_text("utf-8").splitlines()

    assert header == HEADER
    assert [json.loads(line)["optimizer"] for line in lines] == ["adamw", "muon", "sgd"]


def test_it_keeps_no_more_evidence_than_a_comparison_needs() -> None:
    evidence = {
        "because": "why",
        "weights": [1, 2],
        "judged_seed": 89,
        "warnings": {"not-reproducible": "differs", "scale-zero": "zero"},
    }
    (entry,) = of(
        make_result(evidence=evidence, known={"reason": "r"}, baseline={"change": "new"})
    ).entries.values()

    assert entry.result == make_result(
        evidence={"because": "why", "judged_seed": 89, "warnings": {"not-reproducible": ""}}, hint=None
    )


def test_a_reason_is_kept_beside_its_cell(tmp_path: Path) -> None:
    path = tmp_path / "base.jsonl"
    write(path, of(make_result()).updated([make_result()], {"reason": "meant", "on": "2026-11-25"}))

    assert read(path).entries[CELL.id].accepted == {"reason": "meant", "on": "2026-11-25"}


def test_what_was_not_judged_and_controls_change_nothing() -> None:
    crashed = unmeasured(CELL, Verdict.CRASHED, "boom", Config())
    before = of(learning())

    assert before.updated([crashed, learning(CELL.control)]) == before


def test_the_results_of_a_run_are_a_baseline_and_the_last_of_a_cell_counts(tmp_path: Path) -> None:
    control = learning(CELL.control)
    path = written(tmp_path, *map(to_line, (make_result(), control, learning())))
    baseline = read(path)

    assert baseline.is_report
    assert {name: entry.result.verdict for name, entry in baseline.entries.items()} == {
        CELL.id: Verdict.LEARNS
    }


def test_how_the_run_ended_is_no_cell(tmp_path: Path) -> None:
    path = written(tmp_path, to_line(make_result()), Closing(Plan((CELL.id,)), 1).to_line())

    assert list(read(path).entries) == [CELL.id]


def test_a_link_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "target.jsonl", tmp_path / "link.jsonl"
    target.touch()
    link.symlink_to(target)
    write(link, of(make_result()))

    assert link.is_symlink()
    assert CELL.id in read(target).entries


# what is refused


def test_what_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(MissingBaselineError, match=r"is not there$"):
        read(tmp_path / "base.jsonl")


@pytest.mark.parametrize("lines", [(), ("", "  ")])
def test_an_empty_file_is_said(tmp_path: Path, lines: tuple[str, ...]) -> None:
    assert refused(written(tmp_path, *lines)) == " is empty; was the run that wrote it ended?"


@pytest.mark.parametrize("lines", [(HEADER,), (to_line(make_result(CELL.control)),)])
def test_a_file_without_cells_is_said(tmp_path: Path, lines: tuple[str, ...]) -> None:
    assert refused(written(tmp_path, *lines)) == " holds no judged cell; there is nothing to compare with"


@pytest.mark.parametrize("schema", [2, "1", None, [1]])
def test_another_schema_is_said(tmp_path: Path, schema: Any) -> None:
    assert refused(written(tmp_path, json.dumps({"quantgate_baseline": schema}), "of another kind")) == (
        " is of another schema; this quantgate reads schema 1: take the quantgate that wrote it, or make it anew"
    )


def test_a_line_that_was_cut_is_named(tmp_path: Path) -> None:
    line = to_line(make_result())

    for place in range(1, len(line) - 1, 97):
        assert refused(written(tmp_path, HEADER, line, line[:place])) == (
            ", line 3 is no JSON, or was cut in mid-line; make it anew, or take the line out"
        )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3", " is no record: a JSON object a line is"),
        ("{}", ": not a result record: subject, kind, format, "),
        ("[" * 100_000, ": nested too deep for a record"),
        (
            to_line(make_result()).replace('"dead"', '"fine"'),
            ": not a result record: 'fine' is not a valid Verdict",
        ),
        (
            to_line(make_result()).replace('"steps": 100', '"steps": "100"'),
            ": not a result record: steps is '100'",
        ),
    ],
    ids=len,
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str, message: str) -> None:
    assert refused(written(tmp_path, HEADER, line)).startswith(f", line 2{message}")


def test_a_folder_a_binary_and_a_lock_are_said(tmp_path: Path) -> None:
    assert refused(tmp_path) == " is a folder; name the file in it: results.jsonl, say"
    path = tmp_path / "base.jsonl.gz"
    path.write_bytes(b"\x1f\x8b\x08\x00\xff")
    assert refused(path) == " is no text: it holds a JSON object a line, without compression"


def test_what_cannot_be_written_is_said_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "base.jsonl"
    write(path, of(make_result()))
    before = path.read_bytes()

    def full(self: Path, *given: Any, **more: Any) -> int:
        self.write_bytes(b"half")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(BaselineError, match=r"base\.jsonl' cannot be written: No space left on device$"):
        write(path, of(learning()))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
