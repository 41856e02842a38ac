"""Run cells: train, judge against the control, and train two more seeds where the result is close to a limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from quantgate.formats import BUILTIN
from quantgate.gate.assess import assess
from quantgate.gate.controls.negative import NEGATIVE_CONTROLS, negative_controls
from quantgate.gate.examination import STEPS
from quantgate.gate.experiment import Run, train_cell
from quantgate.plan.resume import provenance
from quantgate.probes.training import Progress
from quantgate.records.cell import CONTROL_FORMAT, SEEDS, Cell, Config, Storage
from quantgate.records.result import CellResult
from quantgate.records.verdict import Curve, Verdict, is_close_call, median_index
from quantgate.subjects.code.source import source_of
from quantgate.subjects.kinds import Subject, kind_of
from quantgate.subjects.registry import REGISTRY, Registry
from quantgate.training.optimizers import OptimizerSpec

#: Gives the control's curve for a cell.
ControlOf = Callable[[Cell], Curve]
#: Causes that lie in the optimizer, and not in what it trains.
OPTIMIZERS_CAUSES = frozenset({"optimizer-state"})


@dataclass(frozen=True)
class Gate:
    """Trains and judges cells under one configuration."""

    config: Config = field(default_factory=Config)
    registry: Registry = field(default_factory=lambda: REGISTRY)
    #: Told of the steps and scores of what is trained.
    watch: Progress | None = None

    def subject(self, cell: Cell) -> Subject:
        """The subject of a cell; also of a control or negative control."""
        if cell.kind == "control":
            return BUILTIN[CONTROL_FORMAT]
        if cell.kind == "negative-control":
            return NEGATIVE_CONTROLS[cell.subject]
        return self.registry.subject(cell.subject)

    def train(self, cell: Cell) -> Run:
        """Train a cell without judging it."""
        config = replace(self.config, width=cell.width, scope=cell.scope)
        return train_cell(cell, self.subject(cell), self.optimizer(cell), config, self.watch)

    def optimizer(self, cell: Cell) -> OptimizerSpec:
        """The optimizer of a cell."""
        return self.registry.optimizer(cell.optimizer)

    def control(self, cell: Cell) -> CellResult:
        """Train the float32 control of a cell, and judge its curve by the absolute limits.

        What is wrong with its optimizer and does not keep it from learning is said of the optimizer's cells.
        """
        result = self.assess(cell.control, self.train(cell.control), None)
        return replace(result, verdict=Verdict.LEARNS) if result.verdict is Verdict.FAULTY else result

    def negative_controls(self, cells: Sequence[Cell], unlearned: Collection[Cell] = ()) -> tuple[Cell, ...]:
        """The negative controls of cells; see `gate.controls.negative`."""
        return negative_controls(cells, unlearned)

    def negative(self, cell: Cell, control: Curve | None) -> CellResult:
        """Train a negative control, and judge it; without a control's curve, by the absolute limits and the probes."""
        return self.assess(cell, self.train(cell), control)

    def run(self, cell: Cell, control_of: ControlOf) -> CellResult:
        """Train and judge a cell; near a limit, train two more seeds and let the median decide."""
        first = self.assess(cell, self.train(cell), control_of(cell))
        if not self._is_close(first):
            return first
        others = [replace(cell, seed=seed) for seed in _more_seeds(cell.seed)]
        results = [first, *(self.assess(each, self.train(each), control_of(each)) for each in others)]
        scores = [result.bpb for result in results]
        finite = [score if score is not None and math.isfinite(score) else math.inf for score in scores]
        judging = results[median_index(finite)]
        seeds = {str(result.seed): result.bpb for result in results}
        seconds = sum(result.seconds for result in results)
        return replace(
            judging,
            seed=cell.seed,
            canon_name=first.canon_name,
            provenance=first.provenance,
            evidence={**judging.evidence, "judged_seed": judging.seed},
            seeds=seeds,
            seconds=round(seconds, 3),
        )

    def examine(self, cell: Cell) -> CellResult:
        """Run the probes of a cell in `STEPS` training steps, and judge it by them alone: no curve, no control."""
        config = replace(self.config, steps=STEPS, schedule=None)  # a warm-up would be all that they see
        short = replace(self, config=config)
        return short.assess(cell, replace(short.train(cell), curve=()), None)

    def _is_close(self, result: CellResult) -> bool:
        judged_by_curve = result.verdict in {Verdict.LEARNS, Verdict.LAGS, Verdict.PARTIAL}
        if not judged_by_curve or result.bpb is None or result.evidence.get("findings"):
            return False
        tolerance = result.evidence.get("tolerance", 0.0)
        return is_close_call(result.bpb, result.gap, tolerance, self.config.limits)

    def assess(self, cell: Cell, run: Run, control: Curve | None) -> CellResult:
        """The result of a training of `cell`, held against its control's curve."""
        result = assess(cell, self.subject(cell), run, control, self.config)
        return replace(
            result,
            source=self.source(cell, result.cause),
            provenance=provenance(cell, self.config, self.registry, result.corpus["sha256"]),
        )

    def source(self, cell: Cell, cause: str | None) -> str | None:
        """Where the user's code stands that a cause is to be sought in."""
        at_fault = self.optimizer(cell) if cause in OPTIMIZERS_CAUSES else self.subject(cell)
        return source_of(at_fault)


def run_cell(
    subject: str | Subject,
    optimizer: str,
    *,
    seed: int = SEEDS[0],
    storage: Storage = "master",
    config: Config | None = None,
    watch: Progress | None = None,
) -> CellResult:
    """Train one cell and its float32 control, and judge it.

    Args:
        subject: A format or recipe, or its name.
        optimizer: The name of an optimizer.
        seed: Of the first weights and the batches.
        storage: `master` (float32 master weights) or `inplace` (weights requantized after each step).
        config: Width, steps, rate, scope, corpus, device and limits.
        watch: Told of each step of the cell and, where it was scored, its BPB.

    Raises:
        UnknownNameError: Nothing has that name.
        ValueError: The subject is a recipe, and storage or scope is given.
        CorpusError: The corpus cannot be used.
    """
    config = config or Config()
    registry = REGISTRY
    if not isinstance(subject, str):
        registry = registry.with_subject(subject)
    name = subject if isinstance(subject, str) else subject.name
    made = registry.subject(name)
    registry.optimizer(optimizer)
    cell = Cell(made.name, kind_of(made), optimizer, seed, config.width, storage, config.scope, config.lane)
    if reason := cell.not_applicable:
        raise ValueError(reason)
    return Gate(config, registry, watch).run(cell, lambda each: _control_curve(each.control, config))


@cache
def _control_curve(control: Cell, config: Config) -> Curve:
    return Gate(config).train(control).curve


def _more_seeds(seed: int) -> tuple[int, ...]:
    return tuple(other for other in SEEDS if other != seed)[:2]
