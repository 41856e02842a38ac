"""A run of pytest that is under way: watched through its report and its processes, and struck from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.plugin.project import PLUGINS_LEFT_OUT, inherited

#: The variable by which the processes of a run are known, children of children too.
MARK = "ATTACKED_RUN"
#: Seconds that whatever is left of a run has to go.
_GRACE = 20.0
#: How the command of `quantgate.plugin.process.sweeper` begins, after the interpreter.
_SWEEPER = b" -I -S -c "


class Running:
    """pytest in a folder, started and not waited for.

    Args:
        folder: The project; its temporary files go to `tmp` beside it.
        arguments: pytest's.
        environment: More variables.
    """

    def __init__(self, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.temporary = folder.parent / f"{folder.name}-tmp"
        self.temporary.mkdir(exist_ok=True)
        self._mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self._output = (folder / "output.txt").open("w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *PLUGINS_LEFT_OUT, *arguments],
            cwd=folder,
            env={
                **inherited(),
                "COLUMNS": "120",
                "PYTHONUTF8": "1",
                "TMPDIR": str(self.temporary),
                MARK: self._mark,
                **(environment or {}),
            },
            # A shell that starts the tests in the background has SIGINT ignored, which is inherited.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        """What was printed so far."""
        return (self.folder / "output.txt").read_text("utf-8", errors="replace")

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records so far; a line that is no JSON is an error."""
        path = self.folder / "out" / "results.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [record for record in map(json.loads, lines) if record["kind"] != "run"]

    @property
    def state(self) -> dict[str, Any]:
        """What `run.json` says; empty where there is none."""
        path = self.folder / "out" / "run.json"
        found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        return found

    def pids(self) -> list[int]:
        """The processes of this run that are alive, the controller first."""
        mark = f"{MARK}={self._mark}".encode()
        found = []
        for place in Path("/proc").iterdir():
            try:
                if place.name.isdigit() and mark in (place / "environ").read_bytes().split(b"\0"):
                    found.append(int(place.name))
            except OSError:  # it ended, or is another user's
                continue
        return sorted(found, key=lambda pid: (pid != self.process.pid, pid))

    def workers(self) -> list[int]:
        """The workers of pytest-xdist that are alive."""
        return [pid for pid in self.pids() if b"exec(eval(" in _command(pid)]

    def wait_until(self, true: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something is so; that it never is, is an error."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds:g} s in vain:\n{self.output}")
            time.sleep(0.02)

    def wait(self, seconds: float = 120.0) -> int:
        """The exit status, once it has ended."""
        try:
            return self.process.wait(seconds)
        finally:
            self._output.close()

    def left_behind(self, *, sweeping: bool = False) -> list[str]:
        """Processes and folders of the gate that are still there some time after the end.

        Args:
            sweeping: Whether the sweeper may still be there, which looks after a killed controller's workers for 10 s.
                Without a process beside it, nothing can make a folder again.
        """
        deadline = time.monotonic() + _GRACE
        while time.monotonic() < deadline:
            commands = {pid: _command(pid) for pid in self.pids()}
            left = [
                f"process {pid} {command!r}"
                for pid, command in commands.items()
                if not (sweeping and _SWEEPER in command)
            ]
            left += [str(path) for path in self.temporary.glob("quantgate-*")]
            if not left:
                return []
            time.sleep(0.05)
        return left

    def end(self) -> None:
        """Kill whatever is left of it."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def _command(pid: int) -> bytes:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ")[:200]
    except OSError:
        return b""
