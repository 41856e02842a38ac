"""Assess a foreign training: its verdict, its cause, and the evidence that its record keeps."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from quantgate.diagnosis.causes import CAUSES
from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence, Finding
from quantgate.logs.judging.judge import FLAT_HINT, Judgement
from quantgate.records.cell import Cell, Config
from quantgate.records.machine import cpu
from quantgate.records.result import CellResult, canon_name
from quantgate.records.verdict import Curve, Verdict
from quantgate.records.version import __version__
from quantgate.subjects.trainers import Trainer
from quantgate.trainers.curve import Training, judged, rules_of
from quantgate.trainers.process import Ended
from quantgate.trainers.scores import Scores

#: Points of a curve that the record keeps.
_SHOWN = 200
_SHOW_WEIGHTS = (
    "let it write its tensors into {weights} (quantgate.trainers.dump says how), and the cause is named."
)


def assess(
    cell: Cell, trainer: Trainer, training: Training, control: Curve | None, config: Config
) -> CellResult:
    """Judge a training of a foreign trainer.

    Args:
        cell: What was trained: a cell, a control or a negative control.
        trainer: What trained it.
        training: What came of it.
        control: The curve of its float32 cell in bits; None judges by the absolute lines alone.
        config: How it was trained, and the limits.
    """
    format = trainer.format_of(cell)
    known = trainer.known_format(format)
    bits = None if known is None else known.bits
    lossless = known is not None and known.lossless
    found = judged(cell, trainer, training, control, config)
    evidence, missing = _weights(cell, training, bits, trainer.granularity.get(format))
    findings = diagnose(evidence, bits=bits, lossless=lossless) if found.verdict.judged else ()
    verdict = _verdict(found, evidence, findings)
    cause = _cause(verdict, found, findings)
    last = control[-1][1] if control else None
    record = _record(training, trainer, found, findings, cause, evidence, missing)
    rules = rules_of(trainer, cell, training.scores, config)
    record |= {
        "bits": "unknown" if bits is None else bits,
        "tolerance": rules.tolerance,
    }
    record["limit"] = rules.lines(found.curve[-1][0] if found.curve else 0).fail_bpb
    return CellResult(
        subject=cell.subject,
        kind=cell.kind,
        format=format,
        optimizer=cell.optimizer,
        seed=cell.seed,
        width=cell.width,
        steps=config.steps if trainer.uses("steps") or not found.curve else found.curve[-1][0],
        lr=training.lr,
        storage=cell.storage,
        scope=cell.scope,
        bpb_initial=found.initial,
        bpb=found.final,
        bpb_control=last,
        gap=None if last is None or found.final is None else found.final - last,
        verdict=verdict,
        cause=cause.cause if cause else None,
        hint=_hint(cause, found, training),
        evidence=record,
        curve=_curve(training.scores, rules.in_bits),
        seconds=round(training.ended.seconds, 3) if isinstance(training.ended, Ended) else 0.0,
        corpus={}
        if training.corpus is None
        else {"name": training.corpus.name, "sha256": training.corpus.sha256},
        environment={"cpu": cpu(), "python": platform.python_version(), "system": platform.system()},
        quantgate=__version__,
        canon_name=canon_name(cell, training.lr),
        lane=cell.lane,
        chance=trainer.chance,
    )


def _weights(
    cell: Cell, training: Training, bits: float | None, granularity: str | None
) -> tuple[Evidence, str | None]:
    """What the dumped weights show, and why they could not be measured; of controls nothing is asked."""
    if training.dumps is None or cell.kind != "trainer":
        return Evidence(), None
    from quantgate.trainers.dump import DumpError, read

    try:
        moments = read(training.dumps)
    except DumpError as error:
        return Evidence(), str(error)
    if not moments:
        return Evidence(), "it wrote nothing into {weights}"
    from quantgate.trainers.weights import evidence_of  # and with it torch

    return evidence_of(moments, bits, granularity), None


def _verdict(found: Judgement, evidence: Evidence, findings: Sequence[Finding]) -> Verdict:
    """As `gate.assess` has it: what a probe finds makes a good curve red, and names a bad one's cause."""
    faults = [finding for finding in findings if finding.blames]
    if evidence.non_finite is not None and found.verdict.judged:
        return Verdict.DIVERGED
    if found.verdict not in {Verdict.LEARNS, Verdict.LAGS}:
        return found.verdict
    if any(finding.cause == "no-op" for finding in faults):
        return Verdict.NO_OP
    return Verdict.FAULTY if faults and found.verdict.passes else found.verdict


def _cause(verdict: Verdict, found: Judgement, findings: Sequence[Finding]) -> Finding | None:
    if verdict.passes or not verdict.judged:
        return None
    if verdict is Verdict.REJECTED:
        return Finding("contract", found.because)
    if findings:  # what is mild by itself is the likeliest cause of a curve that is not
        return findings[0]
    return Finding(found.cause or "unexplained", found.because)


def _hint(cause: Finding | None, found: Judgement, training: Training) -> str | None:
    if cause is None:
        return found.hint if not found.verdict.passes else None
    if cause.cause == "contract":
        return found.hint or "print the score as it trains, the first before any step, and flush it."
    if cause.cause == "unexplained":
        seen = found.hint or FLAT_HINT
        return seen if training.dumps is not None else f"{seen.rstrip('.')}; or {_SHOW_WEIGHTS}"
    return found.hint if found.hint and cause.cause == found.cause else CAUSES[cause.cause].hint


def _record(
    training: Training,
    trainer: Trainer,
    found: Judgement,
    findings: Sequence[Finding],
    cause: Finding | None,
    evidence: Evidence,
    missing: str | None,
) -> dict[str, Any]:
    record: dict[str, Any] = {"shape": found.shape, "command": list(training.command)}
    if said := cause.because if cause is not None else found.because:
        record["because"] = said
    if cause is not None:
        record |= cause.numbers
        if found.because and found.because != cause.because:
            record["seen"] = found.because
    others = [f for f in findings if f.blames and (cause is None or f.cause != cause.cause)]
    if others:
        record["also"] = [f"{finding.cause}: {finding.because}" for finding in others]
    if faults := [finding for finding in findings if finding.blames]:
        record["findings"] = list(dict.fromkeys(finding.cause for finding in faults))
    warnings = {f.cause: f.because for f in findings if f.severity == "warning" and f is not cause}
    if warnings := {**found.warnings, **warnings}:
        record["warnings"] = warnings
    not_measured = {} if missing is None else {"weights": missing}
    if not trainer.negative:
        not_measured["negative control"] = "its trainer declares none (negative = { lr = 0 }, say)"
    if not_measured:
        record["not_measured"] = not_measured
    if evidence.update_survival is not None:
        record["update_survival"] = evidence.update_survival
    if evidence.weights:
        last = max(tensor.step for tensor in evidence.weights)
        record["weights"] = [asdict(tensor) for tensor in evidence.weights if tensor.step == last]
    if isinstance(training.ended, Ended):
        record["output"] = training.ended.output
    return record


def _curve(scores: Scores, in_bits: float) -> tuple[tuple[int, float | None], ...]:
    """The curve in bits, thinned evenly with its ends."""
    curve = scores.curve
    every = max(1, math.ceil(len(curve) / _SHOWN))
    kept = [*curve[::every], *(curve[-1:] if (len(curve) - 1) % every else ())]
    return tuple((step, score * in_bits if math.isfinite(score) else None) for step, score in kept)
