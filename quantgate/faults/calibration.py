"""The limits of the diagnosis beside what they were set on: the healthy subject nearest to each, and the faults beyond.

Every subject of the libraries is examined, in `STEPS` training steps each. A limit is well placed where the nearest
healthy measurement lies on its side with room, and faults of its cause lie beyond.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context

from quantgate.diagnosis.evidence import DECIBELS_PER_BIT, Evidence
from quantgate.diagnosis.rule import Limit, LimitByBits
from quantgate.diagnosis.rules import (
    coverage,
    gradients,
    precision,
    relations,
    rounding,
    updates,
    values,
    zeros,
)
from quantgate.faults.power import Trial
from quantgate.gate.examination import examine_subject
from quantgate.records.cell import Config
from quantgate.training.optimizers import OPTIMIZERS

#: The measurements of a quantity in an evidence, of a subject of so many bits.
Measure = Callable[[Evidence, float | None], Iterable[float | None]]


def _weights(name: str, *, trained: bool = False) -> Measure:
    def measure(evidence: Evidence, bits: float | None) -> Iterable[float | None]:
        tensors = evidence.weights or evidence.inputs
        first = min((each.step for each in tensors), default=0)
        return [getattr(each, name) for each in tensors if each.rms and (trained or each.step == first)]

    return measure


def _one(get: Callable[[Evidence], float | None]) -> Measure:
    return lambda evidence, bits: [get(evidence)]


def _bits_more(name: str) -> Measure:
    def measure(evidence: Evidence, bits: float | None) -> Iterable[float | None]:
        if bits is None or bits > coverage.MOST_BITS:
            return []
        return [getattr(each, name) / DECIBELS_PER_BIT - bits for each in evidence.inputs]

    return measure


def _ratios(evidence: Evidence, bits: float | None) -> Iterable[float | None]:
    tensors = [
        each for each in evidence.weights or evidence.inputs if each.gradient and each.reference_gradient
    ]
    return [(each.gradient or 0.0) / each.reference_gradient for each in tensors]


@dataclass(frozen=True)
class Quantity:
    """What a limit holds for, and on which side of it faults lie."""

    name: str
    cause: str
    limit: Limit | LimitByBits
    above: bool
    measure: Measure

    def limit_for(self, bits: float | None) -> float:
        """The limit for so many bits."""
        return self.limit.at if isinstance(self.limit, Limit) else self.limit.for_bits(bits)

    def extreme(self, evidence: Evidence, bits: float | None) -> float | None:
        """The measurement nearest to the side of faults, or farthest into it; None where nothing was measured."""
        found = [each for each in self.measure(evidence, bits) if each is not None and math.isfinite(each)]
        return (max if self.above else min)(found, default=None)


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("gain", "not-dequantized", values.GAIN, True, _weights("gain")),
    Quantity("late gain", "not-dequantized", values.LATE, False, _one(lambda e: e.late_gain)),
    Quantity("zeros", "range-collapsed", zeros.ZEROS, True, _weights("zeros")),
    Quantity("clipped", "scale-stale", values.SATURATED, True, _weights("saturated")),
    Quantity("largest of 16", "scale-stale", values.PEAK, False, _weights("peak")),
    Quantity("signal over noise", "range-collapsed", values.LEAST_SNR, False, _weights("snr")),
    Quantity("one-sided", "qparams-invalid", values.ONE_SIDED, False, _one(lambda e: e.one_sided_peak)),
    Quantity("follows", "scale-stale", values.FOLLOWS, False, _one(lambda e: e.scale_follows)),
    Quantity("gradient zeros", "gradient-blocked", gradients.BLOCKED, True, _weights("gradient_zeros")),
    Quantity("gradient cosine", "gradient-wrong", gradients.COSINE, False, _weights("gradient_cosine")),
    Quantity("gradient ratio", "gradient-misscaled", gradients.RATIO_HIGH, True, _ratios),
    Quantity("gradient ratio", "gradient-misscaled", gradients.RATIO_LOW, False, _ratios),
    Quantity("gradient lost", "grad-format", gradients.UNDERFLOW, True, _one(lambda e: e.gradient_underflow)),
    Quantity("gradient not additive", "grad-format", gradients.ADDITIVE, True, _one(lambda e: e.gradient_additive)),
    Quantity("falls", "not-monotonic", relations.FALLS, True, _one(lambda e: e.relations.falls)),
    Quantity("misplaced", "scale-misplaced", relations.MISPLACED, True, _one(lambda e: e.relations.misplaced)),
    Quantity("outliers kept", "partly-applied", precision.OUTLIERS, True, _one(lambda e: e.relations.outliers_kept)),
    Quantity("bits kept", "too-many-levels", precision.SCALES, True, _bits_more("snr")),
    Quantity("bits kept of a line", "partly-applied", precision.LINES, True, _bits_more("line_snr")),
    Quantity("table", "wrong-table", rounding.TABLE, True, _one(lambda e: e.table_error)),
    Quantity("truncated", "rounding-biased", rounding.TRUNCATED, True, lambda e, b: [-t.shrinks for t in e.weights]),
    Quantity("survival", "update-swallowed", updates.SURVIVAL, False, _one(lambda e: e.update_survival)),
    Quantity("state", "optimizer-state", updates.STATE_COSINE, False, _one(lambda e: e.optimizer_cosine)),
    Quantity("algorithm", "optimizer-state", updates.AGREEMENT, False, _one(lambda e: e.optimizer_agreement)),
    Quantity("regions", "optimizer-state", updates.REGIONS, False, _one(lambda e: e.optimizer_regions)),
    Quantity("not moved", "optimizer-state", updates.LOST, True, _one(lambda e: e.optimizer_still)),
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What was measured of a subject: a number for each of `QUANTITIES`, None where there is none."""

    name: str
    #: The cause that should be named; None for what is healthy.
    cause: str | None
    bits: float | None
    numbers: tuple[float | None, ...]


def measured(trial: Trial) -> Measured:
    """Examine the subject of a trial."""
    setup = trial.setup
    found = examine_subject(
        setup.subject,
        optimizer=setup.optimizer or OPTIMIZERS[trial.optimizer],
        storage=setup.storage,
        config=Config(width=trial.width, scope=setup.scope),
    )
    bits = setup.subject.bits
    return Measured(
        trial.name, trial.cause, bits, tuple(each.extreme(found.evidence, bits) for each in QUANTITIES)
    )


def run(trials: Sequence[Trial], jobs: int) -> Iterator[Measured]:
    """What is measured of each trial, from `jobs` processes."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(measured, trial) for trial in trials]):
            yield done.result()


def to_markdown(found: Sequence[Measured]) -> str:
    """A row for each limit: the healthy measurement nearest to it, and how many faults of its cause lie beyond."""
    lines = [
        "| quantity | limit | healthy, nearest | faults beyond it | of its cause |",
        "|---|---|---|---:|---:|",
    ]
    for place, quantity in enumerate(QUANTITIES):
        known = [(each, number) for each in found if (number := each.numbers[place]) is not None]
        healthy = [pair for pair in known if pair[0].cause is None]
        nearest = max(healthy, key=lambda pair: _beyond(quantity, *pair), default=None)
        said = "none" if nearest is None else f"{nearest[1]:.3g} ({nearest[0].name})"
        faults = [pair for pair in known if pair[0].cause is not None and _beyond(quantity, *pair) > 0]
        own = sum(each.cause == quantity.cause for each, _ in faults)
        sign = "above" if quantity.above else "below"
        lines.append(f"| {quantity.name} | {sign} {quantity.limit} | {said} | {len(faults)} | {own} |")
    return "\n".join(lines)


def _beyond(quantity: Quantity, subject: Measured, number: float) -> float:
    """How far a measurement lies beyond the limit for its bits; negative on the healthy side."""
    distance = number - quantity.limit_for(subject.bits)
    return distance if quantity.above else -distance
