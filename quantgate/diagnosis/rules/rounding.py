"""Rules about rounding, tables and export: little harm in 100 steps, and wrong all the same."""

from __future__ import annotations

from quantgate.diagnosis.evidence import Evidence, Finding

#: Where in the bin the threshold lies: 0.5, in the log domain 0.41; truncation and floor reach 0 and 1.
THRESHOLD = (0.15, 0.85)
#: Without noise no value depends on its row.
BY_PLACE = 0.01
VARIES = 0.01
#: A table rounded to bfloat16 differs by 0.002.
TABLE = 0.005


def rounding_not_random(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    rounding = evidence.rounding
    if rounding is None or rounding.by_place < BY_PLACE or rounding.varies >= VARIES:
        return None
    return Finding(
        "rounding-not-random",
        f"{rounding.by_place:.0%} of the values depend on the row they stand in, the same under every seed.",
        {"by_place": rounding.by_place, "varies": rounding.varies},
    )


def rounding_biased(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    rounding = evidence.rounding
    if rounding is None or rounding.varies >= VARIES:
        return None
    low, high = THRESHOLD
    positive, negative = rounding.threshold_positive, rounding.threshold_negative
    if positive is None or negative is None:
        return None
    floored, raised = min(positive, negative) > high, max(positive, negative) < low
    truncated = positive > high and negative < low
    # Away from 0 is what a grid of more than x's range looks like (a tanh transform), not a way to round.
    if not (floored or raised or truncated):
        return None
    return Finding(
        "rounding-biased",
        f"the rounding threshold lies at {place(positive)} of the bin for positive and {place(negative)} for "
        "negative values; round to nearest puts it at 0.50.",
        {"threshold_positive": positive, "threshold_negative": negative},
    )


def place(threshold: float | None) -> str:
    return "an unknown place" if threshold is None else f"{threshold:.2f}"


def wrong_table(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    error = evidence.table_error
    if error is None or error <= TABLE:
        return None
    return Finding(
        "wrong-table",
        f"a value lies {error:.3f} of the range from the published table that the name claims.",
        {"table_error": error},
    )


def mismatch(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    if not evidence.export_differs:
        return None
    return Finding(
        "train-deploy-mismatch",
        f"decode(encode(x)) differs from the fake-quantized x in {evidence.export_differs:.1%} of the elements.",
        {"export_differs": evidence.export_differs},
    )
