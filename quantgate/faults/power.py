"""The gate's power, measured: faults caught, causes named and false alarms, beside the plain BPB < 6.5 gate.

Every fault of the library and its healthy twin, and every built-in format, are trained under several optimizers,
seeds, widths and corpora, judged, and counted by class.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import import_module
from itertools import product
from multiprocessing import get_context
from typing import Any

from quantgate.gate.cell import Gate
from quantgate.records.cell import SEEDS, Cell, Config
from quantgate.faults import Fault, Setup
from quantgate.formats import Format
from quantgate.training.optimizers import OptimizerSpec
from quantgate.subjects.registry import REGISTRY
from quantgate.records.result import CellResult
from quantgate.records.verdict import Curve, Verdict

#: The package's own faults, and its formats, which are healthy.
LIBRARIES = ("quantgate.faults:FAULTS", "quantgate.formats:BUILTIN")
#: The optimizers that faults are run under.
OPTIMIZERS = ("adamw", "muon", "sgd", "lion")


@dataclass(frozen=True)
class Trial:
    """One cell of the measurement: a fault, its twin, or a built-in format."""

    name: str
    #: `broken`, `twin` or `healthy`.
    role: str
    optimizer: str
    seed: int
    width: int
    corpus: str
    #: `module:attribute` of the mapping that holds it, so that another process finds it.
    library: str
    steps: int = 100

    @property
    def setup(self) -> Setup:
        """What is trained."""
        found = load_library(self.library)[self.name]
        if isinstance(found, Fault):
            return found.broken if self.role == "broken" else found.healthy
        return Setup(found) if isinstance(found, Format) else found

    @property
    def cause(self) -> str | None:
        """The cause that should be named; None for what is healthy."""
        found = load_library(self.library)[self.name]
        return found.cause if isinstance(found, Fault) and self.role == "broken" else None


@dataclass(frozen=True)
class Outcome:
    """What the gate, and the plain gate, said of a trial."""

    trial: Trial
    verdict: str
    cause: str | None
    because: str | None
    findings: tuple[str, ...]
    bpb: float | None
    gap: float | None
    seconds: float

    @property
    def flagged(self) -> bool:
        """Whether the gate fails it."""
        return self.verdict != Verdict.LEARNS

    @property
    def plainly_flagged(self) -> bool:
        """Whether a line at 6.5 BPB alone fails it."""
        return self.bpb is None or not self.bpb < 6.5

    @property
    def expected(self) -> str | None:
        """The cause that should be named; None for what is healthy."""
        return self.trial.cause


def load_library(path: str) -> Mapping[str, Fault | Setup | Format]:
    """The faults, or the healthy setups or formats, behind `module:attribute`.

    Raises:
        ValueError: There is no such mapping.
    """
    module, _, attribute = path.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"library {path!r} cannot be loaded: {error}; write module:attribute") from None
    if not isinstance(found, Mapping):
        raise ValueError(
            f"library {path!r} is a {type(found).__name__}, not a mapping of faults or setups by name"
        )
    return found


def trials(
    *,
    libraries: Sequence[str] = LIBRARIES,
    only: Collection[str] = (),
    optimizers: Sequence[str] = OPTIMIZERS,
    seeds: Sequence[int] = SEEDS[:1],
    widths: Sequence[int] = (64,),
    corpora: Sequence[str] = ("builtin",),
    steps: int = 100,
) -> tuple[Trial, ...]:
    """Every fault with its twin, and everything healthy, under every combination of the rest.

    Args:
        libraries: `module:attribute` of mappings of `Fault`, `Setup` or `Format` by name.
        only: These names alone, where any are given.
        optimizers: Names of built-in optimizers.
        seeds: Of weights and batches.
        widths: Of the model.
        corpora: As the option `corpus` takes them.
        steps: Of each training.
    """
    named = [
        (library, name, role)
        for library in libraries
        for name, found in load_library(library).items()
        if not only or name in only
        for role in (("broken", "twin") if isinstance(found, Fault) else ("healthy",))
    ]
    return tuple(
        Trial(name, role, optimizer, seed, width, corpus, library, steps)
        for optimizer, seed, width, corpus in product(optimizers, seeds, widths, corpora)
        for library, name, role in named
    )


def run_setup(
    setup: Setup, optimizer: str, seed: int, config: Config, control_of: Callable[[Cell], Curve]
) -> CellResult:
    """Train and judge a setup of the library, with its own optimizer where it has one."""
    registry = REGISTRY.with_subject(setup.subject)
    name = optimizer
    if setup.optimizer is not None:
        registry, name = registry.with_optimizer(setup.optimizer), setup.optimizer.name
    kind: Any = "format" if isinstance(setup.subject, Format) else "recipe"
    cell = Cell(setup.subject.name, kind, name, seed, config.width, setup.storage, setup.scope)
    return Gate(config, registry).run(cell, control_of)


@cache
def _control(cell: Cell, config: Config, own: OptimizerSpec | None) -> Curve:
    registry = REGISTRY if own is None else REGISTRY.with_optimizer(own)
    return Gate(config, registry).train(cell).curve


def run_trial(trial: Trial) -> Outcome:
    """One trial, in this process."""
    config = Config(width=trial.width, steps=trial.steps, corpus=trial.corpus)
    result = run_setup(
        trial.setup,
        trial.optimizer,
        trial.seed,
        config,
        lambda cell: _control(cell.control, config, trial.setup.optimizer),
    )
    return Outcome(
        trial,
        str(result.verdict),
        result.cause,
        result.evidence.get("because"),
        tuple(result.evidence.get("findings", ())),
        result.bpb,
        result.gap,
        result.seconds,
    )


def run(chosen: Sequence[Trial], jobs: int) -> Iterator[Outcome]:
    """Every trial's outcome as it comes, from `jobs` processes."""
    if jobs < 1:
        raise ValueError(f"{jobs} jobs; at least one process is needed")
    size = max(1, min(12, len(chosen) // (4 * jobs)))
    chunks = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(_run_chunk, chunk) for chunk in chunks]):
            yield from done.result()


def _run_chunk(chunk: Sequence[Trial]) -> list[Outcome]:
    return [run_trial(trial) for trial in chunk]


@dataclass
class Row:
    """Counts of one class of faults, or of one group of healthy subjects."""

    name: str
    cells: int = 0
    flagged: int = 0
    right_cause: int = 0
    among_causes: int = 0
    plainly: int = 0
    missed: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.cells += 1
        self.flagged += outcome.flagged
        self.plainly += outcome.plainly_flagged
        expected = outcome.expected
        self.right_cause += expected is not None and outcome.cause == expected
        self.among_causes += expected is not None and expected in outcome.findings
        if outcome.flagged != (expected is not None):
            where = outcome.trial
            self.missed.append(
                f"{where.name} x {where.optimizer} s{where.seed} w{where.width} {where.corpus}: "
                f"{outcome.verdict} {outcome.cause or ''}"
            )


@dataclass(frozen=True)
class PowerTable:
    """Detection by class, and alarms among what is healthy."""

    faults: tuple[Row, ...]
    healthy: tuple[Row, ...]

    def to_json(self) -> str:
        """Both tables as one JSON object."""
        return json.dumps(
            {"faults": list(map(asdict, self.faults)), "healthy": list(map(asdict, self.healthy))}, indent=1
        )

    def to_markdown(self) -> str:
        """Both tables as Markdown."""
        lines = [
            "| fault class | cells | caught | right cause first | right cause among those named | BPB < 6.5 alone |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        for row in (*self.faults, _total(self.faults)):
            lines.append(
                f"| {row.name} | {row.cells} | {_share(row.flagged, row)} | {_share(row.right_cause, row)} "
                f"| {_share(row.among_causes, row)} | {_share(row.plainly, row)} |"
            )
        lines += ["", "| healthy | cells | false alarms | BPB < 6.5 alone |", "|---|---:|---:|---:|"]
        lines += [f"| {row.name} | {row.cells} | {row.flagged} | {row.plainly} |" for row in self.healthy]
        missed = [line for row in (*self.faults, *self.healthy) for line in row.missed]
        if missed:
            lines += ["", f"Missed or false ({len(missed)}):", *(f"- {line}" for line in missed[:40])]
        return "\n".join(lines)


def tabulate(outcomes: Iterable[Outcome]) -> PowerTable:
    """Count outcomes by class."""
    faults: dict[str, Row] = {}
    healthy: dict[str, Row] = {}
    for outcome in outcomes:
        if outcome.expected is not None:
            faults.setdefault(outcome.expected, Row(outcome.expected)).add(outcome)
        else:
            group = (
                "healthy twins"
                if outcome.trial.role == "twin"
                else outcome.trial.library.rpartition(":")[2].lower()
            )
            healthy.setdefault(group, Row(group)).add(outcome)
    return PowerTable(tuple(faults[name] for name in sorted(faults)), tuple(healthy.values()))


def _total(rows: Sequence[Row]) -> Row:
    counted = ("cells", "flagged", "right_cause", "among_causes", "plainly")
    return Row("**all**", **{name: sum(getattr(row, name) for row in rows) for name in counted})


def _share(count: int, row: Row) -> str:
    return f"{count} ({count / row.cells:.0%})" if row.cells else "0"
