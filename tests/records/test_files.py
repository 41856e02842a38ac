"""Files that somebody named: what has no end is not begun, and each line says where it stands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quantgate.records import files
from quantgate.records.files import Line, lines_of, read_file


def test_lines_that_are_not_blank_are_numbered_and_one_that_nothing_ends_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n\n \n[]\r\n{")

    assert list(lines_of(path)) == [Line(1, b"{}", False), Line(4, b"[]\r", False), Line(5, b"{", True)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match=r"it is a device, a pipe or a socket, which may have no end: "):
        read_file(tmp_path / "pipe")


def test_a_file_that_is_larger_than_any_run_leaves_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(3 << 30)

    with pytest.raises(
        OSError, match=r"it has 3,221,225,472 bytes; at most 268,435,456 are read, and 10,000 cells"
    ):
        read_file(path)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="every file here says its size")
def test_nor_one_that_says_nothing_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", 10)

    with pytest.raises(OSError, match=r"it has 11 bytes; at most 10 are read"):
        read_file(Path("/proc/self/maps"))
