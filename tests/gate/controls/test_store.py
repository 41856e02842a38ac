"""The store of controls: each trained once, whoever comes first, and read by all."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from filelock import FileLock

from quantgate.diagnosis.evidence import Evidence
from quantgate.gate.controls.negative import negative_controls
from quantgate.gate.controls.store import ControlStore
from quantgate.gate.experiment import Run
from quantgate.gate.folder import RunFolder
from quantgate.gate.run import Gate
from quantgate.records.cell import Cell
from quantgate.records.result import CellResult, to_line
from quantgate.records.verdict import Curve
from tests.examples import learning, make_result

CELLS = tuple(
    Cell(subject, "format", optimizer, 47) for subject in ("int4", "int8") for optimizer in ("adamw", "sgd")
)
CURVE = ((0, 7.1), (100, 5.0))


@dataclass(frozen=True)
class FakeGate(Gate):
    """Trains nothing: writes down what it is asked to train, a line a cell."""

    log: Path = field(default_factory=Path)
    seconds: float = 0.0
    error: Exception | None = None

    def train(self, cell: Cell) -> Run:
        if self.error is not None:
            raise self.error
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{cell.kind} {cell.id} {os.getpid()}\n")
        time.sleep(self.seconds)
        return Run(CURVE, Evidence(), 1e-3, self.seconds)

    def control(self, cell: Cell) -> CellResult:
        self.train(cell.control)
        return learning(cell.control, curve=CURVE)

    def assess(self, cell: Cell, run: Run, control: Curve | None) -> CellResult:
        assert control is None
        return make_result(cell)

    def trained(self) -> list[str]:
        """What was trained, without the processes."""
        return [line.rpartition(" ")[0] for line in self.log.read_text("utf-8").splitlines()]

    def processes(self) -> set[str]:
        return {line.rpartition(" ")[2] for line in self.log.read_text("utf-8").splitlines()}


EXPECTED = [
    "control fp32-adamw-s47",
    "control fp32-sgd-s47",
    "negative-control dead-body-adamw-s47-w16",
    "negative-control negated-gradient-adamw-s47-w16",
    "negative-control zero-gradient-adamw-s47-w16",
]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "shared").mkdir()
    return RunFolder(tmp_path / "shared")


@pytest.fixture
def gate(tmp_path: Path) -> FakeGate:
    return FakeGate(log=tmp_path / "log")


def test_every_control_and_negative_control_is_trained_once(folder: RunFolder, gate: FakeGate) -> None:
    store = ControlStore(folder, gate)

    assert store.ensure(CELLS) == ()
    assert store.ensure(CELLS) == ()
    assert ControlStore(folder, gate).ensure(CELLS) == ()
    assert sorted(gate.trained()) == EXPECTED


def test_no_cells_need_no_controls(folder: RunFolder, gate: FakeGate) -> None:
    assert ControlStore(folder, gate).ensure(()) == ()
    assert not gate.log.exists()


def test_records_are_read_again(folder: RunFolder, gate: FakeGate) -> None:
    ControlStore(folder, gate).ensure(CELLS)
    found = folder.controls()

    assert sorted(f"{each.kind} {each.cell.id}" for each in found) == EXPECTED
    assert {each.curve for each in found if each.kind == "control"} == {CURVE}
    assert folder.failure is None


def test_a_curve_is_its_cells_controls(folder: RunFolder, gate: FakeGate) -> None:
    store = ControlStore(folder, gate)
    store.ensure(CELLS)
    in_place = replace(CELLS[0], storage="inplace", scope="weights+activations")

    assert list(store.curve(in_place)) == list(CURVE)
    assert len(gate.trained()) == len(EXPECTED)


def test_a_curve_that_is_missing_is_trained_once(folder: RunFolder, gate: FakeGate) -> None:
    store = ControlStore(folder, gate)
    other = replace(CELLS[0], seed=89)

    assert list(store.curve(other)) == list(store.curve(other)) == list(CURVE)
    assert list(ControlStore(folder, gate).curve(other)) == list(CURVE)
    assert gate.trained() == ["control fp32-adamw-s89"]


def test_a_curve_has_no_point_without_a_score(folder: RunFolder, gate: FakeGate) -> None:
    record = learning(CELLS[0].control, curve=((0, 7.0), (1, float("nan")))).to_record()
    (folder.path / "control-fp32-adamw-s47.json").write_text(json.dumps(record), encoding="utf-8")

    assert list(ControlStore(folder, gate).curve(CELLS[0])) == [(0, 7.0)]


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_two_processes_share_the_work(folder: RunFolder, gate: FakeGate) -> None:
    slow = replace(gate, seconds=0.1)
    context = multiprocessing.get_context("fork")  # type: ignore[attr-defined,unused-ignore]
    workers = [context.Process(target=ControlStore(folder, slow).ensure, args=(CELLS,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)

    assert [worker.exitcode for worker in workers] == [0, 0]
    assert sorted(gate.trained()) == EXPECTED
    assert len(gate.processes()) == 2


def test_what_another_process_finished_a_moment_ago_is_not_trained_again(
    folder: RunFolder, gate: FakeGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(FileLock):
        """A lock that is free only after its holder wrote the control."""

        def __enter__(self) -> Late:
            cell = next(each for each in controls if each.id in self.lock_file)
            path = Path(self.lock_file).with_suffix(".json")
            path.write_text(to_line(make_result(cell) if cell.subject != "fp32" else learning(cell)))
            super().__enter__()
            return self

    controls = (CELLS[0].control, CELLS[1].control, *negative_controls(CELLS))
    monkeypatch.setattr("quantgate.gate.controls.store.FileLock", Late)

    assert ControlStore(folder, gate).ensure(CELLS) == ()
    assert not gate.log.exists()


@pytest.mark.parametrize("error", [ValueError("no such corpus"), RuntimeError("no such corpus")], ids=repr)
def test_what_no_subject_can_help_is_written_down(
    folder: RunFolder, gate: FakeGate, error: Exception
) -> None:
    said = "fp32 x adamw cannot be trained: no such corpus"

    with pytest.raises(type(error), match="no such corpus"):
        ControlStore(folder, replace(gate, error=error)).ensure(CELLS)

    assert folder.failure == said
    assert ControlStore(folder, gate).ensure(CELLS) == (said,)
    assert not gate.log.exists()


def test_no_half_written_record_is_left(folder: RunFolder, gate: FakeGate) -> None:
    ControlStore(folder, gate).ensure(CELLS)

    assert {path.suffix for path in folder.path.iterdir()} <= {".json", ".lock"}


def test_a_control_that_does_not_learn_is_said_by_the_store(folder: RunFolder, gate: FakeGate) -> None:
    """The negative controls are trained again beside one that learns."""
    record = make_result(CELLS[0].control, bpb=6.95, curve=CURVE).to_record()
    (folder.path / "control-fp32-adamw-s47.json").write_text(json.dumps(record), encoding="utf-8")
    store = ControlStore(folder, gate)
    said = {
        CELLS[
            0
        ].control: "the float32 control of fp32 x adamw does not learn (dead, 6.95 BPB) at a rate of 0.0002"
    }

    assert store.ensure(CELLS) == ()
    assert store.unlearned == said
    negative = [each.optimizer for each in folder.controls() if each.kind == "negative-control"]
    assert sorted(negative) == ["adamw"] * 3 + ["sgd"] * 3


def test_a_run_in_which_no_control_learns_is_invalid(folder: RunFolder, gate: FakeGate) -> None:
    record = make_result(CELLS[0].control, bpb=6.95, curve=CURVE).to_record()
    (folder.path / "control-fp32-adamw-s47.json").write_text(json.dumps(record), encoding="utf-8")

    assert ControlStore(folder, gate).ensure(CELLS[:1]) == (
        "the float32 control of fp32 x adamw does not learn (dead, 6.95 BPB) at a rate of 0.0002",
    )
