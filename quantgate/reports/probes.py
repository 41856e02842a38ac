"""The probes of an examination in words: a line each, with what was measured and whether it is in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from quantgate.diagnosis.evidence import Evidence, Finding, TensorEvidence
from quantgate.reports.text import printable

#: What each probe is called, the causes that it can name, and how its measurement is said.
_PROBES: tuple[tuple[str, tuple[str, ...], Callable[[Evidence], str | None]], ...] = (
    ("contract", ("contract",), lambda e: "shape, dtype, input and seed respected" if e.inputs else None),
    (
        "all-zero input",
        ("scale-zero",),
        lambda e: "finite" if e.inputs else None,
    ),
    ("values change", ("no-op", "partly-applied"), lambda e: _most(e, "changed", "{:.0%} of {}")),
    ("finite", ("non-finite",), lambda e: "every loss, gradient and weight"),
    ("gradient reaches", ("gradient-blocked", "orphaned-parameter"), lambda e: _gradient(e)),
    (
        "gradient direction",
        ("gradient-wrong",),
        # A gradient that is not there points nowhere.
        lambda e: _least(e, "gradient_cosine", "cosine {:.3f} at {}"),
    ),
    ("gradient size", ("gradient-misscaled", "grad-format"), lambda e: _ratio(e)),
    (
        "edge of the range",
        ("clip-gradient-lost",),
        lambda e: _most(e, "blocked_unclipped", "{:.0%} lost at {}"),
    ),
    ("output scale", ("not-dequantized",), lambda e: _most(e, "gain", "{:.3g} times the input at {}")),
    ("sign", ("sign-lost",), lambda e: _least(e, "negatives_kept", "{:.0%} of negatives kept at {}")),
    ("zeros", ("range-collapsed", "resolution"), lambda e: _most(e, "zeros", "{:.0%} at {}")),
    ("signal to noise", (), lambda e: _least(e, "snr", "{:.1f} dB at {}")),
    ("scale follows", ("scale-stale",), lambda e: _number(e.scale_follows, "{:.2g} of 4")),
    ("stored updates", ("update-swallowed",), lambda e: _number(e.update_survival, "{:.1%} survive")),
    ("optimizer state", ("optimizer-state",), lambda e: _number(e.optimizer_cosine, "agreement {:.2f}")),
    ("learned scales", ("qparams-invalid",), lambda e: f"{len(e.learned)} trained" if e.learned else None),
    ("rounding", ("rounding-biased", "rounding-not-random"), lambda e: _rounding(e)),
    ("table", ("wrong-table",), lambda e: _number(e.table_error, "{:.4f} from the published one")),
    ("conforms", ("nonconforming",), lambda e: _conforms(e)),
    ("order of values", ("overflow-wrapped", "not-monotonic"), lambda e: _order(e)),
    ("number of values", ("too-many-levels",), lambda e: _number(e.relations.levels, "{:g}")),
    ("place of scales", ("scale-misplaced", "wrong-axis"), lambda e: _placed(e)),
    ("repeatable", ("not-reproducible",), lambda e: "under one torch seed" if e.inputs else None),
    ("export", ("train-deploy-mismatch",), lambda e: _number(e.export_differs, "{:.1%} differ")),
)


def probe_lines(evidence: Evidence, findings: Iterable[Finding]) -> list[tuple[str, str, str]]:
    """(probe, what was measured, `ok`, `warn`, `FAIL` or `n/a`) for each probe that has something to say."""
    found = {finding.cause: finding for finding in reversed(tuple(findings))}
    lines = []
    for name, causes, measured in _PROBES:
        bad = [found[cause] for cause in causes if cause in found]
        if bad:
            first = min(bad, key=lambda finding: not finding.blames)
            excused = "" if first.waived is None else f" Waived: {first.waived}."
            status = "FAIL" if first.blames else "warn"
            lines.append((name, printable(f"{first.cause}: {first.because}{excused}"), status))
        elif (
            evidence.contract is None and evidence.crash is None and (text := measured(evidence)) is not None
        ):
            lines.append((name, printable(text), "ok"))
    if evidence.crash is not None:
        lines.append(("crash", printable(evidence.crash), "FAIL"))
    if evidence.state is not None:
        lines.append(("state", printable(evidence.state), "ok"))
    for reason in dict.fromkeys(reason for _, reason in evidence.not_measured):
        names = [probe for probe, said in evidence.not_measured if said == reason]
        lines.append(("not measured", printable(f"{', '.join(names)}: {reason}"), "n/a"))
    return lines


def _order(evidence: Evidence) -> str | None:
    relations = evidence.relations
    if relations.mixes:
        return "not asked: one value re-rounds others, as a rotation or error feedback does"
    return None if relations.falls is None else f"{relations.falls:.0%} of a rising ramp falls"


def _placed(evidence: Evidence) -> str | None:
    misplaced = evidence.relations.misplaced
    return None if misplaced is None else f"{misplaced:.0%} change where halves trade places"


def _tensors(evidence: Evidence) -> tuple[TensorEvidence, ...]:
    return evidence.weights or evidence.inputs


def _most(evidence: Evidence, attribute: str, text: str) -> str | None:
    tensors = _tensors(evidence)
    return _said(max(tensors, key=lambda t: getattr(t, attribute)), attribute, text) if tensors else None


def _least(evidence: Evidence, attribute: str, text: str) -> str | None:
    tensors = [
        t
        for t in _tensors(evidence)
        if not attribute.startswith("gradient") or (t.gradient and t.reference_gradient)
    ]
    return _said(min(tensors, key=lambda t: getattr(t, attribute)), attribute, text) if tensors else None


def _said(tensor: TensorEvidence, attribute: str, text: str) -> str:
    return text.format(getattr(tensor, attribute), tensor.tensor)


def _gradient(evidence: Evidence) -> str | None:
    tensors = [t for t in _tensors(evidence) if t.reference_gradient]
    if not tensors:
        return None
    return f"{sum(bool(t.gradient) for t in tensors)} of {len(tensors)} tensors"


def _ratio(evidence: Evidence) -> str | None:
    ratios = [
        t.gradient / t.reference_gradient for t in _tensors(evidence) if t.gradient and t.reference_gradient
    ]
    return f"{min(ratios):.3g} to {max(ratios):.3g} times the reference" if ratios else None


def _rounding(evidence: Evidence) -> str | None:
    rounding = evidence.rounding
    if rounding is None:
        return None
    noise = f", {rounding.varies:.0%} vary with the seed" if rounding.varies else ""
    places = [t for t in (rounding.threshold_positive, rounding.threshold_negative) if t is not None]
    return f"threshold at {' and '.join(f'{t:.2f}' for t in places)} of the bin{noise}" if places else None


def _number(value: float | None, text: str) -> str | None:
    return None if value is None or math.isnan(value) else text.format(value)


def _conforms(evidence: Evidence) -> str | None:
    found = evidence.conformity
    return None if found is None else f"{found.of - found.differ:,} of {found.of:,} values are {found.like}'s"
