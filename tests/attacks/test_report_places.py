"""A report folder that cannot be one is refused before anything is trained, and before anything is collected."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugin.project import FAST, TEST_LEARNS, Project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="named pipes")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(path))


def _in_folder(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def made(path: Path) -> None:
        path.mkdir()
        make(path / "results.jsonl")

    return made


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a named pipe": (
        os.mkfifo,
        "the report folder 'out' is a named pipe; name a folder, or one that can be made",
    ),
    "a file": (Path.touch, "the report folder 'out' is a file; name a folder, or one that can be made"),
    "a socket": (_socket, "the report folder 'out' is a socket; name a folder, or one that can be made"),
    "a device": (
        lambda path: path.symlink_to("/dev/null"),
        "the report folder 'out' is a device; name a folder, or one that can be made",
    ),
    "a dangling link": (
        lambda path: path.symlink_to("nowhere"),
        "the report folder 'out' is a dangling link; name a folder, or one that can be made",
    ),
    "records in a named pipe": (
        _in_folder(os.mkfifo),
        "'out/results.jsonl' is a named pipe, where the report is to be written; remove it or name another folder",
    ),
    "records in a folder": (
        _in_folder(Path.mkdir),
        "'out/results.jsonl' is a folder, where the report is to be written; remove it or name another folder",
    ),
    "records behind a dangling link": (
        _in_folder(lambda path: path.symlink_to("nowhere")),
        "'out/results.jsonl' is a dangling link, where the report is to be written; remove it or name another folder",
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_is_no_folder_is_a_usage_error(
    pytester: pytest.Pytester, mode: tuple[str, ...], place: str
) -> None:
    make, message = PLACES[place]
    make(pytester.path / "out")
    pytester.makepyfile(TEST_LEARNS)
    result = pytester.runpytest_inprocess(*mode, "--quantgate-report=out", "--quantgate-formats=int4")

    assert result.ret == 4
    assert f"ERROR: quantgate: {message}" in result.errlines


def test_a_folder_in_a_file_is_one_too(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("file").touch()
    result = pytester.runpytest_inprocess("--quantgate-report=file/out", "--quantgate-formats=int4")

    assert result.ret == 4
    (said,) = [line for line in result.errlines if line]
    assert said.startswith("ERROR: quantgate: the report folder 'file/out' cannot be made: '")
    assert said.endswith("/file' is a file; name another folder")


def test_a_shard_of_nothing_leaves_a_report_that_says_finished(local: Project) -> None:
    local.write(test_lowbit=TEST_LEARNS)
    outcome = local.pytest(
        "-n0", *FAST, "--quantgate-formats=int4", "--quantgate-shard=9/9", "--quantgate-report=out"
    )

    assert outcome.exit_status == 0
    run = (outcome.folder / "out" / "run.json").read_text("utf-8")
    assert run.startswith('{"state": "finished", "exit_status": 0, ')  # as the workflows look for it
    assert outcome.records == []
