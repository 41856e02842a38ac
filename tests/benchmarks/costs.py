"""How long each cell of the nightly matrix takes, recorded, and the table that shards are balanced by.

    python -m tests.benchmarks.costs record tests/plan/seconds.csv    # 15 minutes of one core; goes on where it stopped
    python -m tests.benchmarks.costs table tests/plan/seconds.csv     # the tables of quantgate/plan/costs.py
    python -m tests.benchmarks.costs shards tests/plan/seconds.csv    # makespans beside the longest-first bound

Seconds are of processor time on one thread, probes and all: what a cell takes on an idle core. The control of each
optimizer and width is recorded as `(float32 control)`, and AdamW's cells once more at few steps, which tells what a
cell costs before its first step from what each step does.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantgate.formats import BUILTIN
from quantgate.plan.costs import cost, negative_cost
from quantgate.plan.matrix import plan
from quantgate.plan.settings import Settings
from quantgate.plan.shards import split
from quantgate.records.cell import CONTROL_FORMAT, DEFAULT_STEPS, SEEDS, Cell, Config
from quantgate.records.verdict import Curve
from quantgate.subjects.registry import Registry
from tests.benchmarks.tables import table

FEW_STEPS = 20
FIELDS = ("subject", "optimizer", "width", "storage", "steps", "seconds")
CONTROL = "(float32 control)"

Key = tuple[str, str, int, str, int]


def recorded(path: Path) -> dict[Key, float]:
    """Seconds by subject, optimizer, width, storage and steps."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (row["subject"], row["optimizer"], int(row["width"]), row["storage"], int(row["steps"])): float(
                row["seconds"]
            )
            for row in csv.DictReader(file)
        }


def wanted() -> Iterator[tuple[Cell, int]]:
    """Every cell of the nightly matrix with its first seed, controls first, and AdamW's again at few steps."""
    settings = Settings(matrix="nightly", seeds=SEEDS[:1])
    cells = plan(settings, Registry())
    yield from ((cell, DEFAULT_STEPS) for cell in dict.fromkeys(cell.control for cell in cells))
    adamw = [cell for cell in cells if cell.optimizer == "adamw"]
    yield adamw[0].control, FEW_STEPS
    for cell in sorted(cells, key=lambda cell: (cell.optimizer != "adamw", cell.width)):
        yield cell, DEFAULT_STEPS
        if cell.optimizer == "adamw":
            yield cell, FEW_STEPS


def key_of(cell: Cell, steps: int) -> Key:
    subject = CONTROL if cell.kind == "control" else cell.subject
    return subject, cell.optimizer, cell.width, cell.storage, steps


def record(path: Path) -> None:
    """Train what is not in the file yet."""
    import torch

    from quantgate.gate.run import Gate

    torch.set_num_threads(1)
    done = recorded(path) if path.exists() else {}
    curves: dict[tuple[Cell, int], Curve] = {}
    with path.open("a", encoding="utf-8", newline="") as file:
        write = csv.writer(file, lineterminator="\n")
        if not done:
            write.writerow(FIELDS)
        for cell, _ in list(wanted())[:3]:  # warm: the corpus is read, libraries are loaded
            Gate(Config(steps=FEW_STEPS)).control(cell)
        for cell, steps in wanted():
            if (key := key_of(cell, steps)) in done:
                continue
            gate = Gate(Config(steps=steps))
            control = (cell.control, steps)
            if cell.kind != "control" and control not in curves:
                curves[control] = gate.train(cell.control).curve
            started = time.process_time()
            if cell.kind == "control":
                run = gate.train(cell)
                gate.assess(cell, run, None)
                curves[control] = run.curve
            else:
                gate.assess(cell, gate.train(cell), curves[control])
            write.writerow([*key, f"{time.process_time() - started:.3f}"])
            file.flush()
            print(*key, file=sys.stderr)


def tables(path: Path) -> str:
    """The tables of `quantgate.plan.costs`, from what was recorded, and how far they are off."""
    seconds = recorded(path)
    widths = sorted({key[2] for key in seconds})
    setups, lines = {}, []
    for width in widths:
        pairs = [
            (some, seconds[subject, optimizer, width, storage, FEW_STEPS])
            for (subject, optimizer, at, storage, steps), some in seconds.items()
            if at == width
            and steps == DEFAULT_STEPS
            and (subject, optimizer, width, storage, FEW_STEPS) in seconds
        ]
        slope = statistics.median((many - few) / (DEFAULT_STEPS - FEW_STEPS) for many, few in pairs)
        setups[width] = statistics.median(few - FEW_STEPS * slope for _, few in pairs)
    lines.append(f"_SETUP = ({', '.join(f'{1e3 * setups[width]:.1f}' for width in widths)})")
    steps_of: dict[tuple[str, int], float] = {}
    for optimizer in dict.fromkeys(key[1] for key in seconds):
        for width in widths:
            each = [
                some
                for (subject, by, at, storage, steps), some in seconds.items()
                if (by, at, storage, steps) == (optimizer, width, "master", DEFAULT_STEPS)
                and subject != CONTROL
            ]
            steps_of[optimizer, width] = (statistics.median(each) - setups[width]) / DEFAULT_STEPS
        shown = ", ".join(f"{1e3 * steps_of[optimizer, width]:.2f}" for width in widths)
        lines.append(f'_STEP["{optimizer}"] = ({shown})')
    shares: dict[tuple[str, str], list[float]] = {}
    for (subject, optimizer, width, storage, steps), some in seconds.items():
        if subject != CONTROL and steps == DEFAULT_STEPS:
            usual = setups[width] + steps * steps_of[optimizer, width]
            shares.setdefault((BUILTIN[subject].family, storage), []).append(some / usual)
    share = statistics.median(
        some / (setups[key[2]] + DEFAULT_STEPS * steps_of[key[1], key[2]])
        for key, some in seconds.items()
        if key[0] == CONTROL and key[4] == DEFAULT_STEPS
    )
    lines.append(f"_CONTROL = {share:.2f}")
    lines += [f"_FAMILY[{key}] = {statistics.median(each):.2f}" for key, each in sorted(shares.items())]
    off = sorted(
        some / (cost(cell_of(key), key[4]) / 1e3) for key, some in seconds.items() if key[0] != CONTROL
    )
    lines.append(
        f"# {len(off)} recorded cells over the table as it stands: median {statistics.median(off):.2f}, "
        f"5% below {off[len(off) // 20]:.2f}, 5% above {off[-len(off) // 20]:.2f}"
    )
    return "\n".join(lines)


def cell_of(key: Key) -> Cell:
    """The cell of a recorded line, with the first seed."""
    subject, optimizer, width, storage, _ = key
    kind = "control" if subject == CONTROL else "format"
    name = CONTROL_FORMAT if subject == CONTROL else subject
    return Cell(name, kind, optimizer, SEEDS[0], width, storage)  # type: ignore[arg-type]


def longest_first(seconds: Iterable[float], n: int) -> float:
    """The makespan of handing each job, the longest first, to whoever has the least: the bound of shards."""
    loads = [0.0] * n
    for some in sorted(seconds, reverse=True):
        heapq.heapreplace(loads, loads[0] + some)
    return max(loads)


@dataclass(frozen=True)
class Simulation:
    """Shards as they are cut by the table, in the seconds that were recorded."""

    n: int
    makespan: float
    #: The longest-first bound as if controls were shared; see `simulate`.
    ideal: float
    #: What longest-first takes in fact, where a cell brings its control to a shard that lacks it.
    greedy: float
    controls: int


def simulate(cells: Sequence[Cell], n: int, seconds: Mapping[Key, float]) -> Simulation:
    """How long the longest of n shards takes, its controls with it, beside longest-first.

    The ideal bound hands out cells and controls, the longest first, each to the shard that has least, as if a cell
    needed no control on the shard that it comes to; only one control, of the cheapest, and its three negative controls
    are on each shard. No shard is shorter than a cell with its own controls.
    """

    def taken(cell: Cell) -> float:
        return seconds[key_of(cell, DEFAULT_STEPS)]

    shards = split(cells, n)
    loads, trained = [], 0
    for shard in shards:
        controls = list(dict.fromkeys(cell.control for cell in shard))
        loads.append(sum(map(taken, (*shard, *controls))) + max(map(negative, controls)))
        trained += len(controls)
    once = sorted(taken(control) for control in {cell.control for cell in cells})
    each = once[0] + min(negative(cell.control) for cell in cells)
    bound = each + longest_first([*map(taken, cells), *once[len(shards) :]], n)
    unit = max(taken(cell) + taken(cell.control) + negative(cell.control) for cell in cells)
    return Simulation(n, max(loads), max(bound, unit), greedy(cells, n, taken), trained)


def negative(control: Cell) -> float:
    """Seconds that the negative controls of a run take, which are not recorded."""
    return negative_cost(control) / 1e3


def greedy(cells: Sequence[Cell], n: int, taken: Callable[[Cell], float]) -> float:
    """The makespan of handing out cells, the longest first, each to where it ends first, the controls with it."""
    loads, held = [0.0] * n, [set[Cell]() for _ in range(n)]
    for cell in sorted(cells, key=taken, reverse=True):

        def end(k: int, cell: Cell = cell) -> float:
            control = 0.0 if cell.control in held[k] else taken(cell.control)
            return loads[k] + taken(cell) + control + (0.0 if held[k] else negative(cell.control))

        best = min(range(n), key=end)
        loads[best] = end(best)
        held[best].add(cell.control)
    return max(loads)


def simulations(seconds: Mapping[Key, float]) -> dict[str, list[Simulation]]:
    """Both matrices at 2, 8 and 64 shards."""
    return {
        name: [simulate(plan(Settings(matrix=name), Registry()), n, seconds) for n in (2, 8, 64)]
        for name in ("pr", "nightly")
    }


def main() -> int:
    """Record, or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("record", "table", "shards"))
    parser.add_argument("path", type=Path)
    given = parser.parse_args()
    if given.what == "record":
        record(given.path)
    elif given.what == "table":
        print(tables(given.path))
    else:
        head = ["matrix", "shards", "longest s", "over ideal", "over longest-first", "controls"]
        rows = [
            [
                name,
                each.n,
                f"{each.makespan:.1f}",
                f"{each.makespan / each.ideal:.3f}",
                f"{each.makespan / each.greedy:.3f}",
                each.controls,
            ]
            for name, found in simulations(recorded(given.path)).items()
            for each in found
        ]
        print(table(head, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
