"""What the probes say of a quantizer by itself, without a training."""

from __future__ import annotations

from dataclasses import dataclass

from quantgate.diagnose import diagnose
from quantgate.evidence import Evidence, Finding
from quantgate.formats import Format
from quantgate.trainer import examine_format


@dataclass(frozen=True)
class Examination:
    """The evidence of a quantizer's probes, and the causes that it shows, likeliest first."""

    subject: str
    bits: float | None
    evidence: Evidence
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether no probe found a fault."""
        return not self.findings and self.evidence.crash is None

    @property
    def cause(self) -> str | None:
        """The likeliest cause; None where nothing is wrong."""
        return self.findings[0].cause if self.findings else None


def examine_subject(subject: Format, device: str = "cpu") -> Examination:
    """Run the probes of a format."""
    evidence = examine_format(subject, device)
    findings = diagnose(evidence, bits=subject.bits, lossless=subject.lossless)
    return Examination(subject.name, subject.bits, evidence, findings)
