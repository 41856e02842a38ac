"""The probes of an examination in words: a line each, with what was measured and how the rules judge it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from quantgate.diagnosis.evidence import Evidence, Finding, TensorEvidence
from quantgate.diagnosis.numbers import plain
from quantgate.diagnosis.rules import gradients, relations, rounding, values, zeros
from quantgate.reports.text import printable

#: How a line is marked: in order, a warning, a fault, not measured.
OK, WARN, FAULT, UNKNOWN = "ok", "warn", "FAULT", "n/a"


@dataclass(frozen=True)
class Measured:
    """What a probe saw, and whether it lies beyond the line of the rules that judge it."""

    text: str
    is_beyond: bool = False


@dataclass(frozen=True)
class Probe:
    """A line of the doctor's."""

    name: str
    #: The causes that it can name.
    causes: tuple[str, ...]
    #: What it saw, of the evidence and the bits; None where it has nothing to say.
    measure: Callable[[Evidence, float | None], Measured | None]


def probe_lines(
    evidence: Evidence, findings: Iterable[Finding], bits: float | None = None
) -> list[tuple[str, str, str]]:
    """(probe, what was measured, how it is marked) for each probe that has something to say.

    A probe is `ok` where what it saw lies within the line of its rules. Beyond it, it is marked as its finding is; a
    number that the rules leave to another cause, or do not judge for these bits, is a warning that says so.

    Args:
        evidence: What was measured.
        findings: What the diagnosis made of it, likeliest first.
        bits: Of an element; None where unknown.
    """
    given = tuple(findings)
    found = {finding.cause: finding for finding in reversed(given)}
    elsewhere = next((finding.cause for finding in given if finding.blames), None)
    is_measured = evidence.contract is None and evidence.crash is None
    lines = []
    for probe in PROBES:
        bad = [found[cause] for cause in probe.causes if cause in found]
        if bad:
            first = min(bad, key=lambda finding: not finding.blames)
            excused = "" if first.waived is None else f" Waived: {first.waived}."
            text = f"{first.cause}: {first.because}{excused}"
            lines.append((probe.name, printable(text), FAULT if first.blames else WARN))
        elif is_measured and (seen := probe.measure(evidence, bits)) is not None:
            lines.append((probe.name, printable(_said(seen, elsewhere)), WARN if seen.is_beyond else OK))
    if evidence.crash is not None:
        lines.append(("crash", printable(evidence.crash), FAULT))
    if evidence.state is not None:
        lines.append(("state", printable(evidence.state), OK))
    for reason in dict.fromkeys(reason for _, reason in evidence.not_measured):
        names = [probe for probe, said in evidence.not_measured if said == reason]
        lines.append(("not measured", printable(f"{', '.join(names)}: {reason}"), UNKNOWN))
    return lines


def _said(seen: Measured, elsewhere: str | None) -> str:
    if not seen.is_beyond:
        return seen.text
    return f"{seen.text}: {f'see {elsewhere}' if elsewhere else 'unusual, and no rule judges it here'}"


def _tensors(evidence: Evidence) -> tuple[TensorEvidence, ...]:
    return evidence.weights or evidence.inputs


def _reached(evidence: Evidence) -> list[TensorEvidence]:
    """The tensors whose gradient comes; one that is blocked has neither direction nor size."""
    blocked = gradients.BLOCKED.at
    return [
        t for t in _tensors(evidence) if t.gradient and t.reference_gradient and t.gradient_zeros < blocked
    ]


def _constant(text: str) -> Callable[[Evidence, float | None], Measured | None]:
    return lambda evidence, bits: Measured(text) if evidence.inputs else None


def _number(
    get: Callable[[Evidence], float | None],
    text: str,
    is_beyond: Callable[[float], bool] = lambda value: False,
) -> Callable[[Evidence, float | None], Measured | None]:
    def measure(evidence: Evidence, bits: float | None) -> Measured | None:
        value = get(evidence)
        if value is None or math.isnan(value):
            return None
        return Measured(text.format(value), is_beyond(value))

    return measure


def _changed(evidence: Evidence, bits: float | None) -> Measured | None:
    if not (tensors := _tensors(evidence)):
        return None
    most = max(tensors, key=lambda tensor: tensor.changed)
    return Measured(f"{most.changed:.0%} of {most.tensor}")


def _gradient(evidence: Evidence, bits: float | None) -> Measured | None:
    tensors = [t for t in _tensors(evidence) if t.reference_gradient]
    return Measured(f"{len(_reached(evidence))} of {len(tensors)} tensors") if tensors else None


def _direction(evidence: Evidence, bits: float | None) -> Measured | None:
    if not (tensors := _reached(evidence)):
        return None
    least = min(tensors, key=lambda t: t.gradient_cosine)
    line = gradients.COSINE.at * math.sqrt(1 - least.saturated)
    return Measured(f"cosine {least.gradient_cosine:.3f} at {least.tensor}", least.gradient_cosine < line)


def _size(evidence: Evidence, bits: float | None) -> Measured | None:
    ratios = [(t.gradient or 0.0) / t.reference_gradient for t in _reached(evidence)]
    if not ratios:
        return None
    low, high = min(ratios), max(ratios)
    beyond = low <= gradients.RATIO_LOW.at or high >= gradients.RATIO_HIGH.at
    return Measured(f"{plain(f'{low:.3g}')} to {plain(f'{high:.3g}')} times the reference", beyond)


def _edge(evidence: Evidence, bits: float | None) -> Measured | None:
    """The share of elements that are not clipped and get no gradient."""
    if not (tensors := _reached(evidence) if evidence.weights else list(evidence.inputs)):
        return None
    lost = {t.tensor: t.gradient_zeros * t.blocked_unclipped for t in tensors}
    worst = max(lost, key=lambda name: lost[name])
    return Measured(f"{lost[worst]:.1%} lost at {worst}", lost[worst] >= gradients.EDGE.at)


def _gain(evidence: Evidence, bits: float | None) -> Measured | None:
    if not (tensors := [t for t in _tensors(evidence) if t.gain > 0]):
        return None
    worst = max(tensors, key=lambda t: abs(math.log(t.gain)))
    beyond = worst.gain > values.GAIN.at or worst.gain < values.LOW_GAIN.at
    return Measured(f"{plain(f'{worst.gain:.3g}')} times the input at {worst.tensor}", beyond)


def _sign(evidence: Evidence, bits: float | None) -> Measured | None:
    if not (tensors := _tensors(evidence)):
        return None
    worst = min(tensors, key=lambda t: min(t.negatives_kept, t.positives_kept))
    kept = {"negatives": worst.negatives_kept, "positives": worst.positives_kept}
    name = min(kept, key=lambda sign: kept[sign])
    beyond = kept[name] < values.SIGN_RATIO.at * max(*kept.values(), values.ANY_SIGN.at)
    return Measured(f"{kept[name]:.0%} of {name} kept at {worst.tensor}", beyond)


def _zeros(evidence: Evidence, bits: float | None) -> Measured | None:
    if not (tensors := _tensors(evidence)):
        return None
    most = max(tensors, key=lambda t: t.zeros)
    return Measured(f"{most.zeros:.0%} at {most.tensor}", most.zeros > zeros.ZEROS.for_bits(bits))


def _noise(evidence: Evidence, bits: float | None) -> Measured | None:
    if not (tensors := _tensors(evidence)):
        return None
    least = min(tensors, key=lambda t: t.snr)
    fixed = evidence.fixed_grid > values.FIXED_GRID.at
    line = (values.LEAST_SNR_FIXED if fixed else values.LEAST_SNR).for_bits(bits)
    judged = bits is not None and bits >= 4  # with fewer the noise may be as large as the signal
    return Measured(f"{least.snr:.1f} dB at {least.tensor}", least.snr < (line if judged else 0.0))


def _rounding(evidence: Evidence, bits: float | None) -> Measured | None:
    found = evidence.rounding
    if found is None:
        return None
    noise = f", {found.varies:.0%} vary with the seed" if found.varies else ""
    places = [t for t in (found.threshold_positive, found.threshold_negative) if t is not None]
    if not places:
        return None
    low, high = rounding.THRESHOLD_LOW.at, rounding.THRESHOLD_HIGH.at
    beyond = found.varies < rounding.VARIES.at and not all(low <= t <= high for t in places)
    return Measured(f"threshold at {' and '.join(f'{t:.2f}' for t in places)} of the bin{noise}", beyond)


def _conforms(evidence: Evidence, bits: float | None) -> Measured | None:
    found = evidence.conformity
    if found is None:
        return None
    return Measured(
        f"{found.of - found.differ:,} of {found.of:,} values are {found.like}'s", found.differ > 0
    )


def _order(evidence: Evidence, bits: float | None) -> Measured | None:
    falls = evidence.relations.falls
    if evidence.relations.mixes:
        return Measured("not asked: one value re-rounds others, as a rotation or error feedback does")
    if falls is None:
        return None
    return Measured(f"{falls:.0%} of the steps fall as the input rises", falls > relations.FALLS.at)


#: In the order in which they are said; each cause has one probe.
PROBES: tuple[Probe, ...] = (
    Probe("contract", ("contract",), _constant("shape, dtype, input and seed respected")),
    Probe("all-zero input", ("scale-zero",), _constant("finite")),
    Probe("values change", ("no-op", "partly-applied"), _changed),
    Probe("finite", ("non-finite",), lambda evidence, bits: Measured("every loss, gradient and weight")),
    Probe("gradient reaches", ("gradient-blocked", "orphaned-parameter"), _gradient),
    Probe("gradient direction", ("gradient-wrong",), _direction),
    Probe("gradient size", ("gradient-misscaled", "grad-format"), _size),
    Probe("edge of the range", ("clip-gradient-lost",), _edge),
    Probe("output scale", ("not-dequantized",), _gain),
    Probe("sign", ("sign-lost",), _sign),
    Probe("zeros", ("range-collapsed", "resolution"), _zeros),
    Probe("signal to noise", (), _noise),
    Probe(
        "scale follows",
        ("scale-stale",),
        # Too fast by as much as is too slow.
        _number(
            lambda e: e.scale_follows,
            "{:.2g} of 4",
            lambda value: not values.FOLLOWS.at <= value <= 16 / values.FOLLOWS.at,
        ),
    ),
    Probe("stored updates", ("update-swallowed",), _number(lambda e: e.update_survival, "{:.1%} survive")),
    Probe("optimizer state", ("optimizer-state",), _number(lambda e: e.optimizer_cosine, "agreement {:.2f}")),
    Probe(
        "learned scales",
        ("qparams-invalid",),
        lambda evidence, bits: Measured(f"{len(evidence.learned)} trained") if evidence.learned else None,
    ),
    Probe("rounding", ("rounding-biased", "rounding-not-random"), _rounding),
    Probe(
        "table",
        ("wrong-table",),
        _number(
            lambda e: e.table_error, "{:.4f} from the published one", lambda value: value > rounding.TABLE.at
        ),
    ),
    Probe("conforms", ("nonconforming",), _conforms),
    Probe("order of values", ("overflow-wrapped", "not-monotonic"), _order),
    Probe("number of values", ("too-many-levels",), _number(lambda e: e.relations.levels, "{:g}")),
    Probe(
        "place of scales",
        ("scale-misplaced", "wrong-axis"),
        _number(
            lambda e: e.relations.misplaced,
            "{:.0%} change where halves trade places",
            lambda value: value > relations.MISPLACED.at,
        ),
    ),
    Probe("repeatable", ("not-reproducible",), _constant("under one torch seed")),
    Probe(
        "export",
        ("train-deploy-mismatch",),
        _number(lambda e: e.export_differs, "{:.1%} differ", lambda value: value > 0),
    ),
)
