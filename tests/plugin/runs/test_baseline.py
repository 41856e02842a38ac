"""A baseline from its making to its acceptance, in runs of pytest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from quantgate.baselines.document import Baseline, BaselineError, read, write
from quantgate.cli.main import main
from quantgate.records.result import to_line
from quantgate.subjects.registry import REGISTRY
from tests.examples import learning, make_cell, make_result
from tests.plugin.conftest import Shared
from tests.plugin.project import FAST, TEST_LEARNS, Outcome, Project

#: A quantizer that is coarser, and still learns, where a variable says so.
CONFTEST = """
import os
import quantgate

LEVELS = int(os.environ.get("LEVELS", "7"))

def mine(w):
    scale = (w.detach().abs().amax() / LEVELS).clamp_min(1e-12)
    return w + ((w / scale).round() * scale - w).detach()

quantgate.register_format("mine", mine, bits=4)
"""
COARSE = {"LEVELS": "6"}
HELD = ("-n0", *FAST, "--quantgate-baseline=base.jsonl")
ID = "mine-adamw-s47-w32"


def again(project: Project, *arguments: str) -> Outcome:
    """Another run in this process, in which the regression was planted."""
    REGISTRY._formats.clear()
    return project.pytest(*arguments, environment=COARSE)


@pytest.fixture
def regressed(shared_local: Shared) -> Outcome:
    """The run after that, in which a regression was planted."""

    def run(project: Project) -> Outcome:
        project.write(conftest=CONFTEST, test_lowbit=TEST_LEARNS)
        first = project.pytest(*HELD, "--quantgate-update-baseline", "--quantgate-report=first")
        assert first.exit_status == 0
        assert "baseline: 1 cell written to base.jsonl, 0 others kept" in first.lines
        return again(project, *HELD, "--quantgate-report=out")

    return shared_local("baseline", run)


def test_a_regression_is_red_with_both_curves(regressed: Outcome) -> None:
    assert regressed.exit_status == 1
    _, place = (  # pytest's failure, then the section on the baseline
        place
        for place, line in enumerate(regressed.lines)
        if line.startswith("mine x adamw, width 32: regressed")
    )
    head, step, before, now, parts, following = regressed.lines[place : place + 6]
    assert head.endswith(" is within the tolerance (what rounding alone moves it by).")
    assert step.split() == ["step", "0", "4", "8", "12", "16", "20"]
    assert (before.split()[0], now.split()[0]) == ("baseline", "now")
    assert before.split()[1:] != now.split()[1:]
    assert parts.strip().startswith("The curves part at step ")
    assert f"`quantgate baseline accept base.jsonl out/results.jsonl --only {ID} --reason TEXT`" in following
    assert ("baseline: 0 same, 1 regressed, 0 improved, 0 new, 0 gone, 0 not comparable") in regressed.lines


def test_its_record_says_what_it_was(regressed: Outcome) -> None:
    record = regressed.cells["mine"]
    before = read(regressed.folder / "base.jsonl").entries[ID].result

    assert record["verdict"] == "learns"
    assert record["baseline"] == {
        "bpb": before.bpb,
        "verdict": "learns",
        "cause": None,
        "curve": [list(point) for point in before.curve],
        "change": "regressed",
        "tolerance": 0.003,
        "lane": "exact",
        "because": record["baseline"]["because"],
    }
    assert record["bpb"] > before.bpb


def test_acceptance_makes_it_pass(
    regressed: Outcome, local: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(local.folder)
    for name, place in (("base", "base.jsonl"), ("now", "out/results.jsonl")):
        (local.folder / f"{name}.jsonl").write_bytes((regressed.folder / place).read_bytes())
    local.write(conftest=CONFTEST, test_lowbit=TEST_LEARNS)

    assert main(["baseline", "accept", "base.jsonl", "now.jsonl", "--reason", "fewer levels, as agreed"]) == 0
    after = again(local, *HELD)
    assert after.exit_status == 0
    assert "baseline: 1 same, 0 regressed, 0 improved, 0 new, 0 gone, 0 not comparable" in after.lines


def test_beside_another_runs_results_a_swallowed_regression_is_red_and_new_and_gone_are_listed(
    regressed: Outcome, local: Project
) -> None:
    swallows = """
def test_learns(lowbit_cell):
    try:
        lowbit_cell.assert_learns()
    except BaseException:
        pass
"""
    local.write(conftest=CONFTEST, test_lowbit=swallows)
    others = [learning(make_cell(subject="left")), learning(make_cell(subject="int8", width=32), steps=7)]
    first = (regressed.folder / "first" / "results.jsonl").read_text("utf-8")
    (local.folder / "base.jsonl").write_text(first + "".join(f"{to_line(each)}\n" for each in others))
    outcome = again(local, *HELD, "--quantgate-formats=mine,int8,nf4", "--quantgate-report=out")

    assert outcome.exit_status == 1
    assert (
        "quantgate: a cell regressed against the baseline and no test said so: mine x adamw, width 32 (learns); "
        "where it is meant, `quantgate baseline accept`"
    ) in outcome.lines
    assert {
        "new  nf4-adamw-s47-w32",
        "gone  left-adamw-s47",
        "not comparable  int8-adamw-s47-w32: 7 steps there, 20 here",
    } <= set(outcome.lines)
    assert outcome.cells["nf4"]["baseline"]["change"] == "new"
    assert outcome.cells["int8"]["baseline"] is None


def test_a_baseline_that_can_be_compared_with_no_cell_is_red(regressed: Outcome, local: Project) -> None:
    local.write(conftest=CONFTEST, test_lowbit=TEST_LEARNS)
    (local.folder / "base.jsonl").write_bytes((regressed.folder / "base.jsonl").read_bytes())
    outcome = again(local, *HELD, "--quantgate-steps=16")

    assert outcome.exit_status == 1
    assert "1 passed" in outcome.lines[-1]
    assert (
        "quantgate: the baseline can be compared with no cell: 20 steps there, 16 here; give both the same options, or "
        "make it anew"
    ) in outcome.lines


def test_workers_hold_their_cells_against_it(regressed: Outcome, project: Project) -> None:
    project.write(conftest=CONFTEST, test_lowbit=TEST_LEARNS)
    entry = read(regressed.folder / "base.jsonl").entries[ID].result
    better = Baseline({}).updated([replace(entry, bpb=(entry.bpb or 0.0) - 0.01)])
    write(project.folder / "base.jsonl", better)
    outcome = project.pytest("-n2", *FAST, "--quantgate-baseline=base.jsonl", "--quantgate-report=out")

    assert outcome.exit_status == 1
    assert "1 failed" in outcome.lines[-1]
    assert outcome.cells["mine"]["baseline"]["change"] == "regressed"
    assert outcome.cells["mine"]["baseline"]["lane"] == "exact"
    assert read(project.folder / "base.jsonl") == better


# what is not written


UPDATED = (*HELD, "--quantgate-update-baseline", "--quantgate-formats=int8")


def test_a_run_that_proves_nothing_writes_nothing(local: Project) -> None:
    local.write(test_lowbit=TEST_LEARNS)
    outcome = local.pytest(*UPDATED, "--quantgate-steps=1")

    assert outcome.exit_status == 4
    assert "baseline: not written, since this run proves nothing" in outcome.lines
    assert not (local.folder / "base.jsonl").exists()


def test_what_cannot_be_written_is_red(local: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, baseline: Baseline) -> None:
        raise BaselineError("baseline 'base.jsonl' cannot be written: No space left on device")

    monkeypatch.setattr("quantgate.plugin.expected.baseline.write", full)
    local.write(test_lowbit=TEST_LEARNS)
    outcome = local.pytest(*UPDATED)

    assert outcome.exit_status == 1
    assert "quantgate: baseline 'base.jsonl' cannot be written: No space left on device" in outcome.lines


# what is refused before anything is trained


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", " is empty; was the run that wrote it ended?"),
        ('{"quantgate_baseline": 1}\n', " holds no judged cell; there is nothing to compare with"),
        (
            '{"quantgate_baseline": 2}\n',
            " is of another schema; this quantgate reads schema 1: take the quantgate that wrote it, or make it anew",
        ),
        (
            to_line(make_result()) + "\n" + to_line(make_result())[:300],
            ", line 2 is no JSON, or was cut in mid-line; make it anew, or take the line out",
        ),
    ],
)
def test_a_file_that_cannot_stand(
    pytester: pytest.Pytester, mode: tuple[str, ...], text: str, message: str
) -> None:
    pytester.makepyfile(TEST_LEARNS)
    path = Path(pytester.path) / "base.jsonl"
    path.write_text(text, encoding="utf-8")
    result = pytester.runpytest_inprocess("--collect-only", *mode, "--quantgate-baseline=base.jsonl")

    assert result.ret == 4
    assert f"ERROR: quantgate: baseline 'base.jsonl'{message}" in result.errlines


def test_the_results_of_a_run_are_not_updated(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST_LEARNS)
    (Path(pytester.path) / "results.jsonl").write_text(to_line(make_result()), encoding="utf-8")
    options = ["--quantgate-baseline=results.jsonl", "--quantgate-update-baseline"]
    result = pytester.runpytest_inprocess("--collect-only", *options)

    assert result.ret == 4
    assert (
        "ERROR: quantgate: baseline 'results.jsonl' holds the results of a run, which are not updated; name another "
        "file to write"
    ) in result.errlines
