"""Threads that a subject leaves running: the interpreter waits for them at its end, for ever."""

from __future__ import annotations

import os
import sys
import threading
import time

#: Seconds that the interpreter has to end by itself: threads of a pool are told to, and do.
_WAIT = 3.0
_POLL = 0.2


class Stragglers:
    """The threads that came since this was made."""

    def __init__(self) -> None:
        self._before = set(threading.enumerate())

    def end_despite_them(self, status: int) -> None:
        """When the main thread has ended, end the process with that status even if one of them does not."""
        left = [
            t.name for t in threading.enumerate() if t not in self._before and not t.daemon and t.is_alive()
        ]
        if left:
            threading.Thread(target=_end, args=(status, left[0]), daemon=True).start()


def _end(status: int, name: str) -> None:
    while threading.main_thread().is_alive():  # pytest may be a part of somebody's program, which goes on
        time.sleep(_POLL)
    time.sleep(_WAIT)
    said = f"quantgate: thread {name!r} was left running and kept pytest from its end; it was ended\n"
    sys.stdout.flush()
    os.write(2, said.encode("utf-8", "backslashreplace"))
    os._exit(status)
