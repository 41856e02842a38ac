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
    assert folder.plan() == ({}, {})
    assert not folder.is_planned
    assert folder.controls() == []
    assert folder.control(CELL.control) is None
    assert folder.failure is None
    assert folder.misuse is None


def test_a_plan_reads_back(folder: RunFolder) -> None:
    folder.publish_plan({"test_lowbit.py::test_learns[int4]": CELL}, [CELL, CELL.control])

    assert folder.plan() == (
        {"test_lowbit.py::test_learns[int4]": CELL},
        {CELL: None, CELL.control: None},
    )
    assert folder.is_planned


def test_the_first_plan_counts(folder: RunFolder) -> None:
    folder.publish_plan({"a": CELL}, [CELL])
    folder.publish_plan({"b": CELL}, [CELL])

    assert list(folder.plan()[0]) == ["a"]


def test_what_a_worker_was_training_when_it_died_is_found(folder: RunFolder) -> None:
    with folder.doing("gw0", CELL) as log:
        log.write("it stood here")
        log.flush()
        assert folder.died_in("gw0") == (CELL, "it stood here")
        assert folder.deaths(CELL) == ["it stood here"]
        assert folder.deaths(CELL.control) == []

    assert folder.died_in("gw0") is None
    assert folder.deaths(CELL) == []


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
    folder.mark_misuse("registered too late")

    assert RunFolder(folder.path).misuse == "registered too late"


def test_nothing_half_written_is_left(folder: RunFolder) -> None:
    folder.publish_plan({"a": CELL}, [CELL])
    folder.keep_control(learning(CELL.control))
    folder.fail("no such corpus")

    assert {path.suffix for path in folder.path.iterdir()} == {".json", ".txt"}
