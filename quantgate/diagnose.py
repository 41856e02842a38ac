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
#: Of the elements that lost their gradient, the share that was not clipped: 0 for every mask at the range's edge.
UNCLIPPED_SHARE = 0.2
#: Elements at the largest magnitude: under 1% with an amax scale, 1% with a 99th percentile.
SATURATED = {3: 0.35, math.inf: 0.2}
#: Signal over quantization noise, in decibels: gf4 with an amax scale has 8 and, after training with Muon, 4;
#: gf6 has 18, int8 38, e5m2 20.
LEAST_SNR = {4: 2.5, 5: 5.0, math.inf: 12.0}
#: max |q(4 x)| over max |q(x)|: 4 where the scale follows.
FOLLOWS = 2.0
#: A cast of the gradient to float16 loses 3% of it at 2^-20, to E5M2 all.
UNDERFLOW = 0.5
#: Where in the bin the threshold lies: 0.5, in the log domain 0.41; truncation and floor reach 0 and 1.
THRESHOLD = (0.15, 0.85)
#: A quantizer without noise has no inversion.
INVERSIONS = 0.02
VARIES = 0.01
#: A table rounded to bfloat16 differs by 0.002.
TABLE = 0.005
#: Agreement of the update with float32 state: 8-bit state in blocks keeps 0.9.
OPTIMIZER = 0.7
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

    def ask(rules: Sequence[_Rule]) -> list[Finding]:
        return [finding for rule in rules if (finding := rule(evidence, bits, lossless)) is not None]

    measured = sorted(ask(_MEASURED), key=lambda finding: finding.step > 0)
    return (*ask(_AT_ONCE), *measured, *ask(_LATENT))


def _non_finite(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    bad = evidence.non_finite
    if bad is None:
        return None
    return Finding(
        "non-finite",
        f"{bad.tensor} is the first tensor that is not finite, at step {bad.step}.",
        {"tensor": bad.tensor, "step": bad.step},
        bad.step,
    )


def _no_op(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    seen = (*evidence.inputs, *evidence.weights)
    holds_float32 = bits is not None and bits > 24 and evidence.changes_wide and bool(evidence.inputs)
    if lossless or holds_float32:
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
    blocked, judged = _select(evidence, _is_blocked, both=True)
    if not blocked:
        return None
    return Finding(
        "gradient-blocked",
        f"the gradient is 0 for {len(blocked)} of {len(judged)} {_kind(judged)} where the reference "
        "straight-through estimator's is not.",
        {"blocked": len(blocked), "of": len(judged), "gradient_zeros": _worst(blocked, "gradient_zeros")},
        judged[0].step,
    )


def _unreached(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    if evidence.unreached is None or evidence.unreached[0] == 0:
        return None
    lost, parameters = evidence.unreached
    return Finding(
        "gradient-blocked",
        f"{lost} of {parameters} parameters of the prepared model get no gradient.",
        {"blocked": lost, "of": parameters},
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
        f"{_kind(judged)} off scale).",
        {"gain": worst.gain, "tensor": worst.tensor},
        judged[0].step,
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
        f"{len(fallen)} of {len(judged)} {_kind(judged)}).",
        {"zeros": worst.zeros, "tensor": worst.tensor},
        judged[0].step,
    )


def _sign_lost(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    def lost(tensor: TensorEvidence) -> bool:
        kept, other = tensor.negatives_kept, tensor.positives_kept
        return min(kept, other) < SIGN_RATIO * max(kept, other)

    fallen, judged = _select(evidence, lost)
    if not fallen:
        return None
    worst = min(fallen, key=lambda tensor: tensor.negatives_kept)
    return Finding(
        "sign-lost",
        f"{worst.negatives_kept:.0%} of the negative and {worst.positives_kept:.0%} of the positive elements "
        f"of {worst.tensor} keep their sign.",
        {"negatives_kept": worst.negatives_kept, "positives_kept": worst.positives_kept},
        judged[0].step,
    )


def _coarse(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    """Too little signal for so many bits, where neither zeros nor clipping say why."""
    if bits is None or bits < 4:
        return None
    least = next(decibels for most, decibels in LEAST_SNR.items() if bits <= most)
    coarse, judged = _select(evidence, lambda tensor: tensor.rms > 0 and tensor.snr < least)
    if not coarse:
        return None
    worst = min(coarse, key=lambda tensor: tensor.snr)
    return Finding(
        "range-collapsed",
        f"{worst.tensor} keeps {worst.snr:.1f} dB of signal over quantization noise (at least {least:g} dB with "
        f"{bits:g} bits; {len(coarse)} of {len(judged)} {_kind(judged)}).",
        {"snr": worst.snr, "tensor": worst.tensor},
        judged[0].step,
    )


def _gradient_wrong(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    wrong, judged = _select(
        evidence, lambda t: not _is_blocked(t) and _has_reference(t) and _is_wrong(t), both=True
    )
    if not wrong:
        return None
    cosine = _worst(wrong, "gradient_cosine")
    said = "is negated" if cosine < -WRONG_COSINE else "points elsewhere"
    return Finding(
        "gradient-wrong",
        f"the gradient {said} (cosine {cosine:.2f} to the reference straight-through estimator's) for "
        f"{len(wrong)} of {len(judged)} {_kind(judged)}.",
        {"gradient_cosine": cosine},
        judged[0].step,
    )


def _gradient_misscaled(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    def ratio(tensor: TensorEvidence) -> float:
        return (tensor.gradient or 0.0) / tensor.reference_gradient

    def misscaled(tensor: TensorEvidence) -> bool:
        if not _has_reference(tensor) or _is_blocked(tensor) or _is_wrong(tensor):
            return False
        return not 1 / MISSCALED_RATIO < ratio(tensor) < MISSCALED_RATIO

    off, judged = _select(evidence, misscaled, both=True)
    if not off:
        return None
    worst = max(off, key=lambda tensor: abs(math.log(ratio(tensor))))
    return Finding(
        "gradient-misscaled",
        f"the gradient of {worst.tensor} is {ratio(worst):.3g} times the reference straight-through "
        f"estimator's ({len(off)} of {len(judged)} {_kind(judged)}).",
        {"gradient_ratio": ratio(worst), "tensor": worst.tensor},
        judged[0].step,
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


def _scale_zero(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    if evidence.zero_input is None:
        return None
    return Finding(
        "scale-zero", f"{evidence.zero_input} does not come back finite.", {"input": evidence.zero_input}
    )


def _uncovered(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    if evidence.uncovered is None or evidence.uncovered[0] == 0 or lossless:
        return None
    left, linears = evidence.uncovered
    numbers: dict[str, float | int | str | None] = {"unchanged": left, "weights": linears}
    if left == linears:
        return Finding("no-op", f"all {linears} linear layers of the body read float32 weights.", numbers)
    return Finding(
        "partly-applied", f"{left} of {linears} linear layers of the body read float32 weights.", numbers
    )


def _grad_format(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    if evidence.gradient_underflow <= UNDERFLOW:
        return None
    return Finding(
        "grad-format",
        f"{evidence.gradient_underflow:.0%} of a gradient that passes at size 1 is lost at size 2^-20.",
        {"gradient_underflow": evidence.gradient_underflow},
    )


def _scale_stale(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    follows = evidence.scale_follows
    if follows is not None and 0 < follows < FOLLOWS:
        return Finding(
            "scale-stale",
            f"the largest output grows {follows:.2g}-fold when the input grows fourfold.",
            {"scale_follows": follows},
        )
    if bits is None or bits < 3:
        return None
    limit = next(share for most, share in SATURATED.items() if bits <= most)
    clipped, judged = _select(evidence, lambda t: t.saturated > limit and t.zeros <= zeros_limit(bits))
    if not clipped:
        return None
    worst = max(clipped, key=lambda tensor: tensor.saturated)
    return Finding(
        "scale-stale",
        f"{worst.saturated:.0%} of {worst.tensor} is clipped to the largest value (at most {limit:.0%} for "
        f"{bits:g} bits; {len(clipped)} of {len(judged)} {_kind(judged)}).",
        {"saturated": worst.saturated, "tensor": worst.tensor},
        judged[0].step,
    )


def _clip_gradient_lost(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    def lost(tensor: TensorEvidence) -> bool:
        some = 0 < tensor.gradient_zeros < BLOCKED_SHARE
        return some and tensor.blocked_unclipped >= UNCLIPPED_SHARE

    if evidence.gradient_underflow > UNDERFLOW:
        return None
    bad, judged = _select(evidence, lost, both=True)
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


def _rounding_not_random(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    rounding = evidence.rounding
    if rounding is None or rounding.inversions < INVERSIONS or rounding.varies >= VARIES:
        return None
    return Finding(
        "rounding-not-random",
        f"{rounding.inversions:.0%} of neighbouring values change places, the same ones under every seed.",
        {"inversions": rounding.inversions, "varies": rounding.varies},
    )


def _rounding_biased(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    rounding = evidence.rounding
    if rounding is None or rounding.varies >= VARIES:
        return None
    low, high = THRESHOLD
    seen = [t for t in (rounding.threshold_positive, rounding.threshold_negative) if t is not None]
    if not any(t < low or t > high for t in seen):
        return None
    positive, negative = rounding.threshold_positive, rounding.threshold_negative
    return Finding(
        "rounding-biased",
        f"the rounding threshold lies at {_place(positive)} of the bin for positive and {_place(negative)} for "
        "negative values; round to nearest puts it at 0.50.",
        {"threshold_positive": positive, "threshold_negative": negative},
    )


def _wrong_table(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    error = evidence.table_error
    if error is None or error <= TABLE:
        return None
    return Finding(
        "wrong-table",
        f"a value lies {error:.3f} of the range from the published table that the name claims.",
        {"table_error": error},
    )


def _mismatch(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    if not evidence.export_differs:
        return None
    return Finding(
        "train-deploy-mismatch",
        f"decode(encode(x)) differs from the fake-quantized x in {evidence.export_differs:.1%} of the elements.",
        {"export_differs": evidence.export_differs},
    )


def _qparams_invalid(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    flipped = [p for p in evidence.learned if p.smallest_before > 0 >= p.smallest_after]
    negative = [p for p in evidence.learned if p.smallest_before < 0 and "log" not in p.name]
    frozen = [p for p in evidence.learned if not p.has_gradient]
    for bad, said in (
        (flipped, "crossed 0"),
        (negative, "is negative"),
        (frozen, "never got a gradient"),
    ):
        if bad:
            return Finding(
                "qparams-invalid",
                f"the learned parameter {bad[0].name} {said} ({len(bad)} of {len(evidence.learned)}).",
                {"smallest": bad[0].smallest_after, "parameters": len(bad)},
            )
    return None


def _optimizer_state(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    cosine = evidence.optimizer_cosine
    if cosine is None or cosine >= OPTIMIZER:
        return None
    return Finding(
        "optimizer-state",
        f"where gradients are small the update agrees by {cosine:.2f} with the same algorithm's with float32 "
        "state; 1 is agreement.",
        {"optimizer_cosine": cosine},
    )


def _place(threshold: float | None) -> str:
    return "an unknown place" if threshold is None else f"{threshold:.2f}"


_Rule = Callable[[Evidence, float | None, bool], Finding | None]

#: What stands before any training, and keeps the rest from being measured.
_AT_ONCE: tuple[_Rule, ...] = (_scale_zero, _optimizer_state, _no_op, _partly_applied, _uncovered)

#: What was measured while it trained: a finding of the first step outranks later ones.
_MEASURED: tuple[_Rule, ...] = (
    _non_finite,
    _grad_format,
    _gradient_blocked,
    _unreached,
    _orphaned,
    _not_dequantized,
    _sign_lost,
    _range_collapsed,
    _scale_stale,
    _coarse,
    _clip_gradient_lost,
    _gradient_wrong,
    _gradient_misscaled,
    _update_swallowed,
)

#: What does little harm in 100 steps, and is said after what does.
_LATENT: tuple[_Rule, ...] = (
    _qparams_invalid,
    _rounding_not_random,
    _rounding_biased,
    _wrong_table,
    _mismatch,
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
    evidence: Evidence, is_bad: Callable[[TensorEvidence], bool], *, both: bool = False
) -> tuple[list[TensorEvidence], list[TensorEvidence]]:
    """The bad ones, and all that were judged, at the first step that has a bad one.

    The weights are asked first, because they are what is trained; the quantizer's own inputs where there are
    no weights to ask or, with `both`, where the weights show nothing: a gradient that is 0 in every weight
    because its values all fell to 0 is seen on the inputs alone.
    """
    for step in sorted({tensor.step for tensor in evidence.weights}):
        judged = [tensor for tensor in evidence.weights if tensor.step == step]
        if bad := [tensor for tensor in judged if is_bad(tensor)]:
            return bad, judged
    if evidence.weights and not both:
        return [], []
    judged = list(evidence.inputs)
    return [tensor for tensor in judged if is_bad(tensor)], judged


def _kind(judged: Sequence[TensorEvidence]) -> str:
    return "inputs" if judged[0].tensor.startswith("N(") else "weights"


def _worst(tensors: Sequence[TensorEvidence], attribute: str) -> float:
    values = [float(getattr(tensor, attribute)) for tensor in tensors]
    return min(values) if attribute == "gradient_cosine" else max(values)


def _names(tensors: Sequence[TensorEvidence]) -> str:
    names = [tensor.tensor for tensor in tensors]
    return ", ".join(names[:4]) + (" and more" if len(names) > 4 else "")
