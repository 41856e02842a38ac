"""Rules about precision: no more than the bits can hold, and no code left unused."""

from __future__ import annotations

import math

from quantgate.diagnosis.evidence import DECIBELS_PER_BIT, TensorEvidence
from quantgate.diagnosis.rule import Case, Limit, LimitByBits, Rule, Seen, at_first_step
from quantgate.diagnosis.rules.coverage import MOST_BITS, is_kept
from quantgate.diagnosis.rules.rounding import LEVELS_KEPT, VARIES
from quantgate.diagnosis.rules.values import FIXED_GRID

SCALES = Limit(1.0, "0.3 where 8 elements share a scale, -0.3 for a binary grid with a scale for each row")
LINES = Limit(3.0, "0.8 for int4 in a Hadamard basis; 4 for a run of int8 that is left in float16")
OUTLIERS = Limit(0.1, "0: the middle one of several outliers is on a grid by chance alone", "{:.0%}")
CODES = Limit(
    0.55, "0.66 where a range of five standard deviations ends beyond the largest; 0.5 at twice the scale"
)
PLAIN = LimitByBits(
    {4: 7.0, 6: 11.0, math.inf: 21.0},
    "gf4 8.5, powers of two 13.9, e5m2 25.4; an integer grid from the largest element has 16, 29 and 41",
    "{:g} dB",
)
#: With fewer, a grid of three values is half of what two bits hold.
LEAST_BITS = 3
LEAST_BITS_PLAIN = 4


def _rate(case: Case, more: Limit) -> float | None:
    """The signal over noise that no code of the declared bits and so many more reaches; None where it is not asked.

    A quantizer that draws noise may leave values as they are now and then (quantization noise as a regularizer).
    """
    noise = case.evidence.rounding is not None and case.evidence.rounding.varies >= VARIES.at
    if case.bits is None or case.bits > MOST_BITS or case.lossless or noise:
        return None
    return DECIBELS_PER_BIT * (case.bits + more.at)


def _given(case: Case) -> list[TensorEvidence]:
    """What is near enough to a Gaussian: the probes' inputs, or a recipe's weights before any step."""
    evidence = case.evidence
    if evidence.inputs:
        return list(evidence.inputs)
    weights = at_first_step(evidence) if evidence.weights and evidence.uncovered is not None else []
    return [tensor for tensor in weights if tensor.tensor.startswith("blocks.")]  # others may have more bits


def _too_precise(case: Case) -> Seen | None:
    most = _rate(case, SCALES)
    if most is None:
        return None
    given = [tensor for tensor in _given(case) if not is_kept(tensor, case)]
    beyond = [tensor for tensor in given if tensor.snr > most]
    if not beyond:
        return None
    worst = max(beyond, key=lambda tensor: tensor.snr)
    return Seen(
        {
            "tensor": worst.tensor,
            "snr": worst.snr,
            "most": most,
            "bits": case.bits,
            "bad": len(beyond),
            "of": len(given),
        }
    )


def _line_too_precise(case: Case) -> Seen | None:
    most, whole = _rate(case, LINES), _rate(case, SCALES)
    if most is None or whole is None:
        return None
    beyond = [t for t in _given(case) if most < t.line_snr < math.inf and t.snr <= whole]
    if not beyond:
        return None
    worst = max(beyond, key=lambda tensor: tensor.line_snr)
    return Seen({"tensor": worst.tensor, "line_snr": worst.line_snr, "most": most, "bits": case.bits})


def _outliers(case: Case) -> Seen | None:
    kept = case.evidence.relations.outliers_kept
    asked = _rate(case, SCALES) is not None and not all(is_kept(t, case) for t in case.evidence.inputs)
    return Seen({"kept": kept}) if asked and kept >= OUTLIERS.at else None


def _coarser(case: Case) -> Seen | None:
    evidence = case.evidence
    rounding = evidence.rounding
    transformed = rounding is None or (rounding.levels_kept or 0.0) < LEVELS_KEPT.at
    asked = case.bits is not None and case.bits >= LEAST_BITS_PLAIN and evidence.fixed_grid <= FIXED_GRID.at
    if not asked or transformed or not evidence.inputs:
        return None
    worst, least = min(evidence.inputs, key=lambda tensor: tensor.snr), PLAIN.for_bits(case.bits)
    return Seen({"tensor": worst.tensor, "snr": worst.snr, "least": least}) if worst.snr < least else None


def _unused(case: Case) -> Seen | None:
    evidence, bits = case.evidence, case.bits
    used = evidence.codes_used
    if used is None or bits is None or not LEAST_BITS <= bits <= MOST_BITS or case.lossless:
        return None
    own_range = evidence.fixed_grid <= FIXED_GRID.at and evidence.same_as is None
    if not own_range or used > CODES.at * 2**bits:
        return None
    return Seen({"used": used, "codes": 2**bits, "bits": bits})


TOO_PRECISE = Rule(
    cause="too-many-levels",
    measures="signal over quantization noise of a Gaussian, to 12 bits",
    flagged="above 6.02 dB for each of the declared bits and {0} more",
    says="{tensor} keeps {snr:.1f} dB of signal over quantization noise; no code of {bits:g} bits keeps more than "
    "{most:.1f}, scales included ({bad} of {of}).",
    ask=_too_precise,
    record=("snr", "most", "tensor"),
    limits=(SCALES,),
)

LINE_TOO_PRECISE = Rule(
    cause="partly-applied",
    measures="signal over quantization noise of the best row, column or run of 16, to 12 bits",
    flagged="above 6.02 dB for each of the declared bits and {0} more",
    says="a row, column or run of {tensor} keeps {line_snr:.0f} dB of signal over quantization noise; no code of "
    "{bits:g} bits keeps more than {most:.0f}, scales included.",
    ask=_line_too_precise,
    record=("line_snr", "most", "tensor"),
    limits=(LINES,),
)

OUTLIERS_KEPT = Rule(
    cause="partly-applied",
    measures="share of outliers that come back exactly, of those no extreme of their row or column",
    flagged="from {0}",
    says="{kept:.0%} of the outliers come back exactly, which no scale explains: they are left in float32.",
    ask=_outliers,
    record=(("outliers_kept", "kept"),),
    limits=(OUTLIERS,),
    severity="warning",  # where it is meant (LLM.int8, SpQR, a codebook that is fitted), the bits are not those
)

COARSER_THAN_PLAIN = Rule(
    cause="range-collapsed",
    measures="signal over quantization noise of a Gaussian, from 4 bits on",
    flagged="below {0}, where {1} of the levels and more come back as they are",
    says="{tensor} keeps {snr:.1f} dB of signal over quantization noise; the plainest grids of as many bits keep "
    "{least:g} and more.",
    ask=_coarser,
    record=("snr", "least", "tensor"),
    limits=(PLAIN, LEVELS_KEPT),
)

CODES_UNUSED = Rule(
    cause="range-collapsed",
    measures="codes of an even grid that lie between what the ends of a range come back as, from 3 to 12 bits, where "
    "the scale follows and is not learned",
    flagged="up to {0} of the codes that the bits have",
    says="{used:.0f} of the {codes:g} codes of {bits:g} bits lie in the range of the values: the scale is too large.",
    ask=_unused,
    record=("used", "codes"),
    limits=(CODES,),
)
