"""From evidence to cause: pure functions over numbers, no tensors.

The rules are asked in an order: first what stands before any training, then what was measured while it trained, then
what does little harm in 100 steps. So the first finding is the likeliest cause, and later ones are said beside it.
Each rule's thresholds stand beside what a healthy quantizer measures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quantgate.diagnosis.evidence import Evidence, Finding
from quantgate.diagnosis.rules import coverage, gradients, ranges, rounding, training

_Rule = Callable[[Evidence, float | None, bool], Finding | None]


#: What stands before any training, and keeps the rest from being measured.
_AT_ONCE: tuple[_Rule, ...] = (
    ranges.scale_zero,
    training.optimizer_state,
    coverage.no_op,
    coverage.partly_applied,
    coverage.uncovered,
)

#: What was measured while it trained: a finding of the first step outranks later ones.
_MEASURED: tuple[_Rule, ...] = (
    ranges.not_dequantized,
    training.non_finite,
    gradients.grad_format,
    gradients.gradient_blocked,
    gradients.unreached,
    coverage.orphaned,
    ranges.sign_lost,
    ranges.range_collapsed,
    ranges.scale_stale,
    ranges.coarse,
    gradients.clip_gradient_lost,
    gradients.gradient_wrong,
    gradients.gradient_misscaled,
    training.update_swallowed,
)

#: What does little harm in 100 steps, and is said after what does.
_LATENT: tuple[_Rule, ...] = (
    training.qparams_invalid,
    rounding.rounding_not_random,
    rounding.rounding_biased,
    rounding.wrong_table,
    rounding.mismatch,
)


def diagnose(evidence: Evidence, *, bits: float | None, lossless: bool = False) -> tuple[Finding, ...]:
    """Every cause that the evidence shows, likeliest first; none where nothing is wrong."""
    if evidence.contract is not None:
        return (Finding("contract", evidence.contract),)
    if evidence.crash is not None:
        return ()

    def ask(rules: Sequence[_Rule]) -> list[Finding]:
        return [finding for rule in rules if (finding := rule(evidence, bits, lossless)) is not None]

    measured = sorted(ask(_MEASURED), key=lambda finding: finding.step > 0)
    return (*ask(_AT_ONCE), *measured, *ask(_LATENT))
