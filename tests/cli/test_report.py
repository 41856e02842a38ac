"""`quantgate report`: a run again, from its records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantgate.records.result import to_line
from quantgate.records.run import RunRecord
from quantgate.records.schema import schema
from quantgate.reports.github.summary import summary
from quantgate.reports.html.page import page
from quantgate.reports.story import Story
from tests.cli.conftest import Command
from tests.examples import hostile_results
from tests.reports.html.records import few

NAME_ONE = "name a results.jsonl or the folder that holds it"


def write(story: Story) -> None:
    """The report folder `out` of a run, as the plugin leaves it."""
    Path("out").mkdir()
    lines = [to_line(each) for each in (*story.results, *story.controls)]
    Path("out/results.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    Path("out/run.json").write_text(json.dumps(story.run.to_record()), encoding="utf-8")


def test_a_folder_is_shown_again_and_drawn_again(quantgate: Command, folder: Path) -> None:
    write(few())
    said = quantgate("report", "out")

    assert (said.status, said.err) == (1, "")
    assert said.out.startswith(
        "2 formats fail (mylib_int4, gf4): 4 of 9 cells, gradient-blocked, non-finite; 3 regressed since the "
        "baseline\n\n"
        "BPB after 100 steps on builtin: below 6.50 passes, 6.90 is dead, 7.00 is chance\n"
        "                   adamw          muon           sgd\n"
        "(float32 control)  5.00 learns    5.00 learns    5.00 learns\n"
        "mylib_int4         6.94 dead      6.94 dead      6.94 dead\n"
    )
    assert "\nbaseline: " in said.out
    assert " regressed, " in said.out
    assert said.out.endswith(
        "9 planned / 9 ran / 9 judged / 0 skipped, 3 of 3 controls learn, 1 of 1 negative controls fail\n"
        "written: out/summary.md\n"
        "written: out/report.html\n"
    )
    assert Path("out/summary.md").read_text("utf-8") == summary(few())
    assert Path("out/report.html").read_text("utf-8") == page(few())


def test_a_file_is_drawn_where_it_is_told(quantgate: Command, folder: Path) -> None:
    write(few())

    assert quantgate("report", "out/results.jsonl").out.endswith("negative controls fail\n")
    assert quantgate("report", "out/results.jsonl", "-o", "a.html").out.endswith("\nwritten: a.html\n")
    assert quantgate("report", "out/results.jsonl", "-o", "a.md").out.endswith("\nwritten: a.md\n")
    assert {path.name for path in folder.iterdir()} == {"out", "a.html", "a.md"}
    assert {path.name for path in Path("out").iterdir()} == {"results.jsonl", "run.json"}
    assert Path("a.html").read_text("utf-8") == page(few())
    assert Path("a.md").read_text("utf-8") == summary(few())


def test_programs_are_told_in_json(quantgate: Command, folder: Path) -> None:
    write(few())
    said = quantgate("report", "out", "--json")

    assert said.status == 1
    found = json.loads(said.out)
    assert (found["exit_status"], found["cells"], found["known"], found["problems"]) == (1, 9, [], [])
    assert found["causes"]["non-finite"] == ["gf4-sgd-s47"]
    assert found["written"] == ["out/summary.md", "out/report.html"]


def test_the_exit_status_is_the_runs(quantgate: Command, folder: Path) -> None:
    write(few())
    for status in (0, 70, 4):
        Path("out/run.json").write_text(
            json.dumps(RunRecord("finished", status).to_record()), encoding="utf-8"
        )
        assert quantgate("report", "out").status == status
    Path("out/run.json").unlink()
    assert quantgate("report", "out").status == 1


def test_the_schema_is_printed(quantgate: Command) -> None:
    said = quantgate("report", "--schema")

    assert (said.status, json.loads(said.out)) == (0, schema())


def test_in_a_workflow_it_writes_the_summary_and_the_annotations(
    quantgate: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(few())
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "step.md")
    lines = quantgate("report", "out").out.splitlines()

    assert Path("step.md").read_text("utf-8") == summary(few())
    assert [line[:60] for line in lines if line.startswith("::")] == [
        "::error file=src/mylib/quant.py,line=12,title=quantgate%3A g",
        "::error title=quantgate%3A non-finite::gf4 x sgd: 1 of 9 cel",
    ]
    assert not any(line.startswith("::") for line in quantgate("report", "out", "--json").out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a report folder, or files of records: quantgate report out -o report.html"),
        (("none",), f"'none' cannot be read: No such file or directory; {NAME_ONE}"),
        (("out", "-o", "no/where.html"), "the report cannot be written to 'no/where.html': No such file or directory"),
        (("out/run.json",), f"'out/run.json' holds no record of a cell; {NAME_ONE}"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_a_line(
    quantgate: Command, folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    write(few())

    assert quantgate("report", *arguments) == (4, "", f"quantgate: {message}\n")


def test_texts_from_outside_drive_neither_terminal_nor_workflow(quantgate: Command, folder: Path) -> None:
    write(
        Story(tuple(hostile_results()), run=RunRecord("finished", 1, problems=("\x1b[31m", "::error::hurt")))
    )
    said = quantgate("report", "out")

    assert said.status == 1
    for line in (said.out + said.err).splitlines():
        assert line.isprintable()
        assert not line.lstrip().startswith("::")
        assert "##[" not in line
