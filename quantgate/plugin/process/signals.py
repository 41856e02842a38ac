"""SIGTERM and SIGINT: a run that is told to end says what it has judged, and a KeyboardInterrupt says who raised it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Signals:
    """What was sent to this process.

    The first SIGTERM raises KeyboardInterrupt, on which pytest ends its workers and reports; the second kills, as it
    does without this.
    """

    def __init__(self) -> None:
        #: Whether a SIGINT or SIGTERM came, so that a KeyboardInterrupt is not a subject's own.
        self.interrupted = False

    def end_gently(self) -> None:
        """Take SIGTERM, unless somebody else did or this is no main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._terminated)

    def let_go(self) -> None:
        """Leave SIGTERM as it was found."""
        if signal.getsignal(signal.SIGTERM) == self._terminated:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    @contextmanager
    def noting_interrupts(self) -> Iterator[None]:
        """Tell a Ctrl-C from a KeyboardInterrupt that the code of this block raises by itself."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return

        def noted(number: int, frame: FrameType | None) -> None:
            self.interrupted = True
            before(number, frame)

        signal.signal(signal.SIGINT, noted)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise KeyboardInterrupt("SIGTERM")
