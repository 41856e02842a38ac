"""The folder that the processes of a run share."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantgate.gate.folder import RunFolder
from quantgate.records.cell import Cell
from tests.examples import learning, make_result

CELL = Cell("int4", "format", "adamw", 47, 32, "inplace")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def test_a_new_folder_holds_nothing(folder: RunFolder) -> None:
    assert folder.plan() == {}
    assert folder.controls() == []
    assert folder.control(CELL.control) is None
    assert folder.failure is None
    assert not folder.misused


def test_a_plan_reads_back(folder: RunFolder) -> None:
    folder.publish_plan({"test_lowbit.py::test_learns[int4]": CELL})

    assert folder.plan() == {"test_lowbit.py::test_learns[int4]": CELL}


def test_the_first_plan_counts(folder: RunFolder) -> None:
    folder.publish_plan({"a": CELL})
    folder.publish_plan({"b": CELL})

    assert list(folder.plan()) == ["a"]


def test_controls_come_in_an_order_that_does_not_depend_on_who_trained_them(folder: RunFolder) -> None:
    muon = Cell("int4", "format", "muon", 47).control
    broken = make_result(Cell("dead-body", "negative-control", "adamw", 47))
    for result in (broken, learning(muon), learning(CELL.control)):
        folder.keep_control(result)

    assert [found.cell for found in folder.controls()] == [CELL.control, muon, broken.cell]
    assert folder.control(muon) == learning(muon)


def test_a_failure_is_kept_in_its_words(folder: RunFolder) -> None:
    folder.fail("fp32 x adamw cannot be trained: no such corpus")

    assert folder.failure == "fp32 x adamw cannot be trained: no such corpus"


def test_misuse_is_seen_by_every_process(folder: RunFolder) -> None:
    folder.mark_misuse()

    assert RunFolder(folder.path).misused


def test_nothing_half_written_is_left(folder: RunFolder) -> None:
    folder.publish_plan({"a": CELL})
    folder.keep_control(learning(CELL.control))
    folder.fail("no such corpus")

    assert {path.suffix for path in folder.path.iterdir()} == {".json", ".txt"}
