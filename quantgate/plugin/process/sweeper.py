"""A small process that outlives the run and removes its folder: a run that is killed cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_CODE = "import shutil, sys; sys.stdin.read(); shutil.rmtree(sys.argv[1], ignore_errors=True)"


class Sweeper:
    """Removes a folder once this process has ended, however it did.

    The other end of its standard input is held by this process alone; when that closes, the run is over. It has a
    session of its own, so that a signal to the run's processes does not end it.
    """

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _CODE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def sweep(self) -> None:
        """Remove the folder now."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
