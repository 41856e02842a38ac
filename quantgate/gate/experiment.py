"""Train one cell while the probes watch. Subjects, training and probes meet here and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from quantgate.corpus.tensors import Data, load_data
from quantgate.diagnosis.evidence import Evidence, NonFinite
from quantgate.formats import BUILTIN, Format
from quantgate.probes.conformity import builtin_of, conformity, fingerprint
from quantgate.probes.crash import describe
from quantgate.probes.quantizer.examine import examine_quantizer
from quantgate.probes.quantizer.reach import shares_as_declared
from quantgate.probes.quantizer.trained import compared
from quantgate.probes.training import Progress, TrainingProbes
from quantgate.records.cell import Cell, Config
from quantgate.subjects.codecs import FunctionCodec
from quantgate.subjects.kinds import Subject
from quantgate.subjects.quantizers import calibrated, calibration, preparation, quantizer_factory
from quantgate.training.fakequant import QuantizedModel
from quantgate.training.model import ModelConfig
from quantgate.training.optimizers import OptimizerSpec
from quantgate.training.patches import Patches
from quantgate.training.reproducible import reproducible
from quantgate.training.trainer import Training


@dataclass(frozen=True)
class Run:
    """The outcome of one training."""

    #: (step, bits per byte on the held-out slice), the first at step 0; empty where nothing was trained.
    curve: tuple[tuple[int, float], ...]
    evidence: Evidence
    #: The learning rate that it ran at.
    lr: float
    seconds: float


def train_cell(
    cell: Cell, subject: Subject, optimizer: OptimizerSpec, config: Config, progress: Progress | None = None
) -> Run:
    """Train a cell. Whatever the subject raises or returns becomes evidence, never an exception.

    Raises:
        CorpusError: The corpus cannot be used.
        RuntimeError: The device does not exist.
    """
    started = time.perf_counter()
    lr = optimizer.rate(cell.width, cell.lane) if config.lr is None else config.lr
    with reproducible(cell.seed, config.device):
        data = load_data(config.corpus, ModelConfig().context, config.device)
        patches = Patches()
        try:
            curve, evidence = _trained(cell, subject, optimizer, lr, data, config, progress)
        finally:  # also where a timeout ends it: the next cell has torch as it was
            undone = patches.undo_harmful()
        if undone:
            evidence = replace(evidence, contract=_replaces(undone))
    return Run(curve, evidence, lr, time.perf_counter() - started)


def _replaces(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"replaces {', '.join(names[:3])}{more}: float32 computes otherwise with it; put back for the other cells."


def _trained(
    cell: Cell,
    subject: Subject,
    optimizer: OptimizerSpec,
    lr: float,
    data: Data,
    config: Config,
    progress: Progress | None,
) -> tuple[tuple[tuple[int, float], ...], Evidence]:
    """The curve and the evidence; the probes that need no model come first, and may make the training needless."""
    evidence = _examined(subject, config.device) if isinstance(subject, Format) else Evidence()
    if evidence.contract is not None or evidence.crash is not None:
        return (), evidence
    torch.manual_seed(cell.seed)  # the probes seed the generator for themselves
    probes = TrainingProbes(
        config.steps,
        optimizer,
        progress,
        bits=subject.bits,
        static=subject.calibrate is not None,
        export=None if evidence.stochastic else _export(subject),
    )
    prepare = preparation(subject, cell.storage, cell.scope)
    training = Training(cell, prepare, data, config, probes, calibration(subject))
    crash = None
    try:
        training.run(optimizer.build, lr)
    except Exception as error:  # the subject's own code may raise anything: it is this cell's result
        crash = describe(error)
    evidence = probes.evidence(evidence)
    trainee = training.trainee
    if isinstance(subject, Format) and subject.family == "user" and isinstance(trainee, QuantizedModel):
        fresh = isinstance(subject.codec, FunctionCodec) and subject.codec.factory is not None
        if crash is None and training.seen:
            evidence = compared(evidence, trainee, training.seen, bits=subject.bits, fresh=fresh)
    evidence = replace(
        evidence,
        non_finite=None if training.non_finite is None else NonFinite(*training.non_finite),
        crash=crash,
    )
    return tuple(training.curve), evidence


def _export(subject: Subject) -> Callable[[Tensor], Tensor] | None:
    """decode(encode(x)) of a format that is exported with a codec of its own."""
    codec = subject.codec if isinstance(subject, Format) else None
    export = codec.export if isinstance(codec, FunctionCodec) else None
    return None if export is None else export.fake_quantize


def _examined(subject: Format, device: str) -> Evidence:
    """What the probes say of a format's quantizer alone."""
    codec = subject.codec
    make = calibrated(quantizer_factory(subject), subject)
    evidence = examine_quantizer(
        make,
        name=subject.name,
        bits=subject.bits,
        static=subject.calibrate is not None,
        fresh=isinstance(codec, FunctionCodec) and codec.factory is not None,
        export=_export(subject),
        device=device,
    )
    if subject.family != "user":
        return replace(evidence, codes_used=None)  # its specification says which codes there are
    if evidence.contract is not None or evidence.crash is not None:
        return evidence
    try:
        like = BUILTIN.get(subject.conforms or "")
        asked = subject.granularity if subject.calibrate is None and not evidence.relations.mixes else None
        shared = None if asked is None else shares_as_declared(make, asked, device)
        return replace(
            evidence,
            fingerprint=fingerprint(make, device),
            same_as=builtin_of(make, subject.bits, device),
            granularity=subject.granularity,
            shares_as_declared=shared,
            conformity=None if like is None else conformity(make, like, device),
        )
    except Exception as error:  # the subject's own code, on shapes and values that it was not given before
        return replace(evidence, not_measured=(*evidence.not_measured, ("conformity", describe(error))))
