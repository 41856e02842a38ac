"""The long lane goes on where an earlier run was cut: with cells of 20 steps, on another text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quantgate.cli.main import main
from quantgate.gate.experiment import Run, train_cell
from quantgate.records.cell import Cell
from quantgate.subjects.registry import REGISTRY
from tests.plugin.project import BLOCKED, TEST_LEARNS, Outcome, Project

LONG = (
    "--quantgate-matrix=long", "--quantgate-steps=20", "--quantgate-widths=32", "--quantgate-corpus=builtin",
    "--quantgate-lr=0.02", "--quantgate-optimizers=adamw", "--quantgate-report=out",
)  # fmt: skip
TAKEN = (
    "1 cell and 4 controls taken from out/results.jsonl: the same code, libraries, settings, text and machine "
    "trained them"
)
COUNTS = "3 planned / 3 ran / 3 judged / 0 skipped, 1 of 1 controls learn, 3 of 3 negative controls fail"
LINE = "--quantgate-fail-bpb=6.5"


def cut(outcome: Outcome, *subjects: str) -> None:
    """Leave the records of some subjects, the last of them cut in mid-line, as a run that was killed does."""
    path = outcome.folder / "out" / "results.jsonl"
    lines = path.read_text("utf-8").splitlines()
    kept = [line for line in lines if json.loads(line).get("subject") in subjects]
    path.write_text("\n".join(kept)[:-9], encoding="utf-8")


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The subjects that runs in this process train, in order."""
    seen: list[str] = []

    def watched(cell: Cell, *given: Any) -> Run:
        seen.append(cell.subject)
        return train_cell(cell, *given)

    monkeypatch.setattr("quantgate.gate.run.train_cell", watched)
    return seen


def test_a_second_run_trains_only_what_the_first_did_not(local: Project, trainings: list[str]) -> None:
    local.write(test_lowbit=TEST_LEARNS)
    formats = "--quantgate-formats=int4,gf4,int8"
    first = local.pytest("-n0", *LONG, LINE, formats)
    whole = first.records

    assert first.exit_status == 0
    assert {each["lane"] for each in whole} == {"long"}
    assert len(whole) == 3 + 1 + 3

    # the controls and int4 are there; int8 was being written
    controls = {each["subject"] for each in whole} - {"int4", "gf4", "int8"}
    cut(first, *controls, "int4", "int8")
    trainings.clear()
    second = local.pytest("-n0", *LONG, LINE, formats)
    assert second.exit_status == 0
    assert second.lines.count(TAKEN) == second.lines.count(f"quantgate: {TAKEN}") == 1
    assert second.lines.count(COUNTS) == 1
    assert len(second.records) == 7
    assert trainings == ["gf4", "int8"]
    assert {each["subject"]: each["curve"] for each in second.records} == {
        each["subject"]: each["curve"] for each in whole
    }

    # another line is another question: nothing is taken
    trainings.clear()
    third = local.pytest("-n0", *LONG, "--quantgate-fail-bpb=6.4", formats)
    assert third.exit_status == 0
    assert "taken from" not in third.stdout
    assert sorted(trainings) == sorted(each["subject"] for each in whole)


def test_users_code_is_trained_again(
    local: Project, monkeypatch: pytest.MonkeyPatch, trainings: list[str]
) -> None:
    local.write(conftest=BLOCKED, test_lowbit=TEST_LEARNS)
    first = local.pytest("-n0", *LONG, LINE)
    trainings.clear()
    monkeypatch.setattr(REGISTRY, "_formats", {})
    second = local.pytest("-n0", *LONG, LINE)

    assert first.exit_status == second.exit_status == 1
    assert trainings == ["blocked"]
    assert second.cells["blocked"]["provenance"] is None


def test_what_is_expected_of_a_cell_is_this_runs_and_readers_take_the_lane(
    local: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(local.folder)
    local.write(test_lowbit=TEST_LEARNS)
    only = (*LONG, LINE, "--quantgate-formats=int4", "--quantgate-optimizers=adamw")
    first = local.pytest("-n0", *only)
    assert first.cells["int4"]["baseline"] is None
    (local.folder / "base.jsonl").write_bytes((local.folder / "out" / "results.jsonl").read_bytes())
    local.write(test_other=TEST_LEARNS)
    (local.folder / "test_lowbit.py").unlink()
    second = local.pytest("-n0", *only, "--quantgate-baseline=base.jsonl")  # whose closing line is no result

    assert (first.exit_status, second.exit_status) == (0, 0)
    assert second.lines.count(TAKEN) == 1
    record = second.cells["int4"]
    assert record["test"].startswith("test_other.py::")
    assert (record["baseline"]["change"], record["baseline"]["lane"]) == ("same", "exact")
    closing = json.loads((local.folder / "out" / "results.jsonl").read_text("utf-8").splitlines()[-1])
    assert closing["kind"] == "run"
    assert closing["plan"]["cells"] == ["int4-adamw-s47-w32-long"]
    assert closing["plan"]["settings"] == {
        "steps": 20, "lr": 0.02, "corpus": "builtin", "device": "cpu", "fail_bpb": 6.5, "dead_bpb": 6.9,
    }  # fmt: skip

    capsys.readouterr()
    for command in (
        ("report", "out"),
        ("merge", "out", "-o", "whole"),
        ("baseline", "compare", "base.jsonl", "out/results.jsonl"),
    ):
        assert main(list(command)) == 0, capsys.readouterr()
    assert "int4 w32 long" in capsys.readouterr().out

    entry = '["int4-adamw-s47-w32-long"]\nreason = "was coarse"\ncause = "resolution"\n'
    (local.folder / "known.toml").write_text(entry)
    listed = local.pytest("-n0", *only, "--quantgate-known-failures=known.toml")
    assert (listed.exit_status, listed.cells["int4"]["unexcused"]["why"]) == (1, "learns")
    again = local.pytest("-n0", *only)
    assert (again.exit_status, again.cells["int4"]["unexcused"]) == (0, None)


def test_workers_take_up_what_the_controller_found(local: Project, project: Project) -> None:
    project.write(test_lowbit=TEST_LEARNS)
    formats = "--quantgate-formats=int4,int8"
    first = local.pytest("-n0", *LONG, LINE, "--quantgate-formats=int4").records
    second = project.pytest("-n2", *LONG, LINE, formats)

    assert second.exit_status == 0
    assert [each for each in second.records if each["subject"] != "int8"] == first
