"""Runs that are struck from outside, or whose quantizers end the process that they are in."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.attack import FAST, FORMATS, HEALTHY, LEARNS, REPORT
from tests.attacks.running import Running
from tests.plugin.project import MODES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc"),
]

#: `quick` is judged at once, `slow` takes a minute.
SLOW = (
    HEALTHY.replace("'fitting', fitting", "'quick', fitting")
    + """
def slow(w):
    import time

    time.sleep(0.5)
    return fitting(w)


quantgate.register_format('slow', slow, bits=4)
quantgate.register_format('never', slow, bits=4)
"""
)
#: Set to a file before torch is imported, so that no other file of the run comes near it.
FULL = """
import resource


def pytest_sessionstart(session):
    if not hasattr(session.config, "workerinput"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, resource.RLIM_INFINITY))


def pytest_terminal_summary():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""

Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    runs: list[Running] = []

    def started(conftest: str, *arguments: str) -> Running:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        (folder / "conftest.py").write_text(conftest, encoding="utf-8")
        (folder / "test_lowbit.py").write_text(LEARNS, encoding="utf-8")
        runs.append(Running(folder, *arguments, *FAST, REPORT))
        return runs[-1]

    yield started
    for run in runs:
        run.end()


def verdicts(run: Running) -> dict[str, str]:
    return {record["subject"]: record["verdict"] for record in run.records if record["kind"] == "format"}


@pytest.mark.parametrize("mode", ["plain", "n2"])
def test_a_run_that_is_told_to_end_says_what_it_judged(start: Start, mode: str) -> None:
    run = start(SLOW, *MODES[mode])
    run.wait_until(lambda: "quick" in verdicts(run))
    os.kill(run.process.pid, signal.SIGTERM)

    assert run.wait() == 2
    assert verdicts(run) == {"quick": "learns", "slow": "unjudged", "never": "unjudged"}
    assert "quick w32              5.02 learns" in run.output
    assert "quantgate: 1 of 3 planned cells were judged" in run.output.splitlines()
    assert run.state["state"] == "finished"
    assert run.state["exit_status"] == 2
    assert run.left_behind() == []


def test_a_run_that_is_killed_leaves_a_report_that_says_unfinished_and_nothing_else(start: Start) -> None:
    run = start(SLOW, *MODES["n2"])
    run.wait_until(lambda: "quick" in verdicts(run))
    os.kill(run.process.pid, signal.SIGKILL)

    assert run.wait() == -signal.SIGKILL
    assert verdicts(run) == {"quick": "learns"}
    assert run.state == {"state": "unfinished"}
    assert run.left_behind() == []


def test_a_quantizer_that_ends_the_only_process_leaves_a_report_that_says_unfinished(start: Start) -> None:
    ends = "    import ctypes\n\n    ctypes.CDLL(None)._exit(0)\n"  # in C, where nothing holds it back
    run = start(SLOW.replace("    import time\n\n    time.sleep(0.5)\n", ends), "-n0")

    assert run.wait() == 0  # all that the process itself can say
    assert verdicts(run) == {"quick": "learns"}
    assert run.state == {"state": "unfinished", "running": "slow-adamw-s47-w32"}
    assert run.left_behind(sweeping=True) == []


def test_the_watchdog_ends_an_only_process_and_says_where_it_stood(start: Start) -> None:
    # In C, with the interpreter's lock held and no signal let in: a loop that never ends, but for its processor time.
    hangs = (
        "    import ctypes\n    import signal\n\n    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})\n"
        "    ctypes.PyDLL(None).sleep(1000)\n"
    )
    run = start(
        SLOW.replace("    import time\n\n    time.sleep(0.5)\n", hangs), *MODES["plain"], "--timeout=1"
    )

    assert run.wait() == 1
    assert verdicts(run) == {"quick": "learns"}
    assert run.state == {"state": "unfinished", "running": "slow-adamw-s47-w32"}
    assert re.search(r'conftest\.py", line \d+ in slow$', run.output, flags=re.MULTILINE)
    assert run.left_behind(sweeping=True) == []


def test_a_second_run_into_one_report_folder_is_refused(start: Start) -> None:
    first = start(SLOW, *MODES["plain"])
    first.wait_until(lambda: "quick" in verdicts(first))
    second = start(SLOW, *MODES["plain"])

    assert second.wait() == 4
    refused = "another run is writing into the report folder 'out'; give each run its own"
    assert f"ERROR: quantgate: {refused}" in second.output.splitlines()
    assert verdicts(first) == {"quick": "learns"}


@pytest.mark.parametrize("mode", ["plain", "n2"])
def test_a_full_disk_loses_records_and_nothing_else(start: Start, mode: str) -> None:
    run = start(HEALTHY + FULL, *MODES[mode], "--quantgate-formats=fitting,int8,nf4,bf16")

    assert run.wait() == 1
    assert (
        "4 planned / 4 ran / 4 judged / 0 skipped, 1 of 1 controls learn, 3 of 3 negative controls fail"
        in run.output
    )
    (said,) = [line for line in run.output.splitlines() if line.startswith("quantgate: not written to")]
    assert said.startswith("quantgate: not written to out/results.jsonl: ")
    assert said.endswith(" (No space left on device); make room and run again")
    assert all(record["verdict"] for record in run.records)  # no line is cut
    assert run.left_behind() == []


DIES_IN_A_NEGATIVE_CONTROL = """
import os
from pathlib import Path

from quantgate.gate.run import Gate

real = Gate.train


def train(self, cell):
    if cell.subject == "zero-gradient" and not Path("died").exists():
        Path("died").touch()
        os.kill(os.getpid(), 9)
    return real(self, cell)


def pytest_runtest_setup():
    Gate.train = train
"""


def test_a_worker_that_dies_in_a_negative_control_makes_the_run_invalid(start: Start) -> None:
    conftest = FORMATS + DIES_IN_A_NEGATIVE_CONTROL.replace(
        "def pytest_runtest_setup():", "def pytest_collection_finish():"
    )
    run = start(conftest, *MODES["n2"], "--quantgate-formats=int4,int8,nf4,bf16")

    assert run.wait() == 70
    said = "a worker died while it trained the negative control zero-gradient x adamw, width 16"
    assert f"quantgate: {said}" in run.output.splitlines()
    assert sorted(verdicts(run).values()) == ["learns", "learns", "learns", "unjudged"]
