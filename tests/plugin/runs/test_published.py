"""What a run leaves for those who did not watch it: pictures, GitHub's summary and annotations, JUnit, records."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from quantgate.plugin.published.github import append_summary
from quantgate.records.schema import schema
from quantgate.reports.github.summary import summary
from quantgate.reports.html.page import page
from quantgate.reports.reading import read
from quantgate.reports.story import rerun
from tests.plugin.conftest import Shared
from tests.plugin.project import BLOCKED, FAST, MODES, TEST_LEARNS, Outcome, Project
from tests.plugin.runs.test_every_option import run_in
from tests.reports.html.records import few

#: What a strict reader of JUnit takes: the elements, their children, and the attributes that they must have.
_OUTPUT = {"system-out", "system-err"}
JUNIT: dict[str, tuple[set[str], set[str]]] = {
    "testsuites": ({"testsuite"}, set()),
    "testsuite": ({"properties", "testcase", *_OUTPUT}, {"name", "tests", "failures", "errors"}),
    "testcase": ({"properties", "skipped", "error", "failure", *_OUTPUT}, {"name", "classname", "time"}),
    "properties": ({"property"}, set()),
    "property": (set(), {"name", "value"}),
    **dict.fromkeys(("failure", "error"), (set(), {"message"})),
    **dict.fromkeys(("skipped", *_OUTPUT), (set(), set())),
}


@pytest.fixture(scope="module", params=list(MODES))
def outcome(request: pytest.FixtureRequest, shared: Shared) -> Outcome:
    return run_in(shared, request.param)


@pytest.fixture
def red(local: Project) -> Project:
    """A project with one format that does not learn."""
    return local.write(conftest=BLOCKED, test_lowbit=TEST_LEARNS)


# the report folder


def test_the_same_pictures_are_drawn_from_the_files_alone(outcome: Outcome) -> None:
    folder = outcome.folder / "out"
    story = read([folder])

    assert (folder / "report.html").read_text("utf-8") == page(story)
    assert (folder / "summary.md").read_text("utf-8") == summary(story)
    assert [path.name for path in folder.glob("*.part")] == []


def test_the_record_of_the_run_says_what_the_cells_do_not(outcome: Outcome) -> None:
    run = json.loads((outcome.folder / "out" / "run.json").read_text("utf-8"))

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", run.pop("finished"))
    assert run == {
        "state": "finished",
        "exit_status": 1,
        "planned": 4,
        "ran": 4,
        "judged": 4,
        "skipped": 0,
        "matrix": 4,
        "problems": ["4 cells were judged, and min-cells asks for 5"],
        "fail_bpb": 6.4,
        "dead_bpb": 7.5,
        "subjects": ["stochastic", "blocked"],
        "optimizers": ["adamw", "muon"],
        "left_out": [],
        "known": {},
        "options": [
            "--quantgate-formats=stochastic,blocked",
            "--quantgate-optimizers=adamw,muon",
            "--quantgate-widths=32",
            "--quantgate-steps=20",
            "--quantgate-scope=weights+activations",
            "--quantgate-device=cpu",
            "--quantgate-fail-bpb=6.4",
            "--quantgate-dead-bpb=7.5",
        ],
        "files": {"results": "out/results.jsonl"},
    }
    assert outcome.closing["options"] == run["options"]


def test_records_say_which_test_and_which_code(outcome: Outcome) -> None:
    cell = outcome.cells["blocked-muon"]

    assert cell["test"] == "test_lowbit.py::test_learns[blocked-muon-s47-w32-wa]"
    assert cell["source"] == "conftest.py:4"
    assert outcome.cells["stochastic"]["source"] == "conftest.py:7"
    assert {record["source"] for record in outcome.records if "control" in record["kind"]} == {None}


def test_the_command_of_a_cell_of_the_suite_runs_it_again(local: Project) -> None:
    arguments = (
        "--pyargs",
        "quantgate.suite",
        "-n0",
        *FAST,
        "--quantgate-formats=int8",
        "--quantgate-report=out",
    )
    first = local.pytest(*arguments)
    story = read([first.folder / "out"])
    command = rerun(story.results[0], story.run)

    assert command is not None
    assert command.startswith(
        "pytest 'quantgate.suite::test_learns[int8-adamw-s47-w32]' --pyargs --quantgate-formats"
    )
    again = local.pytest("-n0", *shlex.split(command)[1:])
    assert "1 passed" in again.stdout


def test_records_fit_the_published_schema(outcome: Outcome) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="validates records: pip install 'quantgate[test]'")
    validator = jsonschema.Draft202012Validator(schema())

    run = json.loads((outcome.folder / "out" / "run.json").read_text("utf-8"))
    assert [error.message for each in (*outcome.records, run) for error in validator.iter_errors(each)] == []


# GitHub


def test_the_step_summary_is_the_runs(outcome: Outcome) -> None:
    text = (outcome.folder / "step.md").read_text("utf-8")

    assert text == (outcome.folder / "out" / "summary.md").read_text("utf-8")
    assert text.startswith("## ❌ blocked stopped learning: 2 of 4 cells, gradient-blocked\n")


def test_annotations_stand_at_the_end_on_lines_of_their_own_and_once(outcome: Outcome) -> None:
    (end,) = [place for place, line in enumerate(outcome.lines) if " passed in " in line]
    found = [place for place, line in enumerate(outcome.lines) if "::error" in line]

    assert found == [end + 1, end + 2]
    assert outcome.lines[end + 1].startswith(
        "::error file=conftest.py,line=4,title=quantgate%3A gradient-blocked::blocked x adamw, muon: 2 of 4 cells "
    )
    assert outcome.lines[end + 2] == "::error title=quantgate::4 cells were judged, and min-cells asks for 5"
    assert "::" not in outcome.stderr


def test_outside_of_a_workflow_there_are_none(red: Project) -> None:
    outcome = red.pytest("-n0", *FAST, "--quantgate-report=out")

    assert outcome.exit_status == 1
    assert "::error" not in outcome.stdout
    assert (outcome.folder / "out" / "summary.md").exists()
    assert not (outcome.folder / "step.md").exists()


def test_what_the_step_wrote_before_is_kept(red: Project) -> None:
    (red.folder / "step.md").write_text("before", encoding="utf-8")
    red.pytest("-n0", *FAST, environment={"GITHUB_STEP_SUMMARY": "step.md"})

    text = (red.folder / "step.md").read_text("utf-8")
    assert text.startswith("before\n## ❌ blocked stopped learning: 1 of 1 cell, gradient-blocked\n")


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (".", "no step summary: '.' is no file"),
        ("no/where.md", "no step summary: 'no/where.md': No such file or directory"),
        ("full.md", "no step summary: what the step wrote there before fills GitHub's limit"),
    ],
)
def test_a_summary_that_cannot_be_written_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, why: str
) -> None:
    (tmp_path / "full.md").write_text("x" * 899_000, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", place)

    assert append_summary(few) == why


def test_a_summary_that_cannot_be_written_fails_nothing(local: Project) -> None:
    local.write(test_lowbit=TEST_LEARNS)
    outcome = local.pytest("-n0", *FAST, "--quantgate-formats=int8", environment={"GITHUB_STEP_SUMMARY": "."})

    assert outcome.exit_status == 0
    assert outcome.lines.count("quantgate: no step summary: '.' is no file") == 1


def test_other_tests_leave_no_summary(local: Project) -> None:
    local.write(conftest=BLOCKED, test_other="def test_other():\n    pass\n")
    outcome = local.pytest("-n0", environment={"GITHUB_STEP_SUMMARY": "step.md", "GITHUB_ACTIONS": "true"})

    assert (outcome.exit_status, (local.folder / "step.md").exists()) == (0, False)


# what goes wrong


def test_an_earlier_runs_pictures_are_gone_before_the_first_cell(red: Project) -> None:
    (red.folder / "out").mkdir()
    for name in ("report.html", "summary.md"):
        (red.folder / "out" / name).write_text("earlier", encoding="utf-8")
    test = "import os\n\ndef test_first(lowbit_cell):\n    assert not os.path.exists('out/report.html')\n"
    outcome = red.write(test_lowbit=test).pytest("-n0", *FAST, "--quantgate-report=out")

    assert "1 passed" in outcome.stdout


def test_a_template_that_fails_costs_a_line_and_no_record(
    red: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(story: object) -> str:
        raise KeyError("a\x1b[31m")

    monkeypatch.setattr("quantgate.reports.html.page.page", broken)
    red.write(conftest="")
    outcome = red.pytest("-n0", *FAST, "--quantgate-report=out", "--quantgate-formats=int8")

    said = "no pictures in out: KeyError: 'a\\x1b[31m'; the records are whole, and `quantgate report` draws them again"
    assert outcome.exit_status == 1
    assert outcome.lines.count(f"quantgate: {said}") == 1
    assert outcome.cells["int8"]["verdict"] == "learns"
    run = json.loads((outcome.folder / "out" / "run.json").read_text("utf-8"))
    assert (run["exit_status"], run["problems"]) == (1, [said])


def test_a_full_disk_costs_a_line_and_no_record(red: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Any) -> Path:
        if Path(target).suffix == ".html":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return before(self, target)

    before = Path.replace
    monkeypatch.setattr(Path, "replace", full)
    red.write(conftest="")
    outcome = red.pytest("-n0", *FAST, "--quantgate-report=out", "--quantgate-formats=int8")

    assert outcome.exit_status == 1
    assert outcome.lines.count(
        "quantgate: no pictures in out: No space left on device; the records are whole, and `quantgate report` draws "
        "them again"
    ) == 1  # fmt: skip
    assert outcome.cells["int8"]["verdict"] == "learns"
    assert [path.name for path in (outcome.folder / "out").glob("*.part")] == []


# JUnit


def test_a_strict_reader_takes_the_junit_report(outcome: Outcome) -> None:
    root = ElementTree.parse(outcome.folder / "junit.xml").getroot()

    assert root.tag == "testsuites"
    for element in root.iter():
        children, attributes = JUNIT[element.tag]
        assert {child.tag for child in element} <= children
        assert set(element.keys()) >= attributes
    values = [each.get("value", "") for each in root.iter("property")]
    assert len(values) == 4
    assert all(value.isascii() and value.isprintable() for value in values)
    assert {json.loads(value)["verdict"] for value in values} == {"learns", "partial"}
