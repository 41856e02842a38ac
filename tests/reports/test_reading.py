"""Records read back from files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantgate.records.result import to_line
from quantgate.records.run import RunRecord
from quantgate.reports.reading import ReadError, read
from tests.examples import learning, make_cell, make_result

RUN = RunRecord(
    state="finished", exit_status=1, planned=1, ran=1, judged=1, matrix=1, subjects=("mylib_int4",)
)


def write(folder: Path, *lines: str, run: RunRecord | None = RUN) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if run is not None:
        (folder / "run.json").write_text(json.dumps(run.to_record()), encoding="utf-8")
    return folder


def changed(**changes: Any) -> str:
    return json.dumps(make_result().to_record() | changes)


def test_a_folder_and_its_file_tell_the_same_story(tmp_path: Path) -> None:
    control = learning(make_cell().control)
    write(tmp_path, to_line(make_result()), to_line(control))

    story = read([tmp_path])
    assert (story.results, story.controls, story.run) == (
        (make_result(),), (control,), replace(RUN, files={"results": str(tmp_path / "results.jsonl")}),
    )  # fmt: skip
    assert read([tmp_path / "results.jsonl"]) == story


def test_the_last_record_of_a_cell_counts(tmp_path: Path) -> None:
    write(tmp_path, to_line(make_result()), to_line(learning()))

    assert read([tmp_path]).results == (learning(),)


def test_a_last_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, to_line(make_result()), run=None)
    with (tmp_path / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(to_line(learning())[:100])

    story = read([tmp_path])
    here = {"results": str(tmp_path / "results.jsonl")}
    assert (story.results, story.run) == ((make_result(),), RunRecord(files=here))


def test_a_command_names_the_file_where_the_run_had_it(tmp_path: Path) -> None:
    said = {"results": "out/results.jsonl", "known_failures": "k.toml"}
    write(tmp_path, to_line(make_result()), json.dumps(replace(RUN, files=said).to_record()))

    assert read([tmp_path]).run.files == said
    assert read([tmp_path, tmp_path]).run.files == {}


def test_a_line_that_says_how_the_run_ended_counts_before_the_file_beside_it(tmp_path: Path) -> None:
    write(tmp_path, to_line(make_result()), json.dumps(RunRecord("finished", 70).to_record()))

    assert read([tmp_path]).run.exit_status == 70


def test_a_closing_line_tells_the_run_where_no_file_does(tmp_path: Path) -> None:
    closing = {
        "kind": "run", "schema": 1, "exit_status": 1, "planned": 3, "ran": 1, "judged": 1, "skipped": 1,
        "left_out": {"int2-adamw-s47": "skipped", "int3-adamw-s47": "deselected"},
        "known_failures": {"mylib_int4-adamw-s47": "gradient-blocked"},
    }  # fmt: skip
    write(tmp_path, to_line(make_result()), json.dumps(closing), run=None)

    story = read([tmp_path])
    assert (story.run.state, story.run.exit_status, story.run.planned) == ("finished", 1, 3)
    assert story.run.left_out == ("int2-adamw-s47",)
    assert [each.subject for each in story.known] == ["mylib_int4"]


def test_shards_are_added_up(tmp_path: Path) -> None:
    ended = RunRecord("finished", 0, planned=2, ran=2, judged=2, matrix=2, subjects=("int8",))
    first = write(tmp_path / "1", to_line(make_result()))
    second = write(tmp_path / "2", to_line(learning(make_cell(subject="int8"))), run=ended)

    run = read([first, second]).run
    assert (run.exit_status, run.planned, run.judged, run.subjects) == (1, 3, 3, ("mylib_int4", "int8"))
    assert run.state == "finished"


@pytest.mark.parametrize(
    ("statuses", "gravest"), [((0, 1), 1), ((1, 70), 70), ((70, 4), 4), ((0, 2), 2), ((0, 0), 0)]
)
def test_the_gravest_end_is_the_end(tmp_path: Path, statuses: tuple[int, int], gravest: int) -> None:
    folders = [write(tmp_path / str(n), run=RunRecord("finished", each)) for n, each in enumerate(statuses)]

    assert read(folders).run.exit_status == gravest


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON; each line of a results.jsonl is the record of a cell"),
        ('{"bpb": NaN}', "not JSON; each line of a results.jsonl is the record of a cell"),
        ("[1]", "not a result record, which is an object"),
        (changed(verdict="fine"), "not a result record: 'fine' is not a valid Verdict"),
        (changed(seed=10**400), "not a result record: seed is inf"),
        (changed(evidence={"warnings": ["a"]}), "not a result record: evidence.warnings is ['a']"),
        (changed(evidence={"waived": {"a": 1}}), "not a result record: evidence.waived is {'a': 1}"),
        ('{"state": "over"}', "not a run's record: its state is neither 'unfinished' nor 'finished'"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str, message: str) -> None:
    write(tmp_path, to_line(make_result()), line)
    with pytest.raises(ReadError) as raised:
        read([tmp_path])

    assert str(raised.value) == f"{str(tmp_path / 'results.jsonl')!r}, line 2: {message}"


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ReadError) as raised:
        read([tmp_path])
    assert (
        str(raised.value) == f"{str(tmp_path / 'results.jsonl')!r} cannot be read: No such file or directory"
    )

    with pytest.raises(ReadError, match=r"name a results\.jsonl or the folder that holds it$"):
        read([tmp_path / "nothing"])


def test_a_broken_record_of_the_run_is_said(tmp_path: Path) -> None:
    write(tmp_path, to_line(make_result()))
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")

    with pytest.raises(ReadError, match=r"run\.json': not a run's record: its state is"):
        read([tmp_path])
