"""Where the time goes from the command to the first dot, on 1, 2 and 8 workers.

    python -m tests.benchmarks.startup [--workers 1,2,8] [--rounds 3]

A gate of four short cells is run in a folder of its own, whose conftest writes down the time of each station in each
process: seconds since the command was given, the median over the rounds of the process that was last to reach it.
A first run, which is not counted, writes the bytecode.

Then a process that does nothing but to import torch, with the garbage collector and as the gate does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.tables import table

#: Station -> what has happened by then.
STATIONS = {
    "started": "pytest has started, its plugins are loaded",
    "collected": "the tests are collected",
    "torch": "torch is imported",
    "gate": "the gate's own modules are imported",
    "step": "the first step of a training begins",
    "controls": "the controls are trained",
    "dot": "the first cell is judged",
}

CONFTEST = """
import json
import os
import time

import pytest

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "controller")
SEEN = {}


def note(station):
    if station not in SEEN:
        SEEN[station] = time.time()
        with open(os.path.join(os.environ["STATIONS"], WORKER + ".json"), "w") as file:
            json.dump(SEEN, file)


note("started")


def pytest_collection_finish(session):
    note("collected")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    if "gate" not in SEEN and WORKER != "controller":
        from quantgate.gate.loading import load_torch

        load_torch()
        note("torch")
        import quantgate.gate.controls
        from quantgate.training.trainer import Training

        note("gate")
        step = Training._step

        def first(*given):
            note("step")
            Training._step = step
            return step(*given)

        Training._step = first
    return (yield)


def pytest_runtest_setup(item):
    note("controls")


def pytest_runtest_logreport(report):
    if report.when == "call":
        note("dot")
"""
TEST = "def test_learns(lowbit_cell):\n    lowbit_cell.assert_learns()\n"
ARGUMENTS = (
    "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--quantgate-formats=int4,int8,bf16,fp16",
    "--quantgate-optimizers=adamw", "--quantgate-widths=32", "--quantgate-steps=20", "--quantgate-lr=0.003",
)  # fmt: skip


def stations(workers: int) -> dict[str, float]:
    """Seconds from the command to each station, of the process that was last to reach it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "seen").mkdir()
        (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        (folder / "test_lowbit.py").write_text(TEST, encoding="utf-8")
        left_out = ("PYTEST_", "QUANTGATE_", "PYTHONDONTWRITEBYTECODE")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
        begun = time.time()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *ARGUMENTS, f"-n{workers}"],
            cwd=folder,
            env={**environment, "STATIONS": str(folder / "seen")},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"the gate ended with {done.returncode}: {done.stdout}{done.stderr}")
        seen = [json.loads(path.read_text("utf-8")) for path in (folder / "seen").glob("gw*.json")]
    reached = {station: [each[station] for each in seen if station in each] for station in STATIONS}
    # A dot is the run's first; before it, every process takes its share.
    return {
        station: (min(times) if station == "dot" else max(times)) - begun
        for station, times in reached.items()
    }


def startup(workers: Sequence[int], rounds: int) -> str:
    """The table of stations, a column a number of workers."""
    stations(workers[0])
    medians = {}
    for count in workers:
        runs = [stations(count) for _ in range(rounds)]
        medians[count] = {station: statistics.median(run[station] for run in runs) for station in STATIONS}
    head = ["seconds since the command, by which", *(f"-n{count}" for count in workers)]
    rows = [
        [said, *(f"{medians[count][station]:.2f}" for count in workers)] for station, said in STATIONS.items()
    ]
    return table(head, rows)


#: A process that imports torch, pytest's last look for garbage included.
IMPORTS = {
    "import torch": "import torch, gc; gc.collect()",
    "load_torch()": "from quantgate.gate.loading import load_torch; load_torch(); import gc; gc.collect()",
}


def importing(rounds: int) -> str:
    """The table of the processes that import torch, a row each: the median of their seconds from start to end."""
    seconds: dict[str, list[float]] = {said: [] for said in IMPORTS}
    for _ in range(rounds):
        for said, program in IMPORTS.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            seconds[said].append(time.perf_counter() - begun)
    rows = [[said, f"{statistics.median(each):.2f}"] for said, each in seconds.items()]
    return table(["a process that does no more than", "seconds"], rows)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workers", default="1,2,8", help="numbers of workers, by commas (1,2,8)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (3)")
    given = parser.parse_args()
    print(startup([int(count) for count in given.workers.split(",")], given.rounds))
    print(importing(2 * given.rounds + 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
