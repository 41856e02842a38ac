"""`quantgate merge`."""

from __future__ import annotations

import json
from pathlib import Path

from quantgate.merging.reading import read_part
from tests.cli.conftest import Command
from tests.examples import learning, make_result
from tests.merging.shards import CELLS, control, halves, report

SGD = CELLS[1::2]


def test_shards_are_merged_into_a_report(quantgate: Command, tmp_path: Path) -> None:
    a, b = halves(tmp_path)
    out = tmp_path / "out"
    said = quantgate("merge", str(a), str(b), "-o", str(out))

    assert said.status == 0
    assert said.out.splitlines() == [
        "4 planned / 4 ran / 4 judged / 0 skipped, 2 reports, exit status 0",
        f"results: {out}/results.jsonl",
    ]
    whole = read_part(out)
    assert [result.cell for result in whole.results] == list(CELLS)
    assert whole.closing is not None
    assert whole.closing.shard is None
    assert json.loads((out / "run.json").read_text()).items() >= {
        "state": "finished", "exit_status": 0, "planned": 4, "ran": 4, "judged": 4, "skipped": 0, "problems": [],
    }.items()  # fmt: skip
    assert quantgate("merge", str(out), "-o", str(tmp_path / "again")).status == 0
    assert (tmp_path / "again" / "results.jsonl").read_text() == (out / "results.jsonl").read_text()


def test_what_fails_differs_and_is_missing_is_said(quantgate: Command, tmp_path: Path) -> None:
    a, _ = halves(tmp_path)
    newer = {"environment": {"torch": "2.14.0"}}
    c = report(tmp_path / "c", [make_result(SGD[0], **newer), control(SGD[0])], shard="2/2", exit_status=1)
    said = quantgate("merge", str(a), str(c), "-o", str(tmp_path / "out"))

    assert said.status == 1
    assert said.out.splitlines() == [
        "int4 x sgd: dead 6.94 BPB, gradient-blocked",
        f"torch is not the same in all reports: 2.13.0 in {a}, {c}; 2.14.0 in {c}; run all shards with one version",
        "4 planned / 3 ran / 3 judged / 0 skipped, 2 reports, exit status 1",
        f"quantgate: the run of {c} ended with exit status 1: its records, or its other tests, say why",
        "quantgate: 1 of 4 planned cells is missing: int8-sgd-s47; a shard ended before its turn; run it again",
        f"results: {tmp_path}/out/results.jsonl",
    ]


def test_cells_in_two_reports_that_agree_are_said_and_no_fault(quantgate: Command, tmp_path: Path) -> None:
    a, b = halves(tmp_path)
    again = report(tmp_path / "c", [learning(SGD[0], bpb=5.1001), control(SGD[0])], shard="2/2")
    said = quantgate("merge", str(a), str(b), str(again), "-o", str(tmp_path / "out"))

    assert said.status == 0
    assert said.out.splitlines()[:2] == [
        "1 cell in more than one report, with the same verdict: int4-sgd-s47",
        "4 planned / 4 ran / 4 judged / 0 skipped, 3 reports, exit status 0",
    ]


def test_what_disagrees_is_said_with_both_and_a_new_failure_turned(
    quantgate: Command, tmp_path: Path
) -> None:
    a, b = halves(tmp_path)
    again = report(tmp_path / "c", [make_result(SGD[0])], shard="2/2")
    before = report(tmp_path / "before", [learning(CELLS[0])])
    arguments = (str(a), str(b), str(again), "-o", str(tmp_path / "out"), "--before", str(before))
    said = quantgate("merge", *arguments).out.splitlines()

    assert said[1] == "int4-sgd-s47 turned: before not there, now dead"
    assert (
        f"quantgate: int4-sgd-s47 has results that disagree: learns 5.10 in {b}, dead 6.94 (gradient-blocked) in "
        f"{again}; give only the report that is meant"
    ) in said


def test_the_same_as_json(quantgate: Command, tmp_path: Path) -> None:
    a, b = halves(tmp_path)
    again = report(tmp_path / "c", [make_result(SGD[0])], shard="2/2")
    said = quantgate("merge", str(a), str(b), str(again), "-o", str(tmp_path / "out"), "--json")
    found = json.loads(said.out)

    assert said.status == found["exit_status"] == 1
    assert found["failing"] == ["int4-sgd-s47"]
    assert found["twice"] == [
        {
            "id": "int4-sgd-s47",
            "agree": False,
            "said": {str(b): "learns 5.10", str(again): "dead 6.94 (gradient-blocked)"},
        }
    ]
    assert (found["missing"], found["differ"], found["turned"]) == ([], {}, [])


def test_what_turned_since_an_earlier_whole_is_an_issue(quantgate: Command, tmp_path: Path) -> None:
    a, b = halves(tmp_path)
    before = report(tmp_path / "before", [*map(learning, CELLS[1:]), make_result(CELLS[0])])
    said = quantgate("merge", str(a), str(b), "-o", str(tmp_path / "out"), "--before", str(before))

    assert said.status == 0
    assert said.out.splitlines()[0] == "int4-adamw-s47 turned: before dead, now learns"
    assert "| `int4-adamw-s47` | dead | learns |" in (tmp_path / "out" / "turned.md").read_text()
    assert quantgate("merge", str(a), str(b), "-o", str(tmp_path / "out")).status == 0
    assert not (tmp_path / "out" / "turned.md").exists()


def test_a_report_is_not_merged_into_itself(quantgate: Command, tmp_path: Path) -> None:
    a, b = halves(tmp_path)
    before = (a / "results.jsonl").read_bytes()
    said = quantgate("merge", str(a / "results.jsonl"), str(b), "-o", str(a))

    assert said == (4, "", f"quantgate: -o '{a}' is one of the reports that are read; name another folder\n")
    assert (a / "results.jsonl").read_bytes() == before


def test_names_from_outside_do_not_drive_the_terminal(quantgate: Command, tmp_path: Path) -> None:
    hostile = make_result(SGD[0], cause="\x1b[2J\n::error::")
    said = quantgate("merge", str(report(tmp_path / "a", [hostile])), "-o", str(tmp_path / "out"))

    assert said.status == 1
    assert "\x1b" not in said.out
    assert not [line for line in said.out.splitlines() if line.startswith("::")]


def test_a_whole_that_cannot_be_written_is_a_usage_error(quantgate: Command, tmp_path: Path) -> None:
    a, b = halves(tmp_path)
    (tmp_path / "out").touch()
    said = quantgate("merge", str(a), str(b), "-o", str(tmp_path / "out"))

    assert said.status == 4
    assert "is a file; name a folder, or one that can be made" in said.err
