"""The fault campaign: a small run is struck at random moments, and what must always hold is checked after each.

    python -m tests.attacks.campaign --moments 200

A worker or the controller is killed, the controller is told to end, the disk fills up, the clock jumps by a day. Then:

- the exit status is 0 only where every planned cell learned, and the report says that the run finished;
- every cell whose result the controller had seen is in the report, no line is cut, no cell is there twice;
- a controller that lives reports on every planned cell, and prints its table;
- no process and no folder of the run is left;
- the next run into the same folder is not disturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.attack import FAST, LEARNS, REPORT
from tests.attacks.running import Running

SUBJECTS = ("int4", "int8", "nf4", "bf16")
ARGUMENTS = ("-n2", *FAST, REPORT, f"--quantgate-formats={','.join(SUBJECTS)}")
FAULTS = ("worker", "controller", "terminate", "disk", "clock")
#: Every how many moments a run is repeated in the folder that the one before left.
AGAIN = 5
#: The least size (bytes) that a full disk lets a file grow to: what pytest and the run's folder write is smaller.
LEAST = 9_000
_CONFTEST = """
import os
import threading
import time

import pytest

real = time.time


def jump():
    time.time = lambda: real() + 86_400


def pytest_configure():
    if "CLOCK_AT" in os.environ:
        timer = threading.Timer(float(os.environ["CLOCK_AT"]), jump)
        timer.daemon = True
        timer.start()


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    if report.when == "call" and "PYTEST_XDIST_WORKER" not in os.environ:
        with open("seen.txt", "a") as file:
            file.write(report.nodeid + "\\n")
"""


@dataclass(frozen=True)
class Struck:
    """What came of one moment."""

    fault: str
    seconds: float
    exit_status: int
    #: What did not hold, in words; empty where all did.
    broken: tuple[str, ...]


def strike(folder: Path, fault: str, seconds: float, *, again: bool) -> Struck:
    """Strike a run after so many seconds, and check what must hold.

    Args:
        folder: A new folder.
        fault: One of `FAULTS`.
        seconds: After its start.
        again: Whether a second run follows in the same folder.
    """
    folder.mkdir(parents=True)
    (folder / "conftest.py").write_text(_CONFTEST, encoding="utf-8")
    (folder / "test_lowbit.py").write_text(LEARNS, encoding="utf-8")
    run = Running(folder, *ARGUMENTS, environment={"CLOCK_AT": str(seconds)} if fault == "clock" else {})
    try:
        time.sleep(seconds)
        _hit(run, fault)
        status = run.wait()
        broken = list(_broken(run, fault, status))
        if again:
            broken += _second(folder)
    except (
        Exception
    ) as error:  # a run that does not end, a report that cannot be read: that must not be, either
        status, broken = -999, [f"{type(error).__name__}: {error}"]
    finally:
        run.end()
    return Struck(fault, seconds, status, tuple(broken))


def _hit(run: Running, fault: str) -> None:
    if run.process.poll() is not None:
        return
    try:
        if fault == "worker":
            run.wait_until(lambda: bool(run.workers()) or run.process.poll() is not None)
            for pid in run.workers()[:1]:
                os.kill(pid, signal.SIGKILL)
        elif fault == "controller":
            run.process.kill()
        elif fault == "terminate":
            run.process.terminate()
        elif fault == "disk":
            report = run.folder / "out" / "results.jsonl"
            full = max(LEAST, report.stat().st_size if report.exists() else 0)
            for pid in run.pids():
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (full, full))
    except ProcessLookupError:  # it ended just now
        return


def _broken(run: Running, fault: str, status: int) -> Iterable[str]:
    cells = [record for record in run.records if record["kind"] == "format"]
    verdicts = {record["subject"]: record["verdict"] for record in cells}
    if len(cells) != len(verdicts):
        yield f"a cell is there twice: {[record['subject'] for record in cells]}"
    learned = verdicts == dict.fromkeys(SUBJECTS, "learns")
    if status == 0 and not (learned and run.state.get("state") == "finished"):
        yield f"green with {verdicts}, {run.state}"
    path = run.folder / "seen.txt"
    seen = (
        {line.partition("[")[2].partition("-")[0] for line in path.read_text().splitlines()}
        if path.exists()
        else set()
    )
    if fault != "disk" and not seen <= set(verdicts):
        yield f"seen and not in the report: {sorted(seen - set(verdicts))}"
    if fault == "disk" and seen - set(verdicts) and (status == 0 or "not written to" not in run.output):
        yield "records were lost without a word"
    if fault == "worker" and status and "gateway_bootstrap" in run.output:
        # Killed before it was a worker: pytest-xdist ends with status 3 then, with this plugin or without.
        yield from (f"left behind: {each}" for each in run.left_behind())
        return
    if fault in {"worker", "clock"} and set(verdicts) != set(SUBJECTS):
        yield f"the report holds {sorted(verdicts)} alone"
    if fault in {"worker", "clock", "disk"} and "4 planned / " not in run.output:
        yield "no table"
    if "INTERNALERROR" in run.output:
        yield "INTERNALERROR"
    yield from (f"left behind: {each}" for each in run.left_behind(sweeping=fault == "controller"))


def _second(folder: Path) -> list[str]:
    run = Running(folder, *ARGUMENTS)
    status = run.wait()
    return [
        f"the second run: {each}" for each in (*_broken(run, "", status), *([str(status)] if status else []))
    ]


def campaign(
    folder: Path, moments: int, seed: int, jobs: int, faults: Sequence[str] = FAULTS
) -> list[Struck]:
    """Strike so many runs, each at a moment drawn between the start and the end of a clean one."""
    started = time.monotonic()
    clean = strike(folder / "clean", "none", 0.0, again=False)
    length = time.monotonic() - started
    if clean.exit_status != 0 or clean.broken:
        raise RuntimeError(f"a run that nobody strikes ends with {clean}")
    generator = random.Random(seed)
    plan = [(faults[place % len(faults)], generator.uniform(0, length)) for place in range(moments)]
    with ThreadPoolExecutor(jobs) as pool:
        return list(
            pool.map(
                lambda place: strike(
                    folder / str(place), *plan[place], again=place % AGAIN == place // AGAIN % AGAIN
                ),
                range(moments),
            )
        )


def table(found: Iterable[Struck]) -> str:
    """How the struck runs ended, a line a fault; and what did not hold."""
    found = list(found)
    lines = []
    for fault in FAULTS:
        counts = Counter(each.exit_status for each in found if each.fault == fault)
        ended = ", ".join(f"{count} x {status}" for status, count in sorted(counts.items()))
        lines.append(f"{fault:<11} {counts.total():>4} moments; exit statuses: {ended}")
    bad = [each for each in found if each.broken]
    lines.append(f"{len(found)} moments, {len(bad)} with something that did not hold")
    lines += [
        f"  {each.fault} after {each.seconds:.2f} s, {each.exit_status}: {'; '.join(each.broken)}"
        for each in bad
    ]
    return "\n".join(lines)


def main() -> int:
    """Run the campaign; 1 where something did not hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1597)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = campaign(Path(folder), given.moments, given.seed, given.jobs)
    print(table(found))
    return int(any(each.broken for each in found))


if __name__ == "__main__":
    sys.exit(main())
