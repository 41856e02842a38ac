"""A report folder that cannot be one is refused before anything is trained, and before anything is collected."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugin.project import TEST_LEARNS

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
