"""Rules about where values land: scale, sign, zeros, clipping, signal over noise."""

from __future__ import annotations

import math

from quantgate.diagnosis.evidence import TensorEvidence
from quantgate.diagnosis.rule import Case, Limit, LimitByBits, Rule, Seen, quantity, run, tensors
from quantgate.diagnosis.rules.zeros import ZEROS, covers_a_tail, width

GAIN = Limit(4.0, "0.43 (amax int2) to 1.26 (DoReFa int4); an int4 scale left out of N(0, 0.125) gives 14")
LOW_GAIN = Limit(1 / 8, "no healthy one is below 0.43")
ONE_SIDE = Limit(
    1.5, "1 where negative codes are read as large positive ones, and the others come back as they were"
)
LATE = Limit(
    0.5, "1 for a delayed scale too; 0.25 where codes are multiplied by the scale of the call before", "{:g}"
)
SIGN_RATIO = Limit(0.5, "1 for symmetric grids; 0 for an unsigned grid without a zero point")
ANY_SIGN = Limit(0.02, "5% for int2 with amax; below it all falls to 0, which is another cause")
SATURATED = LimitByBits(
    {3: 0.35, math.inf: 0.3},
    "under 1% with an amax scale, 1% with a 99th percentile, 23% with a step that PyTorch learned",
    "{:.0%}",
)
CLIP_NOISE = Limit(0.5, "the larger part; a scale from the largest value has under 1%", "{:.0%}")
PEAK = LimitByBits(
    {3: 0.8, math.inf: 0.85},
    "0.84 for int3 with a learned gain, 0.95 for MXFP4, whose scale is rounded down by the standard; 0.75 where a "
    "block has an exponent that is one too small",
    "{:.2f}",
)
ONE_SIDED = Limit(
    0.65, "0.81 under a clip at three times the rms; 0.50 with a zero point that does nothing", "{:.2f}"
)
FOLLOWS = Limit(
    1.5, "4 where the scale follows, 2.92 under a moving average with constant 0.01, 1 where it is frozen"
)
#: Of a fourfold input; less is a moving average on its way.
FOLLOWS_AT_ONCE = 3.9
#: Of a grid that is scaled to its values.
LEAST_SNR = LimitByBits(
    {4: 2.0, 5: 5.0, math.inf: 12.0},
    "gf4 8 dB and, after training with Muon, 4; gf6 18, e5m2 20, int8 38",
    "{:g} dB",
)
#: Of a grid that is not.
LEAST_SNR_FIXED = LimitByBits(
    {4: 8.0, math.inf: 12.0}, "nf4 without absmax has 3 dB on the smallest tensor", "{:g} dB"
)
#: Elements with q(4 x) != 4 q(x), beyond which a grid is not scaled to its values.
FIXED_GRID = Limit(0.5, "0 to 0.25 for the built-in formats, 0.73 for nf4 without absmax")


def _off_scale(tensor: TensorEvidence, case: Case) -> bool:
    shrunk = 0 < tensor.gain < LOW_GAIN.at and tensor.zeros < ZEROS.for_bits(case.bits)
    if shrunk:
        return tensor.saturated <= SATURATED.for_bits(case.bits)
    return tensor.gain > GAIN.at and tensor.side_gain > ONE_SIDE.at


def _late(case: Case) -> Seen | None:
    gain, follows = case.evidence.late_gain, case.evidence.scale_follows
    frozen = follows is not None and follows < FOLLOWS.at  # which is said as such
    return None if gain is None or frozen or LATE.at < gain < 1 / LATE.at else Seen({"value": gain})


def _sign_lost(tensor: TensorEvidence, case: Case) -> bool:
    kept, other = tensor.negatives_kept, tensor.positives_kept
    return max(kept, other) > ANY_SIGN.at and min(kept, other) < SIGN_RATIO.at * max(kept, other)


def _least_snr(case: Case) -> LimitByBits:
    fixed = case.evidence.fixed_grid > FIXED_GRID.at
    return LEAST_SNR_FIXED if fixed else LEAST_SNR


def _enough_bits(case: Case, least: float) -> bool:
    return case.bits is not None and case.bits >= least


def _as_registered(tensor: TensorEvidence, case: Case) -> bool:
    """Whether the range is the quantizer's, and neither one that this training moved nor an average that lags behind.

    What such a range costs, the curve says.
    """
    follows = case.evidence.scale_follows
    lags = follows is not None and FOLLOWS.at <= follows < FOLLOWS_AT_ONCE
    moved = case.evidence.range_moved or lags
    return not moved or tensor.step == min(t.step for t in case.evidence.weights or [tensor])


def _clipped(tensor: TensorEvidence, case: Case) -> bool:
    few_zeros = tensor.zeros <= ZEROS.for_bits(case.bits)
    many = tensor.saturated > SATURATED.for_bits(case.bits)
    return few_zeros and (many or (_coarse_by_clipping(tensor, case) and _judged_for_noise(case)))


def _coarse_by_clipping(tensor: TensorEvidence, case: Case) -> bool:
    return tensor.clip_noise > CLIP_NOISE.at and _coarse(tensor, case)


def _judged_for_noise(case: Case) -> bool:
    return _enough_bits(case, 4) and run(SIGN_LOST, case) is None


def _clips_one_side(case: Case) -> Seen | None:
    value = case.evidence.one_sided_peak
    clips = value is not None and value < ONE_SIDED.at and run(SIGN_LOST, case) is None
    return Seen({"value": value}) if clips else None


def _peak_lost(tensor: TensorEvidence, case: Case) -> bool:
    kept = tensor.zeros <= ZEROS.for_bits(case.bits) and not _off_scale(tensor, case)
    return kept and tensor.peak < PEAK.for_bits(case.bits)


def _coarse(tensor: TensorEvidence, case: Case) -> bool:
    return tensor.rms > 0 and tensor.snr < _least_snr(case).for_bits(case.bits)


SCALE_ZERO = Rule(
    cause="scale-zero",
    measures="an all-zero tensor, and a tensor with an all-zero row",
    flagged="one does not come back finite",
    says="{value} does not come back finite.",
    ask=quantity(lambda evidence: evidence.zero_input, lambda value: True),
    record=(("input", "value"),),
    measured="every built-in format gives zeros",
    severity="warning",
)

NOT_DEQUANTIZED = Rule(
    cause="not-dequantized",
    measures="rms of q(x) over rms of x",
    flagged="above {0}, and above {2} for positive and negative values alike; or below {1} where values did not "
    "fall to 0",
    says="{tensor} comes back {gain:.3g} times its size ({bad} of {of} {kind} off scale).",
    ask=tensors(_off_scale, worst=lambda tensor: abs(math.log(tensor.gain))),
    record=("gain", "tensor"),
    limits=(GAIN, LOW_GAIN, ONE_SIDE),
)

LATE_SCALE = Rule(
    cause="not-dequantized",
    measures="rms of q(4 x) over rms of 4 q(x) at the first call after x, of elements inside the range of x",
    flagged="below {0}, or above its inverse",
    says="once the input grows fourfold it comes back {value:.2g} times its size: it is divided by one scale and "
    "multiplied by another.",
    ask=_late,
    record=(("late_gain", "value"),),
    limits=(LATE,),
)

SIGN_LOST = Rule(
    cause="sign-lost",
    measures="share of the negative elements that stay negative over the same of positive ones, or the inverse",
    flagged="below {0}, where one of them is above {1}",
    says="{negatives_kept:.0%} of the negative and {positives_kept:.0%} of the positive elements of {tensor} "
    "keep their sign.",
    ask=tensors(_sign_lost, worst=lambda tensor: -tensor.negatives_kept),
    record=("negatives_kept", "positives_kept"),
    limits=(SIGN_RATIO, ANY_SIGN),
)

SCALE_FROZEN = Rule(
    cause="scale-stale",
    measures="max |q(4 x)| over max |q(x)|, on one instance after four calls, or a hundred where it keeps state",
    flagged="above 0 and below {0}",
    says="the largest output becomes {value:.2g} times as large when the input becomes four times as large.",
    ask=quantity(lambda evidence: evidence.scale_follows, lambda value: 0 < value < FOLLOWS.at),
    record=(("scale_follows", "value"),),
    limits=(FOLLOWS,),
)

CLIPPED = Rule(
    cause="scale-stale",
    measures="share of elements that are clipped, from 3 bits on, before training moves a learned range; and their "
    "share of the noise, where that is too much",
    flagged="above {0}; above {1} of the noise",
    says="{saturated:.0%} of {tensor} is clipped to the largest value (at most {limit:.0%} for {width}; "
    "{bad} of {of} {kind}), which leaves {snr:.1f} dB.",
    ask=tensors(
        lambda tensor, case: _clipped(tensor, case) and _as_registered(tensor, case),
        worst=lambda tensor: tensor.saturated,
        applies=lambda case: _enough_bits(case, 3),
        add=lambda case, tensor: {"limit": SATURATED.for_bits(case.bits), "width": width(case)},
    ),
    record=("saturated", "snr", "tensor"),
    limits=(SATURATED, CLIP_NOISE),
)

PEAK_LOST = Rule(
    cause="scale-stale",
    measures="|q(x)| over |x| of the largest element of each run of 16, or in a dump of what shares a scale, on "
    "average, from 3 bits on, where sign and size are kept, before training moves a learned range",
    flagged="below {0}",
    says="the largest of {peak_of} of {tensor} comes back {peak:.2f} times its size on average: the range ends "
    "below it ({bad} of {of} {kind}).",
    ask=tensors(
        lambda tensor, case: _peak_lost(tensor, case) and _as_registered(tensor, case),
        worst=lambda tensor: -tensor.peak,
        applies=lambda case: _enough_bits(case, 3) and run(SIGN_LOST, case) is None,
    ),
    record=("peak", "tensor"),
    limits=(PEAK,),
)

ZERO_POINT = Rule(
    cause="qparams-invalid",
    measures="|q(x)| over |x| of the largest element of each run of 16 where all values have one sign, over the same "
    "where they have both",
    flagged="below {0}",
    says="of values of one sign the largest come back {value:.2f} times as large as of values of both: the zero point "
    "does not move with them.",
    ask=_clips_one_side,
    record=(("one_sided_peak", "value"),),
    limits=(ONE_SIDED,),
)

#: Where neither zeros nor clipping say why. A lost sign takes half of the signal by itself.
COARSE = Rule(
    cause="range-collapsed",
    measures="signal over quantization noise, from 4 bits on, where no sign is lost, before training moves a learned "
    "range",
    flagged="below {0}; on a grid that is not scaled to its values, below {1}",
    says="{tensor} keeps {snr:.1f} dB of signal over quantization noise (at least {limit:g} dB with {width}; "
    "{bad} of {of} {kind}).",
    ask=tensors(
        lambda tensor, case: (
            _coarse(tensor, case)
            and _as_registered(tensor, case)
            and not _clipped(tensor, case)
            and not covers_a_tail(tensor, case)
        ),
        worst=lambda tensor: -tensor.snr,
        applies=_judged_for_noise,
        add=lambda case, tensor: {"limit": _least_snr(case).for_bits(case.bits), "width": width(case)},
    ),
    record=("snr", "tensor"),
    limits=(LEAST_SNR, LEAST_SNR_FIXED),
)

#: The training's own choice, which its curve answers for: PyTorch's LSQ takes the position embedding from 41 dB to 2.5
#: and ends with the control.
LEARNED_RANGE = Rule(
    cause="scale-stale",
    measures="share of elements that are clipped, and signal over noise, once training moved a learned range, or "
    "values away from a moving average",
    flagged="above {0}, or below {1}",
    says="the range that is learned or averaged for {tensor} clips {saturated:.0%} of it and keeps {snr:.1f} dB "
    "({bad} of {of} {kind}).",
    ask=tensors(
        lambda tensor, case: (
            (_clipped(tensor, case) or _coarse(tensor, case)) and not _as_registered(tensor, case)
        ),
        worst=lambda tensor: -tensor.snr,
        applies=_judged_for_noise,
    ),
    record=("saturated", "snr", "tensor"),
    limits=(SATURATED, LEAST_SNR),
    severity="warning",
)
