"""The report folder: `results.jsonl`, a record a line as the cells come in, and `run.json`: has the run ended?"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from quantgate.records.files import lines_of
from quantgate.records.result import CellResult, to_line

FILE_NAME = "results.jsonl"
RUN_NAME = "run.json"

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISREG, "a file"),
)


def why_no_report(folder: Path) -> str | None:
    """Why no report can be written into this folder, as far as can be seen without a change; None where it can."""
    if (found := _kind(folder)) not in {None, "a folder"}:
        return f"the report folder {str(folder)!r} is {found}; name a folder, or one that can be made"
    for path in (folder / FILE_NAME, folder / RUN_NAME):
        if (found := _kind(path)) not in {None, "a file"}:
            return f"{str(path)!r} is {found}, where the report is to be written; remove it or name another folder"
    base = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    if not base.is_dir():
        return f"the report folder {str(folder)!r} cannot be made: {str(base)!r} is {_kind(base)}; name another folder"
    if not os.access(base, os.W_OK):
        return f"the report folder {str(folder)!r} cannot be written to: no permission; name another folder"
    return None


def _kind(path: Path) -> str | None:
    """What stands at a path, in words; None where nothing does."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "a dangling link" if path.is_symlink() else None
    return next((name for fits, name in _KINDS if fits(mode)), "no file")


class ResultsFile:
    """The results of one run, in `folder/results.jsonl`; an earlier run's are replaced.

    Args:
        folder: Where the file is written; made if it is not there.
        kept: Results of an earlier run that are this run's too; there is no moment at which the file lacks them.

    Raises:
        OSError: The folder cannot be made or written to.
    """

    def __init__(self, folder: Path, kept: Sequence[CellResult] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE_NAME
        first = self.path.with_suffix(".part") if kept else self.path
        # Without a buffer: what could not be written is not tried again with every later line.
        self._file = first.open("wb", buffering=0)
        for result in kept:
            self.append(result)
        first.replace(self.path)

    def append(self, result: CellResult) -> None:
        """Write one record.

        Raises:
            OSError: It cannot be written: the disk is full, say.
        """
        self.write(to_line(result))

    def write(self, text: str) -> None:
        """Write one line, and hand it to the operating system at once; all of it, or nothing.

        Raises:
            OSError: It cannot be written.
        """
        line = f"{text}\n".encode()
        before = self._file.tell()
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._file.seek(before)
            self._file.truncate()
            raise

    def close(self) -> None:
        """End the file."""
        self._file.close()


def read_whole_lines(folder: Path) -> list[CellResult]:
    """The results of an earlier run, which may have been cut in mid-line; what is no result of a cell is left out."""
    found = []
    with suppress(OSError):
        for line in lines_of(folder / FILE_NAME):
            with suppress(ValueError, RecursionError):
                found.append(CellResult.from_record(json.loads(line.text)))
    return found


def write_run(folder: Path, said: Mapping[str, Any]) -> None:
    """Replace `run.json`, whole: a reader never sees half of it.

    Raises:
        OSError: It cannot be written.
    """
    part = folder / f"{RUN_NAME}.part"
    part.write_text(json.dumps(said) + "\n", encoding="utf-8")
    part.replace(folder / RUN_NAME)
