"""A line of progress on a terminal: what is done, the last score, and how long the rest takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

_BAR = 24
#: The line stays this narrow, so that it is never broken in two: `\r` returns to the start of the last of them alone.
_WIDTH = 78
#: Seconds between two drawings.
_EVERY = 0.1

Done = TypeVar("Done")


class Progress:
    """Redraws one line on standard error; says nothing where that is kept, so that no log is full of bars.

    Args:
        total: How many there are.
        what: What is counted, in the plural.
        stream: Where it is drawn; standard error without one.
        clock: Seconds.
    """

    def __init__(
        self,
        total: int,
        what: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._what, self._clock = max(1, total), what, clock
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._note, self._started, self._drawn = "", clock(), float("-inf")

    def __call__(self, done: int, note: str = "") -> None:
        """So many are done; a note stays until the next one."""
        self._note = note or self._note
        now = self._clock()
        if done == 0:  # a close call begins again, with another seed
            self._started = now
        if not self._live or (now - self._drawn < _EVERY and done < self._total):
            return
        self._drawn = now
        full = min(_BAR, _BAR * done // self._total)
        parts = [f"[{'#' * full}{'.' * (_BAR - full)}] {done}/{self._total} {self._what}", self._note]
        if 0 < done < self._total:
            parts.append(f"{_said((now - self._started) / done * (self._total - done))} left")
        self._stream.write(f"\r{'  '.join(filter(None, parts))[:_WIDTH]:<{_WIDTH}}")
        self._stream.flush()

    def close(self) -> None:
        """Erase the line: what follows stands where it stood."""
        if self._live:
            self._stream.write(f"\r{' ' * _WIDTH}\r")
            self._stream.flush()


def counted(done: Iterable[Done], total: int, what: str) -> Iterator[Done]:
    """The same, with progress shown while it is gone through."""
    progress = Progress(total, what)
    progress(0)
    try:
        for place, each in enumerate(done, 1):
            progress(place)
            yield each
    finally:
        progress.close()


def _said(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
