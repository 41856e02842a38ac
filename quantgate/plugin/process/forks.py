"""A child that a subject forks and that comes back into the gate's code is ended there: the run goes on once."""

from __future__ import annotations

import mmap
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

_PACKAGE = str(Path(__file__).parents[2])
#: Seconds that a parent waits, once, for a child that it forked to come back: it does so within a call.
_WAIT = 1.0


class ForkGuard:
    """Ends the children that come back while `guarding` is entered, and counts them.

    `os.register_at_fork` cannot be taken back, so that there is one guard in a process.
    """

    def __init__(self) -> None:
        self._returned = mmap.mmap(-1, 1)  # shared with every child
        self._forked = False
        self._on = False
        if not hasattr(os, "fork"):
            return
        os.register_at_fork(after_in_parent=self._in_parent, after_in_child=self._in_child)

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Watch the forks of this block."""
        self._returned[0], self._forked, self._on = 0, False, True
        try:
            yield
        finally:
            self._on = False

    @property
    def returned(self) -> bool:
        """Whether a child came back since the block was entered, and was ended."""
        deadline = time.monotonic() + _WAIT
        while self._forked and not self._returned[0] and time.monotonic() < deadline:
            time.sleep(0.01)
        return bool(self._returned[0])

    def _in_parent(self) -> None:
        self._forked |= self._on

    def _in_child(self) -> None:
        """Lay a tripwire in the innermost frame of this package: the next line that runs there ends the child.

        A child that ends by itself, as those of multiprocessing do, never comes to it.
        """
        frame: FrameType | None = sys._getframe(1) if self._on else None
        while frame is not None and not frame.f_code.co_filename.startswith(_PACKAGE):
            frame = frame.f_back
        if frame is not None:
            sys.settrace(lambda *_: None)  # turns on the tracing of frames that have a function of their own
            frame.f_trace = self._end

    def _end(self, frame: FrameType, event: str, argument: Any) -> None:
        self._returned[0] = 1
        os._exit(1)
