"""Assess a foreign training: its verdict, its cause, and the evidence that its record keeps."""

from __future__ import annotations

import math
import platform
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from quantgate.corpus import Corpus
from quantgate.diagnosis.causes import CAUSES
from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence, Finding
from quantgate.gate.machine import cpu
from quantgate.logs.judging.curve import run_of
from quantgate.logs.judging.judge import FLAT_HINT, NO_OP_HINT, CurveError, Judgement, compared, judge_run
from quantgate.logs.judging.rules import Rules
from quantgate.records.cell import Cell, Config
from quantgate.records.result import CellResult, canon_name
from quantgate.records.verdict import DEFAULT_LIMITS, Curve, Verdict, gap_tolerance
from quantgate.records.version import __version__
from quantgate.subjects.trainers import Trainer
from quantgate.trainers.process import Ended
from quantgate.trainers.scores import Scores

#: Decimals that scores must have for equal ones to mean equal numbers: int8 and float32 agree in three now and then.
ENOUGH_DECIMALS = 4
#: Steps at which they must be equal.
ENOUGH_STEPS = 3
#: Formats of more bits may give the scores of float32 to all decimals that are printed.
FEW_BITS = 16
#: Points of a curve that the record keeps.
_SHOWN = 200
#: The options of `quantgate judge` in its messages, and what is said of a trainer in their place.
_OPTIONS = {
    "Say --vocabulary": "Declare its chance",
    ", --chance or --unit": "",
    "Say --unit nats": "Call it loss in what is printed",
    "Say --unit bits": "Call it bpb in what is printed",
    "Tell them apart by a column (run=...), or cut the log.": "Print each step once.",
}
_REFUSED_HINT = "print the score as it trains, the first before any step, of text that is not trained on."
_SHOW_WEIGHTS = "let it write its tensors into {weights} (quantgate.trainers.dump says how), and the cause is named."


@dataclass(frozen=True)
class Training:
    """What came of running a trainer."""

    command: tuple[str, ...]
    #: How it ended, or why it did not start.
    ended: Ended | str
    scores: Scores
    lr: float | None
    #: What it was given to train on; None where its command takes none.
    corpus: Corpus | None
    #: Where it dumped its tensors; None where its command takes no such folder.
    dumps: Path | None


def assess(cell: Cell, trainer: Trainer, training: Training, control: Curve | None, config: Config) -> CellResult:
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
    found = _judged(cell, trainer, training, control, config, bits, lossless)
    evidence, missing = _weights(cell, training)
    findings = diagnose(evidence, bits=bits, lossless=lossless) if found.verdict.judged else ()
    verdict = _verdict(found, evidence, findings)
    cause = _cause(verdict, found, findings, training)
    in_bits = Rules(unit=training.scores.unit).in_bits
    last = control[-1][1] if control else None
    record = _record(training, trainer, found, findings, cause, evidence, missing)
    record |= {"bits": "unknown" if bits is None else bits, "tolerance": _tolerance(bits, cell, trainer)}
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
        curve=_curve(training.scores, in_bits),
        seconds=round(training.ended.seconds, 3) if isinstance(training.ended, Ended) else 0.0,
        corpus={} if training.corpus is None else {"name": training.corpus.name, "sha256": training.corpus.sha256},
        environment={"cpu": cpu(), "python": platform.python_version(), "system": platform.system()},
        quantgate=__version__,
        canon_name=canon_name(cell, training.lr),
    )


def _judged(
    cell: Cell,
    trainer: Trainer,
    training: Training,
    control: Curve | None,
    config: Config,
    bits: float | None,
    lossless: bool,
) -> Judgement:
    """What the curve and the end of the process say."""
    ended, curve = training.ended, training.scores.curve
    if isinstance(ended, str):
        return Judgement(Verdict.CRASHED, "not-started", f"{ended}.")
    diverged = any(not math.isfinite(score) for _, score in curve)
    at = f"; at step {curve[-1][0]:,} it printed {curve[-1][1]:.4g}" if curve else "; it had printed no score"
    if ended.status is None and not diverged:
        said = f"no end after {ended.seconds:.0f} s{at}; it was ended with its children."
        return Judgement(Verdict.TIMEOUT, "no-end", said)
    if ended.status != 0 and not diverged:
        return Judgement(Verdict.CRASHED, "failed", f"it {_ended(ended.status)}{at}.")
    if not curve:
        said = f"it printed no score: {training.scores.missing} ({ended.lines:,} line{'s' * (ended.lines != 1)})."
        return Judgement(Verdict.REJECTED, "no-score", said)
    horizon = config.steps if trainer.uses("steps") else control[-1][0] if control else None
    limits = None if config.limits == DEFAULT_LIMITS else config.limits
    tolerance = _tolerance(bits, cell, trainer)
    rules = Rules(trainer.chance, training.scores.unit, horizon, limits, tolerance)
    try:
        run = run_of(curve)
        beside = None if control is None else run_of([(s, score / rules.in_bits) for s, score in control])
        found = judge_run(run, rules, beside, bits=bits, lossless=True)
        same = None if beside is None or lossless or cell.kind != "trainer" else compared(run, beside)
    except CurveError as error:
        said = str(error)
        for option, here in _OPTIONS.items():
            said = said.replace(option, here)
        return Judgement(Verdict.REJECTED, "refused", said, hint=_REFUSED_HINT, curve=tuple(curve))
    if found.verdict is Verdict.UNJUDGED:
        return replace(found, verdict=Verdict.REJECTED, hint="look for why it stopped: it ended as if all were well.")
    if same is None or same.steps < ENOUGH_STEPS or same.most > _EQUAL or found.verdict is Verdict.DIVERGED:
        return found
    said = f"equal to its float32 control in all {same.decimals} decimals that it prints, at {same.steps:,} steps."
    if same.decimals < ENOUGH_DECIMALS or (bits or 0) > FEW_BITS:
        more = "" if same.decimals >= ENOUGH_DECIMALS else " Print more decimals: so few do not tell them apart."
        return replace(found, warnings={"no-op": said + more})
    return replace(found, verdict=Verdict.NO_OP, shape="identical", because=said, cause="no-op", hint=NO_OP_HINT)


#: Of scores in nats that were turned into bits and back, below any decimal that is printed.
_EQUAL = 1e-12


def _ended(status: int | None) -> str:
    if status is None:
        return "did not end"
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _tolerance(bits: float | None, cell: Cell, trainer: Trainer) -> float:
    """The measured one for its bits, where they are known; as `quantgate judge` has it."""
    scale = Rules(trainer.chance).scale
    return gap_tolerance(4 if bits is None else bits, cell.optimizer) * scale


def _weights(cell: Cell, training: Training) -> tuple[Evidence, str | None]:
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

    return evidence_of(moments), None


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


def _cause(
    verdict: Verdict, found: Judgement, findings: Sequence[Finding], training: Training
) -> Finding | None:
    if verdict.passes or not verdict.judged:
        return None
    if verdict is Verdict.REJECTED:
        return Finding("contract", found.because)
    if any(finding.blames for finding in findings):
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
    return CAUSES[cause.cause].hint


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
