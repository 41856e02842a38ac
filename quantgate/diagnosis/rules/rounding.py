"""Rules about rounding, codebooks and export: little harm in 100 steps, and wrong all the same."""

from __future__ import annotations

import math
from collections.abc import Callable

from quantgate.diagnosis.evidence import TensorEvidence
from quantgate.diagnosis.rule import Case, Limit, LimitByBits, Rule, Seen, at_first_step, quantity, tensors

THRESHOLD_LOW = Limit(0.15, "round to nearest 0.5, in the log domain 0.41; ceiling 0")
THRESHOLD_HIGH = Limit(0.85, "floor 1; truncation 1 for positive and 0 for negative values")
BY_PLACE = Limit(0.01, "0: without noise no value depends on its row", "{:.0%}")
VARIES = Limit(0.01, "0, and all but 0 under stochastic rounding", "{:.0%}")
TO_NEAREST = Limit(0.43, "0.33 of noise that is drawn once; 0.50 of a dither that is taken off again")
TABLE = Limit(0.005, "a table rounded to bfloat16 differs by 0.002")


BIAS = LimitByBits(
    {3: 0.7, math.inf: 0.15},
    "0.00 to 0.02 to nearest and stochastic, 0.2 of 3 bits with a learned step; 0.20 with the threshold at 0.55, 0.39 "
    "at 0.6",
)
LEVELS_KEPT = Limit(0.9, "1 of a grid, whichever way it rounds; 0.6 behind a tanh", "{:.0%}")
BIAS_AWAY = Limit(0.7, "1 where a transform moves all values away from 0")
TRUNCATED = Limit(0.8, "at most 0.2 where values are rounded to nearest, 1 where all are truncated")
DRIFT = Limit(0.5, "at most 0.1 where values are rounded both ways, 1 where all are floored")
#: A ternary grid chooses its threshold; beyond, it lies in the middle of the bin.
LEAST_BITS = 3


def _off_half(case: Case) -> Seen | None:
    rounding = case.evidence.rounding
    coarse = case.bits is not None and case.bits < LEAST_BITS
    if rounding is None or coarse or case.evidence.relations.mixes:
        return None
    positive, negative = rounding.bias_positive, rounding.bias_negative
    if positive is None or negative is None:
        return None
    if rounding.levels_kept is not None and rounding.levels_kept < LEVELS_KEPT.at:
        return None  # a transform moves values besides rounding them
    least = BIAS.for_bits(case.bits if case.bits is not None else math.inf)
    same_way, away = (positive + negative) / 2, (positive - negative) / 2
    # Rounding to the nearest logarithm goes away from 0, by 0.35; on an even grid nothing but a fault does.
    goes_away = rounding.uniform and least < away < BIAS_AWAY.at
    if abs(same_way) <= least and away >= -least and not goes_away:
        return None
    return Seen({"positive": positive, "negative": negative})


def _same_noise(case: Case) -> Seen | None:
    rounding = case.evidence.rounding
    if rounding is None or rounding.by_place < BY_PLACE.at or rounding.varies >= VARIES.at:
        return None
    if rounding.error_shape > TO_NEAREST.at:
        return None  # a grid that each place shifts for itself, as a dither that is taken off again
    return Seen({"by_place": rounding.by_place, "varies": rounding.varies})


def _biased(case: Case) -> Seen | None:
    rounding = case.evidence.rounding
    if rounding is None or rounding.varies >= VARIES.at:
        return None
    low, high = THRESHOLD_LOW.at, THRESHOLD_HIGH.at
    positive, negative = rounding.threshold_positive, rounding.threshold_negative
    if positive is None or negative is None:
        return None
    floored, raised = min(positive, negative) > high, max(positive, negative) < low
    truncated = positive > high and negative < low
    # Away from 0 is what a grid of more than x's range looks like (a tanh transform), not a way to round.
    if not (floored or raised or truncated):
        return None
    return Seen({"threshold_positive": positive, "threshold_negative": negative})


def _one_way(case: Case) -> Seen | None:
    found = case.evidence.one_way
    return None if found is None else Seen({"tensor": found.tensor, "way": found.way, "mean": found.mean})


ONE_WAY = Rule(
    cause="rounding-biased",
    measures="mean of (q(x) - x) / step of dumped weights on an even grid, over what is not clipped",
    flagged="beyond 0.35 down, up, or towards 0, where a tenth of the errors are larger than 0.55 of a step",
    says="{tensor} is rounded {way}: its values move by {mean:.2f} of a step on average; round to nearest has 0.",
    ask=_one_way,
    record=("tensor", "way", "mean"),
    measured="at most 0.1 where values are rounded to nearest or stochastically; 0.5 where all go one way",
)

ROUNDING_NOT_RANDOM = Rule(
    cause="rounding-not-random",
    measures="share of values that depend on their row, where they do not vary with the seed (below {1})",
    flagged="from {0}, where mean over largest error is up to {2}",
    says="{by_place:.0%} of the values depend on the row they stand in, the same under every seed.",
    ask=_same_noise,
    record=("by_place", "varies"),
    limits=(BY_PLACE, VARIES, TO_NEAREST),
)

ROUNDING_BIASED = Rule(
    cause="rounding-biased",
    measures="where in the bin the rounding threshold lies, for positive and for negative values",
    flagged="both above {1} (floor) or below {0} (ceiling), or positive above and negative below (truncation)",
    says="the rounding threshold lies at {threshold_positive:.2f} of the bin for positive and "
    "{threshold_negative:.2f} for negative values; round to nearest puts it at 0.50.",
    ask=_biased,
    record=("threshold_positive", "threshold_negative"),
    limits=(THRESHOLD_LOW, THRESHOLD_HIGH),
)

OFF_HALF = Rule(
    cause="rounding-biased",
    measures="mean error over mean |error| of positive and of negative values, between the least and the largest level",
    flagged="both beyond {0} one way, or towards 0; away from 0, up to {1}, on an even grid; where {2} of the levels "
    "and more come back as they are",
    says="the mean error is {positive:.2f} of the mean |error| for positive and {negative:.2f} for negative values; "
    "round to nearest has 0.",
    ask=_off_half,
    record=(("bias_positive", "positive"), ("bias_negative", "negative")),
    limits=(BIAS, BIAS_AWAY, LEVELS_KEPT),
)


def _is_quantized_weight(tensor: TensorEvidence) -> bool:
    return tensor.changed > 0 and " of " not in tensor.tensor


def _is_quantized_input(tensor: TensorEvidence) -> bool:
    return tensor.changed > 0 and tensor.tensor.startswith("input of ")


def _drifts(measures: str, among: Callable[[TensorEvidence], bool], applies: Callable[[Case], bool]) -> Rule:
    return Rule(
        cause="rounding-biased",
        measures=f"mean of q(x) - x over its mean size, in {measures}, from {LEAST_BITS} bits on",
        flagged="beyond {0} either way",
        says="rounding moves {tensor} one way: by {drift:.2f} of the mean size of its errors ({bad} of {of} {kind}).",
        ask=tensors(
            lambda tensor, case: abs(tensor.drift) > DRIFT.at and tensor in at_first_step(case.evidence),
            worst=lambda tensor: abs(tensor.drift),
            least_share=0.5,
            among=among,
            applies=lambda case: case.bits is not None and case.bits >= LEAST_BITS and applies(case),
        ),
        record=("drift", "tensor"),
        limits=(DRIFT,),
    )


DRIFTS = _drifts(
    "a recipe's first weights", _is_quantized_weight, lambda case: case.evidence.uncovered is not None
)

INPUT_DRIFTS = _drifts("the quantized inputs of layers", _is_quantized_input, lambda case: True)

TRUNCATES = Rule(
    cause="rounding-biased",
    measures="mean of |q(x)| - |x| over the mean size of q(x) - x, of a recipe's first weights neither 0 nor clipped, "
    "from 3 bits on",
    flagged="below -{0}",
    says="rounding makes {tensor} smaller: by {shrinks:.2f} of the mean size of its errors ({bad} of {of} {kind}).",
    ask=tensors(
        lambda tensor, case: tensor.shrinks < -TRUNCATED.at and tensor in at_first_step(case.evidence),
        worst=lambda tensor: -tensor.shrinks,
        least_share=0.5,
        among=_is_quantized_weight,
        applies=lambda case: (
            case.evidence.uncovered is not None and case.bits is not None and case.bits >= LEAST_BITS
        ),
    ),
    record=("shrinks", "tensor"),
    limits=(TRUNCATED,),
)


def _differs(case: Case) -> Seen | None:
    found = case.evidence.conformity
    if found is None or found.differ == 0:
        return None
    shares, expected = found.shares, found.like_shares
    sharing = ""
    if shares != expected and not {shares, expected} & {None, "elsewhere"}:
        format = found.like.partition(" of scale ")[0]
        sharing = f"its scale is shared by a {shares}, that of {format} by a {expected}; "
    shown = "; ".join(found.shown)
    return Seen(
        {"differ": found.differ, "of": found.of, "like": found.like, "shown": shown, "sharing": sharing}
    )


WRONG_TABLE = Rule(
    cause="wrong-table",
    measures="largest difference to the published codebook that the name claims, as a share of its range",
    flagged="above {0}",
    says="a value lies {value:.3f} of the range from the published table that the name claims.",
    ask=quantity(lambda evidence: evidence.table_error, lambda value: not value <= TABLE.at),
    record=(("table_error", "value"),),
    limits=(TABLE,),
)

NONCONFORMING = Rule(
    cause="nonconforming",
    measures="values that differ from the built-in format it is declared to be, over grid, midpoints, range and noise",
    flagged="one does",
    says="{sharing}{differ:,} of {of:,} values are not {like}'s: {shown}.",
    ask=_differs,
    record=("like", "differ"),
    measured="another implementation of the same specification differs in none",
)


MODE_MISMATCH = Rule(
    cause="train-deploy-mismatch",
    measures="share of the weights' elements that are changed in the training, at the scoring, in a deployed model; "
    "what a probe gets for a tensor of the training",
    flagged="none in one of them and some in another; other values than the training got",
    says="{value}",
    ask=quantity(lambda evidence: evidence.mode_mismatch, bool),
    measured="alike in all three",
)


def _export(case: Case) -> Seen | None:
    differs = case.evidence.export_differs
    return Seen({"value": differs, "tensor": case.evidence.export_tensor}) if differs else None


MISMATCH = Rule(
    cause="train-deploy-mismatch",
    measures="share of elements in which decode(encode(x)) is not the fake-quantized x, of a Gaussian and of each "
    "weight that was trained",
    flagged="above 0",
    says="decode(encode(x)) differs from the fake-quantized x in {value:.1%} of the elements of {tensor}.",
    ask=_export,
    record=(("export_differs", "value"), ("export_tensor", "tensor")),
    measured="0",
)
