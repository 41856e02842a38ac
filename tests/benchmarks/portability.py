"""How far scores move with the instruction set, the torch version and the seed: the tolerances of a baseline's lanes.

    python -m tests.benchmarks.portability --folder /tmp/portability
    python -m tests.benchmarks.portability --folder /tmp/portability --torch "" --isa ""      # seeds alone

Trains the `pr` matrix (and --formats, --optimizers) with the torch of this interpreter, then on every other instruction
set (`ATEN_CPU_CAPABILITY`), with every other torch (a virtual environment each, made in the folder) and with other
seeds. Prints the largest differences to the first of them, and the cells that move most. What is in the folder is not
trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from quantgate.plan.matrices import PR_FORMATS, PR_OPTIMIZERS
from quantgate.records.cell import SEEDS
from tests.benchmarks.tables import table

ROOT = Path(__file__).parents[2]
#: What a machine may be told beside torch's own variable, and still report the same instruction set.
LIBRARIES = {
    "MKL_CBWR=COMPATIBLE": {"MKL_CBWR": "COMPATIBLE"},
    "MKL_ENABLE_INSTRUCTIONS=SSE4_2": {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "ONEDNN_MAX_CPU_ISA=SSE41": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
}
Records = dict[str, dict[str, Any]]


def interpreter(folder: Path, *packages: str) -> Path:
    """The Python of a virtual environment with these packages, made where it is not there."""
    home = folder / "-".join(packages).replace("==", "")
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        (home / "ready").touch()
    return python


def trained(
    output: Path, python: Path, variables: Mapping[str, str], seed: int, given: argparse.Namespace
) -> Records:
    """The records of a sweep by cell, trained unless they are there."""
    if not output.exists():
        part = output.with_suffix(".part")
        command = [python, "-m", "tests.benchmarks.sweep", "--subjects", given.formats]
        command += ["--optimizers", given.optimizers, "--seeds", str(seed), "--jobs", str(given.jobs)]
        environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT)}
        subprocess.run([*command, "--output", part], env=environment, cwd=ROOT, check=True)
        part.rename(output)
    records = map(json.loads, output.read_text("utf-8").splitlines())
    return {f"{each['kind']} {each['subject']} {each['optimizer']}": each for each in records}


def differences(before: Records, after: Records, field: str = "bpb") -> dict[str, float]:
    """|difference| of a score, by cell, of the cells that have one in both."""
    pairs = {name: (before[name][field], after[name][field]) for name in before.keys() & after.keys()}
    return {name: abs(a - b) for name, (a, b) in pairs.items() if a is not None and b is not None}


def row(name: str, before: Records, after: Records) -> tuple[object, ...]:
    """What moved between two runs."""
    moved = differences(before, after)
    alike = sum(before[cell]["curve"] == after[cell]["curve"] for cell in moved)
    verdicts = sum(before[cell]["verdict"] != after[cell]["verdict"] for cell in moved)
    ordered = sorted(moved.values())
    worst = max(moved, key=lambda cell: moved[cell])
    middle, most = ordered[len(ordered) // 2], ordered[-1]
    return (name, len(moved), alike, f"{middle:.1e}", f"{most:.1e}", worst, verdicts)


def spread(runs: Iterable[Records], field: str) -> dict[str, float]:
    """The largest difference between any two seeds, by cell."""
    found: dict[str, list[float]] = {}
    for records in runs:
        for name, record in records.items():
            if record[field] is not None:
                found.setdefault(name, []).append(record[field])
    return {name: max(scores) - min(scores) for name, scores in found.items()}


def main() -> int:
    """Train what is missing, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="environments and records, kept")
    parser.add_argument("--torch", default="2.9.1,2.10.0,2.11.0,2.12.0", metavar="VERSIONS")
    parser.add_argument("--isa", default="default,avx2,avx512", help="values of ATEN_CPU_CAPABILITY")
    parser.add_argument("--numpy", default="1.26.4", metavar="VERSIONS", help="beside this torch")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS[1:5])))
    parser.add_argument("--formats", default=",".join(PR_FORMATS))
    parser.add_argument("--optimizers", default=",".join(PR_OPTIMIZERS))
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    here = Path(sys.executable)

    def run(
        name: str, python: Path, variables: Mapping[str, str] | None = None, seed: int = SEEDS[0]
    ) -> Records:
        print(name, file=sys.stderr, flush=True)
        file = "".join(char if char.isalnum() or char in ".-" else "_" for char in name)
        return trained(given.folder / f"{file}.jsonl", python, variables or {}, seed, given)

    def parts(text: str) -> list[str]:
        return [part for part in text.split(",") if part]

    first = run("first", here)
    rows = [row("again", first, run("again", here))]
    for isa in parts(given.isa):
        rows.append(row(f"isa {isa}", first, run(f"isa {isa}", here, {"ATEN_CPU_CAPABILITY": isa})))
    for version in parts(given.torch):
        python = interpreter(given.folder, f"torch=={version}", "numpy")
        rows.append(row(f"torch {version}", first, run(f"torch {version}", python)))
    for version in parts(given.torch)[:1]:  # the oldest torch on the oldest machine
        python, oldest = (
            interpreter(given.folder, f"torch=={version}", "numpy"),
            {"ATEN_CPU_CAPABILITY": "default"},
        )
        rows.append(row(f"torch {version}, default", first, run(f"torch {version} default", python, oldest)))
    if given.isa:
        rows += [row(name, first, run(name, here, variables)) for name, variables in LIBRARIES.items()]
    for version in parts(given.numpy):
        python = interpreter(given.folder, f"torch=={metadata.version('torch')}", f"numpy=={version}")
        rows.append(row(f"numpy {version}", first, run(f"numpy {version}", python)))
    head = ("beside the first", "cells", "equal curves", "median", "largest", "the cell", "other verdicts")
    print(table(head, rows))
    runs = [first, *(run(f"seed {seed}", here, seed=int(seed)) for seed in parts(given.seeds))]
    for field in ("bpb", "gap"):
        moved = spread(runs, field)
        ordered = sorted(moved, key=lambda name: -moved[name])
        print(f"\n{field} over {len(runs)} seeds: largest differences between two of them")
        print(", ".join(f"{name} {moved[name]:.3f}" for name in ordered[:12]))
        print(f"median {moved[ordered[len(ordered) // 2]]:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
