"""From evidence to cause: pure functions over numbers, no tensors.

The rules stand in the order in which they are asked (non-finite, identity, coverage, gradient missing,
orphan, output ratio, zeros, sign, gradient cosine and norm, updates), so that the first finding is the
likeliest cause; later ones are said beside it. Thresholds stand beside what a healthy quantizer measures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from quantgate.evidence import Evidence, Finding, TensorEvidence

#: A gradient is missing where this share of its elements is 0 though the reference's is not. A clip mask
#: leaves at most 0.45 of a normal tensor at 0 (ternary by absolute mean).
BLOCKED_SHARE = 0.9
#: Healthy: 1.00 for an identity backward, 0.75 for a clip mask on ternary.
WRONG_COSINE = 0.5
#: Healthy norm ratios lie in 0.7 .. 1.1.
MISSCALED_RATIO = 4.0
#: Healthy gains: 0.43 (amax int2) to 1.2; an int4 scale left out of N(0, 0.125) gives 14.
GAIN = 4.0
LOW_GAIN = 1 / 8
#: Kept negatives over kept positives; 0 for an unsigned grid without a zero point, 1 for symmetric ones.
SIGN_RATIO = 0.5
#: eta of in-place storage: bf16 and stochastic rounding 0.93 .. 1.00, int8 that lags by 0.1 at most 0.77.
SURVIVAL = 0.85


def zeros_limit(bits: float | None) -> float:
    """The share of zero codes beyond which so many bits cannot be in use.

    An amax scale on a normal tensor of 12,000 elements sends to 0: int2 95%, int3 50%, gf4 50%, int4 22%,
    gf8 and int8 at most 2%.
    """
    if bits is None or bits <= 2:
        return 0.999
    return 0.9 if bits <= 4 else 0.6


def diagnose(evidence: Evidence, *, bits: float | None, lossless: bool = False) -> tuple[Finding, ...]:
    """Every cause that the evidence shows, likeliest first; none where nothing is wrong."""
    if evidence.contract is not None:
        return (Finding("contract", evidence.contract),)
    if evidence.crash is not None:
        return ()
    findings = [finding for rule in _RULES if (finding := rule(evidence, bits, lossless)) is not None]
    return tuple(findings)


def _non_finite(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    bad = evidence.non_finite
    if bad is None:
        return None
    return Finding(
        "non-finite",
        f"{bad.tensor} is the first tensor that is not finite, at step {bad.step}.",
        {"tensor": bad.tensor, "step": bad.step},
    )


def _no_op(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    seen = (*evidence.inputs, *evidence.weights)
    if lossless:
        return None
    if seen and all(tensor.changed == 0 for tensor in seen):
        tensors = len({tensor.tensor for tensor in seen})
        return Finding("no-op", f"all {tensors} tensors came back unchanged, bit for bit.", {"changed": 0.0})
    if evidence.control_identical:
        return Finding("no-op", "the curve is the float32 control's, bit for bit.", {"control_identical": 1})
    return None


def _partly_applied(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    first = _at_first_step(evidence.weights)
    untouched = [tensor for tensor in first if tensor.changed == 0]
    if lossless or not untouched or len(untouched) == len(first):
        return None
    return Finding(
        "partly-applied",
        f"{len(untouched)} of {len(first)} weights came back unchanged: {_names(untouched)}.",
        {"unchanged": len(untouched), "weights": len(first)},
    )


def _gradient_blocked(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    blocked, judged = _select(evidence, _is_blocked)
    if not blocked:
        return None
    return Finding(
        "gradient-blocked",
        f"the gradient is 0 for {len(blocked)} of {len(judged)} {_what(evidence)} where the reference "
        "straight-through estimator's is not.",
        {"blocked": len(blocked), "of": len(judged), "gradient_zeros": _worst(blocked, "gradient_zeros")},
    )


def _orphaned(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    if not evidence.frozen:
        return None
    return Finding(
        "orphaned-parameter",
        f"{len(evidence.frozen)} parameters have a gradient and never moved: {', '.join(evidence.frozen[:4])}.",
        {"frozen": len(evidence.frozen)},
    )


def _not_dequantized(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    def off_scale(tensor: TensorEvidence) -> bool:
        low = 0 < tensor.gain < LOW_GAIN and tensor.zeros < zeros_limit(bits)
        return tensor.gain > GAIN or low

    off, judged = _select(evidence, off_scale)
    if not off:
        return None
    worst = max(off, key=lambda tensor: abs(math.log(tensor.gain)))
    return Finding(
        "not-dequantized",
        f"{worst.tensor} comes back {worst.gain:.3g} times its size ({len(off)} of {len(judged)} "
        f"{_what(evidence)} off scale).",
        {"gain": worst.gain, "tensor": worst.tensor},
    )


def _range_collapsed(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    limit = zeros_limit(bits)
    fallen, judged = _select(evidence, lambda tensor: tensor.rms > 0 and tensor.zeros > limit)
    if not fallen:
        return None
    worst = max(fallen, key=lambda tensor: tensor.zeros)
    width = "unknown bits" if bits is None else f"{bits:g} bits"
    return Finding(
        "range-collapsed",
        f"{worst.zeros:.1%} of {worst.tensor} falls to 0 (at most {limit:.1%} for {width}; "
        f"{len(fallen)} of {len(judged)} {_what(evidence)}).",
        {"zeros": worst.zeros, "tensor": worst.tensor},
    )


def _sign_lost(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    def lost(tensor: TensorEvidence) -> bool:
        kept, other = tensor.negatives_kept, tensor.positives_kept
        return min(kept, other) < SIGN_RATIO * max(kept, other)

    fallen, _ = _select(evidence, lost)
    if not fallen:
        return None
    worst = min(fallen, key=lambda tensor: tensor.negatives_kept)
    return Finding(
        "sign-lost",
        f"{worst.negatives_kept:.0%} of the negative and {worst.positives_kept:.0%} of the positive elements "
        f"of {worst.tensor} keep their sign.",
        {"negatives_kept": worst.negatives_kept, "positives_kept": worst.positives_kept},
    )


def _gradient_wrong(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    wrong, judged = _select(evidence, lambda t: not _is_blocked(t) and _has_reference(t) and _is_wrong(t))
    if not wrong:
        return None
    cosine = _worst(wrong, "gradient_cosine")
    said = "is negated" if cosine < -WRONG_COSINE else "points elsewhere"
    return Finding(
        "gradient-wrong",
        f"the gradient {said} (cosine {cosine:.2f} to the reference straight-through estimator's) for "
        f"{len(wrong)} of {len(judged)} {_what(evidence)}.",
        {"gradient_cosine": cosine},
    )


def _gradient_misscaled(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    def ratio(tensor: TensorEvidence) -> float:
        return (tensor.gradient or 0.0) / tensor.reference_gradient

    def misscaled(tensor: TensorEvidence) -> bool:
        if not _has_reference(tensor) or _is_blocked(tensor) or _is_wrong(tensor):
            return False
        return not 1 / MISSCALED_RATIO < ratio(tensor) < MISSCALED_RATIO

    off, judged = _select(evidence, misscaled)
    if not off:
        return None
    worst = max(off, key=lambda tensor: abs(math.log(ratio(tensor))))
    return Finding(
        "gradient-misscaled",
        f"the gradient of {worst.tensor} is {ratio(worst):.3g} times the reference straight-through "
        f"estimator's ({len(off)} of {len(judged)} {_what(evidence)}).",
        {"gradient_ratio": ratio(worst), "tensor": worst.tensor},
    )


def _update_swallowed(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    eta = evidence.update_survival
    if eta is None or eta >= SURVIVAL:
        return None
    return Finding(
        "update-swallowed",
        f"{max(eta, 0):.1%} of the intended update survives storage (a healthy one keeps {SURVIVAL:.0%}).",
        {"update_survival": eta},
    )


_Rule = Callable[[Evidence, float | None, bool], Finding | None]

_RULES: tuple[_Rule, ...] = (
    _non_finite,
    _no_op,
    _partly_applied,
    _gradient_blocked,
    _orphaned,
    _not_dequantized,
    _range_collapsed,
    _sign_lost,
    _gradient_wrong,
    _gradient_misscaled,
    _update_swallowed,
)


def _has_reference(tensor: TensorEvidence) -> bool:
    return tensor.reference_gradient > 0


def _is_blocked(tensor: TensorEvidence) -> bool:
    return _has_reference(tensor) and (not tensor.gradient or tensor.gradient_zeros >= BLOCKED_SHARE)


def _is_wrong(tensor: TensorEvidence) -> bool:
    return tensor.gradient_cosine < WRONG_COSINE


def _at_first_step(tensors: Sequence[TensorEvidence]) -> list[TensorEvidence]:
    """The probes of the first probed step: untouched by what training makes of the weights."""
    return [tensor for tensor in tensors if tensor.step == tensors[0].step]


def _select(
    evidence: Evidence, is_bad: Callable[[TensorEvidence], bool]
) -> tuple[list[TensorEvidence], list[TensorEvidence]]:
    """The bad ones, and all that were judged, at the first step that has a bad one.

    The weights are asked first, because they are what is trained; the quantizer's own inputs where there are
    no weights to ask.
    """
    for step in sorted({tensor.step for tensor in evidence.weights}):
        judged = [tensor for tensor in evidence.weights if tensor.step == step]
        if bad := [tensor for tensor in judged if is_bad(tensor)]:
            return bad, judged
    if evidence.weights:
        return [], []
    judged = list(evidence.inputs)
    return [tensor for tensor in judged if is_bad(tensor)], judged


def _what(evidence: Evidence) -> str:
    return "weights" if evidence.weights else "inputs"


def _worst(tensors: Sequence[TensorEvidence], attribute: str) -> float:
    values = [float(getattr(tensor, attribute)) for tensor in tensors]
    return min(values) if attribute == "gradient_cosine" else max(values)


def _names(tensors: Sequence[TensorEvidence]) -> str:
    names = [tensor.tensor for tensor in tensors]
    return ", ".join(names[:4]) + (" and more" if len(names) > 4 else "")
