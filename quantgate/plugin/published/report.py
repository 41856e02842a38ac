"""The report of a run as the controller keeps it: one run at a time, and a full disk loses records, not the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantgate.records.cell import CONTROL_KINDS
from quantgate.records.result import CellResult
from quantgate.reports.html.pictures import remove_pictures, write_pictures
from quantgate.reports.results import ResultsFile, read_whole_lines, why_no_report, write_run
from quantgate.reports.text import counted, printable

if TYPE_CHECKING:
    from quantgate.records.closing import Closing
    from quantgate.records.run import RunRecord
    from quantgate.reports.story import Story

#: Records that are named where they could not be written; the others are counted.
_NAMED = 3


class ReportError(ValueError):
    """A report folder that cannot be used."""


class Report:
    """An open report: `results.jsonl` and, until it is closed, a `run.json` that says `unfinished`.

    Args:
        folder: Where it is written; made if it is not there.
        take: Gives a result that the folder holds from an earlier run as this run has it, where it need not be trained
            again, and None where it must; without it every earlier result is replaced.

    Raises:
        ReportError: It cannot be written there, or another run is writing there.
    """

    def __init__(self, folder: Path, take: Callable[[CellResult], CellResult | None] | None = None) -> None:
        from filelock import FileLock, Timeout

        if reason := why_no_report(folder):
            raise ReportError(reason)
        self.folder = folder
        self._lost: list[str] = []
        self._why = ""
        self._undrawn = ""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / ".lock")
            self._lock.acquire(timeout=0)
            earlier = [] if take is None else map(take, read_whole_lines(folder))
            #: The results of an earlier run that are this run's, of controls too.
            self.taken = {each.cell: each for each in earlier if each is not None}
            self._written = set(self.taken)
            self._file = ResultsFile(folder, tuple(self.taken.values()))
            remove_pictures(folder)
            write_run(folder, {"state": "unfinished"})
        except Timeout:
            raise ReportError(
                f"another run is writing into the report folder {str(folder)!r}; give each run its own"
            ) from None
        except OSError as error:
            raise ReportError(
                f"the report folder {str(folder)!r} cannot be written to: {error.strerror}"
            ) from None

    @property
    def path(self) -> Path:
        """The file of records."""
        return self._file.path

    @property
    def resumed(self) -> str | None:
        """How many results an earlier run left; None where it left none."""
        if not self.taken:
            return None
        controls = sum(cell.kind in CONTROL_KINDS for cell in self.taken)
        return (
            f"{counted(len(self.taken) - controls, 'cell')} and {counted(controls, 'control')} taken from "
            f"{printable(str(self.path))}: the same code, libraries, settings, text and machine trained them"
        )

    @property
    def summary(self) -> list[str]:
        """Where the results are, and where they are from."""
        return [*filter(None, [self.resumed]), f"results: {printable(str(self.path))}"]

    @property
    def problem(self) -> str | None:
        """What could not be written, and why; None where all was. Records that are lost outweigh lost pictures."""
        if not self._why:
            return self._undrawn or None
        more = f" and {len(self._lost) - _NAMED} more" if len(self._lost) > _NAMED else ""
        lost = f"{', '.join(self._lost[:_NAMED])}{more}" or "how the run ended"
        return f"not written to {printable(str(self.path))}: {lost} ({self._why}); make room and run again"

    def append(self, result: CellResult) -> None:
        """Write a record, or remember that it could not be."""
        self._written.add(result.cell)
        try:
            self._file.append(result)
        except OSError as error:
            self._lost.append(str(result.cell))
            self._why = error.strerror or str(error)

    def append_new(self, results: Iterable[CellResult]) -> None:
        """Write the records of cells of which there is none yet."""
        for result in results:
            if result.cell not in self._written:
                self.append(result)

    def running(self, cell: str) -> None:
        """Say which cell the only process of a run is in: should it never return, nobody else can."""
        self._say({"state": "unfinished", "running": cell})

    def draw(self, story: Story) -> None:
        """Write the page and the summary, or remember that they could not be made: no record is lost with them."""
        try:
            write_pictures(story, self.folder)
        except (
            Exception
        ) as error:  # a full disk; a template or a library of another version may raise anything
            why = error.strerror if isinstance(error, OSError) else None
            self._undrawn = (
                f"no pictures in {printable(str(self.folder))}: {why or f'{type(error).__name__}: {error}'}; "
                "the records are whole, and `quantgate report` draws them again"
            )

    def end(self, closing: Closing) -> None:
        """Write the last line, which says how the run ended, or remember that it could not be."""
        try:
            self._file.write(closing.to_line())
        except OSError as error:
            self._why = error.strerror or str(error)

    def close(self, run: RunRecord) -> None:
        """End the report: the run is finished, and this is how."""
        self._say(run.to_record())
        self._file.close()
        self._lock.release()

    def _say(self, said: Mapping[str, Any]) -> None:
        try:
            write_run(self.folder, said)
        except OSError as error:
            self._why = error.strerror or str(error)
