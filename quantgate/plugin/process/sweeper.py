"""A small process that outlives the run and removes its folder: a run that is killed cannot."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

#: Workers outlive a killed controller by a moment, in which they may make the folder again.
_CODE = """
import shutil, sys, time
orderly = sys.stdin.read()
for _ in range(1 if orderly else 40):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    time.sleep(0 if orderly else 0.25)
"""


class Sweeper:
    """Removes a folder once this process has ended, however it did.

    The other end of its standard input is held by this process alone; when that closes, the run is over. It has a
    session of its own, so that a signal to the run's processes does not end it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _CODE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def sweep(self) -> None:
        """Remove the folder now; the process is no longer needed."""
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            self._process.communicate("orderly")
        except OSError:  # somebody killed it
            self._process.wait()
