"""The gate's power, measured: every fault with its healthy twin and every built-in format, trained and judged.

Under several optimizers, seeds, widths and corpora; `quantgate.faults.tally` counts the outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import import_module
from itertools import product
from multiprocessing import get_context

from quantgate.faults.setups import Fault, Setup
from quantgate.formats import Format
from quantgate.gate.run import Gate
from quantgate.records.cell import SEEDS, Cell, Config
from quantgate.records.result import CellResult
from quantgate.records.verdict import Curve, Verdict
from quantgate.subjects.kinds import kind_of
from quantgate.subjects.registry import REGISTRY
from quantgate.training.optimizers import OptimizerSpec

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

    @property
    def also_right(self) -> frozenset[str]:
        """Causes that would help the author of a fault as well."""
        found = load_library(self.library)[self.name]
        return found.also_right if isinstance(found, Fault) else frozenset()

    @property
    def half(self) -> str:
        """`open` to be looked at, or `counted`: by the first bit of the SHA-256 of its name, which nobody chose.

        The package's own library, which limits were set on, is open.
        """
        if self.library in LIBRARIES:
            return "open"
        return "counted" if sha256(self.name.encode()).digest()[0] & 1 else "open"


@dataclass(frozen=True)
class Outcome:
    """The gate's verdict on a trial, and that of a plain 6.5 BPB limit."""

    trial: Trial
    verdict: str
    cause: str | None
    because: str | None
    findings: tuple[str, ...]
    #: Causes that were said and passed.
    warnings: tuple[str, ...]
    bpb: float | None
    gap: float | None
    seconds: float

    @property
    def flagged(self) -> bool:
        """Whether the gate fails it."""
        return self.verdict != Verdict.LEARNS

    @property
    def warned(self) -> bool:
        """Whether the gate passes it and says the expected cause, which is mild."""
        return not self.flagged and self.expected in self.warnings

    @property
    def named(self) -> bool:
        """Whether the expected cause is the first that is said, or one that would help its author as well."""
        first = self.cause if self.flagged else next(iter(self.warnings), None)
        return first is not None and first in {self.expected, *self.trial.also_right}

    @property
    def plainly_flagged(self) -> bool:
        """Whether a plain limit of 6.5 BPB fails it."""
        return self.bpb is None or not self.bpb < 6.5

    @property
    def expected(self) -> str | None:
        """The cause that should be named; None for what is healthy."""
        return self.trial.cause


def load_library(path: str) -> Mapping[str, Fault | Setup | Format]:
    """Import the mapping of faults, healthy setups or formats at `module:attribute`.

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
        (library, name, role, _takes(found))
        for library in libraries
        for name, found in load_library(library).items()
        if not only or name in only
        for role in (("broken", "twin") if isinstance(found, Fault) else ("healthy",))
    ]
    return tuple(
        Trial(name, role, optimizer, seed, width, corpus, library, steps)
        for optimizer, seed, width, corpus in product(optimizers, seeds, widths, corpora)
        for library, name, role, takes in named
        if not takes or optimizer in takes
    )


def _takes(found: Fault | Setup | Format) -> frozenset[str]:
    if isinstance(found, Fault):
        return found.broken.takes | found.healthy.takes
    return found.takes if isinstance(found, Setup) else frozenset()


def run_setup(
    setup: Setup, optimizer: str, seed: int, config: Config, control_of: Callable[[Cell], Curve]
) -> CellResult:
    """Train and judge a setup of the library, with its own optimizer where it has one."""
    registry = REGISTRY.with_subject(setup.subject)
    name = optimizer
    if setup.optimizer is not None:
        registry, name = registry.with_optimizer(setup.optimizer), setup.optimizer.name
    cell = Cell(
        setup.subject.name, kind_of(setup.subject), name, seed, config.width, setup.storage, setup.scope
    )
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
        tuple(result.evidence.get("warnings", ())),
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
