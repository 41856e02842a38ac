"""The second process that trains the negative controls of a run which has but one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantgate.gate.controls import aside
from quantgate.gate.controls.aside import can_help, helping
from quantgate.gate.controls.negative import negative_controls
from quantgate.gate.controls.store import ControlStore
from quantgate.gate.folder import RunFolder
from quantgate.gate.run import Gate
from quantgate.records.cell import Cell, Config
from quantgate.records.schedule import Schedule
from quantgate.records.verdict import Limits
from quantgate.training.optimizers import OPTIMIZERS

CELLS = [Cell("int8", "format", "adamw", 47)]
NEGATIVE = negative_controls(CELLS)
SHORT = Config(steps=2, limits=Limits(fail_bpb=6.6, dead_bpb=6.8))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "shared")
    made.make()
    return made


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """What is started from here on."""
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def spy(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", spy)
    return started


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Have a Python program of these lines started in place of the helper."""

    def put(lines: str) -> None:
        program = tmp_path / "instead"
        program.write_text(f"#!{sys.executable}\n{lines}\n", encoding="utf-8")
        program.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(program))

    return put


def wait_for(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not reached() and time.monotonic() < end:
        time.sleep(0.02)
    assert reached()


@pytest.mark.slow
def test_same_results(folder: RunFolder, processes: list[subprocess.Popen[bytes]]) -> None:
    """It trains the negative controls alone, as this process would to the last bit, and ends by itself."""
    with helping(folder, SHORT, CELLS, 60):
        wait_for(lambda: processes[0].poll() is not None)
        assert processes[0].returncode == 0
        trained = folder.controls()
    assert [result.cell for result in trained] == sorted(NEGATIVE, key=lambda cell: cell.subject)
    gate = Gate(SHORT)
    for result in trained:
        assert replace(result, seconds=0) == replace(gate.negative(result.cell, None), seconds=0)


@pytest.mark.slow
def test_ends_with_its_block(folder: RunFolder, processes: list[subprocess.Popen[bytes]]) -> None:
    with helping(folder, Config(steps=10**6), CELLS, 60):
        wait_for(lambda: any(folder.path.glob("negative-control-*.lock")))
        assert processes[0].poll() is None
    assert processes[0].returncode == -9


@pytest.mark.slow
def test_ends_with_the_process(folder: RunFolder) -> None:
    """Where nobody can end it any more, its standard input tells it."""
    program = (
        "import os, subprocess; from pathlib import Path; from quantgate.gate.controls import aside\n"
        "from quantgate.gate.folder import RunFolder; from quantgate.records.cell import Cell, Config\n"
        "popen = subprocess.Popen\n"
        "def spy(*a, **k):\n    p = popen(*a, **k); print(p.pid, flush=True); return p\n"
        "subprocess.Popen = spy\n"
        f"with aside.helping(RunFolder(Path({str(folder.path)!r})), Config(steps=10**6), "
        "[Cell('int8', 'format', 'adamw', 47)], 60):\n    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    helper = Path(f"/proc/{int(done.stdout)}")
    wait_for(lambda: not helper.exists() or "Z" in (helper / "stat").read_text("ascii").split()[2])


def test_one_that_hangs_is_ended(folder: RunFolder, instead: Callable[[str], None]) -> None:
    """The run goes on by itself: the lock is free."""
    lock = folder.lock(NEGATIVE[0])
    instead(
        f"from filelock import FileLock\nimport time\nlock = FileLock({str(lock)!r})\nlock.acquire()\ntime.sleep(600)"
    )
    with helping(folder, SHORT, CELLS, 1.5):
        wait_for(lock.exists)
        ControlStore(folder, Gate(SHORT)).train(NEGATIVE)
    assert len(folder.controls()) == 3


@pytest.mark.parametrize("lines", ["raise SystemExit(3)", "import os; os.close(0); os._exit(1)"])
def test_one_that_dies_costs_nothing(folder: RunFolder, instead: Callable[[str], None], lines: str) -> None:
    instead(lines)
    with helping(folder, SHORT, CELLS, 60):
        ControlStore(folder, Gate(SHORT)).train(NEGATIVE)
    assert len(folder.controls()) == 3


def test_none_can_be_started(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere")
    with helping(folder, SHORT, CELLS, 60):
        ControlStore(folder, Gate(SHORT)).train(NEGATIVE)
    assert len(folder.controls()) == 3


def test_where_it_can_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has none of the user's code, no accelerator, no other rates than constant ones, and takes nobody's core."""
    monkeypatch.setattr(aside, "_idle_cores", lambda: 1)
    adamw = OPTIMIZERS["adamw"]
    assert can_help(Config(), [adamw, OPTIMIZERS["sgd"]])
    assert not can_help(Config(), [adamw, replace(adamw, name="mine")])
    assert not can_help(Config(), [replace(adamw)])
    assert not can_help(Config(device="cuda"), [adamw])
    assert not can_help(Config(schedule=Schedule(warmup=1, floor=0.1)), [adamw])
    monkeypatch.setattr(aside, "_idle_cores", lambda: 0)
    assert not can_help(Config(), [adamw])


def test_idle_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(Path, "read_text", lambda path, encoding: "0.50 1.00 2.00 3/456 789\n")
    assert aside._idle_cores() == 1

    def gone(path: Path, encoding: str) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", gone)
    assert aside._idle_cores() == 3
