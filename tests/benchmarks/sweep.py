"""Train and judge many cells in parallel, and write one JSON line for each.

    python -m tests.benchmarks.sweep --seeds 47,89 --widths 32,64 --jobs 8 --output cells.jsonl

A unit of work is one float32 control (corpus x width x seed x optimizer) and every subject that is held
against it, in one process with one thread. Each line is a cell's result record (DESIGN.md, "The result
record") without the evidence of each weight, but with `extremes`: the most suspicious value of every
measurement over all weights and steps, to be held against the thresholds of `quantgate/diagnose.py`. A close
call is not escalated to more seeds: every seed that is asked for is a cell of its own. Read the file with
`python -m tests.benchmarks.gaps`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from quantgate.diagnosis.evidence import Evidence, TensorEvidence
from quantgate.formats import BUILTIN
from quantgate.gate.run import Gate
from quantgate.plan.costs import control_cost
from quantgate.records.cell import DEFAULT_STEPS, SEEDS, Cell, Config, Scope, Storage
from quantgate.records.result import CellResult, jsonable
from quantgate.training.optimizers import OPTIMIZERS
from tests.benchmarks import unusual

Record = dict[str, Any]


@dataclass(frozen=True)
class Unit:
    """A control and the cells that are held against it."""

    config: Config
    control: Cell
    cells: tuple[Cell, ...]

    @property
    def cost(self) -> float:
        """How long it takes, in milliseconds of one core."""
        return control_cost(self.control, self.config.steps) * (1 + len(self.cells))

    def __str__(self) -> str:
        return f"{self.control.id} on {self.config.corpus}"


def units(
    subjects: Iterable[tuple[str, Storage]],
    optimizers: Iterable[str],
    seeds: Iterable[int],
    widths: Iterable[int],
    corpora: Iterable[str],
    config: Config,
) -> list[Unit]:
    """Every unit of a sweep, longest first, so that no worker is left with a long one at the end."""
    named = list(subjects)
    made = []
    for corpus in corpora:
        for width in widths:
            for seed in seeds:
                for optimizer in optimizers:
                    cells = tuple(
                        Cell(name, "format", optimizer, seed, width, storage, config.scope)
                        for name, storage in named
                    )
                    made.append(Unit(replace(config, corpus=corpus), cells[0].control, cells))
    return sorted(made, key=lambda unit: -unit.cost)


def measure(unit: Unit) -> list[Record]:
    """The records of a unit, the control's first."""
    gate = Gate(unit.config, unusual.registry())
    control = gate.control(unit.control)
    records = [record_of(control, None)]
    for cell in unit.cells:
        run = gate.train(cell)
        records.append(record_of(gate.assess(cell, run, run_curve(control)), run.evidence))
    return records


def run_curve(control: CellResult) -> tuple[tuple[int, float], ...]:
    """A control's curve, as the gate's own run takes it."""
    return tuple((step, float("nan") if score is None else score) for step, score in control.curve)


def record_of(result: CellResult, evidence: Evidence | None) -> Record:
    """A result as JSON's own types, with extremes in place of the evidence of each weight."""
    record = result.to_record()
    record["evidence"].pop("weights", None)
    record["extremes"] = jsonable(extremes(evidence.weights or evidence.inputs)) if evidence else {}
    return record


def extremes(tensors: Sequence[TensorEvidence]) -> dict[str, float]:
    """The most suspicious value of each measurement."""
    if not tensors:
        return {}
    kept = [
        min(t.negatives_kept, t.positives_kept) / max(t.negatives_kept, t.positives_kept, 1e-9)
        for t in tensors
    ]
    found = {
        "changed_min": min(t.changed for t in tensors),
        "gain_min": min(t.gain for t in tensors),
        "gain_max": max(t.gain for t in tensors),
        "snr_min": min(t.snr for t in tensors),
        "zeros_max": max(t.zeros for t in tensors),
        "saturated_max": max(t.saturated for t in tensors),
        "sign_kept_min": min(kept),
    }
    referred = [t for t in tensors if t.reference_gradient > 0]
    if referred:
        ratios = [(t.gradient or 0.0) / t.reference_gradient for t in referred]
        found |= {
            "gradient_zeros_max": max(t.gradient_zeros for t in referred),
            "gradient_cosine_min": min(t.gradient_cosine for t in referred),
            "gradient_ratio_min": min(ratios),
            "gradient_ratio_max": max(ratios),
        }
    return found


def run(planned: Sequence[Unit], jobs: int) -> Iterator[Record]:
    """The records of every unit as units end; progress and what could not be measured go to stderr."""
    started, done = time.perf_counter(), 0
    total = sum(1 + len(unit.cells) for unit in planned)
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # read by the workers when torch starts
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(planned) or 1), mp_context=context) as pool:
        futures = {pool.submit(measure, unit): unit for unit in planned}
        for future in as_completed(futures):
            unit = futures.pop(future)
            done += 1 + len(unit.cells)
            try:
                records = future.result()
            except Exception as error:  # one unit must not cost the others theirs
                print(f"NOT MEASURED: {unit}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                continue
            yield from records
            seconds = time.perf_counter() - started
            print(f"{done}/{total} cells, {seconds:.0f} s, {unit}", file=sys.stderr, flush=True)


def write(records: Iterable[Record], output: Path) -> int:
    """One JSON line a record, flushed at once; returns how many."""
    count = 0
    with output.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, allow_nan=False) + "\n")
            file.flush()
            count += 1
    return count


def subject_names(text: str) -> list[str]:
    """`all`, `builtin`, `unusual` or names, each of which must be known."""
    registry = unusual.registry()
    groups = {
        "all": [*BUILTIN, *registry.registered()],
        "builtin": list(BUILTIN),
        "unusual": list(registry.registered()),
    }
    names = [name for part in text.split(",") for name in groups.get(part, [part])]
    return list(dict.fromkeys(registry.subject(name).name for name in names))


def optimizer_names(text: str) -> list[str]:
    """`all` or names, each of which must be known."""
    names = list(OPTIMIZERS) if text == "all" else text.split(",")
    return [unusual.registry().optimizer(name).name for name in names]


def integers(text: str) -> list[int]:
    """Whole numbers separated by commas."""
    return [int(part) for part in text.split(",")]


def words(text: str) -> list[str]:
    """Words separated by commas."""
    return text.split(",")


def checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """`parse`, whose errors argparse shows with their own words."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def add_common(parser: argparse.ArgumentParser, *, seeds: Sequence[int], widths: Sequence[int]) -> None:
    """The options that every sweep takes."""
    jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    add = parser.add_argument
    add("--optimizers", type=checked(optimizer_names), default=list(OPTIMIZERS), metavar="all|NAMES")
    add("--seeds", type=checked(integers), default=list(seeds), metavar="SEEDS")
    add("--widths", type=checked(integers), default=list(widths), metavar="WIDTHS")
    add("--corpora", type=words, default=["builtin"], help="builtin, tinyshakespeare or paths")
    add("--steps", type=int, default=DEFAULT_STEPS)
    add("--jobs", type=int, default=jobs, help=f"processes of one thread each ({jobs})")


def main() -> int:
    """Run the sweep; exit status 1 if a unit could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--subjects",
        type=checked(subject_names),
        default=subject_names("all"),
        metavar="all|builtin|unusual|NAMES",
    )
    add_common(parser, seeds=SEEDS[:3], widths=[64])
    parser.add_argument("--storage", choices=get_args(Storage), default="master")
    parser.add_argument("--scope", choices=get_args(Scope), default="weights")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.jsonl")
    given = parser.parse_args()
    planned = units(
        [(name, given.storage) for name in given.subjects],
        given.optimizers,
        given.seeds,
        given.widths,
        given.corpora,
        Config(steps=given.steps, scope=given.scope),
    )
    expected = sum(1 + len(unit.cells) for unit in planned)
    written = write(run(planned, given.jobs), given.output)
    print(f"{written} of {expected} cells in {given.output}", file=sys.stderr)
    return 0 if written == expected else 1


if __name__ == "__main__":
    sys.exit(main())
