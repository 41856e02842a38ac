"""What a shard left, read back, whole or cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantgate.merging.reading import read_part
from tests.examples import learning
from tests.merging.shards import CELLS, control, negative, report


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return report(
        tmp_path / "a", [learning(CELLS[0]), learning(CELLS[1]), control(CELLS[0]), negative(CELLS[0])]
    )


def test_a_folder_and_its_file_are_read_alike(whole: Path) -> None:
    part, same = read_part(whole), read_part(whole / "results.jsonl")

    assert [each.cell for each in part.results] == list(CELLS[:2])
    assert [each.kind for each in part.controls] == ["control", "negative-control"]
    assert part.closing is not None
    assert (part.results, part.controls, part.closing) == (same.results, same.controls, same.closing)
    assert part.problems == ()


def test_a_second_record_of_a_cell_replaces_the_first(tmp_path: Path) -> None:
    graver = learning(CELLS[0], bpb=7.0)

    assert read_part(report(tmp_path / "a", [learning(CELLS[0]), graver])).results == (graver,)


def test_a_line_that_was_cut_costs_itself(whole: Path) -> None:
    file = whole / "results.jsonl"
    file.write_bytes(file.read_bytes()[:-400])
    part = read_part(whole)

    assert len(part.results) == 2
    assert part.closing is None
    assert part.problems == (f"{whole}: line 5 is cut off in the middle: its run was killed while it wrote",)


def test_two_runs_in_one_file_are_said(whole: Path, tmp_path: Path) -> None:
    failed = report(tmp_path / "b", [learning(CELLS[2])], exit_status=1) / "results.jsonl"
    failed.write_bytes(failed.read_bytes() + (whole / "results.jsonl").read_bytes())

    assert read_part(failed).problems == (
        f"{failed}: line 7 ends a second run in one file; give each report by itself",
    )


def test_broken_lines_are_named_and_counted(whole: Path) -> None:
    file = whole / "results.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(
        "".join([*lines[:1], '{"subject": "int4"}\n', "[]\n", "\x00\n", '{"a": 1}\n', "\n", *lines[1:]])
    )
    part = read_part(whole)

    assert len(part.results) == 2
    assert part.closing is not None
    first, *others = part.problems
    assert first.startswith(f"{whole}: line 2: not a result record: kind, format, optimizer")
    assert others == [
        f"{whole}: line 3: not a result record: list, not an object",
        f"{whole}: line 4 is not JSON",
        f"{whole}: 1 more line without a record",
    ]


def test_an_empty_file_is_a_run_that_ended_early(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").touch()

    assert read_part(tmp_path).problems == (
        f"{tmp_path}: the file is empty: its run ended before its first cell",
    )


def test_nothing_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name the report folder of a shard") as refused:
        read_part(tmp_path / "c")

    assert str(refused.value) == (
        f"'{tmp_path}/c' is not there; name the report folder of a shard, or its results.jsonl"
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x89PNG\r\n\x1a\n", "line 1 is not JSON"),
        (b'{"loss": 3.2}\n', "line 1: not a result record: subject, kind"),
        (b"[" * 100_000 + b"\n", "line 1 is not JSON"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "other.jsonl"
    file.write_bytes(content)

    with pytest.raises(ValueError, match=r"no line of this file is a record of quantgate$") as refused:
        read_part(file)
    assert str(refused.value).startswith(f"{file}: {why}")


def test_another_schema_is_refused(whole: Path) -> None:
    file = whole / "results.jsonl"
    file.write_text(file.read_text().replace('"schema": 1', '"schema": 7'))

    with pytest.raises(
        ValueError, match=r"line 5: written by quantgate 0\.1\.0 in schema 7; this is quantgate"
    ):
        read_part(whole)
