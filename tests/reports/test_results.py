"""`results.jsonl`: a line a cell, there as soon as the cell is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantgate.records.result import CellResult, to_line
from quantgate.reports.results import FILE_NAME, ResultsFile
from tests.examples import learning, make_cell, make_result


def test_results_are_lines_in_the_order_they_came_in(tmp_path: Path) -> None:
    results = [make_result(), learning(make_cell(optimizer="muon"))]
    file = ResultsFile(tmp_path / "a" / "b")
    for result in results:
        file.append(result)
    file.close()

    assert file.path == tmp_path / "a" / "b" / "results.jsonl"
    lines = file.path.read_text("utf-8").splitlines()
    assert lines == [to_line(result) for result in results]
    assert [CellResult.from_record(json.loads(line)) for line in lines] == results


def test_a_line_is_there_before_the_run_ends(tmp_path: Path) -> None:
    file = ResultsFile(tmp_path)
    file.append(make_result())

    assert file.path.read_text("utf-8") == to_line(make_result()) + "\n"
    file.close()


def test_an_earlier_runs_results_are_replaced(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("old\n", encoding="utf-8")
    ResultsFile(tmp_path).close()

    assert (tmp_path / FILE_NAME).read_text("utf-8") == ""


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(OSError, match="file"):
        ResultsFile(tmp_path / "file" / "out")
