"""`results.jsonl`: one record a line, written as the cells come in, so that nothing is lost with the run."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from quantgate.records.result import CellResult, to_line

FILE_NAME = "results.jsonl"


class ResultsFile:
    """The results of one run, in `folder/results.jsonl`; an earlier run's are replaced.

    Raises:
        OSError: The folder cannot be made or written to.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE_NAME
        self._file: TextIO = self.path.open("w", encoding="utf-8")

    def append(self, result: CellResult) -> None:
        """Write one line, and hand it to the operating system at once."""
        self._file.write(to_line(result) + "\n")
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        self._file.close()
