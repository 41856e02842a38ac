"""Assess a trained cell: its verdict, its cause, and the evidence that its record keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from quantgate.diagnosis.causes import CAUSES
from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence, Finding
from quantgate.formats import Format
from quantgate.gate.environment import corpus_record, environment
from quantgate.gate.experiment import Run
from quantgate.records.cell import Cell, Config
from quantgate.records.result import CellResult, canon_name
from quantgate.records.verdict import IMPLAUSIBLE_LEAD, Curve, Limits, Verdict, gap_tolerance, judge
from quantgate.records.version import __version__
from quantgate.subjects.kinds import Subject

#: Below this signal-to-noise ratio (dB) a weight tensor is coarse enough to explain a bad curve: ternary by
#: absolute mean has 7, amax int2 about 1, amax int4 15.
COARSE_SNR = 10.0


#: Where a curve is bad and nothing else is wrong: the larger part of a tensor's noise is that of clipped elements, and
#: they are more than the ends of a range from the largest (6%, at most 9% of int8).
CLIPPED_NOISE, CLIPPED_SHARE = 0.5, 0.1
#: Warnings that a curve cannot show.
WITHOUT_HARM = frozenset({"scale-zero", "not-reproducible"})


def assess(cell: Cell, subject: Subject, run: Run, control: Curve | None, config: Config) -> CellResult:
    """Judge a training against its float32 control.

    Args:
        cell: What was trained.
        subject: What the cell trained; its bits, gap tolerance and `lossless` are used.
        run: The curve and the evidence of the training; without a curve the probes alone judge.
        control: The curve of the float32 cell (bits per byte); None judges by the absolute limits alone.
        config: How it was trained, and the limits.
    """
    bits = subject.bits
    tolerance = subject.gap_tolerance
    if tolerance is None:
        tolerance = gap_tolerance(bits, cell.optimizer, cell.lane)
    evidence = replace(run.evidence, control_identical=_equals_control(run, control))
    asked = evidence if cell.lane is None else _at_first(evidence)
    findings = diagnose(asked, bits=bits, lossless=subject.lossless, waive=subject.waive)
    verdict = _verdict(run.curve, control, evidence, findings, tolerance, config.limits)
    last = run.curve[-1][1] if run.curve else None
    bpb_control = control[-1][1] if control else None
    gap = None if last is None or bpb_control is None else last - bpb_control
    cause = None if verdict.passes else _cause(findings, evidence, verdict, gap)
    return CellResult(
        subject=cell.subject,
        kind=cell.kind,
        format=cell.subject if isinstance(subject, Format) else "",
        optimizer=cell.optimizer,
        seed=cell.seed,
        width=cell.width,
        steps=config.steps,
        lr=run.lr,
        storage=cell.storage,
        scope=cell.scope,
        bpb_initial=run.curve[0][1] if run.curve else None,
        bpb=last,
        bpb_control=bpb_control,
        gap=gap,
        verdict=verdict,
        cause=cause.cause if cause else None,
        hint=CAUSES[cause.cause].hint if cause else None,
        evidence=_evidence_record(evidence, findings, cause, bits, tolerance),
        curve=run.curve,
        seconds=round(run.seconds, 3),
        corpus=corpus_record(config),
        environment=environment(config.device),
        quantgate=__version__,
        canon_name=canon_name(cell, run.lr),
        lane=cell.lane,
    )


def _at_first(evidence: Evidence) -> Evidence:
    """What a training of the long lane is diagnosed by: its weights at the first step, and what no step changes.

    The lines of the rules were set on 100 steps at low rates. After 2,000 at high ones a healthy gf4 keeps 0.48 of the
    largest of each 16 elements, which is no misplaced scale but weights that grew apart; the curve says whether it does
    harm.
    """
    first = min((tensor.step for tensor in evidence.weights), default=0)
    return replace(evidence, weights=tuple(tensor for tensor in evidence.weights if tensor.step == first))


def _equals_control(run: Run, control: Curve | None) -> bool:
    """Whether the curve equals the control's bit for bit and no probe saw a weight change.

    Both are needed: a format with 19 fraction bits (gf32) may change weights and leave every score as it was.
    """
    changed = any(tensor.changed > 0 for tensor in run.evidence.weights)
    return not changed and bool(run.curve) and control is not None and list(run.curve) == list(control)


def _verdict(
    curve: Curve,
    control: Curve | None,
    evidence: Evidence,
    findings: Sequence[Finding],
    tolerance: float,
    limits: Limits,
) -> Verdict:
    if evidence.contract is not None:
        return Verdict.REJECTED
    if evidence.crash is not None:
        return Verdict.CRASHED
    if evidence.non_finite is not None:
        return Verdict.DIVERGED
    faults = [finding for finding in findings if finding.blames]
    verdict = Verdict.HEALTHY
    if curve:  # identity is a finding here, where more is known of it than the curve says
        verdict = judge(curve, control, tolerance=tolerance, lossless=True, limits=limits)
    if verdict not in {Verdict.LEARNS, Verdict.HEALTHY, Verdict.LAGS}:
        return verdict
    if any(finding.cause == "no-op" for finding in faults):
        return Verdict.NO_OP
    return Verdict.FAULTY if faults and verdict.passes else verdict


def _cause(
    findings: Sequence[Finding], evidence: Evidence, verdict: Verdict, gap: float | None
) -> Finding | None:
    faults = [finding for finding in findings if finding.blames]
    if faults:  # a warning comes before a fault only where it explains it
        return findings[0]
    if verdict is Verdict.CRASHED:
        return None
    if verdict is Verdict.FAULTY and gap is not None:
        return Finding(
            "implausible",
            f"it ends {-gap:.2f} BPB below its float32 control (at most {IMPLAUSIBLE_LEAD:.2f}): numbers of fewer bits "
            "learn no better.",
            {"lead": -gap},
        )
    harm = [each for each in findings if each.severity == "warning" and each.cause not in WITHOUT_HARM]
    if harm:  # what is mild by itself is the likeliest cause of a curve that is not
        return harm[0]
    coarse = [tensor for tensor in evidence.weights if tensor.snr < COARSE_SNR]
    if coarse:
        worst = min(coarse, key=lambda tensor: tensor.snr)
        return Finding(
            "resolution",
            f"{worst.tensor} keeps {worst.snr:.1f} dB of signal over quantization noise.",
            {"snr": worst.snr, "tensor": worst.tensor},
        )
    clipped = [t for t in evidence.weights if t.clip_noise > CLIPPED_NOISE and t.saturated > CLIPPED_SHARE]
    if clipped:
        worst = max(clipped, key=lambda tensor: tensor.saturated)
        return Finding(
            "scale-stale",
            f"most of the noise of {worst.tensor} is that of the {worst.saturated:.0%} that are clipped.",
            {"clip_noise": worst.clip_noise, "saturated": worst.saturated, "tensor": worst.tensor},
        )
    missing = ", ".join(dict.fromkeys(probe for probe, _ in evidence.not_measured))
    order = "every probe is in order" if not missing else "every probe that could be asked is in order"
    return Finding("unexplained", f"{order}{f'; not measured: {missing}' if missing else ''}.")


def _evidence_record(
    evidence: Evidence,
    findings: Sequence[Finding],
    cause: Finding | None,
    bits: float | None,
    tolerance: float,
) -> dict[str, Any]:
    record: dict[str, Any] = {"bits": "unknown" if bits is None else bits, "tolerance": tolerance}
    if cause is not None:
        record |= {"because": cause.because, **cause.numbers}
    elif evidence.crash is not None:
        record["because"] = evidence.crash
    others = [f for f in findings if f.blames and (cause is None or f.cause != cause.cause)]
    if others:
        record["also"] = [f"{finding.cause}: {finding.because}" for finding in others]
    if faults := [finding for finding in findings if finding.blames or finding is cause]:
        record["findings"] = list(dict.fromkeys(finding.cause for finding in faults))
    if warnings := [f for f in findings if f.severity == "warning" and f.waived is None and f is not cause]:
        record["warnings"] = {finding.cause: finding.because for finding in warnings}
    if waived := {finding.cause: finding.waived for finding in findings if finding.waived is not None}:
        record["waived"] = waived
    if evidence.not_measured:
        record["not_measured"] = dict(evidence.not_measured)
    if evidence.update_survival is not None:
        record["update_survival"] = evidence.update_survival
    if evidence.fingerprint is not None:
        record["fingerprint"] = evidence.fingerprint
    if evidence.same_as is not None:
        record["same_as"] = evidence.same_as
    if evidence.stochastic:
        record["stochastic"] = True
    if evidence.state:
        record["state"] = evidence.state
    last = max((tensor.step for tensor in evidence.weights), default=None)
    record["weights"] = [asdict(tensor) for tensor in evidence.weights if tensor.step == last]
    return record
