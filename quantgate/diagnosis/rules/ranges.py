"""Rules about where values land: scale, zeros, sign, clipping."""

from __future__ import annotations

import math

from quantgate.diagnosis.evidence import Evidence, Finding, TensorEvidence
from quantgate.diagnosis.rules.select import kind, select

#: Healthy gains: 0.43 (amax int2) to 1.2; an int4 scale left out of N(0, 0.125) gives 14.
GAIN = 4.0
LOW_GAIN = 1 / 8
#: Kept negatives over kept positives; 0 for an unsigned grid without a zero point, 1 for symmetric ones.
SIGN_RATIO = 0.5
#: Elements at the largest magnitude: under 1% with an amax scale, 1% with a 99th percentile.
SATURATED = {3: 0.35, math.inf: 0.2}
#: Signal over quantization noise, in decibels, of a grid that is scaled to its values: gf4 has 8 and, after training
#: with Muon, 4; gf6 has 18, int8 38, e5m2 20.
LEAST_SNR = {4: 2.0, 5: 5.0, math.inf: 12.0}
#: The same of a grid that is not: nf4 without absmax has 3 on the smallest tensor.
LEAST_SNR_FIXED = {4: 8.0, math.inf: 12.0}
#: Elements with q(4 x) != 4 q(x): 0 to 0.25 for the built-in formats, 0.73 for nf4 without absmax.
FIXED = 0.5
#: max |q(4 x)| over max |q(x)|: 4 where the scale follows.
FOLLOWS = 2.0


def zeros_limit(bits: float | None) -> float:
    """The share of zero codes beyond which so many bits cannot be in use.

    An amax scale on a normal tensor of 12,000 elements sends to 0: int2 95%, int3 50%, gf4 50%, int4 22%,
    gf8 and int8 at most 2%.
    """
    if bits is None or bits <= 2:
        return 0.999
    return 0.9 if bits <= 4 else 0.6


def scale_zero(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    if evidence.zero_input is None:
        return None
    return Finding(
        "scale-zero", f"{evidence.zero_input} does not come back finite.", {"input": evidence.zero_input}
    )


def not_dequantized(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    def off_scale(tensor: TensorEvidence) -> bool:
        low = 0 < tensor.gain < LOW_GAIN and tensor.zeros < zeros_limit(bits)
        return tensor.gain > GAIN or low

    off, judged = select(evidence, off_scale)
    if not off:
        return None
    worst = max(off, key=lambda tensor: abs(math.log(tensor.gain)))
    return Finding(
        "not-dequantized",
        f"{worst.tensor} comes back {worst.gain:.3g} times its size ({len(off)} of {len(judged)} "
        f"{kind(judged)} off scale).",
        {"gain": worst.gain, "tensor": worst.tensor},
        judged[0].step,
    )


def range_collapsed(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    limit = zeros_limit(bits)
    fallen, judged = select(evidence, lambda tensor: tensor.rms > 0 and tensor.zeros > limit)
    if not fallen:
        return None
    worst = max(fallen, key=lambda tensor: tensor.zeros)
    width = "unknown bits" if bits is None else f"{bits:g} bits"
    return Finding(
        "range-collapsed",
        f"{worst.zeros:.1%} of {worst.tensor} falls to 0 (at most {limit:.1%} for {width}; "
        f"{len(fallen)} of {len(judged)} {kind(judged)}).",
        {"zeros": worst.zeros, "tensor": worst.tensor},
        judged[0].step,
    )


def sign_lost(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    def lost(tensor: TensorEvidence) -> bool:
        kept, other = tensor.negatives_kept, tensor.positives_kept
        return min(kept, other) < SIGN_RATIO * max(kept, other)

    fallen, judged = select(evidence, lost)
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


def scale_stale(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
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
    clipped, judged = select(evidence, lambda t: t.saturated > limit and t.zeros <= zeros_limit(bits))
    if not clipped:
        return None
    worst = max(clipped, key=lambda tensor: tensor.saturated)
    return Finding(
        "scale-stale",
        f"{worst.saturated:.0%} of {worst.tensor} is clipped to the largest value (at most {limit:.0%} for "
        f"{bits:g} bits; {len(clipped)} of {len(judged)} {kind(judged)}).",
        {"saturated": worst.saturated, "tensor": worst.tensor},
        judged[0].step,
    )


def coarse(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    """Too little signal for so many bits, where neither zeros nor clipping say why."""
    if bits is None or bits < 4 or sign_lost(evidence, bits, lossless) is not None:
        return None  # a lost sign takes half of the signal by itself
    limits = LEAST_SNR_FIXED if evidence.fixed_grid > FIXED else LEAST_SNR
    least = next(decibels for most, decibels in limits.items() if bits <= most)
    coarse, judged = select(evidence, lambda tensor: tensor.rms > 0 and tensor.snr < least)
    if not coarse:
        return None
    worst = min(coarse, key=lambda tensor: tensor.snr)
    return Finding(
        "range-collapsed",
        f"{worst.tensor} keeps {worst.snr:.1f} dB of signal over quantization noise (at least {least:g} dB with "
        f"{bits:g} bits; {len(coarse)} of {len(judged)} {kind(judged)}).",
        {"snr": worst.snr, "tensor": worst.tensor},
        judged[0].step,
    )
