"""How far a run is, now and then: for a log that shows no dots until their line ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from quantgate.records.result import CellResult

#: Seconds between two lines of progress.
SECONDS = 10.0


class Progress:
    """Says a line of its own, never within one of pytest's.

    `-v` has a line a test and `-q` asks for silence; there it says nothing.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        #: When the first result came in, which the controls go before, and when progress was last said.
        self._first = self._said = 0.0

    def say(self, results: Sequence[CellResult], planned: int, carried: int = 0) -> None:
        """Say how many of the planned cells are judged, if enough time has passed.

        Args:
            results: What is judged by now.
            planned: How many will be.
            carried: How many of the results an earlier run left, which took no time.
        """
        now, done = time.monotonic(), len(results)
        trained = done - carried
        if trained and not self._first:
            self._first = self._said = now
        if now - self._said < SECONDS or trained < 2 or done == planned:
            return
        self._said = now
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or self._config.get_verbosity() != 0:
            return
        left = (now - self._first) / (trained - 1) * (planned - done)
        learn = sum(result.verdict.passes for result in results)
        terminal.ensure_newline()
        if self._config.get_terminal_writer().width_of_current_line:  # the dots of workers
            terminal.write_line("")
        terminal.write_line(f"quantgate: {done} of {planned} cells judged, {learn} pass, {_left(left)} left")


def _left(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"
