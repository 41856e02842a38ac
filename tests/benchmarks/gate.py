"""Wall time of the whole gate, and what quantgate costs those who only have it installed.

    python -m tests.benchmarks.gate [--gate-runs 3] [--pairs 21] [--startup-rounds 3] [--root FOLDER]
                                    [-- PYTEST OPTIONS]

1. `pytest -m lowbit -n auto` in `--root` (the repository): every run and the median, start of the process to
   its end; to be under 60 s on 2 cores. What stands after `--` is passed to it.
2. pytest on a file with one empty test, with quantgate and with `-p no:quantgate`, in turn: the median of the
   differences between neighbours, to be at most 20 ms, and the quartiles, which say how far to trust it; and
   the median difference in processor time, which a busy machine disturbs less.
3. `python -c "import quantgate"` against `python -c pass`, likewise.
4. Whether torch was imported in 2 and 3: each to say no.
5. Where the time goes from the command to the first dot, on 1, 2 and 8 workers (`tests.benchmarks.startup`).

An editable install pays a few milliseconds at the start of every python, with or without the plugin.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.startup import startup
from tests.benchmarks.tables import table

BOUND_MS = 20
WORKERS = (1, 2, 8)
_WITHOUT = ("-p", "no:quantgate")
#: hypothesis's plugin is not what is measured; its half second would bury the milliseconds that are, and what
#: it imports would come for free to quantgate.
_PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
#: Said by the process itself when it ends.
_SAY_TORCH = (
    "import atexit, sys; atexit.register(lambda: print('TORCH', 'torch' in sys.modules, file=sys.stderr))\n"
)


def run(command: Sequence[str], folder: Path) -> tuple[float, float, subprocess.CompletedProcess[str]]:
    """Seconds of a process from its start to its end, its seconds of processor time, and what it said."""
    # A run of pytest around this one, or options from the environment, must not leak in; and an installed
    # package has its bytecode.
    left_out = ("PYTEST_", "QUANTGATE_", "PYTHONDONTWRITEBYTECODE")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    started, used = time.perf_counter(), _children_cpu()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return time.perf_counter() - started, _children_cpu() - used, done


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def whole_gate(root: Path, runs: int, options: Sequence[str]) -> str:
    """The gate's runs as a table, with the line that counts its cells."""
    command = [sys.executable, "-m", "pytest", "-m", "lowbit", "-n", "auto", *options]
    rows: list[list[object]] = []
    times = []
    for number in range(1, runs + 1):
        seconds, _, done = run(command, root)
        times.append(seconds)
        counted = re.findall(r"^.*planned.*$", done.stdout, flags=re.MULTILINE)
        rows.append([number, f"{seconds:.1f}", done.returncode, counted[-1].strip() if counted else "-"])
        print(f"gate {number}/{runs}: {seconds:.1f} s", file=sys.stderr, flush=True)
        if done.returncode not in (0, 1):
            rows[-1][-1] = (done.stdout + done.stderr).strip().splitlines()[-1]
    shown = table(["run", "seconds", "exit status", "cells"], rows)
    return f"`{' '.join(command[1:])}`\n\n{shown}\n\nmedian {statistics.median(times):.1f} s"


def difference(left: Sequence[str], right: Sequence[str], folder: Path, pairs: int) -> list[object]:
    """Median milliseconds of both commands, and of right - left: quartiles of neighbours' differences."""
    for command in (left, right):  # warm: bytecode is written
        _, _, done = run(command, folder)
        if done.returncode != 0:
            raise RuntimeError(
                f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
    runs = [(run(left, folder)[:2], run(right, folder)[:2]) for _ in range(pairs)]
    without, with_it = (statistics.median(wall for wall, _ in side) for side in zip(*runs, strict=True))
    low, middle, high = statistics.quantiles([b[0] - a[0] for a, b in runs], n=4)
    cpu = statistics.median(b[1] - a[1] for a, b in runs)
    quartiles = f"{low * 1e3:+.1f} .. {high * 1e3:+.1f}"
    return [
        f"{without * 1e3:.0f}",
        f"{with_it * 1e3:.0f}",
        f"{middle * 1e3:+.1f}",
        quartiles,
        f"{cpu * 1e3:+.1f}",
    ]


def imports_torch(command: Sequence[str], folder: Path) -> str:
    """`yes` or `no`, as the process itself saw it at its end."""
    _, _, done = run(command, folder)
    said = re.findall(r"^TORCH (True|False)$", done.stderr, flags=re.MULTILINE)
    if not said:
        return f"unknown (exit status {done.returncode})"
    return "yes" if "True" in said else "no"


def bystanders(pairs: int) -> str:
    """What an import and a foreign pytest run cost, as a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        plain, quantgate = [sys.executable, "-c", "pass"], [sys.executable, "-c", "import quantgate"]
        costs = {
            "pytest": difference([*_PYTEST, *_WITHOUT], _PYTEST, folder, pairs),
            "import quantgate": difference(plain, quantgate, folder, pairs),
        }
        (folder / "conftest.py").write_text(_SAY_TORCH)
        torch = {
            "pytest": imports_torch(_PYTEST, folder),
            "import quantgate": imports_torch(
                [sys.executable, "-c", f"{_SAY_TORCH}import quantgate"], folder
            ),
        }
    head = ["", "without ms", "with ms", "difference ms", "quartiles", "cpu difference ms", "torch imported"]
    return table(head, [[what, *cost, torch[what]] for what, cost in costs.items()])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gate-runs", type=int, default=3, help="0 leaves the gate itself out (3)")
    parser.add_argument("--pairs", type=int, default=21, help="of short processes, at least 2 (21)")
    parser.add_argument("--startup-rounds", type=int, default=3, help="0 leaves the start-up out (3)")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="where the gate runs")
    parser.add_argument(
        "options", nargs="*", metavar="PYTEST OPTIONS", help="after --: for the gate's pytest"
    )
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{cores} cores, python {sys.version.split()[0]}\n")
    print(f"{bystanders(given.pairs)}\n\nThe difference of pytest is to be at most {BOUND_MS} ms.")
    if given.startup_rounds:
        print(f"\n{startup(WORKERS, given.startup_rounds)}")
    if given.gate_runs:
        print(f"\n{whole_gate(given.root, given.gate_runs, given.options)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
