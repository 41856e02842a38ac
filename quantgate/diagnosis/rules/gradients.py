"""Rules about the gradient that the quantizer passes on."""

from __future__ import annotations

import math

from quantgate.diagnosis.evidence import Evidence, Finding, TensorEvidence
from quantgate.diagnosis.rules.select import (
    BLOCKED_SHARE,
    WRONG_COSINE,
    has_reference,
    is_blocked,
    is_wrong,
    kind,
    select,
    worst,
)

#: Of the elements that lost their gradient, the share that was not clipped: 0 for every mask at the range's edge.
UNCLIPPED_SHARE = 0.2
#: Norm over the reference's: 0.7 where a clip mask takes 40% of ternary, 1.25 through a tanh transform.
MISSCALED_RATIO = (1 / 3, 1.8)
#: A cast of the gradient to float16 loses 3% of it at 2^-20, to E5M2 all.
UNDERFLOW = 0.5


def grad_format(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    if evidence.gradient_underflow <= UNDERFLOW:
        return None
    return Finding(
        "grad-format",
        f"{evidence.gradient_underflow:.0%} of a gradient that passes at size 1 is lost at size 2^-20.",
        {"gradient_underflow": evidence.gradient_underflow},
    )


def gradient_blocked(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    blocked, judged = select(evidence, is_blocked, both=True)
    if not blocked:
        return None
    return Finding(
        "gradient-blocked",
        f"the gradient is 0 for {len(blocked)} of {len(judged)} {kind(judged)} where the reference "
        "straight-through estimator's is not.",
        {"blocked": len(blocked), "of": len(judged), "gradient_zeros": worst(blocked, "gradient_zeros")},
        judged[0].step,
    )


def unreached(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    if evidence.unreached is None or evidence.unreached[0] == 0:
        return None
    lost, parameters = evidence.unreached
    return Finding(
        "gradient-blocked",
        f"{lost} of {parameters} parameters of the prepared model get no gradient.",
        {"blocked": lost, "of": parameters},
    )


def clip_gradient_lost(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    def lost(tensor: TensorEvidence) -> bool:
        some = 0 < tensor.gradient_zeros < BLOCKED_SHARE
        return some and tensor.blocked_unclipped >= UNCLIPPED_SHARE

    if evidence.gradient_underflow > UNDERFLOW:
        return None
    bad, judged = select(evidence, lost, both=True)
    if not bad or len(bad) < len(judged) / 2:
        return None
    worst = max(bad, key=lambda tensor: tensor.gradient_zeros)
    return Finding(
        "clip-gradient-lost",
        f"{worst.gradient_zeros:.1%} of {worst.tensor} gets no gradient although it was not clipped "
        f"({len(bad)} of {len(judged)} tensors).",
        {"gradient_zeros": worst.gradient_zeros, "blocked_unclipped": worst.blocked_unclipped},
        judged[0].step,
    )


def gradient_wrong(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    wrong, judged = select(
        evidence, lambda t: not is_blocked(t) and has_reference(t) and is_wrong(t), both=True
    )
    if not wrong:
        return None
    cosine = worst(wrong, "gradient_cosine")
    said = "is negated" if cosine < -WRONG_COSINE else "points elsewhere"
    return Finding(
        "gradient-wrong",
        f"the gradient {said} (cosine {cosine:.2f} to the reference straight-through estimator's) for "
        f"{len(wrong)} of {len(judged)} {kind(judged)}.",
        {"gradient_cosine": cosine},
        judged[0].step,
    )


def gradient_misscaled(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    def ratio(tensor: TensorEvidence) -> float:
        return (tensor.gradient or 0.0) / tensor.reference_gradient

    def misscaled(tensor: TensorEvidence) -> bool:
        if not has_reference(tensor) or is_blocked(tensor) or is_wrong(tensor):
            return False
        if not math.isfinite(ratio(tensor)):
            return False  # said as non-finite
        return not MISSCALED_RATIO[0] < ratio(tensor) < MISSCALED_RATIO[1]

    off, judged = select(evidence, misscaled, both=True)
    if not off:
        return None
    worst = max(off, key=lambda tensor: abs(math.log(ratio(tensor))))
    return Finding(
        "gradient-misscaled",
        f"the gradient of {worst.tensor} is {ratio(worst):.3g} times the reference straight-through "
        f"estimator's ({len(off)} of {len(judged)} {kind(judged)}).",
        {"gradient_ratio": ratio(worst), "tensor": worst.tensor},
        judged[0].step,
    )
