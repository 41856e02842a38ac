"""Rules about rounding, tables and export: little harm in 100 steps, and wrong all the same."""

from __future__ import annotations

from quantgate.evidence import Evidence, Finding

#: Where in the bin the threshold lies: 0.5, in the log domain 0.41; truncation and floor reach 0 and 1.
THRESHOLD = (0.15, 0.85)
#: A quantizer without noise has no inversion.
INVERSIONS = 0.02
VARIES = 0.01
#: A table rounded to bfloat16 differs by 0.002.
TABLE = 0.005


def rounding_not_random(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    rounding = evidence.rounding
    if rounding is None or rounding.inversions < INVERSIONS or rounding.varies >= VARIES:
        return None
    return Finding(
        "rounding-not-random",
        f"{rounding.inversions:.0%} of neighbouring values change places, the same ones under every seed.",
        {"inversions": rounding.inversions, "varies": rounding.varies},
    )


def rounding_biased(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
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
