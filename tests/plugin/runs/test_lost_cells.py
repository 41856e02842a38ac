"""Cells that a run plans and does not judge: their worker died, they were skipped, or left out."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Shared
from tests.plugin.project import FAST, TEST_LEARNS, Outcome, Project

DIES = """
import os

import quantgate


def dies(w):
    if w.shape == (128, 32):
        os.kill(os.getpid(), 9)
    return w + ((w * 64).round() / 64 - w).detach()


quantgate.register_format("dies", dies, bits=8)
"""


@pytest.fixture(scope="module")
def crashed(shared: Shared) -> Outcome:
    def run(project: Project) -> Outcome:
        project.write(conftest=DIES, test_lowbit=TEST_LEARNS)
        formats = "--quantgate-formats=int4,dies,nf4,bf16"
        return project.pytest("-n2", *FAST, formats, "--quantgate-report=out")

    return shared("crashed", run)


def test_a_worker_that_dies_fails_the_run(crashed: Outcome) -> None:
    assert crashed.exit_status == 1
    assert (
        "4 planned / 4 ran / 3 judged / 0 skipped, 1 of 1 controls learn, 3 of 3 negative controls fail"
        in crashed.lines
    )
    assert "quantgate: 3 of 4 planned cells were judged (1 crashed)" in crashed.lines


def test_the_cell_of_a_worker_that_died_is_in_the_report_and_the_others_are_judged(crashed: Outcome) -> None:
    assert {name: record["verdict"] for name, record in crashed.cells.items()} == {
        "int4": "learns",
        "nf4": "learns",
        "bf16": "learns",
        "dies": "crashed",
    }
    lost = crashed.cells["dies"]
    assert (lost["bpb"], lost["cause"], lost["curve"]) == (None, None, [])
    because = lost["evidence"]["because"]
    assert because.endswith(" crashed while running 'test_lowbit.py::test_learns[dies-adamw-s47-w32]'")
    assert crashed.after("  dies x adamw w32") == [f"    {because}"]


SKIPS = """
import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if "nf4" in item.name:
            item.add_marker(pytest.mark.skip(reason="not today"))
"""


def test_a_skipped_cell_is_planned_and_not_judged(local: Project) -> None:
    local.write(conftest=SKIPS, test_lowbit=TEST_LEARNS)
    outcome = local.pytest("-n0", *FAST, "--quantgate-formats=int4,nf4", "--quantgate-report=out")
    assert (
        "2 planned / 1 ran / 1 judged / 1 skipped, 1 of 1 controls learn, 3 of 3 negative controls fail"
        in outcome.lines
    )
    assert "quantgate: 1 of 2 planned cells were judged" in outcome.lines
    assert outcome.exit_status == 1
    assert [r["subject"] for r in outcome.records if r["kind"] == "format"] == ["int4"]


def test_where_every_cell_is_skipped_nothing_is_trained(local: Project) -> None:
    local.write(conftest=SKIPS, test_lowbit=TEST_LEARNS)
    outcome = local.pytest("-n0", *FAST, "--quantgate-formats=nf4")
    assert "1 planned / 0 ran / 0 judged / 1 skipped, no controls" in outcome.lines
    assert outcome.exit_status == 1


def test_what_is_deselected_is_not_planned(local: Project) -> None:
    local.write(test_lowbit=TEST_LEARNS)
    outcome = local.pytest("-n0", *FAST, "--quantgate-formats=int4,nf4", "-k", "nf4")
    assert (
        "1 planned / 1 ran / 1 judged / 0 skipped, 1 of 1 controls learn, 3 of 3 negative controls fail"
        in outcome.lines
    )
    assert outcome.exit_status == 0


def test_a_run_that_stops_early_reports_the_cells_whose_turn_never_came(local: Project) -> None:
    local.write(
        test_lowbit="def test_other():\n    assert False\n" + TEST_LEARNS,
    )
    outcome = local.pytest("-n0", "-x", *FAST, "--quantgate-formats=int4,nf4", "--quantgate-report=out")
    assert outcome.exit_status == 1
    assert {name: r["verdict"] for name, r in outcome.cells.items()} == {
        "int4": "unjudged",
        "nf4": "unjudged",
    }
    assert outcome.after("unjudged  2 cells", 3) == [
        "  int4 x adamw w32", "  nf4 x adamw w32", "    the run ended before its turn",
    ]  # fmt: skip
    assert "quantgate: 0 of 2 planned cells were judged" in outcome.lines


@pytest.mark.parametrize(("least", "status"), [(0, 5), (1, 1)])
def test_min_cells_of_a_run_without_cells(
    pytester: pytest.Pytester, mode: tuple[str, ...], least: int, status: int
) -> None:
    pytester.makepyfile(TEST_LEARNS)
    result = pytester.runpytest_inprocess(*mode, "-k", "nothing", f"--quantgate-min-cells={least}")
    assert result.ret == status
    said = "quantgate: 0 cells were judged, and min-cells asks for 1"
    assert (said in result.outlines) is bool(least)


@pytest.mark.parametrize("listing", ["--collect-only", "--setup-plan", "--fixtures", "--fixtures-per-test"])
def test_listing_judges_nothing_and_leaves_an_earlier_report_alone(
    pytester: pytest.Pytester, mode: tuple[str, ...], listing: str
) -> None:
    pytester.makepyfile(TEST_LEARNS)
    report = pytester.mkdir("out") / "results.jsonl"
    report.write_text("of an earlier run\n")
    options = ["--quantgate-report=out", "--quantgate-min-cells=60", "--quantgate-formats=int4"]
    result = pytester.runpytest_inprocess(*mode, listing, *options)
    assert result.ret == 0
    assert "planned" not in result.stdout.str()
    assert report.read_text() == "of an earlier run\n"


def test_a_report_folder_that_is_a_file(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST_LEARNS)
    pytester.path.joinpath("out").write_text("")
    result = pytester.runpytest_inprocess("--quantgate-report=out", "--quantgate-formats=int4")
    assert result.ret == 4
    assert (
        "ERROR: quantgate: the report folder 'out' is a file; name a folder, or one that can be made"
        in result.errlines
    )
