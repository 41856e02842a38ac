"""A watchdog that needs no interpreter: a loop in C holds the interpreter's lock, and no signal reaches Python then.

faulthandler's timer is a thread of its own, in C: it writes down where each thread stands and ends the process.
"""

from __future__ import annotations

import faulthandler
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import IO

_FRAME = re.compile(r'  File "(?P<path>.*)", line (?P<line>\d+) in ')
_INSTALLED = ("site-packages", "/lib/python", "\\lib\\", "<frozen")


@contextmanager
def watchdog(seconds: float, log: IO[str] | int) -> Iterator[None]:
    """End this process, with exit status 1, unless the block ends within so many seconds.

    Args:
        seconds: More than anything else that ends it: this is the last resort.
        log: Where the stack of each thread is written; a file or its number, open until the block ends.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=log)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def rest() -> None:
    """Take the watchdog off for the rest of its block: somebody is debugging."""
    faulthandler.cancel_dump_traceback_later()


def where_it_stood(log: str, own: str) -> str:
    """The innermost line of the user's in what the watchdog wrote, `conftest.py:12`; empty where there is none.

    Args:
        log: What it wrote.
        own: The folder of the package, whose lines are nobody's fault.
    """
    for match in _FRAME.finditer(log):
        path = match["path"]
        if not path.startswith(own) and not any(part in path for part in _INSTALLED):
            return f"{PurePath(path).name}:{match['line']}"
    return ""
