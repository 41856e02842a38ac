"""Ends a trainer with all its children; as a program of its own, when whoever started it is gone.

Run by path, `python -I -S leash.py MARK`: it leads the process group that the trainer joins, and kills that group when
its standard input closes, which the worker of the run holds the other end of. It imports what starts in an instant.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

#: The variable that all processes of a trainer inherit, also those that leave its group.
MARK = "QUANTGATE_TRAINER"
#: Children may fork while they are looked for.
_ROUNDS = 10


def end(group: int, mark: str) -> None:
    """Kill a process group, and on Linux those that left it and still carry the mark."""
    for _ in range(_ROUNDS):
        strays = [pid for pid in _marked(mark) if pid != os.getpid()]
        for pid in strays:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not strays:
            break
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)


def _marked(mark: str) -> list[int]:
    """The processes with this mark that are not dead already."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    try:
        # pathlib costs more than all the rest
        names = os.listdir("/proc")  # noqa: PTH208
    except OSError:
        return []
    for name in filter(str.isdigit, names):
        with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:  # noqa: PTH123
            if wanted in file.read().split(b"\0"):
                found.append(int(name))
    return found


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end(os.getpgrp(), sys.argv[1])
