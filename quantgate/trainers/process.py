"""The process of one cell: run without a shell, read while it runs, and ended with all its children."""

from __future__ import annotations

import os
import secrets
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantgate.trainers import leash

#: Bytes of the output that are kept: its beginning, and its end.
HEAD, TAIL = 4096, 12288
#: A longer line is cut: it holds no score.
LONGEST_LINE = 65536
_CHUNK = 65536
#: How often an ended trainer is looked for whose children keep its output open.
_POLL = 0.05
#: Seconds in which what it wrote last is read, once all its processes have been told to end.
_DRAIN = 1.0
#: One thread each, unless the user says otherwise: the cells of a run share the cores.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
#: What a trainer's variables may not hold: options of the run, and the address of a database among them.
_PRIVATE = ("QUANTGATE_", "PYTEST_")


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    #: Its exit status, below 0 the signal that ended it; None where it took too long.
    status: int | None
    seconds: float
    #: Seconds that it had.
    limit: float
    #: The beginning and the end of what it wrote to both outputs.
    output: str
    #: How many lines it wrote.
    lines: int


class Output:
    """What a process writes, of which the beginning and the end are kept, and each line is shown to `take`."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self.lines = 0
        self._take = take
        self._head, self._tail = bytearray(), bytearray()
        self._left_out = 0
        self._line = bytearray()
        self._last = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        into_head = chunk[: HEAD - len(self._head)]
        self._head += into_head
        self._tail += chunk[len(into_head) :]
        if len(self._tail) > 2 * TAIL:
            self._left_out += len(self._tail) - TAIL
            del self._tail[:-TAIL]
        # A carriage return ends a line too: progress bars have no other end, and on Windows it is the first half.
        pieces = chunk.replace(b"\r", b"\n").split(b"\n")
        for piece in pieces[:-1]:
            self._line += piece[: LONGEST_LINE - len(self._line)]
            self._end_line()
        self._line += pieces[-1][: LONGEST_LINE - len(self._line)]

    def close(self) -> None:
        """Take what stands after the last end of a line."""
        self._end_line()

    @property
    def text(self) -> str:
        """What was kept; bytes that are no UTF-8 are shown as escapes."""
        tail = self._tail[-TAIL:]
        left_out = self._left_out + len(self._tail) - len(tail)
        between = f"\n... {left_out:,} bytes are left out ...\n".encode() if left_out else b""
        return (bytes(self._head) + between + bytes(tail)).decode("utf-8", "backslashreplace")

    def _end_line(self) -> None:
        if self._line:
            self.lines += 1
            self._take(self._line.decode("utf-8", "backslashreplace"))
            self._line.clear()


def run(command: Sequence[str], folder: Path, seconds: float, take: Callable[[str], None]) -> Ended:
    """Run a command to its end, or for so many seconds.

    It has a process group of its own, which is killed whole when the command ends, when its time is up, when this
    raises (Ctrl-C), and when this process dies.

    Args:
        command: The program and its arguments.
        folder: Where it is run; a program with a slash is looked for there.
        seconds: How long it may take.
        take: Shown each line of both outputs as it comes.

    Raises:
        OSError: It cannot be started.
    """
    mark = secrets.token_hex(8)
    started = time.monotonic()
    output = Output(take)
    # The leash leads the group, so that there is no moment in which the trainer runs and nobody would end it. Its
    # number is taken until it is waited for: no other group is killed by mistake.
    leader = subprocess.Popen(
        [sys.executable, "-I", "-S", leash.__file__, mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    with (
        leader,  # whose input is closed in the end, so that it ends what this did not come to
        subprocess.Popen(
            list(command),
            cwd=folder,
            env=_environment(mark),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=leader.pid,
        ) as trainer,
    ):
        assert trainer.stdout is not None
        stream = trainer.stdout.fileno()
        try:
            status = _watch(trainer, stream, started + seconds, output)
        finally:
            leash.end(leader.pid, mark)
        _drain(stream, output)
    output.close()
    return Ended(status, time.monotonic() - started, seconds, output.text, output.lines)


def _watch(trainer: subprocess.Popen[bytes], stream: int, deadline: float, output: Output) -> int | None:
    """Read until the trainer ends, whoever else holds its output open; None where its time is up."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if selector.select(min(left, _POLL)):
                if chunk := os.read(stream, _CHUNK):
                    output.feed(chunk)
                else:  # it closed its output, and may go on
                    selector.unregister(stream)
            if trainer.poll() is not None:
                return trainer.returncode
    return None


def _drain(stream: int, output: Output) -> None:
    os.set_blocking(stream, False)
    deadline = time.monotonic() + _DRAIN
    while time.monotonic() < deadline:
        try:
            chunk = os.read(stream, _CHUNK)
        except BlockingIOError:
            time.sleep(_POLL / 10)
            continue
        if not chunk:
            return
        output.feed(chunk)


def _environment(mark: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
    return {**dict.fromkeys(_THREADS, "1"), **kept, leash.MARK: mark}
