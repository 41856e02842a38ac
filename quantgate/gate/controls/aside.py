"""A second process that trains the negative controls of a run while the only process of the run imports torch.

A run of one cell would spend a fifth of its time on them. What is trained in it is quantgate's own: no user's format,
no registered optimizer. It takes part as a worker does, by the lock files of the run's folder, so that a process which
cannot start, or dies, costs nothing but its help.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from quantgate.gate.folder import RunFolder
from quantgate.gate.loading import load_torch
from quantgate.records.cell import Cell, Config
from quantgate.records.verdict import Limits
from quantgate.training.optimizers import OPTIMIZERS, OptimizerSpec


def can_help(config: Config, optimizers: Iterable[OptimizerSpec]) -> bool:
    """Whether a second process can train what this configuration asks for under these optimizers, on an idle core."""
    own = all(OPTIMIZERS.get(optimizer.name) is optimizer for optimizer in optimizers)
    return own and config.device == "cpu" and config.schedule is None and _idle_cores() > 0


def _idle_cores() -> int:
    """The cores that this process may use, less what runs now: its torch would take them from somebody."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:  # https://man7.org/linux/man-pages/man5/proc_loadavg.5.html, this process among those that run
        running = int(Path("/proc/loadavg").read_text("ascii").split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):  # not Linux
        running = 1
    return cores - running


@contextmanager
def helping(folder: RunFolder, config: Config, cells: Sequence[Cell], limit: float) -> Iterator[None]:
    """Have the negative controls of these cells trained by a second process for as long as the block lasts.

    Args:
        folder: Of the run; made.
        config: How they are trained.
        cells: Of the run; see `can_help`.
        limit: Seconds after which the process is ended, so that nobody waits for one that hangs.
    """
    controls = [asdict(control) for control in dict.fromkeys(cell.control for cell in cells)]
    request = {"folder": str(folder.path), "config": asdict(config), "controls": controls}
    home = str(Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],  # -P: nothing of the user's folder is imported
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )
    except OSError:  # no memory for it
        yield
        return
    timer = threading.Timer(limit, process.kill)
    timer.daemon = True
    timer.start()
    assert process.stdin is not None
    try:
        with process.stdin as pipe:  # which stays open as long as this process lives
            try:
                pipe.write(json.dumps(request).encode() + b"\n")
                pipe.flush()
            except OSError:  # it is dead already
                pass
            yield
    finally:
        timer.cancel()
        process.kill()
        process.wait()


def _train(request: str) -> None:
    load_torch()
    from quantgate.gate.controls.store import ControlStore
    from quantgate.gate.run import Gate

    asked = json.loads(request)
    limits = Limits(**asked["config"]["limits"])
    gate = Gate(Config(**{**asked["config"], "limits": limits}))
    controls = gate.negative_controls([Cell(**control) for control in asked["controls"]])
    # From the end, since the run's own process begins at the other.
    ControlStore(RunFolder(Path(asked["folder"])), gate).train(controls[::-1])


def _end_with_the_run() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    first = sys.stdin.readline()
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    _train(first)
