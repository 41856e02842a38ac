"""Rules about relations that every quantizer keeps, whatever its bits: order, levels, the place of scales, noise."""

from __future__ import annotations

import math

from quantgate.diagnosis.rule import Case, Limit, Rule, Seen, quantity, run
from quantgate.diagnosis.rules.values import SIGN_LOST

FALLS = Limit(0.002, "0 for every grid that is not mixed by a rotation or error feedback", "{:.1%}")
WRAPS = Limit(
    0.4, "exchanged entries fall by a few steps, codes that wrap around by the whole range", "{:.0%}"
)
SCATTERED = Limit(
    0.2,
    "codes that wrap around fall at the ends of the range, a table of another format all over it",
    "{:.0%}",
)
MISPLACED = Limit(0.01, "0: a tensor whose halves trade places is quantized alike", "{:.0%}")


def _falls(case: Case) -> Seen | None:
    relations = case.evidence.relations
    if relations.falls is None or relations.falls <= FALLS.at:
        return None
    return Seen({"falls": relations.falls, "fall": relations.largest_fall})


def _is_wrap(case: Case) -> bool:
    relations = case.evidence.relations
    return relations.largest_fall >= WRAPS.at and (relations.falls or 0.0) < SCATTERED.at


def _order(case: Case) -> Seen | None:
    return None if _is_wrap(case) else _falls(case)


def _wraps(case: Case) -> Seen | None:
    return _falls(case) if _is_wrap(case) and run(SIGN_LOST, case) is None else None


def _levels(case: Case) -> Seen | None:
    levels = case.evidence.relations.levels
    if levels is None or case.bits is None or case.lossless or levels <= math.ceil(2**case.bits - 1e-6):
        return None
    return Seen(
        {
            "levels": levels,
            "most": math.ceil(2**case.bits - 1e-6),
            "bits": case.bits,
            "where": case.evidence.relations.levels_where,
        }
    )


def _misplaced(case: Case) -> Seen | None:
    relations = case.evidence.relations
    if relations.misplaced is None or relations.misplaced <= MISPLACED.at:
        return None
    return Seen({"misplaced": relations.misplaced, "shape": relations.misplaced_shape})


def _wrong_axis(case: Case) -> Seen | None:
    if case.evidence.shares_as_declared is not False:
        return None
    reach = case.evidence.relations.reach
    found = "other values" if reach in {None, case.evidence.granularity} else f"its {reach}"
    if case.evidence.weights and not case.evidence.inputs:  # of a dump, whose quantizer cannot be asked
        return Seen(
            {"declared": case.evidence.granularity, "found": f"the values are of one scale for {found}"}
        )
    found = "other rows" if reach == "elsewhere" else found
    return Seen({"declared": case.evidence.granularity, "found": f"an outlier changes {found}"})


OVERFLOW_WRAPPED = Rule(
    cause="overflow-wrapped",
    measures="neighbours on a ramp of values whose order q turns over, where q falls by {1} of its range and more",
    flagged="above {0} and below {2}",
    says="{falls:.1%} of the steps fall as the input rises, by up to {fall:.0%} of the range: large codes wrap around.",
    ask=_wraps,
    record=("falls", "fall"),
    limits=(FALLS, WRAPS, SCATTERED),
)

NOT_MONOTONIC = Rule(
    cause="not-monotonic",
    measures="neighbours on a ramp of values whose order q turns over",
    flagged="above {0}",
    says="{falls:.1%} of the steps fall as the input rises, by up to {fall:.1%} of the range.",
    ask=_order,
    record=("falls", "fall"),
    limits=(FALLS,),
)

TOO_MANY_LEVELS = Rule(
    cause="too-many-levels",
    measures="distinct values on a ramp that has the same range everywhere, or in a dump of what shares a scale, "
    "up to 8 bits",
    flagged="more than the declared bits have codes",
    says="{levels} distinct values {where}; {bits:g} bits have {most} codes.",
    ask=_levels,
    record=("levels", "most"),
    measured="2^bits at most",
)

SCALE_MISPLACED = Rule(
    cause="scale-misplaced",
    measures="elements that change when halves of the rows or columns of a tensor trade places",
    flagged="above {0}",
    says="{misplaced:.0%} of a tensor of shape {shape} is quantized otherwise where its halves trade places.",
    ask=_misplaced,
    record=("misplaced",),
    limits=(MISPLACED,),
)

SCALE_ELSEWHERE = Rule(
    cause="scale-misplaced",
    measures="which values an outlier changes",
    flagged="those of rows that are not beside its own",
    says="an outlier changes the values of rows that are not beside its own: a scale is used at another place.",
    ask=quantity(lambda evidence: evidence.relations.reach, lambda value: value == "elsewhere"),
    record=(("reach", "value"),),
    measured="its tensor, row, column, group or tile",
)

WRONG_AXIS = Rule(
    cause="wrong-axis",
    measures="which values an outlier changes, where `granularity=` declares them; of a dump, which are no more than "
    "one scale gives, and whether rows or groups of other sizes share it",
    flagged="not those of its tensor, row or group throughout, or others a third as much",
    says="the scale is declared to be shared by a {declared}; {found}.",
    ask=_wrong_axis,
    record=("declared", "found"),
    measured="all of them and, but for a scale of scales, no others",
)


def _shares_noise(case: Case) -> Seen | None:
    shared = case.evidence.relations.shared_noise
    # A quantizer that draws once, for itself, has a rotation or a dither of its own, and is said as not reproducible.
    own = shared in {"calls", "columns"} and case.evidence.unrepeatable is not None
    return None if shared is None or own else Seen({"value": shared})


SHARED_NOISE = Rule(
    cause="rounding-not-random",
    measures="noise of equal rows, equal columns and later calls, where values vary with the seed",
    flagged="the same",
    says="the noise is the same in all {value}.",
    ask=_shares_noise,
    record=(("shared_noise", "value"),),
    measured="every element and every call draws its own",
)

NOT_REPRODUCIBLE = Rule(
    cause="not-reproducible",
    measures="values of two fresh quantizers under one torch seed",
    flagged="they differ",
    says="{value}",
    ask=quantity(lambda evidence: evidence.unrepeatable, bool),
    measured="equal, bit for bit, where noise is drawn from torch's generator",
    severity="warning",
)
