"""Run every probe on a subject in a handful of training steps: the diagnosis without the 100-step curve."""

from __future__ import annotations

from dataclasses import dataclass, replace

from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence, Finding
from quantgate.gate.experiment import train_cell
from quantgate.records.cell import SEEDS, Cell, Config, Storage
from quantgate.subjects.kinds import Subject, kind_of
from quantgate.subjects.registry import REGISTRY
from quantgate.training.optimizers import OPTIMIZERS, OptimizerSpec

#: Enough for the probes of the first, a middle and the last step, and for the updates that storage swallows.
STEPS = 8


@dataclass(frozen=True)
class Examination:
    """The evidence that the probes collected of a subject, and the causes found in it, likeliest first."""

    subject: str
    bits: float | None
    evidence: Evidence
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether no probe found a fault; warnings, and causes that the subject is excused from, are none."""
        return not any(finding.blames for finding in self.findings) and self.evidence.crash is None

    @property
    def cause(self) -> str | None:
        """The likeliest cause; None where nothing is wrong."""
        return None if self.healthy or not self.findings else self.findings[0].cause


def examine(subject: str | Subject) -> Examination:
    """Run the probes of a format or recipe on 8 training steps with AdamW; takes about a second.

    Args:
        subject: A format or recipe, its name, or `module:attribute[@bits]`.

    Raises:
        UnknownNameError: Nothing has that name.
    """
    return examine_subject(REGISTRY.subject(subject) if isinstance(subject, str) else subject)


def examine_subject(
    subject: Subject,
    *,
    optimizer: OptimizerSpec = OPTIMIZERS["adamw"],
    storage: Storage = "master",
    config: Config | None = None,
) -> Examination:
    """Run the probes of a format or a recipe.

    Args:
        subject: What is examined.
        optimizer: Takes the training steps.
        storage: `inplace` also measures how much of an update survives storage.
        config: Width, scope, corpus and device; its number of steps is not used.
    """
    given = config or Config()
    cell = Cell(subject.name, kind_of(subject), optimizer.name, SEEDS[0], given.width, storage, given.scope)
    short = replace(given, steps=STEPS)
    evidence = train_cell(cell, subject, optimizer, short).evidence
    findings = diagnose(evidence, bits=subject.bits, lossless=subject.lossless, waive=subject.waive)
    return Examination(subject.name, subject.bits, evidence, findings)
