"""From evidence to cause: pure functions over numbers, no tensors.

The rules are run in the order of three tables, and `order.EXPLAINS` moves what follows from another finding behind it;
so the first finding is what a person would mend first, and later ones are said beside it. A line of a table holds one
rule, or several of which only the first that finds something speaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from quantgate.diagnosis.evidence import Evidence, Finding
from quantgate.diagnosis.order import ordered
from quantgate.diagnosis.rule import Case, Rule, run
from quantgate.diagnosis.rules import (
    coverage,
    gradients,
    precision,
    relations,
    rounding,
    updates,
    values,
    zeros,
)

#: Checks that need no training; when one fails, later ones cannot be trusted.
BEFORE_TRAINING: tuple[tuple[Rule, ...], ...] = (
    (values.SCALE_ZERO,),
    (
        updates.FOLLOWS_ANOTHER,
        updates.UPDATE_LOST,
        updates.OTHER_ALGORITHM,
        updates.OPTIMIZER_STATE,
        updates.REGION_LOST,
        updates.SMALLER_STEPS,
    ),
    (coverage.UNCHANGED, coverage.EQUALS_CONTROL),
    (coverage.PARTLY_APPLIED, coverage.LINES_KEPT, precision.LINE_TOO_PRECISE),
    (coverage.ALL_UNCOVERED, coverage.UNCOVERED),
)

#: What was measured while it trained: findings of the first step outrank later ones, whatever their order here.
IN_TRAINING: tuple[tuple[Rule, ...], ...] = (
    (values.NOT_DEQUANTIZED, values.LATE_SCALE),
    (updates.NON_FINITE,),
    (gradients.GRAD_FORMAT, gradients.GRADIENT_ROUNDED),
    (gradients.GRADIENT_BLOCKED,),
    (gradients.UNREACHED,),
    (coverage.ORPHANED,),
    (values.SIGN_LOST,),
    (zeros.RANGE_COLLAPSED, zeros.BESIDE_A_TAIL),
    (values.SCALE_FROZEN, values.CLIPPED, values.PEAK_LOST),
    (values.COARSE, precision.CODES_UNUSED, precision.COARSER_THAN_PLAIN),
    (gradients.CLIP_GRADIENT_LOST, gradients.CLIP_GRADIENT_GRAZED),
    (gradients.GRADIENT_WRONG,),
    (gradients.GRADIENT_MISSCALED,),
    (updates.UPDATE_SWALLOWED, updates.UNMOVED),
)

#: What does little harm in 100 steps.
LATENT: tuple[tuple[Rule, ...], ...] = (
    (
        updates.SCALE_CROSSED_ZERO,
        updates.SCALE_NEGATIVE,
        updates.SCALE_WITHOUT_GRADIENT,
        values.ZERO_POINT,
        updates.SCALE_CROSSED_UNHARMED,
    ),
    (rounding.ROUNDING_NOT_RANDOM, relations.SHARED_NOISE),
    (
        rounding.ROUNDING_BIASED,
        rounding.ONE_WAY,
        rounding.OFF_HALF,
        rounding.DRIFTS,
        rounding.INPUT_DRIFTS,
        rounding.TRUNCATES,
    ),
    (rounding.WRONG_TABLE,),
    (relations.OVERFLOW_WRAPPED, relations.NOT_MONOTONIC),
    (relations.SCALE_MISPLACED, relations.SCALE_ELSEWHERE),
    (relations.WRONG_AXIS,),
    (relations.TOO_MANY_LEVELS, precision.TOO_PRECISE),
    (precision.OUTLIERS_KEPT,),
    (rounding.NONCONFORMING,),
    (rounding.MISMATCH, rounding.MODE_MISMATCH),
    (values.LEARNED_RANGE,),
    (relations.NOT_REPRODUCIBLE,),
)

#: Every rule, in the order in which they are run.
RULES: tuple[Rule, ...] = tuple(
    rule for table in (BEFORE_TRAINING, IN_TRAINING, LATENT) for line in table for rule in line
)


def diagnose(
    evidence: Evidence,
    *,
    bits: float | None,
    lossless: bool = False,
    waive: Mapping[str, str] | None = None,
) -> tuple[Finding, ...]:
    """Every cause that the evidence shows, likeliest first; none where nothing is wrong.

    Args:
        evidence: What was measured.
        bits: Of an element; None where unknown, which leaves out the rules that need them.
        lossless: Whether values that come back unchanged are what is promised.
        waive: Causes that the subject is excused from, each with the reason.
    """
    if evidence.contract is not None:
        return (Finding("contract", evidence.contract),)
    if evidence.crash is not None:
        return ()
    case = Case(evidence, bits, lossless)
    measured = sorted(_found(IN_TRAINING, case), key=lambda finding: finding.step > 0)
    found = (*_found(BEFORE_TRAINING, case), *measured, *_found(LATENT, case))
    excused = waive or {}
    return ordered([replace(each, waived=excused.get(each.cause)) for each in found])


def _found(table: Sequence[Sequence[Rule]], case: Case) -> list[Finding]:
    firsts = (
        next((found for rule in line if (found := run(rule, case)) is not None), None) for line in table
    )
    return [finding for finding in firsts if finding is not None]
