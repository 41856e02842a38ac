"""Runs of foreign trainers that are struck from outside: no process of a trainer outlives its run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.running import Running
from tests.plugin.project import MODES, TEST_LEARNS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc"),
]

#: What trains int8 never ends, ignores what it is told, and has children within its group and outside.
TRAINER = """
[ $2 = 0 ] && { for step in 0 50 100; do echo "step=$step val_bpb=7.01"; done; exit; }
[ $1 = f32 ] && { for step in 0 1 2 3 4 5 6 7 8 9; do echo "step=${step}0 val_bpb=$((7 - step / 3)).02"; done; exit; }
trap '' TERM INT HUP
echo "step=0 val_bpb=7.02"
sleep 600 &
setsid sleep 600 &
touch began
while :; do sleep 1; done
"""
TOML = """
[trainers.mine]
command = ["sh", "trainer.sh", "{format}", "{lr}"]
pattern = "step={step} val_bpb={bpb}"
formats = ["int8"]
optimizers = ["adamw"]
"""

Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    runs: list[Running] = []

    def started(*arguments: str) -> Running:
        folder = tmp_path / "project"
        folder.mkdir()
        for name, text in {
            "trainer.sh": TRAINER,
            "quantgate.toml": TOML,
            "test_lowbit.py": TEST_LEARNS,
        }.items():
            (folder / name).write_text(text, encoding="utf-8")
        runs.append(Running(folder, *arguments, "--quantgate-report=out"))
        runs[-1].wait_until((folder / "began").exists)
        return runs[-1]

    yield started
    for run in runs:
        run.end()


@pytest.mark.parametrize(
    ("mode", "number"),
    [("plain", signal.SIGINT), ("n2", signal.SIGTERM), ("n2", signal.SIGKILL)],
    ids=["plain-SIGINT", "n2-SIGTERM", "n2-SIGKILL"],
)
def test_a_run_that_is_ended_ends_its_trainers(start: Start, mode: str, number: signal.Signals) -> None:
    run = start(*MODES[mode])
    os.kill(run.process.pid, number)

    assert run.wait() == (-number if number is signal.SIGKILL else 2)
    assert run.left_behind(sweeping=number is signal.SIGKILL) == []


def test_a_worker_that_is_killed_takes_its_trainer_with_it_and_its_cell_is_crashed(start: Start) -> None:
    run = start(*MODES["n2"], "-p", "no:randomly")
    (busy,) = [
        int(path.stem.removeprefix("doing-gw")) for path in run.temporary.glob("quantgate-*/doing-gw*.json")
    ]
    os.kill(run.workers()[busy], signal.SIGKILL)

    assert run.wait() == 1
    assert [record["verdict"] for record in run.records if record["kind"] == "trainer"] == ["crashed"]
    assert run.left_behind() == []


def test_a_timeout_that_ends_the_process_ends_its_trainer(start: Start) -> None:
    run = start(*MODES["plain"], "--timeout=3", "--timeout-method=thread", "-o", "faulthandler_timeout=0")

    assert run.wait() == 1
    assert [record["verdict"] for record in run.records if record["kind"] == "trainer"] == ["timeout"]
    assert run.left_behind() == []
