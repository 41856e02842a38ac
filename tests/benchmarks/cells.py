"""What quantizing costs a cell: seconds of quantized cells over seconds of float32 cells.

    python -m tests.benchmarks.cells [--optimizers adamw] [--formats int8,nf4] [--rounds 5]

Both are trained by the same code, the float32 cell (the control) with the format that changes nothing, one
after the other, control and quantized cell in turn, on one thread. The time of the probes is measured inside
the same trainings, around each call of the probes, and taken off both: `ratio` is the median over the rounds
of quantized / float32, probes apart, whose mean over the `pr` matrix is to be at most 1.15; `with probes` is
the same with them; `probes` is their share of the quantized cell's time, to be at most a fifth. `--clock cpu`
counts processor time instead, which other work on the machine disturbs less; on an idle machine the two
agree, since a cell has one thread and nothing to wait for. (What a probed step costs
beside those calls, some retained gradients, counts as training.)
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from quantgate.gate import experiment
from quantgate.gate.run import Gate
from quantgate.plan.matrices import PR_FORMATS, PR_OPTIMIZERS
from quantgate.probes.training import TrainingProbes
from quantgate.records.cell import DEFAULT_STEPS, DEFAULT_WIDTH, SEEDS, Cell, Config
from quantgate.training.watcher import Watcher
from tests.benchmarks.sweep import checked, optimizer_names, subject_names
from tests.benchmarks.tables import table
from tests.benchmarks.unusual import registry

BOUND = 1.15

Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass
class Stopwatch:
    """Adds up the time spent in the functions that it wraps; nested calls count once."""

    clock: Clock
    seconds: float = 0.0
    _depth: int = 0

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, timed."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._depth += 1
            started = self.clock()
            try:
                return function(*args, **kwargs)
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.seconds += self.clock() - started

        return timed


@contextmanager
def timed_probes(clock: Clock) -> Iterator[Stopwatch]:
    """Times the probes of a quantizer alone, and each method of the watcher that a training calls."""
    watch = Stopwatch(clock)
    timed: list[tuple[Any, str]] = [(experiment, "examine_quantizer")]
    timed += [
        (TrainingProbes, name) for name in vars(Watcher) if name in vars(TrainingProbes) and name[0] != "_"
    ]
    with ExitStack() as stack:
        for owner, name in timed:
            stack.enter_context(mock.patch.object(owner, name, watch.wrap(getattr(owner, name))))
        yield watch


@dataclass(frozen=True)
class Seconds:
    """Time of one training, and how much of it the probes took."""

    whole: float
    probes: float

    @property
    def training(self) -> float:
        return self.whole - self.probes


def train(gate: Gate, cell: Cell, clock: Clock) -> Seconds:
    """One training, timed."""
    with timed_probes(clock) as watch:
        started = clock()
        run = gate.train(cell)
        whole = clock() - started
    if run.evidence.crash or run.evidence.contract:
        raise RuntimeError(f"{cell}: {run.evidence.crash or run.evidence.contract}")
    return Seconds(whole, watch.seconds)


@dataclass(frozen=True)
class Cost:
    """The rounds of one cell: (float32, quantized) pairs that ran one after the other."""

    cell: Cell
    pairs: tuple[tuple[Seconds, Seconds], ...]

    @property
    def ratio(self) -> float:
        return statistics.median(q.training / c.training for c, q in self.pairs)

    @property
    def with_probes(self) -> float:
        return statistics.median(q.whole / c.whole for c, q in self.pairs)

    @property
    def probes(self) -> float:
        return statistics.median(q.probes / q.whole for _, q in self.pairs)

    def row(self) -> list[object]:
        """Its line in the table."""
        control = statistics.median(c.training for c, _ in self.pairs)
        quantized = statistics.median(q.training for _, q in self.pairs)
        return [
            self.cell.subject, self.cell.optimizer, control, quantized, f"{self.ratio:.3f}",
            f"{self.with_probes:.3f}", f"{self.probes:.1%}",
        ]  # fmt: skip


def measure(gate: Gate, cell: Cell, rounds: int, clock: Clock) -> Cost:
    """Float32, quantized, float32, quantized, ..."""
    pairs = ((train(gate, cell.control, clock), train(gate, cell, clock)) for _ in range(rounds))
    return Cost(cell, tuple(pairs))


def summary(costs: Sequence[Cost]) -> str:
    """Means per optimizer and over all."""
    optimizers = list(dict.fromkeys(cost.cell.optimizer for cost in costs))
    groups = {name: [c for c in costs if c.cell.optimizer == name] for name in optimizers}
    groups["mean of all"] = list(costs)
    return table(
        ["optimizer", "cells", "ratio", "with probes", "probes"],
        [
            [
                name,
                len(group),
                f"{statistics.mean(c.ratio for c in group):.3f}",
                f"{statistics.mean(c.with_probes for c in group):.3f}",
                f"{statistics.mean(c.probes for c in group):.1%}",
            ]
            for name, group in groups.items()
        ],
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--formats", type=checked(subject_names), default=list(PR_FORMATS), metavar="all|NAMES")
    add("--optimizers", type=checked(optimizer_names), default=list(PR_OPTIMIZERS), metavar="all|NAMES")
    add("--rounds", type=int, default=5, help="pairs of each cell (5)")
    add("--clock", choices=CLOCKS, default="wall")
    add("--width", type=int, default=DEFAULT_WIDTH)
    add("--steps", type=int, default=DEFAULT_STEPS)
    given = parser.parse_args()
    gate = Gate(Config(steps=given.steps), registry())
    costs = []
    for optimizer in given.optimizers:
        for place, name in enumerate(given.formats):
            cell = Cell(name, "format", optimizer, SEEDS[0], given.width)
            if place == 0:
                train(
                    gate, cell.control, CLOCKS[given.clock]
                )  # warm: the corpus is read, libraries are loaded
            costs.append(measure(gate, cell, given.rounds, CLOCKS[given.clock]))
            print(f"{cell}: {costs[-1].ratio:.3f}", file=sys.stderr, flush=True)
    head = ["format", "optimizer", "float32 s", "quantized s", "ratio", "with probes", "probes"]
    print(table(head, [cost.row() for cost in costs]))
    print(f"\nSeconds ({given.clock}) and ratio: probes apart; the mean ratio is to be at most {BOUND}.\n")
    print(summary(costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
