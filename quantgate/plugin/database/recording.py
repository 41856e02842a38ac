"""The run into its history, by the controller alone, when it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from quantgate.reports.text import printable

if TYPE_CHECKING:
    from quantgate.databases.address import Address
    from quantgate.records.result import CellResult


class History:
    """The history that the controller records its run in.

    Args:
        address: Its database; None where none is asked for.
        folder: What the commit is asked of, when the run begins.
    """

    def __init__(self, address: Address | None, folder: Path) -> None:
        self._address = address
        #: What became of the run, a sentence each, and whether it was recorded.
        self.said: tuple[str, ...] = ()
        self.is_recorded = True
        if address is not None:
            from quantgate.history.commit import find_commit

            self._commit = find_commit(folder)

    def record(self, results: Sequence[CellResult], exit_status: int) -> None:
        """Record the cells of the run; whatever happens, the run goes on to its end."""
        if self._address is None or not results:
            return
        try:
            from quantgate.history.deliver import deliver
            from quantgate.history.run import Run

            run = Run.now(results, exit_status, self._commit.sha, self._commit.branch)
            done = deliver(run, self._address)
        except Exception as error:  # an installation that is broken, say: the cells are judged all the same
            self.said, self.is_recorded = (f"not recorded: {type(error).__name__}",), False
            return
        self.said = tuple(printable(line) for line in done.lines)
        self.is_recorded = done.recorded
