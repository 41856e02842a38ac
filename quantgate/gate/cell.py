"""One cell from training to verdict, with its control, and more seeds where the call is close."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from quantgate import __version__
from quantgate.diagnosis.causes import CAUSES
from quantgate.records.cell import CONTROL_FORMAT, DEFAULT_WIDTH, SEEDS, Cell, Config, Storage
from quantgate.corpus.tensors import load_data
from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence, Finding
from quantgate.faults import NEGATIVE_CONTROLS
from quantgate.formats import BUILTIN, Format
from quantgate.training.optimizers import OptimizerSpec
from quantgate.subjects.registry import REGISTRY, Registry, Subject
from quantgate.records.result import CellResult, canon_name
from quantgate.training.trainer import Run, Watch, train_cell
from quantgate.records.verdict import (
    Curve,
    Verdict,
    gap_tolerance,
    is_close_call,
    judge,
    median_index,
)

#: Gives the control's curve for a cell.
ControlOf = Callable[[Cell], Curve]

#: Below this signal-to-noise ratio (dB) a weight tensor is coarse enough to explain a bad curve: ternary by
#: absolute mean has 7, amax int2 about 1, amax int4 15.
COARSE_SNR = 10.0


@dataclass(frozen=True)
class Gate:
    """What runs cells: the configuration, and where names are looked up."""

    config: Config = field(default_factory=Config)
    registry: Registry = field(default_factory=lambda: REGISTRY)
    #: Told of the steps and scores of what is trained.
    watch: Watch | None = None

    def subject(self, cell: Cell) -> Subject:
        """The subject of a cell, a control's and a negative control's included."""
        if cell.kind == "control":
            return BUILTIN[CONTROL_FORMAT]
        if cell.kind == "negative-control":
            return NEGATIVE_CONTROLS[cell.subject]
        return self.registry.subject(cell.subject)

    def train(self, cell: Cell) -> Run:
        """One training, not judged."""
        config = replace(self.config, width=cell.width, scope=cell.scope)
        return train_cell(cell, self.subject(cell), self.optimizer(cell), config, self.watch)

    def optimizer(self, cell: Cell) -> OptimizerSpec:
        """The optimizer of a cell."""
        return self.registry.optimizer(cell.optimizer)

    def control(self, cell: Cell) -> CellResult:
        """The control of a cell, trained and judged by itself."""
        return self.assess(cell.control, self.train(cell.control), None)

    def run(self, cell: Cell, control_of: ControlOf) -> CellResult:
        """Train and judge a cell; where the call is close, so are two more seeds, and the median judges."""
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
            evidence={**judging.evidence, "judged_seed": judging.seed},
            seeds=seeds,
            seconds=round(seconds, 3),
        )

    def _is_close(self, result: CellResult) -> bool:
        judged_by_curve = result.verdict in {Verdict.LEARNS, Verdict.LAGS, Verdict.PARTIAL}
        if not judged_by_curve or result.bpb is None or result.evidence.get("findings"):
            return False
        tolerance = result.evidence.get("tolerance", 0.0)
        return is_close_call(result.bpb, result.gap, tolerance, self.config.limits)

    def assess(self, cell: Cell, run: Run, control: Curve | None) -> CellResult:
        """The result of a training, held against its control's curve."""
        subject = self.subject(cell)
        bits, lossless = subject.bits, subject.lossless
        tolerance = subject.gap_tolerance
        if tolerance is None:
            tolerance = gap_tolerance(bits, cell.optimizer)
        # A curve that equals the control's is no accident where weights were not seen to change; with 19 bits of
        # fraction (gf32) they change and the score may not.
        changed = any(tensor.changed > 0 for tensor in run.evidence.weights)
        identical = bool(run.curve) and control is not None and list(run.curve) == list(control)
        evidence = replace(run.evidence, control_identical=identical and not changed)
        findings = diagnose(evidence, bits=bits, lossless=lossless)
        verdict = self._verdict(run.curve, control, evidence, findings, tolerance)
        last = run.curve[-1][1] if run.curve else None
        bpb_control = control[-1][1] if control else None
        cause = None if verdict.passes else _cause(findings, evidence, verdict)
        return CellResult(
            subject=cell.subject,
            kind=cell.kind,
            format=cell.subject if isinstance(subject, Format) else "",
            optimizer=cell.optimizer,
            seed=cell.seed,
            width=cell.width,
            steps=self.config.steps,
            lr=run.lr,
            storage=cell.storage,
            scope=cell.scope,
            bpb_initial=run.curve[0][1] if run.curve else None,
            bpb=last,
            bpb_control=bpb_control,
            gap=None if last is None or bpb_control is None else last - bpb_control,
            verdict=verdict,
            cause=cause.cause if cause else None,
            hint=CAUSES[cause.cause].hint if cause else None,
            evidence=_evidence_record(evidence, findings, cause, bits, tolerance),
            curve=run.curve,
            seconds=round(run.seconds, 3),
            corpus=corpus_record(self.config),
            environment=environment(self.config.device),
            quantgate=__version__,
            canon_name=canon_name(cell, run.lr),
        )

    def _verdict(
        self,
        curve: Curve,
        control: Curve | None,
        evidence: Evidence,
        findings: Sequence[Finding],
        tolerance: float,
    ) -> Verdict:
        if evidence.contract is not None:
            return Verdict.REJECTED
        if evidence.crash is not None:
            return Verdict.CRASHED
        if evidence.non_finite is not None:
            return Verdict.DIVERGED
        # Identity is a finding here, where more is known of it than the curve says.
        verdict = judge(curve, control, tolerance=tolerance, lossless=True, limits=self.config.limits)
        if verdict not in {Verdict.LEARNS, Verdict.LAGS}:
            return verdict
        if any(finding.cause == "no-op" for finding in findings):
            return Verdict.NO_OP
        return Verdict.LAGS if findings else verdict


def run_cell(
    subject: str | Subject,
    optimizer: str,
    *,
    seed: int = SEEDS[0],
    storage: Storage = "master",
    config: Config | None = None,
    watch: Watch | None = None,
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
        CorpusError: The corpus cannot be used.
    """
    config = config or Config()
    registry = REGISTRY
    if not isinstance(subject, str):
        registry = registry.with_subject(subject)
    name = subject if isinstance(subject, str) else subject.name
    made = registry.subject(name)
    registry.optimizer(optimizer)
    kind: Any = "format" if isinstance(made, Format) else "recipe"
    if kind == "recipe" and (storage != "master" or config.scope != "weights"):
        raise ValueError(
            f"recipe {made.name!r} says itself what is quantized and stored: storage and scope are for formats"
        )
    cell = Cell(made.name, kind, optimizer, seed, config.width, storage, config.scope)
    return Gate(config, registry, watch).run(cell, lambda each: _control_curve(each.control, config))


@cache
def _control_curve(control: Cell, config: Config) -> Curve:
    return Gate(config).train(control).curve


def negative_controls(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells that must fail in a run of these cells: first optimizer, first seed, smallest width."""
    if not cells:
        return ()
    first = min(cells, key=lambda cell: abs(cell.width - DEFAULT_WIDTH)).control
    return tuple(replace(first, subject=name, kind="negative-control") for name in NEGATIVE_CONTROLS)


def _more_seeds(seed: int) -> tuple[int, ...]:
    return tuple(other for other in SEEDS if other != seed)[:2]


def _cause(findings: Sequence[Finding], evidence: Evidence, verdict: Verdict) -> Finding | None:
    if findings:
        return findings[0]
    if verdict is Verdict.CRASHED:
        return None
    coarse = [tensor for tensor in evidence.weights if tensor.snr < COARSE_SNR]
    if coarse:
        worst = min(coarse, key=lambda tensor: tensor.snr)
        return Finding(
            "resolution",
            f"{worst.tensor} keeps {worst.snr:.1f} dB of signal over quantization noise.",
            {"snr": worst.snr, "tensor": worst.tensor},
        )
    return Finding("unexplained", "every probe is in order.")


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
    others = [finding for finding in findings if cause is None or finding.cause != cause.cause]
    if others:
        record["also"] = [f"{finding.cause}: {finding.because}" for finding in others]
    if findings:
        record["findings"] = list(dict.fromkeys(finding.cause for finding in findings))
    if evidence.update_survival is not None:
        record["update_survival"] = evidence.update_survival
    if evidence.stochastic:
        record["stochastic"] = True
    if evidence.state:
        record["state"] = evidence.state
    last = max((tensor.step for tensor in evidence.weights), default=None)
    record["weights"] = [asdict(tensor) for tensor in evidence.weights if tensor.step == last]
    return record


def corpus_record(config: Config) -> dict[str, str]:
    """Name and digest of the corpus that a cell was trained on."""
    from quantgate.training.model import ModelConfig

    corpus = load_data(config.corpus, ModelConfig().context, config.device).corpus
    return {"name": corpus.name, "sha256": corpus.sha256}


@cache
def environment(device: str) -> dict[str, Any]:
    """What bitwise equality depends on: library versions, processor, instruction set, threads, device."""
    import numpy as np
    import torch

    name = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "cpu": _cpu(),
        "isa": torch.backends.cpu.get_cpu_capability(),
        "threads": 1,
        "device": name,
    }


def _cpu() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
